import JSON
import Primitives

/// What a client asks an engine for, as far as a fake one cares.
struct MockRequest: Equatable {
  enum Kind: Equatable {
    case chat
    case completion
    case embedding(Embedding)
  }
  struct Embedding: Equatable {
    var inputs: [String]
    var dimensions: Int
    /// The openai client asks for it, to save bytes.
    var isBase64: Bool
  }

  /// The answer consists of tokens.
  var isText: Bool {
    switch kind {
    case .chat, .completion: true
    case .embedding: false
    }
  }

  /// Numbers of an embedding that does not say. Small, so that a person can look at one.
  static let defaultDimensions = 16

  var kind: Kind
  /// nil: the engine's first model.
  var model: String?
  var isStreamed = false
  var includesUsage = false
  var maxTokens: Int?
  /// Words of the whole prompt: what we count as its tokens.
  var promptTokens = 0
  /// The last words of the prompt, for the echo.
  var lastWords: [String] = []

  /// Words of the prompt that come back. Count.
  private static let echoedWords = 8

  static func chat(_ json: JSONValue) throws(MockComplaint) -> MockRequest {
    var request = try common(json, .chat)
    guard let messages = json["messages"]?.elements, !messages.isEmpty else {
      throw MockComplaint("'messages' must be a list with at least one message")
    }
    for message in messages {
      guard let content = message["content"] else { continue }
      // Content is a text, or a list of parts of which some are texts.
      let texts = content.text.map { [$0] } ?? content.elements?.compactMap { $0["text"]?.text }
      for text in texts ?? [] { request.read(text) }
    }
    return request
  }

  static func completion(_ json: JSONValue) throws(MockComplaint) -> MockRequest {
    var request = try common(json, .completion)
    guard let prompt = json["prompt"] else { throw MockComplaint("'prompt' is missing") }
    for text in texts(prompt) { request.read(text) }
    return request
  }

  static func embedding(_ json: JSONValue) throws(MockComplaint) -> MockRequest {
    guard let input = json["input"] else { throw MockComplaint("'input' is missing") }
    var embedding = Embedding(
      inputs: texts(input), dimensions: defaultDimensions,
      isBase64: json["encoding_format"]?.text == "base64")
    if let dimensions = json["dimensions"], dimensions != .null {
      guard let count = dimensions.integer, (1...4_096).contains(count) else {
        throw MockComplaint("'dimensions' must be a whole number from 1 to 4096")
      }
      embedding.dimensions = count
    }
    var request = try common(json, .embedding(embedding))
    request.isStreamed = false
    for text in embedding.inputs { request.read(text) }
    return request
  }

  private static func common(_ json: JSONValue, _ kind: Kind) throws(MockComplaint) -> MockRequest {
    guard case .object = json else { throw MockComplaint("the body must be a JSON object") }
    var request = MockRequest(kind: kind, model: json["model"]?.text)
    if let stream = json["stream"], stream != .null {
      guard let flag = stream.flag else { throw MockComplaint("'stream' must be true or false") }
      request.isStreamed = flag
    }
    request.includesUsage = json["stream_options"]?["include_usage"]?.flag ?? false
    for name in ["max_completion_tokens", "max_tokens"] {
      guard request.maxTokens == nil, let limit = json[name], limit != .null else { continue }
      guard let count = limit.integer, count >= 1 else {
        throw MockComplaint("'\(name)' must be a whole number of at least 1")
      }
      request.maxTokens = count
    }
    return request
  }

  /// A text, a list of texts, a list of tokens or a list of such lists, each as one text.
  private static func texts(_ json: JSONValue) -> [String] {
    switch json {
    case .string(let text): return [text]
    case .array(let elements):
      if case .number = elements.first { return [elements.map(numeral).joined(separator: " ")] }
      return elements.flatMap(texts)
    case .null, .bool, .number, .object: return []
    }
  }

  private static func numeral(_ json: JSONValue) -> String { json.integer.map(String.init) ?? "?" }

  private mutating func read(_ text: String) {
    var words = 0
    var inWord = false
    for byte in text.utf8 {
      let isSpace = byte == 0x20 || (0x09...0x0d).contains(byte)
      if !isSpace, !inWord { words += 1 }
      inWord = !isSpace
    }
    promptTokens += words
    // A prompt may be long, and only its end is wanted.
    let tail = Array(text.utf8.suffix(200))
    let last = tail.split { $0 == 0x20 || (0x09...0x0d).contains($0) }.suffix(Self.echoedWords)
    if !last.isEmpty { lastWords = last.map { String(decoding: $0, as: UTF8.self) } }
  }
}
