import Glibc
import JSON
import Primitives

/// The texts of one answer, in OpenAI's JSON.
struct MockAnswer {
  let tokens: Int
  private let kind: MockRequest.Kind
  private let includesUsage: Bool
  private let promptTokens: Int
  private let finishReason: String
  private let id: String
  private let created: Int64
  private let model: String
  /// The first words: who answers, and what was said last.
  private let intro: [String]
  /// What stands around the token in each event. Bytes.
  private let before: [UInt8]
  private let after: [UInt8]

  /// What an engine says when it has nothing more to say.
  private static let filler = [
    "The", "model", "behind", "this", "answer", "does", "not", "exist,", "but", "its", "tokens",
    "arrive", "one", "by", "one,", "as", "those", "of", "a", "real", "one", "would.",
  ]

  init(
    _ request: MockRequest, name: String, model: String, tokens: Int, serial: UInt64, created: Int64
  ) {
    kind = request.kind
    includesUsage = request.includesUsage
    promptTokens = request.promptTokens
    let limit = request.maxTokens ?? .max
    self.tokens = min(tokens, limit)
    finishReason = limit < tokens ? "length" : "stop"
    self.created = created
    self.model = JSONText.quoted(model)
    intro = ["[\(name)]"] + (request.lastWords.isEmpty ? [] : ["You", "said:"] + request.lastWords)
    let usage = request.includesUsage ? ",\"usage\":null" : ""
    let opening: String
    switch request.kind {
    case .chat:
      id = "chatcmpl-mock-\(serial)"
      opening = "\"delta\":{\"content\":\""
      after = Array("\"},\"logprobs\":null,\"finish_reason\":null}]\(usage)}\n\n".utf8)
    case .completion, .embedding:
      id = "cmpl-mock-\(serial)"
      opening = "\"text\":\""
      after = Array("\",\"logprobs\":null,\"finish_reason\":null}]\(usage)}\n\n".utf8)
    }
    let isChat = request.kind == .chat
    before = Array(
      ("data: "
        + Self.head(id, isChat ? "chat.completion.chunk" : "text_completion", created, self.model)
        + ",\"choices\":[{\"index\":0,\(opening)").utf8)
  }

  private static func head(_ id: String, _ object: String, _ created: Int64, _ model: String)
    -> String
  {
    "{\"id\":\"\(id)\",\"object\":\"\(object)\",\"created\":\(created),\"model\":\(model)"
  }

  private func word(_ index: Int) -> String {
    index < intro.count
      ? intro[index] : Self.filler[(index - intro.count) % Self.filler.count]
  }

  /// A limit of the request ended it, not the engine.
  var isCutShort: Bool { finishReason == "length" }

  /// The whole text.
  var text: String { (0..<tokens).map(word).joined(separator: " ") }

  private var usage: String {
    let completion = if case .embedding = kind { "" } else { "\"completion_tokens\":\(tokens)," }
    let total = promptTokens + (completion.isEmpty ? 0 : tokens)
    return "\"usage\":{\"prompt_tokens\":\(promptTokens),\(completion)\"total_tokens\":\(total)}"
  }

  // MARK: Streamed, in this order

  /// Chat only: who speaks, before the first token.
  func appendRole(to bytes: inout [UInt8]) {
    guard case .chat = kind else { return }
    // The same event as that of a token, with the role and an empty text.
    let tokenOpening = "\"delta\":{\"content\":\"".utf8.count
    bytes += before[..<(before.count - tokenOpening)]
    bytes += "\"delta\":{\"role\":\"assistant\",\"content\":\"".utf8
    bytes += after
  }

  func appendToken(_ index: Int, to bytes: inout [UInt8]) {
    bytes += before
    if index > 0 { bytes.append(0x20) }
    JSONText.escape(word(index), into: &bytes)
    bytes += after
  }

  /// The event with the finish reason, the one with the usage where it was asked for, and the end.
  func appendEnd(to bytes: inout [UInt8]) {
    let isChat = kind == .chat
    let head =
      "data: " + Self.head(id, isChat ? "chat.completion.chunk" : "text_completion", created, model)
    let null = includesUsage ? ",\"usage\":null" : ""
    let delta = isChat ? "\"delta\":{}" : "\"text\":\"\""
    bytes +=
      "\(head),\"choices\":[{\"index\":0,\(delta),\"logprobs\":null,\"finish_reason\":\"\(finishReason)\"}]\(null)}\n\n"
      .utf8
    if includesUsage { bytes += "\(head),\"choices\":[],\(usage)}\n\n".utf8 }
    bytes += "data: [DONE]\n\n".utf8
  }

  // MARK: Whole

  var whole: String {
    switch kind {
    case .chat:
      Self.head(id, "chat.completion", created, model)
        + ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
        + JSONText.quoted(text)
        + ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"\(finishReason)\"}],\(usage)}\n"
    case .completion:
      Self.head(id, "text_completion", created, model)
        + ",\"choices\":[{\"index\":0,\"text\":\(JSONText.quoted(text)),\"logprobs\":null,"
        + "\"finish_reason\":\"\(finishReason)\"}],\(usage)}\n"
    case .embedding(let embedding):
      "{\"object\":\"list\",\"data\":["
        + embedding.inputs.enumerated().map { index, input in
          "{\"object\":\"embedding\",\"index\":\(index),\"embedding\":"
            + Self.vector(of: input, embedding) + "}"
        }.joined(separator: ",") + "],\"model\":\(model),\(usage)}\n"
    }
  }

  /// The same text gives the same numbers, on every machine.
  private static func vector(of text: String, _ embedding: MockRequest.Embedding) -> String {
    // FNV-1a, 64 bits.
    let seed = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    var random = SeededRandom(seed: seed)
    var numbers = (0..<embedding.dimensions).map { _ in 2 * random.unit() - 1 }
    // Length 1, as those of OpenAI are.
    let length = max(sqrt(numbers.reduce(0) { $0 + $1 * $1 }), 1e-9)
    numbers = numbers.map { $0 / length }
    guard embedding.isBase64 else {
      return "[" + numbers.map { "\(Float($0))" }.joined(separator: ",") + "]"
    }
    let bytes = numbers.flatMap { number in
      (0..<4).map { UInt8(truncatingIfNeeded: Float(number).bitPattern >> UInt32(8 * $0)) }
    }
    return "\"\(Base64.encode(bytes))\""
  }
}
