import Testing

@testable import Text

struct DetokenizerTests {
  private func tokens(_ tokenizer: Tokenizer, _ bytes: [UInt8]) throws -> [Int32] {
    try bytes.map { byte in try #require(tokenizer.id(of: ByteAlphabet.text(of: [byte]))) }
  }

  /// A character that comes byte by byte is shown whole, at once.
  @Test func anIncompleteCharacterIsHeldBack() throws {
    let tokenizer = try tokenizer("gpt2")
    var stream = Detokenizer(tokenizer, skipSpecial: true)
    let ids = try tokens(tokenizer, Array("é😀a".utf8))
    #expect(ids.map { stream.append($0) } == ["", "é", "", "", "", "😀", "a"])
    #expect(stream.finish() == "")
  }

  @Test func whatNeverBecomesACharacterIsReplaced() throws {
    let tokenizer = try tokenizer("gpt2")
    var stream = Detokenizer(tokenizer, skipSpecial: true)
    let ids = try tokens(tokenizer, [0xf0, 0x9f, 0x61, 0xff, 0xe2, 0x82])
    #expect(ids.map { stream.append($0) } == ["", "", "\u{fffd}a", "\u{fffd}", "", ""])
    #expect(stream.finish() == "\u{fffd}")
    #expect(stream.finish() == "")
  }

  @Test func specialTokensAreShownOrLeftOut() throws {
    let tokenizer = try tokenizer("qwen2")
    let ids = tokenizer.encode("the <|im_end|>", addSpecial: false, parseSpecial: true)
    for skip in [true, false] {
      var stream = Detokenizer(tokenizer, skipSpecial: skip)
      let text = ids.reduce("") { $0 + stream.append($1) } + stream.finish()
      #expect(text == (skip ? "the " : "the <|im_end|>"))
    }
    // Tokens that a model has but a tokenizer lacks: padded vocabularies.
    var stream = Detokenizer(tokenizer, skipSpecial: true)
    #expect(stream.append(Int32.max) == "" && stream.append(-1) == "")
  }

  /// Whatever the bytes: put together it is what decoding all at once gives, and never more than
  /// three bytes are held back.
  @Test(arguments: UInt64(0)..<20) func streamingIsDecoding(seed: UInt64) throws {
    var random = TestRandom(state: seed)
    let tokenizer = try tokenizer("gpt2")
    let bytes = (0..<300).map { _ in
      [0x61, 0x80, 0xa0, 0xbf, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xff].randomElement(using: &random)!
    }.map { UInt8($0) }
    let ids = try tokens(tokenizer, bytes)
    var stream = Detokenizer(tokenizer, skipSpecial: false)
    let text = ids.reduce("") { $0 + stream.append($1) } + stream.finish()
    #expect(Array(text.utf8) == Array(String(decoding: bytes, as: UTF8.self).utf8))
    #expect(text == tokenizer.decode(ids, skipSpecial: false))
  }
}
