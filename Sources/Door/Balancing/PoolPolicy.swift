import Primitives

/// How a pool chooses and judges its members. Trivial, so that a reload copies it in.
package struct PoolPolicy: Sendable, Equatable {
  package enum Rule: Sendable, CaseIterable {
    case weightedScore
    case roundRobin
    case random
    case leastRequest
    case powerOfTwo
    case peakEWMA
    case hotCold
    case consistentHash
  }

  package enum Units: Sendable {
    /// Each term of the score is divided by the pool's mean of it.
    case relative
    /// Milliseconds and requests as they are.
    case raw
  }

  package enum Latency: Sendable {
    case firstByte
    case full
  }

  package var rule = Rule.weightedScore
  /// Weight of the latency term; 0.6 in the article Portico follows.
  package var alpha = 0.6
  /// Weight of the queue term; 0.4 in the article Portico follows.
  package var beta = 0.4
  package var units = Units.relative
  package var latency = Latency.firstByte
  /// Time constant of the moving average; Finagle, linkerd and Envoy use 10 s.
  package var tau = TimeAmount.seconds(10)
  /// A new or recovered member ramps up over this time; 0 is off. HAProxy's example.
  package var slowStart = TimeAmount.seconds(10)
  /// `hotCold`: members above this quantile of requests in flight are hot.
  package var hotQuantile = 0.75
  /// `consistentHash`: a member takes at most this many times its share of the load. Google, 1.25.
  package var hashBound = 1.25

  package var breakerEnabled = true
  /// Failures in a row that open the breaker. Count. Envoy `consecutive_5xx` is 5.
  package var failures = 5
  /// Share of failures in the window that opens it. Hystrix: 0.5.
  package var errorRate = 0.5
  package var window = TimeAmount.seconds(10)
  /// Requests the window must hold before its rate is judged. Count. Hystrix: 20.
  package var minimumVolume = 20
  /// How long a breaker stays open before one probe, times the number of openings in a row.
  package var cooldown = TimeAmount.seconds(10)
  /// Longest time that repeated openings add up to. Envoy `max_ejection_time`: 300 s.
  package var cooldownLimit = TimeAmount.seconds(300)
  /// Part of the cool-down that is added at random, so that many front doors do not probe in step.
  package var cooldownJitter = 0.1
  /// Cool-down after 429 or 503 without Retry-After.
  package var backpressure = TimeAmount.seconds(1)
  /// Longest Retry-After that is believed. linkerd: 300 s.
  package var backpressureLimit = TimeAmount.seconds(300)
  /// Share of a pool that breakers may take out together, rounded down.
  package var maxEjected = 0.5
  /// Below this share of usable members all are used. Envoy: 0.5.
  package var panicThreshold = 0.5

  package init() {}

  /// Members up to this number are all looked at. Choosing the best of few beats sampling where a
  /// fleet is small (with two hosts, two random choices take the busier one in a quarter of picks),
  /// and looking at 64 costs 0.2 to 0.7 us, depending on the rule.
  package static var scanLimit: Int { 64 }
  /// Members looked at in larger pools. The best of 8 lies in the best ninth on average; with more
  /// the gain is small (the longest queue falls with log log n / log d) and each costs a cache miss.
  package static var sampleSize: Int { 8 }
  /// Least share of its weight that a ramping member has. Envoy `min_weight_percent`: 10 %.
  static var rampFloor: Double { 0.1 }
  /// An idle member's estimate ends this far below the pool's mean. Ending exactly at the mean it
  /// would come near the others from above and, on a quiet pool, never be tried again.
  static var idleOptimism: Double { 0.95 }
  /// A failure enters as a latency of this many times the pool's mean, at least.
  static var penaltyFactor: Double { 4 }
  /// ... and of this many times at most, so that one time-out of 600 s is forgotten in bounded time.
  static var penaltyLimit: Double { 16 }
  /// A failure weighs at least this much in the average, however short the time since the last
  /// sample: a member that fails fast would otherwise be judged by its speed for many seconds.
  static var penaltyWeight: Double { 0.25 }

  /// `hotCold`: who holds more than this many times the mean load, and one, is hot in any case. Equal
  /// ones at the top would else all count as cold and take the whole load between them: the worst p99
  /// of four seeds was 36 s without and is 1.7 s with it in `FakeFleet` (members of 80, 100, 125 and
  /// 160 ms at 88 % load).
  static var hotCeiling: Double { 1.5 }
  /// What part of the mean age of waiting requests counts as a latency. The whole, as in nginx, is
  /// noise on a busy pool, where requests wait for as long as they usually take: with the half, p99 at
  /// 88 % load fell from 544 to 367 ms in `FakeFleet` (80, 100, 125 and 160 ms members), and a
  /// member that answers nothing is still found at twice its usual time.
  /// `hotCold` needs the whole: it goes by latency alone among cold members, and an average of 10 s
  /// is too slow to hold it back.
  var waitingShare: Double { rule == .hotCold ? 1 : 0.5 }

  /// Estimates, ramps and the state of breakers are brought up to date this often, or when something
  /// happens: a hundredth of tau leaves an error below 1 % of an estimate's distance to the mean.
  var sweepInterval: TimeAmount {
    min(.milliseconds(100), max(.milliseconds(1), .nanoseconds(tau.nanoseconds / 100)))
  }
}
