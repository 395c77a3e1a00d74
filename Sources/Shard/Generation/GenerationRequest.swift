import Primitives

/// One text to be generated. A request of the API with `n` choices is n of them, whose prompt is
/// computed once by way of the prefix cache.
package struct GenerationRequest: Equatable, Sendable {
  /// Given by the server; not used twice in the life of a group.
  package var id: UInt64
  /// Not empty, each below the vocabulary, and shorter than the context: the server has checked.
  package var prompt: [Int32]
  package var sampling: SamplingParameters
  /// At most this many tokens come out. At least 1.
  package var maxTokens: Int
  /// No end before so many tokens: ends are masked until then.
  package var minTokens: Int
  /// Tokens that end the text: the model's own (unless the client said ignore_eos) and the client's.
  package var endTokens: [Int32]
  /// Smaller runs first. 0 by default.
  package var priority: Int
  /// After it the request is given up with `deadline`, wherever it stands.
  package var deadline: Instant

  package init(
    id: UInt64, prompt: [Int32], sampling: SamplingParameters = SamplingParameters(),
    maxTokens: Int, minTokens: Int = 0, endTokens: [Int32] = [], priority: Int = 0,
    deadline: Instant = .never
  ) {
    self.id = id
    self.prompt = prompt
    self.sampling = sampling
    self.maxTokens = maxTokens
    self.minTokens = minTokens
    self.endTokens = endTokens
    self.priority = priority
    self.deadline = deadline
  }
}

/// What the server tells the engine (rank 0).
package enum EngineOrder: Equatable, Sendable {
  case submit(GenerationRequest)
  /// The client has left, or a stop string was found. The blocks are free one step later; nothing
  /// more is said about the request.
  case abort(id: UInt64)
}

/// What the engine tells the server.
package enum EngineEvent: Equatable, Sendable {
  /// First of all: weights are loaded and one token was made.
  case ready(EngineFacts)
  case token(GeneratedToken)
  case finished(id: UInt64, FinishReason)
  /// About ten times a second while there is work, once a second while there is none: it is also
  /// the heartbeat.
  case report(EngineReport)
}

package struct GeneratedToken: Equatable, Sendable {
  package var id: UInt64
  package var token: Int32
  /// With the first token of a request: prompt tokens that the prefix cache had. 0 later.
  package var cachedTokens: Int
  /// Of the raw logits, before penalties and temperature. nil unless asked for.
  package var logprobs: TokenLogprobs?

  package init(id: UInt64, token: Int32, cachedTokens: Int = 0, logprobs: TokenLogprobs? = nil) {
    self.id = id
    self.token = token
    self.cachedTokens = cachedTokens
    self.logprobs = logprobs
  }
}

package struct TokenLogprobs: Equatable, Sendable {
  package struct Entry: Equatable, Sendable {
    package var token: Int32
    package var logprob: Float

    package init(token: Int32, logprob: Float) {
      self.token = token
      self.logprob = logprob
    }
  }

  /// Of the token that was drawn.
  package var drawn: Float
  /// The likeliest, best first.
  package var top: [Entry]

  package init(drawn: Float, top: [Entry]) {
    self.drawn = drawn
    self.top = top
  }
}

package enum FinishReason: UInt8, Equatable, Sendable, CaseIterable {
  /// An end token was drawn; it is the last token that was reported.
  case endToken
  /// `maxTokens`, or the context, is used up.
  case length
  /// Its deadline has passed.
  case deadline
  /// Alone it does not fit into the KV pool.
  case outOfMemory
  /// The logits are not numbers: broken weights.
  case notANumber
  /// Refused unseen: the engine's queue is full.
  case overloaded
}

/// What is known once the weights are loaded. Bytes are of one rank.
package struct EngineFacts: Equatable, Sendable {
  package var ranks: Int
  package var contextLimit: Int
  package var blockTokens: Int
  package var blocks: Int
  package var weightBytes: Int
  package var kvBytes: Int
  /// Time from the start of the process to the first token. Nanoseconds.
  package var startNanoseconds: Int64

  package init(
    ranks: Int, contextLimit: Int, blockTokens: Int, blocks: Int, weightBytes: Int, kvBytes: Int,
    startNanoseconds: Int64
  ) {
    self.ranks = ranks
    self.contextLimit = contextLimit
    self.blockTokens = blockTokens
    self.blocks = blocks
    self.weightBytes = weightBytes
    self.kvBytes = kvBytes
    self.startNanoseconds = startNanoseconds
  }
}

/// How the engine is, for metrics and health. Counters count from the start of the process.
package struct EngineReport: Equatable, Sendable {
  package var steps: UInt64 = 0
  package var running: Int = 0
  package var waiting: Int = 0
  package var blocksUsed: Int = 0
  /// Not used, but still holding a prefix that may be asked for.
  package var blocksCached: Int = 0
  package var promptTokens: UInt64 = 0
  package var cachedPromptTokens: UInt64 = 0
  package var generatedTokens: UInt64 = 0
  package var preemptions: UInt64 = 0
  /// The batch law: its inputs, and its result. See `BatchLaw`.
  package var maxBatchSize: Int = 0
  package var currentLoad: Double = 1
  package var memoryLimit: Int = 0
  package var batchLimit: Int = 0
  /// Tokens that one step may compute now.
  package var tokenBudget: Int = 0
  /// Of the last step. Nanoseconds.
  package var stepNanoseconds: Int64 = 0

  package init() {}
}
