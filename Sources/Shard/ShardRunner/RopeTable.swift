import Glibc
import ShardPlan

/// The frequencies of rotary embeddings, with what scaling does to them.
///
/// Angles are made for each token of a step, not kept for all positions: 131,072 of them would be
/// tens of megabytes, and a step needs a few.
struct RopeTable {
  /// One for each pair. Radians per position.
  let frequencies: [Float]
  /// Multiplies cosine and sine.
  let amplitude: Float

  var half: Int { frequencies.count }

  /// `size` elements are turned, in `size / 2` pairs.
  init(_ rope: ModelShape.Rope, size: Int) {
    let half = size / 2
    let plain = (0..<half).map { pow(rope.theta, -2 * Double($0) / Double(size)) }
    switch rope.scaling {
    case .none:
      frequencies = plain.map(Float.init)
      amplitude = 1
    case .linear(let factor):
      frequencies = plain.map { Float($0 / factor) }
      amplitude = 1
    case .llama3(let factor, let low, let high, let original):
      frequencies = plain.map {
        Float(Self.llama3($0, factor, low: low, high: high, Double(original)))
      }
      amplitude = 1
    case .yarn(let factor, let fast, let slow, let original, let truncates, let attention, _):
      frequencies = Self.yarn(
        plain, factor: factor, fast: fast, slow: slow, original: Double(original),
        truncates: truncates, theta: rope.theta, size: Double(size)
      ).map(Float.init)
      amplitude = Float(attention)
    }
  }

  /// Cosines and sines of one position.
  func angles(
    at position: Int32, _ cosines: UnsafeMutablePointer<Float>,
    _ sines: UnsafeMutablePointer<Float>
  ) {
    for pair in 0..<frequencies.count {
      // In fp32, as the models were trained: a double would differ at large positions.
      let angle = Float(position) * frequencies[pair]
      cosines[pair] = cosf(angle) * amplitude
      sines[pair] = sinf(angle) * amplitude
    }
  }

  /// Long waves are stretched, short ones are left, and those between are mixed.
  private static func llama3(
    _ frequency: Double, _ factor: Double, low: Double, high: Double, _ original: Double
  ) -> Double {
    let wave = 2 * Double.pi / frequency
    if wave > original / low { return frequency / factor }
    if wave < original / high { return frequency }
    let share = (original / wave - low) / (high - low)
    return (1 - share) * frequency / factor + share * frequency
  }

  private static func yarn(
    _ plain: [Double], factor: Double, fast: Double, slow: Double, original: Double,
    truncates: Bool, theta: Double, size: Double
  ) -> [Double] {
    func pair(turning rotations: Double) -> Double {
      size * log(original / (rotations * 2 * .pi)) / (2 * log(theta))
    }
    var low = pair(turning: fast)
    var high = pair(turning: slow)
    if truncates {
      low = low.rounded(.down)
      high = high.rounded(.up)
    }
    low = max(low, 0)
    high = min(high, size - 1)
    if low == high { high += 0.001 }
    return plain.enumerated().map { index, frequency in
      let ramp = min(1, max(0, (Double(index) - low) / (high - low)))
      return frequency * (1 - ramp) + frequency / factor * ramp
    }
  }
}
