import Primitives

/// Retries allowed as a share of traffic, so that a failing pool is not asked twice as often.
///
/// Finagle's rule: each request deposits `ratio` of a retry, each retry takes one, both are forgotten
/// after 10 s, and `minimumPerSecond` retries are allowed however few requests there are.
package struct RetryBudget: Sendable {
  /// Slots of a second each in which deposits live. Finagle: 10.
  private static var slotCount: Int { 10 }
  private static var slot: TimeAmount { .seconds(1) }
  /// A retry, in the unit of the balance: ratios count to a millionth.
  private static var retry: Int { 1_000_000 }

  private var sums = InlineArray<10, Int>(repeating: 0)
  private var current = 0
  private var slotStart: Instant
  /// Of the slots: deposits less retries.
  private var sum = 0
  private var deposit = 0
  private var reserve = 0

  package init(ratio: Double, minimumPerSecond: Int, at now: Instant) {
    slotStart = now
    configure(ratio: ratio, minimumPerSecond: minimumPerSecond)
  }

  /// What has been deposited and spent stays.
  package mutating func configure(ratio: Double, minimumPerSecond: Int) {
    deposit = Int((ratio * Double(Self.retry)).rounded())
    reserve = minimumPerSecond * Self.slotCount * Self.retry
  }

  /// Counts one request that is not itself a retry.
  package mutating func deposit(at now: Instant) {
    advance(to: now)
    sums[current] += deposit
    sum += deposit
  }

  /// Takes one retry out, if there is one.
  package mutating func withdraw(at now: Instant) -> Bool {
    advance(to: now)
    guard sum + reserve >= Self.retry else { return false }
    sums[current] -= Self.retry
    sum -= Self.retry
    return true
  }

  /// Retries that could be made now. Count.
  package func available(at now: Instant) -> Int {
    var copy = self
    copy.advance(to: now)
    return max(0, (copy.sum + copy.reserve) / Self.retry)
  }

  private mutating func advance(to now: Instant) {
    guard now - slotStart >= Self.slot else { return }
    let passed = (now - slotStart).nanoseconds / Self.slot.nanoseconds
    slotStart = slotStart + Self.slot * passed
    for _ in 0..<min(Int(passed), Self.slotCount) {
      current = (current + 1) % Self.slotCount
      sum -= sums[current]
      sums[current] = 0
    }
  }
}
