import Primitives
import Synchronization

/// So many in a length of time, and how many may come at once: the generic cell rate algorithm
/// (GCRA, ITU-T I.371) as a pure function of the bucket's one number and the time.
///
/// The number is the theoretical arrival time: when the bucket will be empty again. Each unit moves it
/// on by `interval`, and nothing may move it further than `capacity` beyond now.
///
/// ```
///            now        arrival time     now + capacity
/// ------------|--- charged ---|--- what is left ---|---->
/// ```
package struct RateLimit: Sendable, Hashable {
  /// Units allowed in `period`. Count.
  package let count: Int
  package let period: TimeAmount
  /// Units that may come at once. Count.
  package let burst: Int
  /// Between two units at exactly this rate. Nanoseconds, rounded up, so that never more than the
  /// rate passes.
  let interval: Int64
  /// What the whole burst charges. Nanoseconds.
  let capacity: Int64

  /// - Parameter burst: nil for as many as in one period: the rate bounds the mean, not how evenly
  ///   they come.
  package init(count: Int, per period: TimeAmount, burst: Int? = nil) {
    self.count = max(1, count)
    self.period = period
    self.burst = max(1, burst ?? count)
    let units = Int64(self.count)
    interval = max(1, (period.nanoseconds + units - 1) / units)
    capacity = Self.saturating(interval, Int64(self.burst))
  }

  package enum Decision: Equatable, Sendable {
    /// With the number that the bucket has then.
    case admitted(arrival: Int64)
    /// It would be admitted after this time, if nothing else came.
    case refused(wait: TimeAmount)
    /// More than may ever come at once: waiting does not help.
    case impossible
  }

  /// What becomes of so many units, `arrival` being the bucket's number.
  package func decide(_ arrival: Int64, units: Int64, at now: Instant) -> Decision {
    let charge = Self.saturating(interval, units)
    if charge > capacity { return .impossible }
    let (next, overflow) = max(arrival, now.nanoseconds).addingReportingOverflow(charge)
    if overflow { return .impossible }
    let excess = next - now.nanoseconds - capacity
    return excess > 0 ? .refused(wait: .nanoseconds(excess)) : .admitted(arrival: next)
  }

  /// Units that may come now. Count.
  package func remaining(_ arrival: Int64, at now: Instant) -> Int {
    let charged = max(0, arrival - now.nanoseconds)
    return charged >= capacity ? 0 : Int((capacity - charged) / interval)
  }

  /// Until the whole burst may come again.
  package func reset(_ arrival: Int64, at now: Instant) -> TimeAmount {
    .nanoseconds(max(0, arrival - now.nanoseconds))
  }

  static func saturating(_ interval: Int64, _ units: Int64) -> Int64 {
    let (product, overflow) = interval.multipliedReportingOverflow(by: max(0, units))
    return overflow ? .max : product
  }
}

/// What all loops share of one rate limit: a number, no lock. Outlives reloads that leave its rate as
/// it is.
package final class RateBucket: Sendable {
  private let arrival = Atomic<Int64>(0)

  package init() {}

  /// Takes units, exactly, whatever other loops take at the same time.
  package func take(_ units: Int64, _ limit: RateLimit, at now: Instant) -> RateLimit.Decision {
    arrival.take(units, limit, at: now)
  }

  /// Corrects a charge whose true size is known now.
  package func correct(_ charge: RateCharge, units: Int64, _ limit: RateLimit, at now: Instant) {
    arrival.correct(charge, units: units, limit, at: now)
  }

  package func remaining(_ limit: RateLimit, at now: Instant) -> Int {
    limit.remaining(arrival.load(ordering: .relaxed), at: now)
  }

  package func reset(_ limit: RateLimit, at now: Instant) -> TimeAmount {
    limit.reset(arrival.load(ordering: .relaxed), at: now)
  }
}

/// Units that were taken on an estimate.
package struct RateCharge: Sendable, Equatable {
  package var units: Int64
  /// The bucket's number behind them.
  package var arrival: Int64

  package init(units: Int64, arrival: Int64) {
    self.units = units
    self.arrival = arrival
  }
}

extension Atomic<Int64> {
  borrowing func take(
    _ units: Int64, _ limit: RateLimit, at now: Instant
  ) -> RateLimit.Decision {
    var current = load(ordering: .relaxed)
    while true {
      let decision = limit.decide(current, units: units, at: now)
      guard case .admitted(let next) = decision else { return decision }
      let (exchanged, original) = weakCompareExchange(
        expected: current, desired: next, ordering: .relaxed)
      if exchanged { return decision }
      current = original
    }
  }

  /// Charges what was too little, however much that is: the tokens have been spent. Gives back what
  /// was too much, but only the part that time has not given back already: behind the charge's
  /// arrival time everything has.
  borrowing func correct(
    _ charge: RateCharge, units: Int64, _ limit: RateLimit, at now: Instant
  ) {
    var current = load(ordering: .relaxed)
    while true {
      let next: Int64
      if units >= charge.units {
        let more = RateLimit.saturating(limit.interval, units - charge.units)
        let (sum, overflow) = Swift.max(current, now.nanoseconds).addingReportingOverflow(more)
        next = overflow ? .max : sum
      } else {
        let less = RateLimit.saturating(limit.interval, charge.units - units)
        next = current - Swift.min(less, Swift.max(0, charge.arrival - now.nanoseconds))
      }
      let (exchanged, original) = weakCompareExchange(
        expected: current, desired: next, ordering: .relaxed)
      if exchanged { return }
      current = original
    }
  }
}
