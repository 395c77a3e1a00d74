import Glibc
import Primitives

/// An exponentially weighted moving average over time, of latencies in milliseconds.
///
/// A sample weighs `1 - e^(-gap/tau)`: what counts is for how long a latency was seen, not how many
/// requests saw it, so a member that is seldom picked learns as fast as a busy one.
struct LatencyAverage {
  /// Milliseconds, as of the last sample.
  private(set) var value = 0.0
  private(set) var sampledAt = Instant.zero
  private(set) var hasSample = false

  /// What is believed now: what was measured, fading towards `target` while nothing is measured.
  func estimate(at now: Instant, target: Double, tau: TimeAmount) -> Double {
    guard hasSample else { return target }
    return target + (value - target) * decay(now - sampledAt, tau)
  }

  /// With `peaks`, a sample above the average replaces it, as in Finagle's and tower's peak EWMA.
  mutating func add(_ sample: Double, at now: Instant, tau: TimeAmount, peaks: Bool = false) {
    if !hasSample || (peaks && sample > value) {
      set(sample, at: now)
      return
    }
    set(sample + (value - sample) * decay(now - sampledAt, tau), at: now)
  }

  /// A failure as a sample. Never lowers the estimate.
  mutating func punish(_ sample: Double, at now: Instant, target: Double, tau: TimeAmount) {
    let before = estimate(at: now, target: target, tau: tau)
    guard sample > before else { return }
    let weight = max(PoolPolicy.penaltyWeight, 1 - decay(now - sampledAt, tau))
    set(before + (sample - before) * weight, at: now)
  }

  mutating func set(_ milliseconds: Double, at now: Instant) {
    value = milliseconds
    sampledAt = max(sampledAt, now)
    hasSample = true
  }
}

/// `e^(-elapsed/tau)`. Under a hundredth of tau, where busy members are, by its series: the error is
/// below 2e-7 and the call is saved.
@inline(__always)
func decay(_ elapsed: TimeAmount, _ tau: TimeAmount) -> Double {
  let x = Double(elapsed.nanoseconds) / Double(max(1, tau.nanoseconds))
  if x < 0.01 { return x <= 0 ? 1 : 1 - x + 0.5 * x * x }
  return exp(-x)
}
