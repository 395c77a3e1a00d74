import Testing

@testable import Text

/// Texts that make tokenizers slow. Steps are counted, not time.
struct HostileTests {
  /// What a text of n bytes may take: n log n with a small factor. Quadratic merging takes 10^11 at
  /// a hundred thousand bytes; these texts are shorter since debug builds are slow.
  private func limit(_ bytes: Int) -> Int { bytes * 60 }

  @Test(arguments: [
    "a", " ", "\n", "😀", "the", "\u{301}", "<|im_", "0", "a\u{323}\u{301}", "世", "'s",
  ])
  func oneThingManyTimes(unit: String) throws {
    let text = Array(String(repeating: unit, count: 40_000 / unit.utf8.count).utf8)
    for family in ["llama3", "qwen2", "deepseek3", "deepseek2", "flags", "bert"] {
      let tokenizer = try tokenizer(family)
      var work = 0
      let ids = encode(tokenizer, text, work: &work)
      #expect(work < limit(text.count), "\(family): \(work) steps")
      if tokenizer.normalizers.isEmpty {
        #expect(Array(tokenizer.decode(ids, skipSpecial: false).utf8) == text)
      }
    }
  }

  /// A word without end, in which merges come and go.
  @Test func aWordOfManyLetters() throws {
    var random = TestRandom(state: 1)
    let letters = Array("etaoinshrdlu".utf8)
    let text = (0..<40_000).map { _ in letters[Int.random(in: 0..<letters.count, using: &random)] }
    let tokenizer = try tokenizer("gpt2")
    var work = 0
    let ids = encode(tokenizer, text, work: &work)
    #expect(work < limit(text.count), "\(work) steps")
    #expect(Array(tokenizer.decode(ids, skipSpecial: false).utf8) == text)
  }

  /// The heap and the scan are two ways to one result.
  @Test(arguments: UInt64(0)..<8) func longWordsMergeAsShortOnes(seed: UInt64) throws {
    var random = TestRandom(state: seed)
    let tokenizer = try tokenizer("gpt2")
    guard case .bytePair(let model, _) = tokenizer.model else { return }
    for _ in 0..<60 {
      let letters = Array(["tokenizr words", "aab", "  ab", "numbers"].randomElement()!.utf8)
      let text = (0..<Int.random(in: 2..<90, using: &random)).map { _ in
        letters[Int.random(in: 0..<letters.count, using: &random)]
      }
      var scratch = BytePairModel.Scratch()
      var result: [Int32] = []
      text.withBytes {
        model.append($0, vocabulary: tokenizer.vocabulary, scratch: &scratch, to: &result)
      }
      #expect(result == mergedPlainly(text, model))
    }
  }

  /// The definition: of all pairs the earliest merge, the leftmost of equals, until none is left.
  private func mergedPlainly(_ text: [UInt8], _ model: BytePairModel) -> [Int32] {
    var tokens = text.map { model.byteTokens[Int($0)] }
    while tokens.count > 1 {
      let merges = zip(tokens, tokens.dropFirst()).map { model.merges.merge($0, $1) }
      guard let place = merges.indices.min(by: { merges[$0].rank < merges[$1].rank }),
        merges[place].rank != PairTable.noRank
      else { break }
      tokens[place] = merges[place].result
      tokens.remove(at: place + 1)
    }
    return tokens
  }

  /// Bytes of strangers: broken UTF-8 is what lossy decoding makes of it, in and out.
  @Test(arguments: UInt64(0)..<20) func randomBytesAreTextWithReplacements(seed: UInt64) throws {
    var random = TestRandom(state: seed)
    let tokenizer = try tokenizer("smollm")
    for _ in 0..<20 {
      let bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
        let kind = Int.random(in: 0..<4, using: &random)
        return kind == 0
          ? UInt8.random(in: 0..<128, using: &random)
          : UInt8.random(in: 0x80...0xff, using: &random)
      }
      var work = 0
      let text = String(decoding: bytes, as: UTF8.self)
      let ids = encode(tokenizer, bytes, trust: .nowhere, work: &work)
      #expect(ids == tokenizer.encode(text, addSpecial: false, parseSpecial: false))
      #expect(Array(tokenizer.decode(ids, skipSpecial: false).utf8) == Array(text.utf8))
    }
  }

  /// An empty buffer may have no address.
  @Test(arguments: families) func nothingBecomesNothing(family: String) throws {
    let tokenizer = try tokenizer(family)
    let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
    #expect(tokenizer.encode(nothing, addSpecial: false, parseSpecial: true) == [])
    #expect(tokenizer.encode(pieces: [], addSpecial: false) == [])
    #expect(tokenizer.decode([], skipSpecial: false) == "")
  }
}
