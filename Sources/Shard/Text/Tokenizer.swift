/// Turns text into the tokens of a model, and tokens back into text. Ids are those that Hugging
/// Face's `tokenizers` gives.
///
/// Byte-level BPE (Llama 3, Qwen, DeepSeek, SmolLM2, GPT-2) and BERT's WordPiece. Nothing changes
/// after `init`, so that any thread may use it; each call has memory of its own, in the order of 30
/// bytes for each byte of its text.
package final class Tokenizer: Sendable {
  enum Model: Sendable {
    case bytePair(BytePairModel, rules: [SplitRule])
    case wordPiece(WordPieceModel)
  }

  let vocabulary: Vocabulary
  let added: AddedTokens
  let normalizers: [Normalizer]
  let model: Model
  let postProcessor: PostProcessor

  init(
    vocabulary: Vocabulary, added: AddedTokens, normalizers: [Normalizer], model: Model,
    postProcessor: PostProcessor
  ) {
    self.vocabulary = vocabulary
    self.added = added
    self.normalizers = normalizers
    self.model = model
    self.postProcessor = postProcessor
  }

  /// Highest id and one. Ids below may have holes.
  package var vocabularySize: Int { vocabulary.count }

  /// The tokens that `addSpecial` puts before a text, and behind it.
  package var specialPrefix: [Int32] { postProcessor.prefix }
  package var specialSuffix: [Int32] { postProcessor.suffix }

  // MARK: Encoding

  /// Tokens of a text. What is no UTF-8 counts as U+FFFD.
  ///
  /// - Parameters:
  ///   - addSpecial: with the tokens that the model expects around a text: its BOS, or `[CLS]` and
  ///     `[SEP]`.
  ///   - parseSpecial: text that spells a special token becomes that token. Never for what users
  ///     wrote. Added tokens that are not special are found either way, as Hugging Face does.
  package func encode(
    _ text: UnsafeRawBufferPointer, addSpecial: Bool, parseSpecial: Bool
  ) -> [Int32] {
    var work = 0
    return encode(
      text, addSpecial: addSpecial, trust: parseSpecial ? .everywhere : .nowhere, work: &work)
  }

  package func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) -> [Int32] {
    var text = text
    return text.withUTF8 {
      encode(UnsafeRawBufferPointer($0), addSpecial: addSpecial, parseSpecial: parseSpecial)
    }
  }

  /// Tokens of a text that is partly ours and partly a user's: a rendered chat template. Special
  /// tokens are found in trusted pieces only, whole; all else is cut and merged as if it were one
  /// text. Trusted pieces side by side are one.
  package func encode(
    pieces: [(text: String, isTrusted: Bool)], addSpecial: Bool
  ) -> [Int32] {
    var text: [UInt8] = []
    text.reserveCapacity(pieces.reduce(0) { $0 + $1.text.utf8.count })
    var ends: [Int] = []
    var trusted: [Bool] = []
    for piece in pieces where !piece.text.isEmpty {
      text += piece.text.utf8
      if piece.isTrusted == trusted.last {
        ends[ends.count - 1] = text.count
      } else {
        ends.append(text.count)
        trusted.append(piece.isTrusted)
      }
    }
    var work = 0
    return text.withUnsafeBytes {
      encode(
        $0, addSpecial: addSpecial, trust: .pieces(ends: ends, trusted: trusted), work: &work)
    }
  }

  /// `work` grows by the steps that the text took, whatever they are: for tests of hostile texts.
  func encode(
    _ text: UnsafeRawBufferPointer, addSpecial: Bool, trust: Trust, work: inout Int
  ) -> [Int32] {
    let bytes = text.bindMemory(to: UInt8.self)
    var pass = EncodingPass(tokenizer: self)
    if addSpecial { pass.result += postProcessor.prefix }
    if firstBroken(bytes) == nil {
      pass.take(bytes, trust: trust)
    } else {
      // Only bytes of strangers can be broken, and those are one piece.
      repaired(bytes).withBytes { pass.take($0, trust: trust.afterChange) }
    }
    if addSpecial { pass.result += postProcessor.suffix }
    work += pass.work
    return pass.result
  }

  // MARK: Tokens

  /// What the token decodes to: not always whole characters. Empty for an id without a token. A
  /// word of WordPiece comes without the space before it.
  package func bytes(of token: Int32) -> [UInt8] {
    guard case .wordPiece(let model) = model, !vocabulary.isSpecial(token) else {
      return Array(vocabulary.bytes(of: token))
    }
    return Array(model.written(vocabulary.bytes(of: token)).bytes)
  }

  /// The token as the vocabulary writes it: `Ġthe`. Empty for an id without a token.
  package func text(of token: Int32) -> String {
    let bytes = vocabulary.bytes(of: token)
    if case .bytePair = model, !vocabulary.isLiteral(token) { return ByteAlphabet.text(of: bytes) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The id of a token as the vocabulary writes it.
  package func id(of tokenText: String) -> Int32? {
    Array(tokenText.utf8).withBytes { id(ofText: $0) }
  }

  func id(ofText text: Bytes) -> Int32? {
    if case .bytePair = model { return vocabulary.id(ofByteLevel: text) }
    return vocabulary.id(ofBytes: text) ?? vocabulary.id(ofLiteral: text)
  }

  /// Special tokens are for the model, not for people: BOS, ends of turns.
  package func isSpecial(_ token: Int32) -> Bool { vocabulary.isSpecial(token) }

  // MARK: Decoding

  /// Ids without a token are left out, as Hugging Face does; broken UTF-8 becomes U+FFFD.
  package func decode(_ tokens: [Int32], skipSpecial: Bool) -> String {
    var bytes: [UInt8] = []
    for token in tokens {
      append(token, skipSpecial: skipSpecial, isFirst: bytes.isEmpty, to: &bytes)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Appends what the token adds to a text.
  func append(_ token: Int32, skipSpecial: Bool, isFirst: Bool, to text: inout [UInt8]) {
    if skipSpecial, vocabulary.isSpecial(token) { return }
    let bytes = vocabulary.bytes(of: token)
    guard case .wordPiece(let model) = model else {
      text += bytes
      return
    }
    guard !bytes.isEmpty else { return }
    // The first token stands as it is, prefix and all.
    guard !isFirst else {
      text += bytes
      return
    }
    let (written, afterSpace) = model.written(bytes)
    if afterSpace { text.append(0x20) }
    text += written
  }
}

/// One call of `encode`: its memory, and the way of a text through the tokenizer.
private struct EncodingPass {
  let tokenizer: Tokenizer
  var result: [Int32] = []
  private var bytePair = BytePairModel.Scratch()
  private var wordPiece = WordPieceModel.Scratch()
  private var finding = 0

  init(tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  var work: Int { bytePair.work + wordPiece.work + finding }

  /// A whole text, which is valid UTF-8.
  mutating func take(_ text: Bytes, trust: Trust) {
    let all = 0..<text.count
    guard !tokenizer.added.plain.isEmpty else { return normalize(text, in: all, trust: trust) }
    var finding = 0
    tokenizer.added.plain.forEachPart(of: text, in: all, trust: trust, work: &finding) {
      switch $0 {
      case .token(let id): result.append(id)
      case .text(let part): normalize(text, in: part, trust: trust)
      }
    }
    self.finding += finding
  }

  private mutating func normalize(_ text: Bytes, in part: Range<Int>, trust: Trust) {
    var changed: [UInt8]?
    for normalizer in tokenizer.normalizers {
      if let before = changed {
        changed = before.withBytes { normalizer.apply($0) } ?? before
      } else {
        changed = normalizer.apply(Bytes(rebasing: text[part]))
      }
    }
    guard let changed else { return findNormalized(text, in: part, trust: trust) }
    changed.withBytes {
      findNormalized($0, in: 0..<changed.count, trust: trust.afterChange)
    }
  }

  private mutating func findNormalized(_ text: Bytes, in part: Range<Int>, trust: Trust) {
    guard !tokenizer.added.normalized.isEmpty else { return tokenize(text, in: part) }
    var finding = 0
    tokenizer.added.normalized.forEachPart(of: text, in: part, trust: trust, work: &finding) {
      switch $0 {
      case .token(let id): result.append(id)
      case .text(let part): tokenize(text, in: part)
      }
    }
    self.finding += finding
  }

  private mutating func tokenize(_ text: Bytes, in part: Range<Int>) {
    switch tokenizer.model {
    case .bytePair(let model, let rules):
      PieceScanner(text, rules).forEachPiece(in: part) { piece in
        model.append(
          Bytes(rebasing: text[piece]), vocabulary: tokenizer.vocabulary, scratch: &bytePair,
          to: &result)
      }
    case .wordPiece(let model):
      model.append(
        text, in: part, vocabulary: tokenizer.vocabulary, scratch: &wordPiece, to: &result)
    }
  }
}
