import JSON

/// What a template renders: the conversation, and what belongs to it.
///
/// Every text in it is the client's and stays marked as such, but for the names of roles.
package struct ChatInput: Sendable {
  /// An array of objects.
  package internal(set) var messages: OrderedJSON
  /// An array; nil for none, which templates see as `none`.
  package var tools: OrderedJSON?
  package var documents: OrderedJSON?
  /// `chat_template_kwargs`: further variables, such as `enable_thinking`.
  package var extra: [OrderedJSON.Member] = []
  package var addGenerationPrompt: Bool
  /// Nil for a tokenizer without one: then the variable is undefined.
  package var bosToken: String?
  package var eosToken: String?
  /// For `strftime_now`; nil leaves the function undefined, which templates allow for.
  package var now: WallTime?

  /// Roles are the template's business, not a text of the client's: some templates build a special
  /// token of them (`'<|' + role + '|>'`). Only these names are trusted so.
  private static let roles: Set<[UInt8]> = Set(
    [
      "system", "user", "assistant", "tool", "developer", "function", "model", "ipython",
      "observation", "environment", "tool_response", "tool_call",
    ].map { Array($0.utf8) })

  /// From the bytes of the arrays as the client wrote them. Members keep their order.
  package init(
    messagesJSON: [UInt8], toolsJSON: [UInt8]? = nil, addGenerationPrompt: Bool = true,
    bosToken: String? = nil, eosToken: String? = nil, extra: [String: JSONValue] = [:],
    now: WallTime? = nil
  ) throws(TemplateComplaint) {
    var tools: OrderedJSON?
    if let toolsJSON { tools = try OrderedJSON(toolsJSON) }
    try self.init(
      messages: try OrderedJSON(messagesJSON), tools: tools,
      addGenerationPrompt: addGenerationPrompt, bosToken: bosToken, eosToken: eosToken, now: now)
    // An order of names, for the same text each time.
    for (name, value) in extra.sorted(by: { $0.key < $1.key }) {
      self.extra.append(OrderedJSON.Member(name, OrderedJSON(value)))
    }
  }

  /// From the body of a request for a chat completion: `messages`, `tools`, `documents`,
  /// `chat_template_kwargs` and `add_generation_prompt` as they stand there.
  package init(
    requestJSON body: [UInt8], bosToken: String? = nil, eosToken: String? = nil,
    now: WallTime? = nil
  ) throws(TemplateComplaint) {
    let body = try OrderedJSON(body)
    guard let messages = body["messages"] else {
      throw TemplateComplaint(.input, "'messages' is missing")
    }
    var addGenerationPrompt = true
    if case .bool(let flag)? = body["add_generation_prompt"] { addGenerationPrompt = flag }
    try self.init(
      messages: messages, tools: body["tools"], addGenerationPrompt: addGenerationPrompt,
      bosToken: bosToken, eosToken: eosToken, now: now)
    documents = body["documents"]
    switch body["chat_template_kwargs"] {
    case nil, .null?: break
    case .object(let members)?: extra = members
    case .some: throw TemplateComplaint(.input, "'chat_template_kwargs' must be an object")
    }
  }

  package init(
    messages: OrderedJSON, tools: OrderedJSON? = nil, addGenerationPrompt: Bool = true,
    bosToken: String? = nil, eosToken: String? = nil, now: WallTime? = nil
  ) throws(TemplateComplaint) {
    guard case .array(let elements) = messages else {
      throw TemplateComplaint(.input, "'messages' must be an array")
    }
    var normal: [OrderedJSON] = []
    for (place, message) in elements.enumerated() {
      guard case .object(let members) = message else {
        throw TemplateComplaint(.input, "messages[\(place)] must be an object")
      }
      normal.append(.object(Self.normalized(members)))
    }
    self.messages = .array(normal)
    switch tools {
    case nil, .null?: break
    case .array(let elements)?: if !elements.isEmpty { self.tools = tools }
    case .some: throw TemplateComplaint(.input, "'tools' must be an array")
    }
    self.addGenerationPrompt = addGenerationPrompt
    self.bosToken = bosToken
    self.eosToken = eosToken
    self.now = now
  }

  /// As `transformers` prepares a message: members that are null are as if not there, and reasoning
  /// is found under each of the names that templates look for.
  private static func normalized(_ members: [OrderedJSON.Member]) -> [OrderedJSON.Member] {
    var normal = members.filter { $0.value != .null }
    func place(_ name: String) -> Int? {
      normal.firstIndex { $0.name.elementsEqual(name.utf8) }
    }
    let names = ["reasoning_content", "thinking", "reasoning"]
    guard let found = names.lazy.compactMap(place).first else { return normal }
    let reasoning = normal[found].value
    if let place = place("reasoning_content") {
      normal[place].value = reasoning
    } else {
      normal.append(OrderedJSON.Member("reasoning_content", reasoning))
    }
    // The first member, whatever its place was.
    let thinking = place("thinking").map { normal.remove(at: $0).value } ?? reasoning
    normal.insert(OrderedJSON.Member("thinking", thinking), at: 0)
    return normal
  }

  // MARK: As variables

  /// The messages as values, with trusted roles.
  var messageValues: Value {
    guard case .array(let elements) = messages else { return .none }
    return .list(
      Items(
        elements.map { message in
          guard case .dict(var dict) = message.value() else { return .none }
          if case .text(let role)? = dict["role"], Self.roles.contains(role.bytes) {
            let name = MarkedText("role")
            dict.set(.text(name.bytes), .text(name), to: .text(MarkedText(role.string)))
          }
          return .dict(dict)
        }))
  }
}

extension OrderedJSON {
  /// Members in the order of their names.
  package init(_ value: JSONValue) {
    switch value {
    case .null: self = .null
    case .bool(let flag): self = .bool(flag)
    case .number(let number): self = Int(exactly: number).map { .int($0) } ?? .float(number)
    case .string(let text): self = .string(text)
    case .array(let elements): self = .array(elements.map { OrderedJSON($0) })
    case .object(let members):
      self = .object(
        members.sorted { $0.key < $1.key }.map { Member($0.key, OrderedJSON($0.value)) })
    }
  }
}
