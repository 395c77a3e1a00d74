import Generation

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
}

/// What the engine can take, as it is known when a request comes.
struct ContextBounds: Equatable, Sendable {
  /// The longest sequence. Tokens.
  var context: Int
  /// Tokens that the whole KV pool has room for; nil before the engine is ready.
  var pool: Int?

  init(context: Int, facts: EngineFacts?) {
    self.context = facts.map { min($0.contextLimit, context) } ?? context
    pool = facts.map {
      let (tokens, overflow) = $0.blocks.multipliedReportingOverflow(by: $0.blockTokens)
      return overflow ? .max : tokens
    }
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
