import Dispatch
import Primitives
import Synchronization
import Testing

@testable import Guard

/// Rates. What could break: more than the rate passes, or less; a refusal that says a wrong time; two
/// loops that both take the last unit.
@Suite struct RateLimitTests {
  @Test func aBurstPassesAndThenOneAtATime() {
    let limit = RateLimit(count: 10, per: .seconds(1), burst: 3)
    let bucket = RateBucket()
    for _ in 0..<3 {
      guard case .admitted = bucket.take(1, limit, at: start) else {
        Issue.record("the burst was refused")
        return
      }
    }
    #expect(bucket.take(1, limit, at: start) == .refused(wait: .milliseconds(100)))
    let soon = start + .milliseconds(99)
    #expect(bucket.take(1, limit, at: soon) == .refused(wait: .milliseconds(1)))
    guard case .admitted = bucket.take(1, limit, at: start + .milliseconds(100)) else {
      Issue.record("the wait that was said was too short")
      return
    }
  }

  @Test func theDefaultBurstIsOnePeriod() {
    let limit = RateLimit(count: 600, per: .seconds(60))
    let bucket = RateBucket()
    #expect(limit.burst == 600)
    #expect(bucket.remaining(limit, at: start) == 600)
    _ = bucket.take(100, limit, at: start)
    #expect(bucket.remaining(limit, at: start) == 500)
    #expect(bucket.reset(limit, at: start) == .seconds(10))
    #expect(bucket.remaining(limit, at: start + .seconds(10)) == 600)
  }

  @Test func moreThanTheBurstNeverPasses() {
    let limit = RateLimit(count: 100, per: .seconds(60))
    let bucket = RateBucket()
    #expect(bucket.take(101, limit, at: start) == .impossible)
    #expect(bucket.take(.max, limit, at: start) == .impossible)
    #expect(bucket.remaining(limit, at: start) == 100)
  }

  /// What was estimated is corrected: spent tokens are charged even into debt, and what was too much
  /// comes back, but not what time has given back already.
  @Test func anEstimateIsCorrected() {
    let limit = RateLimit(count: 1_000, per: .seconds(1))
    let bucket = RateBucket()
    guard case .admitted(let arrival) = bucket.take(600, limit, at: start) else { return }
    bucket.correct(RateCharge(units: 600, arrival: arrival), units: 100, limit, at: start)
    #expect(bucket.remaining(limit, at: start) == 900)
    bucket.correct(RateCharge(units: 100, arrival: arrival), units: 2_100, limit, at: start)
    #expect(bucket.remaining(limit, at: start) == 0)
    #expect(bucket.take(1, limit, at: start) == .refused(wait: .milliseconds(1_101)))

    // A second later the bucket is empty whatever the charge was: nothing may come back twice.
    let other = RateBucket()
    guard case .admitted(let first) = other.take(1_000, limit, at: start) else { return }
    let later = start + .seconds(1)
    _ = other.take(1_000, limit, at: later)
    other.correct(RateCharge(units: 1_000, arrival: first), units: 0, limit, at: later)
    #expect(other.remaining(limit, at: later) == 0)
  }

  /// Random arrivals: in no window more than the burst and what the rate makes good, and a request that
  /// comes when it was told to passes.
  @Test(arguments: UInt64(0)..<40) func neverMoreThanTheRate(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let count = 1 + random.below(500)
    let period = [TimeAmount.seconds(1), .seconds(60), .seconds(3_600)][random.below(3)]
    let burst = 1 + random.below(50)
    let limit = RateLimit(count: count, per: period, burst: burst)
    let bucket = RateBucket()
    var now = start
    var passed: [(at: Instant, units: Int)] = []
    for _ in 0..<2_000 {
      now = now + .nanoseconds(Int64(random.below(Int(period.nanoseconds / Int64(count)) + 1)))
      let units = 1 + random.below(max(1, burst / 3))
      switch bucket.take(Int64(units), limit, at: now) {
      case .admitted: passed.append((now, units))
      case .impossible: #expect(units > burst)
      case .refused(let wait):
        #expect(wait > .zero)
        if random.below(10) == 0 {
          now = now + wait
          if case .admitted = bucket.take(Int64(units), limit, at: now) {
            passed.append((now, units))
          } else {
            Issue.record("refused at the time that was said")
          }
        }
      }
    }
    for first in stride(from: 0, to: passed.count, by: 37) {
      var sum = 0
      for entry in passed[first...] {
        sum += entry.units
        let elapsed = (entry.at - passed[first].at).seconds
        let allowed = Double(burst) + elapsed / period.seconds * Double(count) + 1e-6
        if Double(sum) > allowed { Issue.record("\(sum) in \(elapsed) s, allowed \(allowed)") }
      }
    }
  }

  /// Four threads at one bucket: together exactly as many as one would get.
  @Test func loopsShareABucketExactly() {
    let limit = RateLimit(count: 1, per: .seconds(3_600), burst: 10_000)
    let bucket = RateBucket()
    let passed = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for _ in 0..<4_000 {
        if case .admitted = bucket.take(1, limit, at: start) {
          passed.wrappingAdd(1, ordering: .relaxed)
        }
      }
    }
    #expect(passed.load(ordering: .relaxed) == 10_000)
  }
}

/// A bucket for each client. What could break: clients that share one, a table that grows, somebody
/// who is forgiven while there is room.
@Suite struct ClientBucketsTests {
  private let limit = RateLimit(count: 1, per: .seconds(60))

  @Test func everyClientHasItsOwn() {
    let buckets = ClientBuckets(seed: 1)
    for client in UInt64(0)..<10_000 {
      if case .admitted = buckets.take(client, 1, limit, at: start) { continue }
      Issue.record("client \(client) was refused for another's sake")
    }
    for client in UInt64(0)..<10_000 {
      if case .refused = buckets.take(client, 1, limit, at: start) { continue }
      Issue.record("client \(client) was forgotten")
    }
    #expect(buckets.evictions == 0)
  }

  /// Twenty times as many as there are places: it stays as large as it is, and says what it forgot.
  @Test func aFloodOfClientsForgetsSomeAndIsCounted() {
    let buckets = ClientBuckets(seed: 2)
    for client in UInt64(0)..<UInt64(4 * ClientBuckets.capacity) {
      _ = buckets.take(client, 1, limit, at: start)
    }
    #expect(buckets.evictions > 2 * ClientBuckets.capacity)
    // Whoever is empty again leaves its place without being counted.
    let before = buckets.evictions
    _ = buckets.take(1 << 40, 1, limit, at: start + .seconds(61))
    #expect(buckets.evictions == before)
  }

  @Test func loopsThatMeetANewClientAtOnceShareItsBucket() {
    let buckets = ClientBuckets(seed: 3)
    let passed = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for client in UInt64(1)...2_000 {
        if case .admitted = buckets.take(client, 1, limit, at: start) {
          passed.wrappingAdd(1, ordering: .relaxed)
        }
      }
    }
    #expect(passed.load(ordering: .relaxed) == 2_000)
  }

  @Test func aChargeIsCorrectedWhileTheClientHasItsBucket() {
    let buckets = ClientBuckets(seed: 4)
    let limit = RateLimit(count: 100, per: .seconds(1))
    guard case .admitted(let arrival) = buckets.take(7, 100, limit, at: start) else { return }
    buckets.correct(7, RateCharge(units: 100, arrival: arrival), units: 40, limit, at: start)
    guard case .admitted = buckets.take(7, 60, limit, at: start) else {
      Issue.record("nothing came back")
      return
    }
    #expect(buckets.take(7, 1, limit, at: start) == .refused(wait: .milliseconds(10)))
  }
}
