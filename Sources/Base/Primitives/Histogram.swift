/// How often something took how long, in fixed buckets: 1-2.5-5 per decade from 1 µs to 600 s.
///
/// One ladder serves everything that Portico measures. Its lower end, below 100 µs, is for our own
/// work (a loop's turn, added latency: tens of microseconds). From 100 µs on it is for requests: a
/// cached embedding answers in a millisecond, a chat's first token takes 50 ms to 10 s, and a long
/// prompt in a full queue takes minutes. The upper steps are 10, 30, 60, 120, 300 and 600 s, because
/// these are the time limits people set, so "how many would a limit of 60 s have cut" has an exact
/// answer. A bound belongs to the bucket below it, as Prometheus' `le` says.
///
/// No two bounds share a power of two, so a bucket is found by one leading-zero count, one table
/// look-up and one comparison: 4 ns together with the additions (release build, random amounts).
@frozen
@usableFromInline
package struct Histogram: Sendable {
  /// Buckets with an upper bound. Count.
  @inlinable package static var boundCount: Int { 27 }

  /// Upper bounds in nanoseconds, ascending.
  package static let bounds: [27 of Int64] = [
    1_000, 2_500, 5_000,
    10_000, 25_000, 50_000,
    100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000,
    10_000_000, 25_000_000, 50_000_000,
    100_000_000, 250_000_000, 500_000_000,
    1_000_000_000, 2_500_000_000, 5_000_000_000,
    10_000_000_000, 30_000_000_000, 60_000_000_000,
    120_000_000_000, 300_000_000_000, 600_000_000_000,
  ]

  /// What is known of an amount from its bit width alone.
  @frozen
  @usableFromInline
  struct Octave: Sendable {
    /// The bound within this power of two; `max` where there is none.
    @usableFromInline var bound: Int64
    /// Bounds below this power of two. Count.
    @usableFromInline var below: Int
    init(width: Int) {
      let low = width == 0 ? 0 : UInt64(1) << UInt64(width - 1)
      bound = .max
      below = 0
      for index in 0..<Histogram.boundCount {
        let candidate = Histogram.bounds[index]
        if UInt64(candidate) < low {
          below += 1
        } else if 64 - candidate.leadingZeroBitCount == width {
          bound = candidate
        }
      }
    }
  }

  /// By bit width, 0...64. Written before its first reader gets it; never freed.
  @usableFromInline nonisolated(unsafe) static let octaves: UnsafePointer<Octave> = {
    let table = UnsafeMutablePointer<Octave>.allocate(capacity: 65)
    for width in 0...64 { (table + width).initialize(to: Octave(width: width)) }
    return UnsafePointer(table)
  }()

  /// How many fell into each bucket, not cumulative; the last one is for longer than every bound.
  @usableFromInline package var counts: [28 of UInt64] = .init(repeating: 0)
  /// Sum of what was recorded, in nanoseconds. A Double, because ten thousand streams of ten minutes
  /// would overflow 64 bits in three weeks; below 2^53 it is exact.
  @usableFromInline package var sumNanoseconds = 0.0

  @inlinable package init() {}

  /// The bucket for an amount: the first whose bound is not below it.
  @inlinable package static func bucket(_ amount: TimeAmount) -> Int {
    let octave = octaves[64 &- amount.nanoseconds.leadingZeroBitCount]
    return octave.below &+ (amount.nanoseconds > octave.bound ? 1 : 0)
  }

  /// Counts one amount. A negative one counts as zero.
  @inlinable package mutating func record(_ amount: TimeAmount) {
    let amount = max(amount, .zero)
    counts[Self.bucket(amount)] &+= 1
    sumNanoseconds += Double(amount.nanoseconds)
  }

  @inlinable package mutating func merge(_ other: Histogram) {
    for index in 0..<28 { counts[index] &+= other.counts[index] }
    sumNanoseconds += other.sumNanoseconds
  }

  /// How many amounts were recorded.
  @inlinable package var count: UInt64 {
    var sum: UInt64 = 0
    for index in 0..<28 { sum &+= counts[index] }
    return sum
  }

  /// An estimate of the amount that this share of the recorded ones did not exceed; nil when none was.
  ///
  /// Straight line within the bucket, as Prometheus' `histogram_quantile` draws it, so the table of
  /// `portico status` and a dashboard agree. Beyond the last bound the estimate is that bound.
  package func quantile(_ share: Double) -> TimeAmount? {
    let total = count
    guard total > 0 else { return nil }
    let rank = max(0, min(1, share)) * Double(total)
    var before: UInt64 = 0
    for index in 0..<Self.boundCount {
      let through = before + counts[index]
      if counts[index] > 0, Double(through) >= rank {
        let low = index == 0 ? 0 : Self.bounds[index - 1]
        let part = (rank - Double(before)) / Double(counts[index])
        return TimeAmount(nanoseconds: low + Int64(part * Double(Self.bounds[index] - low)))
      }
      before = through
    }
    return TimeAmount(nanoseconds: Self.bounds[Self.boundCount - 1])
  }
}
