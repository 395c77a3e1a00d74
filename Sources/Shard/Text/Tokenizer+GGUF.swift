extension Tokenizer {
  /// From the metadata of a GGUF file whose `tokenizer.ggml.model` is `gpt2`, which is byte-level
  /// BPE.
  ///
  /// - Parameters:
  ///   - tokens: `tokenizer.ggml.tokens`.
  ///   - types: `tokenizer.ggml.token_type`, as many. Empty where the file has none.
  ///   - merges: `tokenizer.ggml.merges`.
  ///   - pre: `tokenizer.ggml.pre`: how text is cut, by a name that llama.cpp gave it.
  ///   - bos: `tokenizer.ggml.bos_token_id`; nil where the file has none. `eos` likewise.
  ///   - addBOS: `tokenizer.ggml.add_bos_token`; nil where the file does not say.
  package convenience init(
    gguf tokens: [String], types: [Int32], merges: [String], pre: String, bos: Int32?, eos: Int32?,
    addBOS: Bool?
  ) throws(TokenizerComplaint) {
    guard let family = GGUFFamily(pre: pre) else {
      throw TokenizerComplaint(
        "the file's tokenizer.ggml.pre is \(quoted(pre)), which is not supported; use the model's "
          + "Hugging Face folder")
    }
    guard tokens.count <= Vocabulary.idLimit else {
      throw TokenizerComplaint(
        "the file has \(tokens.count) tokens; at most \(Vocabulary.idLimit) are supported")
    }
    guard types.isEmpty || types.count == tokens.count else {
      throw TokenizerComplaint(
        "the file has \(tokens.count) tokens but \(types.count) token types")
    }
    for (name, id) in [("bos_token_id", bos), ("eos_token_id", eos)] {
      if let id, id < 0 || Int(id) >= tokens.count {
        throw TokenizerComplaint(
          "tokenizer.ggml.\(name) is \(id), but the file has \(tokens.count) tokens")
      }
    }
    var vocabulary = Vocabulary(
      tokens: tokens.count, bytes: tokens.reduce(0) { $0 + $1.utf8.count })
    var added = AddedTokens()
    for (index, text) in tokens.enumerated() {
      let id = Int32(index)
      // A token without text is a hole: there is nothing that it could stand for.
      if text.isEmpty { continue }
      let type = types.isEmpty ? GGUFTokenType.normal : GGUFTokenType(rawValue: types[index])
      let isSpecial = type == .control || type == .unknown || id == bos || id == eos
      let isAdded = isSpecial || type == .userDefined
      try Array(text.utf8).withBytes { text throws(TokenizerComplaint) in
        // Added tokens are written as they are, not in the alphabet: DeepSeek has one `ø`.
        if isAdded {
          try vocabulary.insert(id, bytes: text, isLiteral: true)
        } else {
          try vocabulary.insert(id, byteLevel: text)
        }
      }
      guard isAdded else { continue }
      guard text.utf8.count <= AddedTokens.lengthLimit else {
        throw TokenizerComplaint(
          "the special token \(quoted(text)) has \(text.utf8.count) bytes; at most "
            + "\(AddedTokens.lengthLimit) are supported")
      }
      vocabulary.mark(id, isSpecial: isSpecial)
      added.add(AddedTokens.Token(id: id, isSpecial: isSpecial), content: text.utf8)
    }
    var builder = BytePairBuilder(vocabulary: vocabulary, merges: merges.count)
    for (index, merge) in merges.enumerated() {
      guard let (left, right) = MergeText.halves(Array(merge.utf8)) else {
        throw TokenizerComplaint(
          "merge \(index + 1) is \(quoted(merge)); it must be two tokens with one space between them"
        )
      }
      try builder.add(left, right)
    }
    var postProcessor = PostProcessor()
    if addBOS ?? family.addsBOS {
      guard let bos else {
        throw TokenizerComplaint(
          "texts of this model begin with a BOS, but the file has no tokenizer.ggml.bos_token_id")
      }
      postProcessor.prefix = [bos]
    }
    self.init(
      vocabulary: vocabulary, added: added, normalizers: family.composes ? [.nfc] : [],
      model: .bytePair(
        builder.model(ignoresMerges: family.ignoresMerges), rules: family.rules),
      postProcessor: postProcessor)
  }
}

/// `tokenizer.ggml.token_type`. Other types mean nothing to byte-level BPE.
private enum GGUFTokenType: Int32 {
  case normal = 1
  case unknown = 2
  /// A special token.
  case control = 3
  /// An added token that is not special.
  case userDefined = 4
}

/// What llama.cpp's names of pre-tokenizers mean (`llama-vocab.cpp`). Where llama.cpp and the
/// model's own tokenizer.json differ, the latter is meant: numbers of deepseek-llm are cut into
/// digits, and Qwen's text is composed.
private struct GGUFFamily {
  var rules: [SplitRule]
  /// What `ignore_merges` of tokenizer.json says.
  var ignoresMerges = false
  /// Texts begin with a BOS unless the file says otherwise.
  var addsBOS = false
  /// Text is brought into NFC.
  var composes = false

  init?(pre: String) {
    switch pre {
    case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
      "jina-v5-nano":
      rules = [.words(digits: 3, marks: false)]
      ignoresMerges = true
      addsBOS = true
    case "dbrx", "smaug-bpe", "chatglm-bpe", "glm4":
      rules = [.words(digits: 3, marks: false)]
    case "qwen2", "deepseek-r1-qwen", "megrez":
      rules = [.words(digits: 1, marks: false)]
      composes = true
    case "qwen35":
      rules = [.words(digits: 1, marks: true)]
      composes = true
    case "stablelm2", "hunyuan":
      rules = [.words(digits: 1, marks: false)]
    case "gpt-2", "phi-2", "mpt", "olmo", "jais":
      rules = [.gpt2]
    case "smollm", "starcoder", "refact", "command-r", "codeshell":
      rules = [.digits, .gpt2]
    case "deepseek-llm":
      rules =
        [.lineBreak] + Self.known(Self.deepSeekLetters, Self.deepSeekSigns) + [.trailingSpace]
        + Self.known(Self.cjk) + [.digits]
    case "deepseek-coder":
      rules = [.lineBreak] + Self.known(#"\s?\p{L}+"#, #"\s?\p{P}+"#, Self.cjk) + [.digits]
    case "deepseek-v3":
      rules =
        [.numbers(upTo: 3)] + Self.known(Self.kana)
        + [.deepSeekWords]
    default: return nil
    }
  }

  private static func known(_ patterns: String...) -> [SplitRule] {
    patterns.compactMap(SplitRule.init(pattern:))
  }

  private static let deepSeekLetters = """
    \\s?[A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\
    \u{295}-\u{2af}\u{370}-\u{373}\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\
    \u{38c}\u{38e}-\u{3a1}\u{3a3}-\u{3f5}\u{3f7}-\u{481}\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}\
    -\u{10c5}\u{13a0}-\u{13f5}\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}\u{1d00}-\
    \u{1d2b}\u{1d6b}-\u{1d77}\u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}\u{1f20}-\
    \u{1f45}\u{1f48}-\u{1f4d}\u{1f50}-\u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\
    \u{1f80}-\u{1fb4}\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\
    \u{1fd3}\u{1fd6}-\u{1fdb}\u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}\u{1ff6}-\u{1ffc}\u{2102}\
    \u{2107}\u{210a}-\u{2113}\u{2115}\u{2119}-\u{211d}\u{2124}\u{2126}\u{2128}\u{212a}-\
    \u{212d}\u{212f}-\u{2134}\u{2139}\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\u{2183}\
    \u{2184}\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-\
    \u{a66d}\u{a680}-\u{a69b}\u{a722}-\u{a76f}\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\
    \u{abbf}\u{fb00}-\u{fb06}\u{fb13}-\u{fb17}\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\
    \u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\
    \u{118a0}-\u{118df}\u{1e900}-\u{1e943}]+
    """
  private static let deepSeekSigns =
    "\\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}]+"
  private static let kana = "[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+"
  private static let cjk = "[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+"
}
