import JSON
import WorkerAPI

/// Chats: messages, and what the template is given.
extension Preparation {
  func chat(_ fields: Fields, _ raw: RawBody, _ model: String) throws(APIError) -> TextRequest {
    var request = try common(fields, .chat, model)
    let wantsLogprobs = try fields.flag("logprobs") ?? false
    let top = try fields.integer("top_logprobs", 0...20)
    if top != nil, !wantsLogprobs {
      throw .invalid("top_logprobs", "'top_logprobs' needs 'logprobs' to be true.")
    }
    if wantsLogprobs { request.sampling.logprobs = top ?? 0 }
    try refuseModalities(fields)
    try toolChoice(fields)
    let pieces = try rendered(fields, raw)
    try bounds.check(pieces, param: "messages")
    let tokens = text.encode(
      pieces, addSpecial: try fields.flag("add_special_tokens") ?? false)
    try bounds.check(tokens.count, param: "messages")
    request.prompts = [TextRequest.Prompt(tokens: tokens)]
    return request
  }

  private func refuseModalities(_ fields: Fields) throws(APIError) {
    guard let modalities = fields["modalities"] else { return }
    guard modalities == .array([.string("text")]) else {
      throw .invalid("modalities", "'modalities' may only be [\"text\"].")
    }
  }

  /// Nobody can promise that a model calls a tool, so what asks for a promise is refused.
  private func toolChoice(_ fields: Fields) throws(APIError) {
    guard let choice = fields["tool_choice"] else { return }
    if let word = choice.text, word == "none" || word == "auto" { return }
    throw .invalid(
      "tool_choice",
      "'tool_choice' may be 'none' or 'auto': this worker cannot make a model call a tool. "
        + "Calls are returned as text.")
  }

  /// The text of a chat, piece by piece; for `/tokenize` as well.
  func rendered(_ fields: Fields, _ raw: RawBody) throws(APIError) -> [TextPiece] {
    guard text.hasChatTemplate else {
      throw .invalid(
        "messages", "This model has no chat template; use /v1/completions with a 'prompt'.")
    }
    let messages = try Messages(fields["messages"], raw["messages"])
    let continues = try fields.flag("continue_final_message") ?? false
    let adds = try fields.flag("add_generation_prompt") ?? !continues
    if continues, adds {
      throw .invalid(
        "continue_final_message",
        "'continue_final_message' needs 'add_generation_prompt' to be false.")
    }
    if let variables = fields["chat_template_kwargs"] {
      guard case .object = variables else {
        throw .invalid(
          "chat_template_kwargs",
          "'chat_template_kwargs' must be an object, not \(variables.kind).")
      }
    }
    let prompt = ChatPrompt(
      messages: messages.json, tools: try tools(fields, raw),
      variables: fields["chat_template_kwargs"] == nil ? nil : raw["chat_template_kwargs"]?.bytes,
      addsGenerationPrompt: adds)
    let pieces: [TextPiece]
    do {
      pieces = try text.render(prompt)
    } catch {
      throw .invalid("messages", "The chat template cannot take these messages: \(error)")
    }
    return continues ? try Self.cut(pieces, behind: messages.lastContent) : pieces
  }

  private func tools(_ fields: Fields, _ raw: RawBody) throws(APIError) -> [UInt8]? {
    guard let tools = fields["tools"] else { return nil }
    guard let elements = tools.elements else {
      throw .invalid("tools", "'tools' must be a list, not \(tools.kind).")
    }
    for (index, tool) in elements.enumerated() {
      guard tool["type"]?.text == "function", tool["function"]?["name"]?.text != nil else {
        throw .invalid(
          "tools[\(index)]",
          "'tools[\(index)]' must be an object with 'type' \"function\" and a 'function' that has "
            + "a 'name'.")
      }
    }
    let isUnwanted = fields["tool_choice"]?.text == "none"
    return elements.isEmpty || isUnwanted ? nil : raw["tools"]?.bytes
  }

  /// Drops what the template has put behind the last message, so that its text goes on. Templates
  /// may trim messages, so the text is looked for without the space around it.
  static func cut(_ pieces: [TextPiece], behind content: String) throws(APIError) -> [TextPiece] {
    let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0d).contains($0) }
    let whole = Array(content.utf8)
    let wanted = Array(whole.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    let all = pieces.flatMap { Array($0.text.utf8) }
    guard !wanted.isEmpty, let start = lastRange(of: wanted, in: all) else {
      throw .invalid(
        "continue_final_message",
        "The text of the last message cannot be found in what the chat template makes of it.")
    }
    var end = start + wanted.count
    // Space at its end stays where the template has kept all of it.
    let space = Array(whole.reversed().prefix(while: isSpace).reversed())
    if all[end...].starts(with: space) { end += space.count }
    var kept: [TextPiece] = []
    var rest = end
    for piece in pieces where rest > 0 {
      let bytes = Array(piece.text.utf8.prefix(rest))
      rest -= bytes.count
      kept.append(
        TextPiece(String(decoding: bytes, as: UTF8.self), isTrusted: piece.isTrusted))
    }
    return kept
  }

  private static func lastRange(of wanted: [UInt8], in bytes: [UInt8]) -> Int? {
    // The first match of the reversed text in the reversed bytes, by the automaton of stop strings:
    // linear, whatever stands in it.
    guard bytes.count >= wanted.count else { return nil }
    var finder = ByteFinder(wanted.reversed())
    for (index, byte) in bytes.reversed().enumerated() where finder.step(byte) {
      return bytes.count - index - 1
    }
    return nil
  }
}

/// The messages of a chat, checked as far as every template relies on it.
private struct Messages {
  /// As the client wrote them, but contents in parts are joined: templates expect texts.
  private(set) var json: [UInt8]
  /// Of the last message.
  private(set) var lastContent = ""

  init(_ value: JSONValue?, _ raw: RawJSON?) throws(APIError) {
    guard let messages = value?.elements, let raw, !messages.isEmpty else {
      throw .invalid("messages", "'messages' must be a list with at least one message.")
    }
    json = []
    // Bytes up to here are in `json`.
    var taken = 0
    let places = raw.elements(of: 0..<raw.bytes.count)
    for (index, message) in messages.enumerated() {
      let name = "messages[\(index)]"
      guard case .object = message else {
        throw .invalid(name, "'\(name)' must be an object, not \(message.kind).")
      }
      guard message["role"]?.text != nil else {
        throw .invalid("\(name).role", "'\(name).role' must be a text such as 'user'.")
      }
      lastContent = ""
      switch message["content"] {
      case nil, .null: break
      case .string(let text): lastContent = text
      case .array(let parts):
        lastContent = try Self.joined(parts, "\(name).content")
        guard places.indices.contains(index),
          let place = raw.member("content", of: places[index])
        else { continue }
        json += raw.bytes[taken..<place.lowerBound]
        json += JSONText.quoted(lastContent).utf8
        taken = place.upperBound
      case .some(let other):
        throw .invalid(
          "\(name).content",
          "'\(name).content' must be a text or a list of parts, not \(other.kind).")
      }
    }
    json += raw.bytes[taken...]
  }

  /// Parts of text become lines, as vLLM joins them.
  private static func joined(_ parts: [JSONValue], _ name: String) throws(APIError) -> String {
    var texts: [String] = []
    for (index, part) in parts.enumerated() {
      guard part["type"]?.text == "text", let text = part["text"]?.text else {
        throw .invalid(
          "\(name)[\(index)]",
          "'\(name)[\(index)]' must be a part of type 'text' with a 'text': this model reads "
            + "nothing else.")
      }
      texts.append(text)
    }
    return texts.joined(separator: "\n")
  }
}
