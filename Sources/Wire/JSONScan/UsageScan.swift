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

  /// What a later usage says counts; what it does not say stays (Anthropic's stream says the input
  /// first and the output last).
  mutating func update(by later: TokenUsage) {
    input = later.input ?? input
    output = later.output ?? output
    if let input, let output {
      total = later.total ?? (input &+ output)
    } else {
      total = later.total ?? total
    }
  }
}

/// Reads the usage from an answer that goes by in pieces: a JSON text, or server-sent events.
///
/// Allocates nothing, and looks closely only at what follows `"usage"`. An answer in a content
/// coding shows nothing. Counts what stands in the outermost object; in events also one object
/// deeper (`message` of Anthropic, `response` of OpenAI), unless an event had it outermost.
///
/// No text that a model wrote can pass for a usage: within a JSON string every quote has a
/// backslash before it. How deep an object stands is known without having read what comes before:
/// it is as deep as brackets are closed behind it, up to the end of the line or of the text.
package struct UsageScan: Sendable {
  package enum Format: Sendable {
    /// The body is one JSON text.
    case json
    /// `text/event-stream`; the data of an event that matters stands in one line, as all engines
    /// send it.
    case eventStream
  }

  /// Counts end here. Tokens.
  static let numberLimit = 1_000_000_000_000
  /// Room for the longest name that matters, `completion_tokens`. Bytes.
  static let nameBytesLimit = 17

  enum State: UInt8, Sendable {
    // Lines of an event stream.
    case lineStart
    case otherLine
    case dataStart
    // Within a JSON text, nothing known of where.
    case search
    case pattern
    case colon
    case brace
    // Behind the brace of a usage, outside of strings and in them.
    case walk
    case text
    case textEscape
    case number
  }

  /// The last usage so far; of a JSON text, known after `finish`.
  package internal(set) var usage: TokenUsage?
  /// Events with data, `[DONE]` not counted. About one per token with most engines.
  package internal(set) var events = 0

  let isStream: Bool
  var state: State
  /// The last byte of the piece before.
  var previous: UInt8 = 0
  /// Bytes of `data:` or of `"usage"` that have come.
  var matched = 0
  /// The line before ended with CR: a LF belongs to it.
  var endedByCR = false
  /// The event that goes by has data.
  var hasData = false
  /// A usage stood outermost in an event.
  var isOutermostKnown = false

  // From the brace of a usage on. Depths count from the object that holds the first one.
  var depth = 0
  /// Depth of the object that holds the usage which may count.
  var holder = 0
  var found = TokenUsage()
  var isReading = false
  var name = InlineArray<17, UInt8>(repeating: 0)
  var nameCount = 0
  var key = Key.other
  var number = 0

  enum Key: UInt8, Sendable {
    case other
    case usage
    case input
    case output
    case total
  }

  package init(_ format: Format) {
    isStream = format == .eventStream
    state = isStream ? .lineStart : .search
  }

  package mutating func scan(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return }
    if isStream {
      walk(base, to: bytes.count, lines: true)
    } else {
      walk(base, to: bytes.count, lines: false)
    }
    previous = base[bytes.count - 1]
  }

  /// The answer has ended.
  package mutating func finish() {
    endLine()
    if hasData { events += 1 }
    hasData = false
  }
}
