import JSON

extension Tokenizer {
  /// From a tokenizer.json, and from tokenizer_config.json where there is one: some models say only
  /// there that their texts begin with a BOS.
  package convenience init(
    huggingFace file: UnsafeRawBufferPointer, config: JSONValue?
  ) throws(TokenizerComplaint) {
    let file = try TokenizerFile(file)
    let preTokenizer = try PreTokenizer(file.rest["pre_tokenizer"])
    let normalizers = try Normalizer.steps(file.rest["normalizer"])
    guard let settings = file.rest["model"], case .object = settings else {
      throw TokenizerComplaint("the file has no model")
    }
    let tokens = try Self.addedTokens(file.rest["added_tokens"])
    var vocabulary = Vocabulary(
      tokens: file.vocabulary.count + tokens.count,
      bytes: file.vocabulary.bytes.count + tokens.reduce(0) { $0 + $1.content.count })
    let type = settings["type"]?.text ?? (file.hasMerges ? "BPE" : "WordPiece")
    let isByteLevel: Bool
    switch (type, preTokenizer) {
    case ("BPE", .byteLevel): isByteLevel = true
    case ("WordPiece", .bert): isByteLevel = false
    case ("BPE", .bert), ("WordPiece", .byteLevel):
      throw TokenizerComplaint("the model \(type) does not go with this pre_tokenizer")
    default:
      throw TokenizerComplaint(
        "the model \(quoted(type)) is not supported; byte-level BPE and WordPiece are")
    }
    try file.vocabulary.bytes.withBytes { bytes throws(TokenizerComplaint) in
      for (index, id) in file.ids.enumerated() {
        let text = Bytes(rebasing: bytes[file.vocabulary.range(index)])
        if isByteLevel {
          try vocabulary.insert(id, byteLevel: text)
        } else {
          try vocabulary.insert(id, bytes: text, isLiteral: false)
        }
      }
    }
    let added = try Self.add(
      tokens, to: &vocabulary, isByteLevel: isByteLevel, normalizers: normalizers)
    let model: Model
    switch preTokenizer {
    case .byteLevel(let rules):
      let bytePair = try Self.bytePair(file, settings, vocabulary)
      model = .bytePair(bytePair, rules: rules)
    case .bert:
      model = .wordPiece(
        try Self.wordPiece(settings, vocabulary, decoder: file.rest["decoder"]))
    }
    let find = { (name: String) -> Int32? in
      Array(name.utf8).withBytes {
        isByteLevel
          ? vocabulary.id(ofByteLevel: $0)
          : vocabulary.id(ofBytes: $0) ?? vocabulary.id(ofLiteral: $0)
      }
    }
    var postProcessor = try PostProcessor(file.rest["post_processor"], id: find)
    try Self.readBOS(config, into: &postProcessor, id: find)
    for id in postProcessor.prefix + postProcessor.suffix where !vocabulary.contains(id) {
      throw TokenizerComplaint("the post-processor adds the id \(id), which is no token")
    }
    self.init(
      vocabulary: vocabulary, added: added, normalizers: normalizers, model: model,
      postProcessor: postProcessor)
  }

  package convenience init(
    huggingFace file: [UInt8], config: JSONValue?
  ) throws(TokenizerComplaint) {
    // A closure cannot call `self.init`, so the buffer is kept by hand.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: file.count, alignment: 16)
    defer { copy.deallocate() }
    copy.copyBytes(from: file)
    try self.init(huggingFace: UnsafeRawBufferPointer(copy), config: config)
  }

  // MARK: Added tokens

  private typealias AddedToken = (content: [UInt8], token: AddedTokens.Token)

  private static func addedTokens(_ value: JSONValue?) throws(TokenizerComplaint) -> [AddedToken] {
    guard let value, value != .null else { return [] }
    guard let elements = value.elements else {
      throw TokenizerComplaint("added_tokens must be a list")
    }
    var tokens: [AddedToken] = []
    for element in elements {
      guard let content = element["content"]?.text else {
        throw TokenizerComplaint("an added token has no content")
      }
      // Hugging Face leaves out empty ones.
      if content.isEmpty { continue }
      guard content.utf8.count <= AddedTokens.lengthLimit else {
        throw TokenizerComplaint(
          "the added token \(quoted(content)) has \(content.utf8.count) bytes; at most "
            + "\(AddedTokens.lengthLimit) are supported")
      }
      guard let id = element["id"]?.integer, id >= 0, id < Vocabulary.idLimit else {
        throw TokenizerComplaint(
          "the id of the added token \(quoted(content)) must be a whole number below "
            + "\(Vocabulary.idLimit)")
      }
      let isSpecial = element["special"]?.flag ?? false
      tokens.append(
        (
          Array(content.utf8),
          AddedTokens.Token(
            id: Int32(id), isSpecial: isSpecial,
            isSingleWord: element["single_word"]?.flag ?? false,
            stripsLeft: element["lstrip"]?.flag ?? false,
            stripsRight: element["rstrip"]?.flag ?? false,
            isNormalized: element["normalized"]?.flag ?? !isSpecial)
        ))
    }
    return tokens
  }

  private static func add(
    _ tokens: [AddedToken], to vocabulary: inout Vocabulary, isByteLevel: Bool,
    normalizers: [Normalizer]
  ) throws(TokenizerComplaint) -> AddedTokens {
    // Of two with one content the last counts.
    var last: [Int32: AddedToken] = [:]
    var order: [Int32] = []
    for (content, token) in tokens {
      var token = token
      // A token that the vocabulary has keeps the id that it has there, whatever stands here.
      let known = content.withBytes {
        isByteLevel
          ? vocabulary.id(ofByteLevel: $0)
          : vocabulary.id(ofBytes: $0) ?? vocabulary.id(ofLiteral: $0)
      }
      if let known {
        token.id = known
      } else {
        try content.withBytes { content throws(TokenizerComplaint) in
          try vocabulary.insert(token.id, bytes: content, isLiteral: true)
        }
      }
      if last.updateValue((content, token), forKey: token.id) == nil { order.append(token.id) }
    }
    var added = AddedTokens()
    for id in order {
      guard let (content, token) = last[id] else { continue }
      vocabulary.mark(id, isSpecial: token.isSpecial)
      var pattern = content
      if token.isNormalized {
        for normalizer in normalizers {
          pattern = pattern.withBytes { normalizer.apply($0) } ?? pattern
        }
      }
      if !pattern.isEmpty { added.add(token, content: pattern) }
    }
    return added
  }

  // MARK: Models

  private static func bytePair(
    _ file: TokenizerFile, _ settings: JSONValue, _ vocabulary: Vocabulary
  ) throws(TokenizerComplaint) -> BytePairModel {
    guard file.hasMerges else { throw TokenizerComplaint("the BPE model has no merges") }
    if let dropout = settings["dropout"]?.number, dropout > 0 {
      throw TokenizerComplaint("the BPE model has a dropout of \(dropout), which is for training")
    }
    for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let text = settings[name]?.text, !text.isEmpty {
        throw TokenizerComplaint("a BPE model with \(name) \(quoted(text)) is not supported")
      }
    }
    guard settings["byte_fallback"]?.flag != true else {
      throw TokenizerComplaint(
        "a BPE model with byte_fallback is not supported; only byte-level BPE is")
    }
    var builder = BytePairBuilder(vocabulary: vocabulary, merges: file.merges.count / 2)
    for merge in 0..<file.merges.count / 2 {
      try builder.add(
        file.merges.bytes[file.merges.range(merge * 2)],
        file.merges.bytes[file.merges.range(merge * 2 + 1)])
    }
    let model = builder.model(ignoresMerges: settings["ignore_merges"]?.flag ?? false)
    // Where every byte has a token, nothing is ever unknown. 0xc0, 0xc1 and 0xf5 up are in no text.
    if let unknown = settings["unk_token"]?.text,
      let byte = model.byteTokens.indices.first(where: {
        model.byteTokens[$0] < 0 && $0 != 0xc0 && $0 != 0xc1 && $0 < 0xf5
      })
    {
      throw TokenizerComplaint(
        "the BPE model uses its unk_token \(quoted(unknown)), since byte \(byte) is no token; that "
          + "is not supported")
    }
    return model
  }

  private static func wordPiece(
    _ settings: JSONValue, _ vocabulary: Vocabulary, decoder: JSONValue?
  ) throws(TokenizerComplaint) -> WordPieceModel {
    let name = settings["unk_token"]?.text ?? "[UNK]"
    guard let unknown = Array(name.utf8).withBytes(vocabulary.id(ofBytes:)) else {
      throw TokenizerComplaint("the vocabulary lacks the unk_token \(quoted(name))")
    }
    let prefix = Array((settings["continuing_subword_prefix"]?.text ?? "##").utf8)
    let limit = settings["max_input_chars_per_word"]?.integer ?? 100
    // A word costs its length times that of the longest token.
    guard (1...1000).contains(limit) else {
      throw TokenizerComplaint("max_input_chars_per_word is \(limit); it must be within 1...1000")
    }
    let longest = (0..<Int32(vocabulary.count)).lazy.map { vocabulary.bytes(of: $0).count }.max()
    return WordPieceModel(
      unknown: unknown, prefix: prefix, lengthLimit: limit, longestToken: longest ?? 0,
      cleansUp: decoder?["cleanup"]?.flag ?? true)
  }

  // MARK: tokenizer_config.json

  /// Classes of transformers that make their post-processor from `add_bos_token`, whatever
  /// tokenizer.json says: DeepSeek's files rely on it.
  private static let classesWithBOS = ["LlamaTokenizer", "LlamaTokenizerFast"]

  private static func readBOS(
    _ config: JSONValue?, into postProcessor: inout PostProcessor, id: (String) -> Int32?
  ) throws(TokenizerComplaint) {
    guard let config, let type = config["tokenizer_class"]?.text, classesWithBOS.contains(type),
      let adds = config["add_bos_token"]?.flag
    else { return }
    let name = config["bos_token"]?.text ?? config["bos_token"]?["content"]?.text
    guard let name, let bos = id(name) else {
      guard adds else { return }
      throw TokenizerComplaint(
        "tokenizer_config.json asks for a BOS, but its bos_token "
          + (name.map(quoted) ?? "is missing") + (name == nil ? "" : " is no token"))
    }
    if adds, postProcessor.prefix.first != bos {
      postProcessor.prefix.insert(bos, at: 0)
    } else if !adds, postProcessor.prefix == [bos] {
      postProcessor.prefix = []
    }
  }
}
