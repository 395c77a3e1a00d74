import Primitives

/// When probes start. Pure: the clock and the chance are passed in.
enum ProbeTiming {
  /// First probes of targets that come together are this far apart, so that a thousand of them do
  /// not open a thousand connections in one turn.
  static let firstSpacing = TimeAmount.milliseconds(1)
  /// But all of them start within this time, however many they are.
  static let firstSpread = TimeAmount.seconds(1)

  /// How long the first probe of the `index`th of `count` new targets waits.
  static func firstDelay(index: Int, of count: Int) -> TimeAmount {
    let spread = min(firstSpacing * Int64(count), firstSpread)
    return TimeAmount(nanoseconds: spread.nanoseconds / Int64(max(count, 1)) * Int64(index))
  }

  /// The start after one at `start`: an interval later, moved either way by up to the jitter's part
  /// of it. The mean stays the interval.
  static func next(
    after start: Instant, interval: TimeAmount, jitter: Double, using random: inout SeededRandom
  ) -> Instant {
    let shift = jitter * (2 * random.unit() - 1)
    return start + TimeAmount(nanoseconds: Int64(Double(interval.nanoseconds) * (1 + shift)))
  }

  /// Any time within an interval from now.
  static func within(
    _ interval: TimeAmount, of now: Instant, using random: inout SeededRandom
  ) -> Instant {
    now + TimeAmount(nanoseconds: Int64(Double(interval.nanoseconds) * random.unit()))
  }
}
