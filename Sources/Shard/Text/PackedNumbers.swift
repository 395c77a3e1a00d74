/// Reads the tables of `UnicodeData`: whole numbers written as text, five bits in each character,
/// the lowest first; a sixth bit says that more follow. Written by make_tables.py.
struct PackedNumbers {
  private let text: StaticString
  private var place = 0

  init(_ text: StaticString) { self.text = text }

  /// nil at the end.
  mutating func next() -> Int? {
    var value = 0
    var shift = 0
    while place < text.utf8CodeUnitCount {
      let letter = text.utf8Start[place]
      place += 1
      guard let bits = Self.value(of: letter) else { continue }
      value |= (bits & 31) << shift
      shift += 5
      if bits < 32 { return value }
    }
    return nil
  }

  /// Zigzag: 0, -1, 1, -2, ...
  mutating func nextSigned() -> Int? {
    next().map { $0 & 1 == 0 ? $0 >> 1 : -(($0 + 1) >> 1) }
  }

  /// nil for what only breaks the lines.
  private static func value(of letter: UInt8) -> Int? {
    switch letter {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): Int(letter) - 65
    case UInt8(ascii: "a")...UInt8(ascii: "z"): Int(letter) - 97 + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(letter) - 48 + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}

/// A byte for each scalar, in pages of 256 of which equal ones without a change are shared.
struct ScalarTable: Sendable {
  private let pages: [UInt16]
  private let values: [UInt8]

  /// From pairs of numbers: distance from the last change, and the value from there on.
  init(_ text: StaticString) {
    var numbers = PackedNumbers(text)
    var pages: [UInt16] = []
    var values: [UInt8] = []
    var uniform: [UInt8: UInt16] = [:]
    var current: UInt8 = 0
    var change = 0
    var following: UInt8 = 0
    func step() {
      guard let distance = numbers.next(), let value = numbers.next() else {
        change = Int.max
        return
      }
      change += distance
      following = UInt8(truncatingIfNeeded: value)
    }
    step()
    for start in stride(from: 0, to: 0x110000, by: 256) {
      if change >= start + 256, let page = uniform[current] {
        pages.append(page)
        continue
      }
      let page = UInt16(truncatingIfNeeded: values.count >> 8)
      if change >= start + 256 { uniform[current] = page }
      pages.append(page)
      for scalar in start..<start + 256 {
        if scalar == change {
          current = following
          step()
        }
        values.append(current)
      }
    }
    self.pages = pages
    self.values = values
  }

  subscript(scalar: UInt32) -> UInt8 {
    // A scalar is below 0x110000, and so is whatever our decoder makes of valid UTF-8.
    values[Int(pages[Int(scalar >> 8)]) << 8 | Int(scalar & 255)]
  }
}

/// Scalars that become others.
struct ScalarMappings: Sendable {
  private let scalars: [UInt32]
  private let starts: [Int32]
  private let results: [UInt32]

  /// From numbers: distance from the last scalar, how many it becomes, and each less the scalar.
  init(_ text: StaticString) {
    var numbers = PackedNumbers(text)
    var scalars: [UInt32] = []
    var starts: [Int32] = [0]
    var results: [UInt32] = []
    var scalar = 0
    while let distance = numbers.next(), let count = numbers.next() {
      scalar += distance
      scalars.append(UInt32(scalar))
      for _ in 0..<count {
        if let offset = numbers.nextSigned() { results.append(UInt32(scalar + offset)) }
      }
      starts.append(Int32(results.count))
    }
    self.scalars = scalars
    self.starts = starts
    self.results = results
  }

  /// nil for a scalar that stays what it is.
  func callAsFunction(_ scalar: UInt32) -> ArraySlice<UInt32>? {
    var low = 0
    var high = scalars.count
    while low < high {
      let middle = (low + high) / 2
      if scalars[middle] < scalar { low = middle + 1 } else { high = middle }
    }
    guard low < scalars.count, scalars[low] == scalar else { return nil }
    return results[Int(starts[low])..<Int(starts[low + 1])]
  }
}
