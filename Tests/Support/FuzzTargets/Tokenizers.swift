import Text

/// A tokenizer.json: refused with a sentence, or a tokenizer that takes any text.
func checkTokenizer(_ bytes: UnsafeRawBufferPointer) throws {
  let tokenizer: Tokenizer
  do throws(TokenizerComplaint) {
    tokenizer = try Tokenizer(huggingFace: Array(bytes), config: nil)
  } catch {
    try isOneLine(error.problem)
    try require(!error.problem.isEmpty, "refused without a word")
    return
  }
  for text in ["", "abc cab\u{e9}  \n12 <a>", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabc"] {
    try check(tokenizer, Array(text.utf8), isExact: false)
  }
}

/// A text of a stranger through tokenizers of each kind: nothing is lost where nothing is
/// normalised, and the stream of a decoder is what decoding at once gives.
func checkEncoding(_ bytes: UnsafeRawBufferPointer) throws {
  // Two of them, which the input chooses: all would make it a slow target.
  let seed = Int(truncatingIfNeeded: bytes.seed >> 33)
  try check(Tokenizers.exact[seed % Tokenizers.exact.count], Array(bytes), isExact: true)
  try check(
    Tokenizers.normalizing[seed / 8 % Tokenizers.normalizing.count], Array(bytes), isExact: false)
}

private func check(_ tokenizer: Tokenizer, _ text: [UInt8], isExact: Bool) throws {
  for parseSpecial in [false, true] {
    let ids = try text.withExact {
      tokenizer.encode($0, addSpecial: false, parseSpecial: parseSpecial)
    }
    if isExact {
      // What is not UTF-8 is U+FFFD from the beginning.
      let readable = Array(String(decoding: text, as: UTF8.self).utf8)
      try require(same: ids.flatMap { tokenizer.bytes(of: $0) }, readable, "bytes of the tokens")
      if !parseSpecial {
        try require(!ids.contains { tokenizer.isSpecial($0) }, "a special token of a stranger")
      }
    }
    for skipSpecial in [false, true] {
      var stream = Detokenizer(tokenizer, skipSpecial: skipSpecial)
      let streamed = ids.reduce("") { $0 + stream.append($1) } + stream.finish()
      try require(
        same: Array(streamed.utf8), Array(tokenizer.decode(ids, skipSpecial: skipSpecial).utf8),
        "streamed and decoded")
    }
  }
}

/// Those that the tokenizers' own tests were made with.
private enum Tokenizers {
  static let exact = ["gpt2", "llama3", "deepseek3", "smollm"].map(read)
  static let normalizing = ["qwen2", "flags", "bert"].map(read)

  private static func read(_ name: String) -> Tokenizer {
    let path = "\(Corpus.repository)/Tests/Shard/TextTests/Goldens/\(name).tokenizer.json"
    guard let file = Corpus.bytes(path),
      let tokenizer = try? Tokenizer(huggingFace: file, config: nil)
    else { preconditionFailure("\(path) is no tokenizer") }
    return tokenizer
  }
}
