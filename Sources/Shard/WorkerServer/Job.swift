import Generation
import Primitives

/// A request whose texts are being made. Lives on the server's loop.
final class Job {
  let id: String
  let request: TextRequest
  let created: Int64
  let start: Instant
  let reply: any TextReply
  var choices: [Choice] = []
  /// The head of a streamed answer is out.
  var hasBegun = false
  var firstToken: Instant?
  /// Of each choice, for the gaps between tokens.
  var lastTokens: [Instant?] = []

  init(
    id: String, request: TextRequest, created: Int64, start: Instant, reply: any TextReply
  ) {
    self.id = id
    self.request = request
    self.created = created
    self.start = start
    self.reply = reply
  }

  var isOver: Bool { choices.allSatisfy(\.isOver) }

  var usage: Usage {
    // A prompt is counted once, however many texts it gets; the later ones find it cached.
    var cached = [Int](repeating: 0, count: request.prompts.count)
    for choice in choices where choice.index % request.choices == 0 {
      cached[choice.prompt] = choice.cachedTokens
    }
    return Usage(
      prompt: request.prompts.reduce(0) { $0 + $1.tokens.count },
      completion: choices.reduce(0) { $0 + $1.tokens }, cached: cached.reduce(0, +))
  }
}

struct Usage: Equatable {
  var prompt: Int
  var completion: Int
  /// Of the prompt: tokens whose keys and values were found.
  var cached: Int
}
