import Glibc
import Primitives

extension SeededRandom {
  mutating func chance(_ probability: Double) -> Bool {
    probability > 0 && (probability >= 1 || unit() < probability)
  }

  /// Uniform, both ends included.
  mutating func between(_ low: Int, _ high: Int) -> Int { low + below(high - low + 1) }

  mutating func between(_ range: ClosedRange<TimeAmount>) -> TimeAmount {
    let width = Double((range.upperBound - range.lowerBound).nanoseconds)
    return range.lowerBound + .nanoseconds(Int64(unit() * width))
  }

  mutating func milliseconds(_ low: Int, _ high: Int) -> TimeAmount {
    between(.milliseconds(Int64(low)) ... .milliseconds(Int64(high)))
  }

  mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

  /// Exponential with this mean, at most twenty times it.
  mutating func exponential(_ mean: TimeAmount) -> TimeAmount {
    .nanoseconds(Int64(min(20, -log(1 - unit())) * Double(mean.nanoseconds)))
  }
}
