import CShardKernels
import Testing

/// Runs `body` with every level that this machine has.
func atEveryLevel(_ body: (Int32) throws -> Void) rethrows {
  for level in 0...pk_best_level() {
    pk_use_level(level)
    try body(level)
  }
  pk_use_level(pk_best_level())
}

/// Whether a level's bits for matrices of that type are those of the portable level.
func isExact(_ level: Int32, _ type: Int) -> Bool {
  level < Int32(PK_AVX512BF16) || type != PK_BF16
}

/// Numbers in -1...1, the same for the same seed.
struct Noise {
  private var state: UInt64

  init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9e37_79b9_7f4a_7c15 &+ 1 }

  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
  }

  mutating func row(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in next() * scale }
  }
}

/// A packed matrix in memory of its own.
final class Packed {
  private(set) var matrix = pk_matrix()
  private let memory: UnsafeMutableRawPointer
  private let bytes: Int

  let type: Int
  let rows: Int
  let columns: Int

  init(_ type: Int, rows: Int, columns: Int, firstBlock: Int = 128) {
    self.type = type
    self.rows = rows
    self.columns = columns
    bytes = pk_matrix_bytes(Int32(type), Int32(rows), Int32(columns), Int32(firstBlock))
    memory = .allocate(byteCount: bytes + 64, alignment: 64)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    // What lies behind must stay as it is.
    (memory + bytes).initializeMemory(as: UInt8.self, repeating: 0xa5, count: 64)
    pk_matrix_place(
      &matrix, memory, Int32(type), Int32(rows), Int32(columns), Int32(firstBlock))
  }

  convenience init(
    _ type: Int, rows: Int, columns: Int, firstBlock: Int = 128, floats: [Float]
  ) {
    self.init(type, rows: rows, columns: columns, firstBlock: firstBlock)
    pack(floats)
  }

  deinit { memory.deallocate() }

  /// In two parts, as a loader does, where there are rows enough.
  func pack(_ floats: [Float]) {
    let first = rows > 128 ? 128 : rows
    pk_matrix_pack_f32(&matrix, 0, Int32(first), floats, columns)
    floats.withUnsafeBufferPointer {
      if first < rows, let base = $0.baseAddress {
        pk_matrix_pack_f32(
          &matrix, Int32(first), Int32(rows - first), base + first * columns, columns)
      }
    }
  }

  /// False when there is a code for NaN.
  @discardableResult
  func packBytes(_ source: [UInt8], scales: [Float]) -> Bool {
    let isSound = pk_matrix_pack_fp8(&matrix, 0, Int32(rows), source, columns) != 0
    for (index, scale) in scales.enumerated() { matrix.scales[index] = scale }
    return isSound
  }

  func packHalves(_ source: [UInt16]) {
    pk_matrix_pack_bf16(&matrix, 0, Int32(rows), source, columns)
  }

  var panels: Int { (rows + 15) / 16 }

  var isWithinBounds: Bool {
    (0..<64).allSatisfy { memory.load(fromByteOffset: bytes + $0, as: UInt8.self) == 0xa5 }
  }

  func row(_ index: Int) -> [Float] {
    var out = [Float](repeating: .nan, count: columns)
    pk_matrix_row(&matrix, Int32(index), &out)
    return out
  }

  /// W x for all rows of x. `y` is what was there.
  func times(
    _ x: [Float], _ m: Int, y: [Float]? = nil, bias: [Float]? = nil, panels: Range<Int>? = nil
  ) -> [Float] {
    var out = y ?? [Float](repeating: .nan, count: m * rows)
    let range = panels ?? 0..<self.panels
    let add: Int32 = y == nil ? 0 : 1
    func run(_ bias: UnsafePointer<Float>?) {
      pk_linear(
        &matrix, Int32(range.lowerBound), Int32(range.upperBound), x, columns, Int32(m), &out,
        rows, bias, add)
    }
    if let bias { bias.withUnsafeBufferPointer { run($0.baseAddress) } } else { run(nil) }
    return out
  }

  /// The same in double precision, and what its rounding may be measured by: the sum of magnitudes.
  func oracle(_ x: [Float], _ m: Int) -> (values: [Double], magnitudes: [Double]) {
    var values: [Double] = []
    var magnitudes: [Double] = []
    let weights = (0..<rows).map(row)
    for r in 0..<m {
      for weight in weights {
        var sum = 0.0
        var magnitude = 0.0
        for c in 0..<columns {
          let product = Double(weight[c]) * Double(x[r * columns + c])
          sum += product
          magnitude += abs(product)
        }
        values.append(sum)
        magnitudes.append(magnitude)
      }
    }
    return (values, magnitudes)
  }
}

func bits(_ row: some Sequence<Float>) -> [UInt32] { row.map(\.bitPattern) }
