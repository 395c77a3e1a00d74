import Balancing
import Primitives
import Testing

@Suite struct BreakerTests {
  // If failures were counted over time and not in a row, one success between would not help.
  @Test func opensAfterFiveFailuresInARow() {
    var stage = Stage(2)
    for _ in 0..<4 { #expect(stage.request(0, .failure) == nil) }
    stage.request(0, .success)
    for _ in 0..<4 { #expect(stage.request(0, .failure) == nil) }
    let until = stage.now + .seconds(10)
    #expect(stage.request(0, .failure) == Transition(slot: 0, change: .opened(until: until)))
    #expect(stage.view(0).breaker == .open(until: until))
    #expect(!stage.view(0).isUsable)
    #expect(stage.spread(20) == [0, 20])
  }

  // A member that fails every second request never fails five times in a row.
  @Test func opensOnErrorRateOnceThereIsVolume() {
    var stage = Stage(2)
    for _ in 0..<9 {
      #expect(stage.request(0, .success) == nil)
      #expect(stage.request(0, .failure) == nil)
    }
    stage.request(0, .success)
    #expect(stage.view(0).errorRate == 9.0 / 19)
    #expect(stage.request(0, .failure)?.change == .opened(until: stage.now + .seconds(10)))
  }

  // Errors of the last minute must not add up with today's.
  @Test func forgetsWhatIsOlderThanItsWindow() {
    var stage = Stage(2)
    for _ in 0..<4 {
      stage.request(0, .failure)
      stage.request(0, .failure)
      stage.request(0, .success)
      stage.request(0, .success)
    }
    stage.wait(.seconds(11))
    #expect(stage.view(0).errorRate == 0)
    for _ in 0..<4 {
      #expect(stage.request(0, .failure) == nil)
      stage.request(0, .success)
    }
    #expect(stage.view(0).breaker == .closed)
  }

  // 429 and 503 are the member's word about itself, not a failure: it must not be ejected for them.
  @Test func backpressureIsNoFailure() {
    var stage = Stage(2)
    for _ in 0..<50 {
      stage.request(0, .backpressure(retryAfter: nil))
      stage.wait(.seconds(1))
    }
    #expect(stage.view(0).breaker == .closed)
    #expect(stage.view(0).errorRate == 0)
  }

  // Clients that leave say nothing about the member, good or bad.
  @Test func neutralOutcomesDoNotCount() {
    var stage = Stage(2)
    for _ in 0..<4 { stage.request(0, .failure) }
    for _ in 0..<10 { stage.request(0, .neutral) }
    #expect(stage.view(0).consecutiveFailures == 4)
    #expect(stage.request(0, .failure) != nil)
  }

  // Half-open with unlimited probes would send the whole load to a member that may be dead.
  @Test func halfOpenLetsOneProbeThrough() throws {
    var stage = Stage(2)
    stage.open(0)
    stage.wait(.seconds(10))
    let probe = stage.ticket()
    #expect(probe.slot == 0)
    #expect(probe.isProbe)
    #expect(stage.cells[0].isProbing)
    #expect(stage.view(0).breaker == .halfOpen)
    #expect(stage.spread(20) == [0, 20])
    #expect(stage.finish(probe, .success) == Transition(slot: 0, change: .closed))
    #expect(!stage.cells[0].isProbing)
    #expect(stage.view(0).breaker == .closed)
  }

  // A failing probe must open again, for longer each time, up to five minutes.
  @Test func openingsInARowLastLonger() throws {
    var stage = Stage(2)
    var until = stage.now + .seconds(10)
    #expect(stage.open(0)?.change == .opened(until: until))
    for opening in 2...40 {
      stage.now = until
      let probe = stage.ticket()
      #expect(probe.isProbe)
      until = stage.now + .seconds(min(300, 10 * Int64(opening)))
      #expect(stage.finish(probe, .failure)?.change == .opened(until: until))
    }
  }

  // Ten openings last month must not make today's first one last 100 s.
  @Test func healthIsRewarded() {
    var stage = Stage(2)
    stage.open(0)
    stage.wait(.seconds(10))
    stage.finish(stage.ticket(), .failure)
    stage.wait(.seconds(20))
    stage.finish(stage.ticket(), .success)
    stage.wait(.seconds(21))
    #expect(stage.open(0)?.change == .opened(until: stage.now + .seconds(10)))
  }

  // A probe whose client leaves must not leave the breaker half-open for ever.
  @Test(arguments: [Outcome.Verdict.neutral, .backpressure(retryAfter: .seconds(2))])
  func aProbeWithoutVerdictGivesItsRightBack(verdict: Outcome.Verdict) {
    var stage = Stage(2)
    stage.open(0)
    stage.wait(.seconds(10))
    let probe = stage.ticket()
    #expect(stage.finish(probe, verdict) == nil)
    #expect(!stage.cells[0].isProbing)
    #expect(stage.view(0).breaker == .halfOpen)
    // Back-pressure is waited for.
    stage.wait(.seconds(2))
    let next = stage.ticket()
    #expect(next.isProbe && next.slot == 0)
    stage.finish(next, .success)
    #expect(stage.view(0).breaker == .closed)
  }

  // Requests sent before the breaker opened come back late: they must not close it, nor reopen it.
  @Test func ticketsOfAnOlderEpochDoNotCount() {
    var stage = Stage(2)
    let early = (0..<12).map { _ in stage.ticket(of: 0) }
    stage.open(0)
    stage.finish(early[0], .success)
    #expect(stage.view(0).breaker != .closed)
    stage.wait(.seconds(10))
    let probe = stage.ticket()
    stage.finish(early[1], .success)
    stage.finish(early[2], .failure)
    #expect(stage.view(0).breaker == .halfOpen)
    stage.finish(probe, .success)
    for ticket in early[3...] { #expect(stage.finish(ticket, .failure) == nil) }
    #expect(stage.view(0).breaker == .closed)
    #expect(stage.view(0).consecutiveFailures == 0)
  }

  // A stream lasts minutes: waiting for its end would keep a healthy member out for as long.
  @Test func aHealthyFirstByteClosesTheBreaker() {
    var stage = Stage(2)
    stage.open(0)
    stage.wait(.seconds(10))
    var probe = stage.ticket()
    let change = stage.pool.firstByte(
      &probe, latency: .milliseconds(80), isHealthy: true, at: stage.now)
    #expect(change == Transition(slot: 0, change: .closed))
    #expect(!stage.cells[0].isProbing)
    // A stream that breaks off is a failure all the same, and the first of a new row.
    #expect(stage.finish(probe, .failure) == nil)
    #expect(stage.view(0).consecutiveFailures == 1)
  }

  // A 500 has a first byte too.
  @Test func anUnhealthyFirstByteDecidesNothing() {
    var stage = Stage(2)
    stage.open(0)
    stage.wait(.seconds(10))
    var probe = stage.ticket()
    let change = stage.pool.firstByte(
      &probe, latency: .milliseconds(80), isHealthy: false, at: stage.now)
    #expect(change == nil)
    #expect(stage.view(0).breaker == .halfOpen)
    #expect(stage.view(0).ewmaMilliseconds < 80)
    #expect(
      stage.finish(probe, .failure)?.change == .opened(until: stage.now + .seconds(20)))
  }

  // max_ejected is a promise: two of four, whatever fails.
  @Test func neverEjectsMoreThanItsShare() {
    var stage = Stage(4)
    #expect(stage.open(0) != nil)
    #expect(stage.open(1) != nil)
    #expect(stage.open(2) == nil)
    #expect(stage.open(3) == nil)
    #expect(stage.view(2).breaker == .closed)
    // When one is back, the next failure may open another.
    stage.wait(.seconds(10))
    stage.finish(stage.ticket(), .success)
    #expect(stage.request(2, .failure) != nil)
  }

  @Test func theOnlyMemberIsNeverEjected() {
    var stage = Stage(1)
    for _ in 0..<100 { #expect(stage.request(0, .failure) == nil) }
    #expect(stage.ticket().slot == 0)
  }

  @Test func aDisabledBreakerNeverOpens() {
    var stage = Stage(2) { $0.breakerEnabled = false }
    for _ in 0..<100 { #expect(stage.request(0, .failure) == nil) }
    stage.pool.peerReported(0, .opened(until: .never), at: stage.now)
    #expect(stage.view(0).breaker == .closed)
  }

  // A loop that has not seen the failures itself believes the one that has.
  @Test func loopsFollowEachOther() {
    var stage = Stage(4)
    let until = stage.now + .seconds(10)
    stage.pool.peerReported("m1", .opened(until: until), at: stage.now)
    #expect(stage.view(1).breaker == .open(until: until))
    let later = until + .seconds(5)
    stage.pool.peerReported("m1", .opened(until: later), at: stage.now)
    stage.pool.peerReported("m1", .opened(until: until), at: stage.now)
    #expect(stage.view(1).breaker == .open(until: later))
    #expect(stage.spread(40)[1] == 0)
    stage.pool.peerReported("m1", .halfOpened, at: stage.now)
    #expect(stage.view(1).breaker == .open(until: later))
    stage.pool.peerReported("m1", .closed, at: stage.now)
    #expect(stage.view(1).breaker == .closed)
    stage.pool.peerReported("gone", .closed, at: stage.now)
    // Also a follower keeps its share.
    for slot in 0..<4 { stage.pool.peerReported(slot, .opened(until: later), at: stage.now) }
    #expect((0..<4).filter { stage.view($0).breaker != .closed } == [0, 1])
  }

  // Two loops that probe at the same time are two probes.
  @Test func oneProbeOverAllLoops() {
    var a = Stage(2)
    var b = Stage(2, cells: a.cells)
    let change = a.open(0)!.change
    b.pool.peerReported(0, change, at: b.now)
    a.wait(.seconds(10))
    b.wait(.seconds(10))
    let probe = b.ticket()
    #expect(probe.isProbe)
    for _ in 0..<10 {
      let ticket = a.ticket()
      #expect(ticket.slot == 1)
      a.finish(ticket, .success)
    }
    // Closed by the other loop.
    let closed = b.finish(probe, .success)!.change
    a.pool.peerReported(0, closed, at: a.now)
    #expect(a.view(0).breaker == .closed)
  }

  // A late message must not take the right to probe from whoever holds it now.
  @Test func aLateMessageDoesNotLeakTheRightToProbe() {
    var stage = Stage(2)
    stage.open(0)
    stage.wait(.seconds(10))
    let probe = stage.ticket()
    stage.pool.peerReported(0, .closed, at: stage.now)
    #expect(!stage.cells[0].isProbing)
    stage.open(0)
    stage.wait(.seconds(30))
    let second = stage.ticket()
    #expect(second.isProbe)
    stage.finish(probe, .success)
    #expect(stage.cells[0].isProbing)
    stage.finish(second, .success)
    #expect(!stage.cells[0].isProbing)
    #expect(stage.inFlight == [0, 0])
  }

  // Many front doors in step would all probe at the same moment.
  @Test func coolDownsAreJittered() {
    var lengths = Set<TimeAmount>()
    for seed in UInt64(0)..<20 {
      var stage = Stage(2, seed: seed) { $0.cooldownJitter = 0.1 }
      guard case .opened(let until)? = stage.open(0)?.change else { preconditionFailure() }
      #expect(until - stage.now >= .seconds(10) && until - stage.now < .seconds(11))
      lengths.insert(until - stage.now)
    }
    #expect(lengths.count > 15)
  }

  // A breaker that closes on a cold cache gets its traffic back step by step.
  @Test func aRecoveredMemberRampsUp() {
    var stage = Stage(2)
    stage.open(0)
    stage.wait(.seconds(10))
    stage.finish(stage.ticket(), .success)
    #expect(stage.view(0).slowStartFactor == 0.1)
    stage.wait(.seconds(5))
    #expect(stage.view(0).slowStartFactor == 0.5)
    stage.wait(.seconds(5))
    #expect(stage.view(0).slowStartFactor == 1)
  }
}
