import Balancing
import Primitives
import Testing

@Suite struct LatencyTests {
  // An average per sample would let a burst of a hundred requests count as a hundred minutes.
  @Test func samplesWeighByTime() {
    var stage = Stage(1)
    stage.request(0, .success, firstByte: .milliseconds(100))
    #expect(stage.view(0).ewmaMilliseconds == 100)
    stage.wait(.seconds(10))
    stage.request(0, .success, firstByte: .milliseconds(200))
    // One tau: 1/e of the old, the rest of the new.
    #expect(abs(stage.view(0).ewmaMilliseconds - (200 - 100 / 2.718281828)) < 0.001)
    for _ in 0..<100 { stage.request(0, .success, firstByte: .milliseconds(10)) }
    #expect(abs(stage.view(0).ewmaMilliseconds - (200 - 100 / 2.718281828)) < 0.001)
  }

  // Streams would make latency a measure of answers' lengths.
  @Test func firstByteIsWhatCountsByDefault() {
    var stage = Stage(1)
    var ticket = stage.ticket()
    stage.pool.firstByte(&ticket, latency: .milliseconds(70), isHealthy: true, at: stage.now)
    #expect(ticket.hasAnswered)
    stage.wait(.seconds(100))
    #expect(stage.inFlight == [1])
    // Told once: neither the end nor a second call samples it again.
    stage.pool.firstByte(&ticket, latency: .seconds(9), isHealthy: true, at: stage.now)
    stage.finish(ticket, .success, firstByte: .seconds(9))
    #expect(stage.view(0).ewmaMilliseconds < 71)
  }

  @Test func fullLatencyIsMeasuredToTheEnd() {
    var stage = Stage(1) { $0.latency = .full }
    var ticket = stage.ticket()
    stage.pool.firstByte(&ticket, latency: .milliseconds(70), isHealthy: true, at: stage.now)
    stage.wait(.seconds(3))
    stage.finish(ticket, .success)
    #expect(stage.view(0).ewmaMilliseconds == 3_000)
  }

  // A member that is believed to be slow is never picked, so nothing would ever prove otherwise.
  @Test func anIdleMembersLatencyFadesToThePools() {
    var stage = Stage(2)
    stage.request(0, .success, firstByte: .milliseconds(100))
    stage.request(1, .success, firstByte: .milliseconds(5_000))
    for _ in 0..<600 {
      stage.wait(.milliseconds(100))
      stage.request(0, .success, firstByte: .milliseconds(100))
    }
    // Six tau later: close to 95 % of what the pool answers in, from 50 times that.
    #expect(stage.view(1).ewmaMilliseconds < 115)
    #expect(stage.view(1).ewmaMilliseconds > 95)
    #expect(abs(stage.view(0).ewmaMilliseconds - 100) < 1)
  }

  // Failing fast must not look like being fast.
  @Test func aFailureIsASlowSample() {
    var stage = Stage(2)
    for slot in 0..<2 { stage.request(slot, .success, firstByte: .milliseconds(100)) }
    stage.request(0, .failure)
    // A quarter of the way to four times the mean.
    #expect(abs(stage.view(0).ewmaMilliseconds - 175) < 1)
    stage.request(0, .failure)
    #expect(stage.view(0).ewmaMilliseconds > 220)
    #expect(stage.view(1).ewmaMilliseconds == 100)
  }

  // A time-out of ten minutes must not weigh ten minutes for an hour.
  @Test func thePenaltyIsBounded() {
    var stage = Stage(2)
    for slot in 0..<2 { stage.request(slot, .success, firstByte: .milliseconds(100)) }
    let ticket = stage.ticket(of: 0)
    stage.wait(.seconds(600))
    stage.finish(ticket, .failure)
    #expect(stage.view(0).ewmaMilliseconds <= 1_600)
  }

  // Nor does a failure make a slow member look faster.
  @Test func aFailureNeverHelps() {
    var stage = Stage(2)
    stage.request(0, .success, firstByte: .milliseconds(100))
    stage.request(1, .success, firstByte: .seconds(60))
    let before = stage.view(1).ewmaMilliseconds
    stage.request(1, .failure)
    #expect(stage.view(1).ewmaMilliseconds == before)
  }

  // A member that swallows requests has no bad samples at all.
  @Test func waitingRequestsRaiseTheEstimate() {
    var stage = Stage(2)
    for slot in 0..<2 { stage.request(slot, .success, firstByte: .milliseconds(100)) }
    var stuck = [stage.ticket(of: 0), stage.ticket(of: 0)]
    stage.wait(.seconds(3))
    // Half their age: what is usual on a busy pool must not count.
    #expect(stage.view(0).ewmaMilliseconds == 1_500)
    #expect(stage.spread(50) == [0, 50])
    // A stream that has begun does not wait.
    for index in stuck.indices {
      stage.pool.firstByte(
        &stuck[index], latency: .milliseconds(100), isHealthy: true, at: stage.now)
    }
    #expect(stage.view(0).ewmaMilliseconds < 101)
  }

  // Clients give up before the time-out, and would take the evidence along.
  @Test func whoLeavesEarlyProvesItTookThatLong() {
    var stage = Stage(2)
    for slot in 0..<2 { stage.request(slot, .success, firstByte: .milliseconds(100)) }
    let ticket = stage.ticket(of: 0)
    stage.wait(.seconds(30))
    stage.finish(ticket, .neutral)
    #expect(stage.view(0).ewmaMilliseconds > 20_000)
    // But leaving at once proves nothing.
    let before = stage.view(1).ewmaMilliseconds
    stage.request(1, .neutral)
    #expect(stage.view(1).ewmaMilliseconds == before)
  }

  // Rejections in a millisecond are not an answer.
  @Test func backpressureIsNoSample() {
    var stage = Stage(1)
    stage.request(0, .success, firstByte: .milliseconds(100))
    stage.request(0, .backpressure(retryAfter: nil), firstByte: .milliseconds(1))
    #expect(stage.view(0).ewmaMilliseconds == 100)
  }

  // One that nothing is known of among slow ones must not get everything.
  @Test func theUnknownIsTakenForThePoolsMean() {
    var stage = Stage(3)
    stage.request(0, .success, firstByte: .milliseconds(400))
    stage.request(1, .success, firstByte: .milliseconds(400))
    #expect(stage.view(2).ewmaMilliseconds == 380)
  }

  @Test func peakEWMAJumpsUp() {
    var stage = Stage(1) { $0.rule = .peakEWMA }
    stage.request(0, .success, firstByte: .milliseconds(100))
    stage.request(0, .success, firstByte: .milliseconds(700))
    #expect(stage.view(0).ewmaMilliseconds == 700)
    stage.request(0, .success, firstByte: .milliseconds(100))
    #expect(stage.view(0).ewmaMilliseconds == 700)
  }
}
