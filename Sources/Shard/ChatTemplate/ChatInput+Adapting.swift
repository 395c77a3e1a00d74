/// Changes to the messages, for templates that expect them.
extension ChatInput {
  /// Tool calls' `arguments` that are a text of JSON become what the text says: templates expect
  /// objects, while OpenAI's API sends texts. What is no JSON stays a text.
  package mutating func parseToolArguments() {
    changeMembers(named: "tool_calls") { value in
      guard case .array(let calls) = value else { return value }
      return .array(calls.map(Self.withParsedArguments))
    }
  }

  private static func withParsedArguments(_ call: OrderedJSON) -> OrderedJSON {
    guard case .object(var members) = call else { return call }
    for place in members.indices {
      if members[place].name.elementsEqual("function".utf8) {
        members[place].value = withParsedArguments(members[place].value)
      } else if members[place].name.elementsEqual("arguments".utf8),
        case .string(let text) = members[place].value,
        let parsed = try? OrderedJSON(text), case .object = parsed
      {
        members[place].value = parsed
      }
    }
    return .object(members)
  }

  /// Content that is a list of texts becomes one text, with newlines between, as in vLLM. A list
  /// with anything else in it (an image) stays.
  package mutating func joinTextParts() {
    changeMembers(named: "content") { value in
      guard case .array(let parts) = value else { return value }
      var texts: [[UInt8]] = []
      for part in parts {
        guard part["type"] == .string("text"), case .string(let text)? = part["text"] else {
          return value
        }
        texts.append(text)
      }
      return .string(Array(texts.joined(separator: "\n".utf8)))
    }
  }

  /// A message without content gets one that is none.
  mutating func restoreNullContent() {
    changeMessages { members in
      if !members.contains(where: { $0.name.elementsEqual("content".utf8) }) {
        members.append(OrderedJSON.Member("content", .null))
      }
    }
  }

  private mutating func changeMembers(
    named name: String, _ change: (OrderedJSON) -> OrderedJSON
  ) {
    changeMessages { members in
      for place in members.indices where members[place].name.elementsEqual(name.utf8) {
        members[place].value = change(members[place].value)
      }
    }
  }

  private mutating func changeMessages(_ change: (inout [OrderedJSON.Member]) -> Void) {
    guard case .array(var elements) = messages else { return }
    for place in elements.indices {
      guard case .object(var members) = elements[place] else { continue }
      change(&members)
      elements[place] = .object(members)
    }
    messages = .array(elements)
  }
}
