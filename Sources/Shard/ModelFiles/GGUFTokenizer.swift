/// The tokenizer that a GGUF file brings along, as it stands there.
package struct GGUFTokenizer: Equatable, Sendable {
  /// `tokenizer.ggml.model`: "gpt2" for byte-level BPE, "llama" for SentencePiece.
  package var model: String
  /// `tokenizer.ggml.pre`: how text is cut before merging, such as "llama-bpe", "qwen2", "smollm".
  package var pre: String?
  /// By id. Byte-level models write them in GPT-2's printable bytes.
  package var tokens: [String]
  /// By id: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte. Empty where the file
  /// has none.
  package var types: [Int]
  /// "left right", by rank.
  package var merges: [String]
  package var beginningToken: Int32?
  package var endToken: Int32?
  package var unknownToken: Int32?
  package var paddingToken: Int32?
  /// nil where the file leaves it to the kind of tokenizer.
  package var addsBeginning: Bool?
  package var addsEnd: Bool?

  init?(_ header: GGUFHeader, vocabulary: Int) throws(ModelComplaint) {
    guard let model = try header.text("tokenizer.ggml.model") else { return nil }
    guard let tokens = try header.texts("tokenizer.ggml.tokens") else {
      throw header.refuse("lacks 'tokenizer.ggml.tokens'")
    }
    guard (1...vocabulary).contains(tokens.count) else {
      throw header.refuse(
        "has \(tokens.count) tokens for an embedding table of \(vocabulary) rows")
    }
    self.model = model
    self.tokens = tokens
    pre = try header.text("tokenizer.ggml.pre")
    types = try header.integers("tokenizer.ggml.token_type") ?? []
    guard types.isEmpty || types.count == tokens.count else {
      throw header.refuse("has \(types.count) types for \(tokens.count) tokens")
    }
    merges = try header.texts("tokenizer.ggml.merges") ?? []
    func id(_ name: String) throws(ModelComplaint) -> Int32? {
      let key = "tokenizer.ggml." + name
      guard header.has(key) else { return nil }
      return Int32(try header.count(key, 0...(tokens.count - 1)))
    }
    beginningToken = try id("bos_token_id")
    endToken = try id("eos_token_id")
    unknownToken = try id("unknown_token_id")
    paddingToken = try id("padding_token_id")
    addsBeginning = try header.flag("tokenizer.ggml.add_bos_token")
    addsEnd = try header.flag("tokenizer.ggml.add_eos_token")
  }

  func text(_ token: Int32?) -> String? { token.map { tokens[Int($0)] } }
}
