/// What the regular expressions of pre-tokenizers ask of a scalar: general categories as oniguruma
/// has them, and two questions that Hugging Face asks of Rust. Bits of one byte.
enum CharacterClass {
  static let letter: UInt8 = 1
  static let number: UInt8 = 2
  static let mark: UInt8 = 4
  static let punctuation: UInt8 = 8
  static let symbol: UInt8 = 16
  static let space: UInt8 = 32
  /// Rust's `is_numeric`: numbers of a newer Unicode than oniguruma's.
  static let digit: UInt8 = 64
  /// `\w` of Rust's regular expressions.
  static let word: UInt8 = 128

  static let table = ScalarTable(UnicodeData.classes)
}

/// What BERT's normalizer and pre-tokenizer ask of a scalar. Bits of one byte.
enum BertClass {
  static let removed: UInt8 = 1
  /// Becomes a space where text is cleaned.
  static let becomesSpace: UInt8 = 2
  /// A nonspacing mark, which is what an accent is.
  static let accent: UInt8 = 4
  static let punctuation: UInt8 = 8
  static let space: UInt8 = 16
  static let decomposes: UInt8 = 32
  static let hasLowercase: UInt8 = 64

  static let table = ScalarTable(UnicodeData.bertClasses)
  static let lowercase = ScalarMappings(UnicodeData.lowercase)

  /// Ideographs that stand as words of their own; the blocks are BERT's.
  static func isIdeograph(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0x4e00...0x9fff, 0x3400...0x4dbf, 0x20000...0x2a6df, 0x2a700...0x2b73f,
      0x2b740...0x2b81f, 0x2b920...0x2ceaf, 0xf900...0xfaff, 0x2f800...0x2fa1f:
      true
    default: false
    }
  }
}

/// Scalars given by ranges, as a bracket of a regular expression lists them.
struct ScalarSet: Sendable, Equatable {
  private var ranges: [ClosedRange<UInt32>] = []

  /// From what stands between the brackets; nil where it holds more than scalars and ranges.
  init?(bracket: some Collection<Unicode.Scalar>) {
    var rest = Array(bracket)[...]
    guard let first = rest.first, first != "^" else { return nil }
    while let low = rest.popFirst() {
      guard !["\\", "[", "]", "&", "-"].contains(low) else { return nil }
      if rest.first == "-" {
        rest.removeFirst()
        guard let high = rest.popFirst(), high >= low, !["\\", "[", "]", "-"].contains(high) else {
          return nil
        }
        ranges.append(low.value...high.value)
      } else {
        ranges.append(low.value...low.value)
      }
    }
    ranges.sort { $0.lowerBound < $1.lowerBound }
    var merged: [ClosedRange<UInt32>] = []
    for range in ranges {
      if let last = merged.last, range.lowerBound <= last.upperBound {
        merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    ranges = merged
  }

  func contains(_ scalar: UInt32) -> Bool {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < scalar { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].lowerBound <= scalar
  }
}
