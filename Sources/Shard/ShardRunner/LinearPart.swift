import CShardKernels

/// A linear layer and where its result goes.
struct LinearPart {
  let linear: LoadedLinear
  let out: UnsafeMutablePointer<Float>
  /// From one row of the result to the next. Floats.
  let stride: Int
  /// Adds to what is there.
  var adds = false

  init(
    _ linear: LoadedLinear, _ out: UnsafeMutablePointer<Float>, _ stride: Int, adds: Bool = false
  ) {
    self.linear = linear
    self.out = out
    self.stride = stride
    self.adds = adds
  }

  /// Some layers over the same input: panels are dealt out over all of them. `mine` is a thread's
  /// share of so many.
  static func compute(
    _ parts: [LinearPart], _ x: UnsafePointer<Float>, _ xStride: Int, rows: Int,
    mine: (Int) -> Range<Int>
  ) {
    let mine = mine(parts.reduce(0) { $0 + $1.linear.panels })
    var first = 0
    for part in parts {
      let here = mine.clamped(to: first..<first + part.linear.panels)
      if !here.isEmpty {
        withUnsafePointer(to: part.linear.matrix) {
          pk_linear(
            $0, Int32(here.lowerBound - first), Int32(here.upperBound - first), x, xStride,
            Int32(rows), part.out, part.stride, part.linear.bias, part.adds ? 1 : 0)
        }
      }
      first += part.linear.panels
    }
  }
}
