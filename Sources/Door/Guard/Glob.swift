/// A name with `*` for any run of characters, slashes included: `meta-llama/*`. Compared byte for byte,
/// as engines compare names.
package struct Glob: Sendable, Equatable {
  private let pattern: [UInt8]
  private let isPlain: Bool

  package init(_ text: String) {
    pattern = Array(text.utf8)
    isPlain = !pattern.contains(0x2a)
  }

  /// In the product of both lengths at worst: after a mismatch only the last `*` takes one more byte.
  package func matches(_ text: UnsafeRawBufferPointer) -> Bool {
    if isPlain { return pattern.count == text.count && pattern.elementsEqual(text) }
    var place = 0
    var position = 0
    var star = -1
    var resume = 0
    while position < text.count {
      if place < pattern.count, pattern[place] == 0x2a {
        star = place
        resume = position
        place += 1
      } else if place < pattern.count, pattern[place] == text[position] {
        place += 1
        position += 1
      } else if star >= 0 {
        resume += 1
        position = resume
        place = star + 1
      } else {
        return false
      }
    }
    while place < pattern.count, pattern[place] == 0x2a { place += 1 }
    return place == pattern.count
  }
}

extension [Glob] {
  package func matches(_ text: UnsafeRawBufferPointer) -> Bool { contains { $0.matches(text) } }
}
