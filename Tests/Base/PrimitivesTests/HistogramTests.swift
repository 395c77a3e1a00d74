import Primitives
import Testing

struct HistogramTests {
  /// What the bucket is by definition: the first whose bound is not below the amount.
  private func scan(_ nanoseconds: Int64) -> Int {
    for index in 0..<Histogram.boundCount where nanoseconds <= Histogram.bounds[index] {
      return index
    }
    return Histogram.boundCount
  }

  // The look-up takes the bit width for the whole truth where a bound lies within it: an amount one
  // off a bound, or at a power of two, would land beside its bucket.
  @Test func bucketsAgreeWithAScanAroundEveryEdge() {
    var amounts: [Int64] = [0, 1, .max]
    for index in 0..<Histogram.boundCount {
      amounts += [-1, 0, 1].map { Histogram.bounds[index] + $0 }
    }
    for width in 1..<63 { amounts += [-1, 0, 1].map { (Int64(1) << width) + $0 } }
    for amount in amounts {
      #expect(Histogram.bucket(TimeAmount(nanoseconds: amount)) == scan(amount), "\(amount) ns")
    }
  }

  @Test(arguments: UInt64(0)..<4)
  func bucketsAgreeWithAScanAnywhere(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<5_000 {
      let amount = Int64(random.next() >> (1 + UInt64(random.below(63))))
      #expect(Histogram.bucket(TimeAmount(nanoseconds: amount)) == scan(amount), "\(amount) ns")
    }
  }

  // Two bounds within one power of two would break the look-up silently when a bound is added.
  @Test func noTwoBoundsShareAPowerOfTwo() {
    var widths = Set<Int>()
    for index in 0..<Histogram.boundCount {
      #expect(widths.insert(Histogram.bounds[index].leadingZeroBitCount).inserted)
      #expect(index == 0 || Histogram.bounds[index - 1] < Histogram.bounds[index])
    }
  }

  // A clock that seems to run backwards must not crash a loop or make a sum fall.
  @Test func negativeAmountsCountAsZero() {
    var histogram = Histogram()
    histogram.record(TimeAmount(nanoseconds: -5))
    #expect(histogram.counts[0] == 1)
    #expect(histogram.sumNanoseconds == 0)
  }

  // A merge that forgot the last bucket would lose exactly the requests that people look for.
  @Test func mergingAddsEveryBucketAndTheSum() {
    var a = Histogram()
    var b = Histogram()
    a.record(.microseconds(100))
    a.record(.seconds(601))
    b.record(.seconds(601))
    b.record(.milliseconds(3))
    a.merge(b)
    #expect(a.count == 4)
    #expect(a.counts[27] == 2)
    #expect(a.sumNanoseconds == 100e3 + 1_202e9 + 3e6)
  }

  // The table of `portico status` shows these; an estimate outside its bucket would be a lie.
  @Test func quantilesAreDrawnWithinTheirBucket() {
    var histogram = Histogram()
    #expect(histogram.quantile(0.5) == nil)
    for _ in 0..<50 { histogram.record(.milliseconds(2)) }
    for _ in 0..<50 { histogram.record(.milliseconds(80)) }
    #expect(histogram.quantile(0.25) == TimeAmount(nanoseconds: 1_750_000))
    #expect(histogram.quantile(0.5) == .microseconds(2_500))
    #expect(histogram.quantile(0.75) == .milliseconds(75))
    #expect(histogram.quantile(1) == .milliseconds(100))
    #expect(histogram.quantile(0) == .milliseconds(1))
    var long = Histogram()
    long.record(.seconds(4_000))
    #expect(long.quantile(0.5) == .seconds(600))
  }
}
