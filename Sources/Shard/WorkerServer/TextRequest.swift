import Generation
import WorkerAPI

/// A request for text, read, checked and in tokens: everything that is left is to make it.
struct TextRequest: Equatable, Sendable {
  enum Kind: Equatable, Sendable { case chat, completion }

  struct Prompt: Equatable, Sendable {
    var tokens: [Int32]
    /// What stands before the text that is made, where the client wants it back (`echo`).
    var echo = ""
  }

  var kind: Kind
  /// As the client named it.
  var model: String
  var prompts: [Prompt] = []
  /// Texts for each prompt.
  var choices = 1
  var sampling = SamplingParameters()
  /// Whether the client chose the seed; else one is drawn when the request is submitted.
  var hasSeed = false
  /// nil: as many as the context leaves.
  var maxTokens: Int?
  var minTokens = 0
  var endTokens: [Int32] = []
  var stops: [String] = []
  var includesStop = false
  var skipsSpecial = true
  var isStreamed = false
  var includesUsage = false
  var priority = 0
  /// Where it came by KServe's protocol.
  var inference: TextInference?
}

/// What the engine can take, as it is known when a request comes.
struct ContextBounds: Equatable, Sendable {
  /// The longest sequence. Tokens.
  var context: Int
  /// Tokens that the whole KV pool has room for; nil before the engine is ready.
  var pool: Int?
  /// No text of more bytes fits. Four times what the longest token allows, since normalisers make
  /// texts shorter before they are cut: NFC turns nine bytes of Hangul into three.
  var textBytes: Int

  init(context: Int, longestToken: Int, facts: EngineFacts?) {
    self.context = facts.map { min($0.contextLimit, context) } ?? context
    let (bytes, isMore) = self.context.multipliedReportingOverflow(by: max(1, longestToken) * 4)
    textBytes = isMore ? .max : bytes
    pool = facts.map {
      let (tokens, overflow) = $0.blocks.multipliedReportingOverflow(by: $0.blockTokens)
      return overflow ? .max : tokens
    }
  }

  /// Refuses a text that cannot fit before it is encoded, which for 19 MB took 3.5 s and 500 MB.
  func check(_ pieces: [TextPiece], param: String) throws(APIError) {
    let bytes = pieces.reduce(0) { $0 + $1.text.utf8.count }
    guard bytes > textBytes else { return }
    throw APIError(
      .contextLength,
      "This model's context is \(context) tokens, and the prompt has \(bytes) bytes, which are "
        + "more than \(context) tokens can stand for; shorten it.",
      param: param, code: "context_length_exceeded")
  }

  /// A prompt must leave room for one token.
  func check(_ count: Int, param: String) throws(APIError) {
    if count == 0 {
      throw .invalid(param, "The prompt has no tokens; there must be at least one.")
    }
    if count >= context {
      throw APIError(
        .contextLength,
        "This model's context is \(context) tokens, and the prompt has \(count); "
          + "shorten it to at most \(context - 1).", param: param, code: "context_length_exceeded")
    }
    if let pool, count >= pool {
      throw APIError(
        .contextLength,
        "This worker has memory for \(pool) tokens, and the prompt has \(count); "
          + "shorten it to at most \(pool - 1), or give the worker more KV memory.",
        param: param, code: "context_length_exceeded")
    }
  }
}
