import Generation

/// One text under way: tokens come in, and what may be shown of them goes out.
struct Choice {
  let index: Int
  let prompt: Int
  /// The engine's name for it.
  let id: UInt64
  private var stream: any TextStream
  private var scanner: StopScanner
  private let endTokens: [Int32]
  private let minTokens: Int
  private(set) var tokens = 0
  private(set) var cachedTokens = 0
  /// Shown so far, where the answer is given whole; in a stream, what is echoed.
  var text: String
  /// Of tokens that were not shown yet, or of all where the answer is given whole.
  var logprobs: [LogprobEntry] = []
  /// `stop` or `length`, once it is over.
  private(set) var finish: String?
  /// Characters (Unicode scalars, as Python counts) of text before the next token.
  private var offset: Int

  struct LogprobEntry {
    let token: Int32
    let logprobs: TokenLogprobs
    /// Characters of the text before the token.
    let offset: Int
  }

  init(
    index: Int, prompt: Int, id: UInt64, request: TextRequest, stream: any TextStream, echo: String
  ) {
    self.index = index
    self.prompt = prompt
    self.id = id
    self.stream = stream
    scanner = StopScanner(request.stops, includesStop: request.includesStop)
    endTokens = request.endTokens
    minTokens = request.minTokens
    text = echo
    offset = echo.unicodeScalars.count
  }

  var isOver: Bool { finish != nil }

  /// Takes a token and returns the text that may be shown now. When `finish` is set afterwards, a
  /// stop string was found, and the engine is to be told.
  mutating func append(_ token: GeneratedToken) -> String {
    guard !isOver else { return "" }
    tokens += 1
    if tokens == 1 { cachedTokens = token.cachedTokens }
    if let logprobs = token.logprobs {
      self.logprobs.append(
        LogprobEntry(token: token.token, logprobs: logprobs, offset: offset))
    }
    // The token that ends a text is no part of it.
    if endTokens.contains(token.token) { return "" }
    let new = stream.append(token.token)
    offset += new.unicodeScalars.count
    let shown = scanner.append(new, mayStop: tokens > minTokens)
    if scanner.isStopped { finish = "stop" }
    return shown
  }

  /// The engine has ended the text; returns what was held back.
  mutating func end(_ reason: String) -> String {
    guard !isOver else { return "" }
    finish = reason
    let last = scanner.append(stream.finish())
    if scanner.isStopped {
      finish = "stop"
      return last
    }
    return last + scanner.finish()
  }
}
