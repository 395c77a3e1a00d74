/// Turns a stream of tokens into text: tokens end within characters, so up to three bytes are held
/// back until the rest of their character comes. What it gives, put together, is what
/// `Tokenizer.decode` makes of all tokens.
package struct Detokenizer: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecial: Bool
  /// Bytes that are not yet a whole character. At most 3.
  private var held: [UInt8] = []
  private var isFirst = true

  package init(_ tokenizer: Tokenizer, skipSpecial: Bool) {
    self.tokenizer = tokenizer
    self.skipSpecial = skipSpecial
  }

  /// The text that the token adds; often none, or that of tokens before it.
  package mutating func append(_ token: Int32) -> String {
    tokenizer.append(token, skipSpecial: skipSpecial, isFirst: isFirst, to: &held)
    guard !held.isEmpty else { return "" }
    isFirst = false
    let tail = Self.incompleteTail(held)
    let text = String(decoding: held.dropLast(tail), as: UTF8.self)
    held.removeFirst(held.count - tail)
    return text
  }

  /// What is held back, as U+FFFD, at the end of the text.
  package mutating func finish() -> String {
    defer { held.removeAll() }
    return String(decoding: held, as: UTF8.self)
  }

  /// Bytes at the end that more bytes could make a character of.
  private static func incompleteTail(_ bytes: [UInt8]) -> Int {
    bytes.withBytes { bytes in
      for length in 1...3 where length <= bytes.count {
        let place = bytes.count - length
        if bytes[place] & 0xc0 == 0x80 { continue }
        if case .incomplete = UTF8Step(bytes, at: place) { return length }
        return 0
      }
      return 0
    }
  }
}
