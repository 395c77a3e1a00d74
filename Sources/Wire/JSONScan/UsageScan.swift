/// Tokens as the engine counted them.
package struct TokenUsage: Equatable, Sendable {
  /// `prompt_tokens` or `input_tokens`.
  package var input: Int?
  /// `completion_tokens` or `output_tokens`.
  package var output: Int?
  /// `total_tokens`; the sum where the engine did not say it.
  package var total: Int?

  package init(input: Int? = nil, output: Int? = nil, total: Int? = nil) {
    self.input = input
    self.output = output
    self.total = total
  }
}

/// Reads the usage from an answer that goes by in pieces: a JSON text, or server-sent events.
///
/// Allocates nothing. Looks closely only at what follows `"usage"`. An answer in a content coding
/// shows nothing.
package struct UsageScan: Sendable {
  package enum Format: Sendable {
    case json
    case eventStream
  }

  /// The last usage so far; of a JSON text, known after `finish`.
  package private(set) var usage: TokenUsage?
  /// Events with data, `[DONE]` not counted. About one per token with most engines.
  package private(set) var events = 0

  package init(_ format: Format) {}

  package mutating func scan(_ bytes: UnsafeRawBufferPointer) {}

  /// The answer has ended.
  package mutating func finish() {}
}
