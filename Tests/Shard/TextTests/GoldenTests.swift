import Testing

@testable import Text

struct GoldenTests {
  /// A wrong cut, class, merge or added token shows as an id that Hugging Face does not give.
  @Test(arguments: families) func idsAreThoseOfHuggingFace(family: String) throws {
    let tokenizer = try tokenizer(family)
    let texts = try corpus()
    let lines = try String(decoding: golden(family + ".ids"), as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    var mode = ""
    var index = 0
    var counts: [String: Int] = [:]
    for line in lines {
      if line.hasPrefix("# ") {
        mode = String(line.dropFirst(2))
        index = 0
        continue
      }
      let ids = line.split(separator: " ").compactMap { Int32($0) }
      if mode == "pieces" {
        #expect(pieces(of: texts[index], tokenizer) == ids, "\(texts[index].debugDescription)")
        index += 1
        counts[mode, default: 0] += 1
        continue
      }
      let encoded = tokenizer.encode(
        texts[index], addSpecial: mode == "special", parseSpecial: mode != "plain")
      #expect(encoded == ids, "\(mode): \(texts[index].debugDescription)")
      index += 1
      counts[mode, default: 0] += 1
    }
    #expect(counts["pieces"] == (family.hasPrefix("bert") ? nil : 450))
    counts["pieces"] = nil
    #expect(counts == ["parse": 450, "plain": 150, "special": 30])
  }

  /// Lengths, in scalars, of what the rules cut a text into.
  private func pieces(of text: String, _ tokenizer: Tokenizer) -> [Int32] {
    guard case .bytePair(_, let rules) = tokenizer.model else { return [] }
    var lengths: [Int32] = []
    Array(text.utf8).withBytes { text in
      PieceScanner(text, rules).forEachPiece(in: 0..<text.count) { piece in
        lengths.append(Int32(String(decoding: text[piece], as: UTF8.self).unicodeScalars.count))
      }
    }
    return lengths
  }

  /// Streaming must not lose, invent or change a character, and a text that was not normalised
  /// comes back as it was.
  @Test(arguments: families) func decodingGivesTheTextBack(family: String) throws {
    let tokenizer = try tokenizer(family)
    for text in try corpus() {
      let ids = tokenizer.encode(text, addSpecial: false, parseSpecial: true)
      let decoded = tokenizer.decode(ids, skipSpecial: false)
      var stream = Detokenizer(tokenizer, skipSpecial: false)
      let streamed = ids.reduce("") { $0 + stream.append($1) } + stream.finish()
      #expect(Array(streamed.utf8) == Array(decoded.utf8))
      if tokenizer.normalizers.isEmpty { #expect(Array(decoded.utf8) == Array(text.utf8)) }
    }
  }

  /// Every token is found by the text that the vocabulary writes.
  @Test(arguments: families) func tokensHaveNames(family: String) throws {
    let tokenizer = try tokenizer(family)
    var holes = 0
    for id in 0..<Int32(tokenizer.vocabularySize) {
      let text = tokenizer.text(of: id)
      if text.isEmpty { holes += 1 } else { #expect(tokenizer.id(of: text) == id) }
    }
    #expect(family == "llama3" ? holes > 3_000 : holes == 0)
    #expect(tokenizer.text(of: -1) == "" && tokenizer.bytes(of: .max) == [])
    #expect(tokenizer.id(of: "no such token") == nil)
  }

  /// BERT's decoder, whose spaces are its own affair.
  @Test func wordPiecesAreWrittenAsWords() throws {
    let tokenizer = try tokenizer("bert")
    let ids = tokenizer.encode("The dog didn't mind: words!", addSpecial: true, parseSpecial: false)
    #expect(tokenizer.decode(ids, skipSpecial: true) == "the dog didn ' t mind : words!")
    #expect(
      tokenizer.decode(ids, skipSpecial: false) == "[CLS] the dog didn ' t mind : words! [SEP]")
  }
}
