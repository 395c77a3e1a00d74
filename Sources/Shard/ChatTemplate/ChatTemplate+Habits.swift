/// What a template expects of messages, where OpenAI's API and model makers differ.
///
/// Nothing in a template says so: a few short conversations are rendered to find out.
package struct TemplateHabits: Sendable, Equatable {
  /// Content that is a list of parts is walked through. Otherwise a list would be printed as
  /// Python prints it.
  package let readsParts: Bool
  /// Tool calls' arguments are taken as the text that the API sends. Otherwise they are an object.
  package let readsArgumentsAsText: Bool
  /// A message of tool calls has content that is none. Otherwise it has no content at all, as
  /// `transformers` hands it over.
  package let readsNullContent: Bool
}

extension ChatTemplate {
  /// Found out by rendering: keep it.
  package func habits() -> TemplateHabits {
    let parts = probe(
      #"[{"role": "user", "content": [{"type": "text", "text": "needle"}]}]"#)
    // With quotes around it, the list was printed or written as JSON.
    let readsParts = parts.map { !$0.contains("'needle'") && !$0.contains("\"needle\"") } ?? false
    let object = #"{"a": "needle"}"#
    let text = #""{\"a\": \"needle\"}""#
    let readsText = probe(call(object)) == nil && probe(call(text)) != nil
    let arguments = readsText ? text : object
    return TemplateHabits(
      readsParts: readsParts, readsArgumentsAsText: readsText,
      readsNullContent: probe(call(arguments, hasContent: false)) == nil
        && probe(call(arguments, hasContent: false), keepsNull: true) != nil)
  }

  private func call(_ arguments: String, hasContent: Bool = true) -> String {
    let content = hasContent ? #""content": "", "# : ""
    return """
      [{"role": "user", "content": "x"}, {"role": "assistant", \(content)"tool_calls": [{"id":
      "call00001", "type": "function", "function": {"name": "f", "arguments": \(arguments)}}]},
      {"role": "tool", "tool_call_id": "call00001", "name": "f", "content": "y"}]
      """
  }

  /// What comes out, if the needle is in it.
  private func probe(_ messages: String, keepsNull: Bool = false) -> String? {
    let tools =
      #"[{"type": "function", "function": {"name": "f", "description": "", "#
      + #""parameters": {"type": "object", "properties": {}}}}]"#
    guard
      var input = try? ChatInput(
        messagesJSON: Array(messages.utf8), toolsJSON: Array(tools.utf8), bosToken: "",
        eosToken: "", now: WallTime(year: 2000, month: 1, day: 1))
    else { return nil }
    if keepsNull { input.restoreNullContent() }
    guard let pieces = try? render(input) else { return nil }
    let text = pieces.map(\.text).joined()
    return text.contains("needle") ? text : nil
  }
}

extension ChatInput {
  /// Changes the messages to what the template expects.
  package mutating func adapt(to habits: TemplateHabits) {
    if !habits.readsArgumentsAsText { parseToolArguments() }
    if !habits.readsParts { joinTextParts() }
    if habits.readsNullContent { restoreNullContent() }
  }
}
