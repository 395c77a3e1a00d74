import JSON
import Testing

@testable import ChatTemplate

/// From a request to what a template sees.
@Suite struct ChatInputTests {
  private func rendered(_ template: String, _ request: String) -> Outcome {
    do throws(TemplateComplaint) {
      let input = try ChatInput(requestJSON: Array(request.utf8), eosToken: "</s>", now: now)
      return outcome(template, input)
    } catch {
      return .complaint(error.kind, error.description)
    }
  }

  // Models were trained on tools as they were written: sorted members are another prompt.
  @Test func membersKeepTheirOrderAndNumbersTheirDigits() {
    let request = """
      {"messages": [], "tools": [{"z": 1, "a": {"y": 1.0, "b": 18446744073709551615},
       "m": 1e2, "é": "\\u00e9\\ud83c\\udf89\\/", "z": 2}]}
      """
    #expect(
      rendered("{{ tools|tojson }}", request)
        == .text(
          #"[{"z": 2, "a": {"y": 1.0, "b": 18446744073709551615}, "m": 100.0, "é": "é🎉/"}]"#))
  }

  // As transformers does: a null member is no member, and reasoning has three names.
  @Test func messagesAreNormalized() {
    let template = "{{ messages|tojson }}"
    #expect(
      rendered(
        template, #"{"messages": [{"role": "assistant", "content": null, "tool_calls": null}]}"#)
        == .text(#"[{"role": "assistant"}]"#))
    #expect(
      rendered(
        template, #"{"messages": [{"role": "assistant", "reasoning": "r", "content": "c"}]}"#)
        == .text(
          #"[{"thinking": "r", "role": "assistant", "reasoning": "r", "content": "c", "#
            + #""reasoning_content": "r"}]"#))
    #expect(
      rendered(
        template, #"{"messages": [{"reasoning_content": "a", "x": 1, "thinking": "b"}]}"#)
        == .text(#"[{"thinking": "b", "reasoning_content": "a", "x": 1}]"#))
  }

  @Test func variablesOfTheRequestAreSeen() {
    let template =
      "{{ a }} {{ enable_thinking }} {{ tools }} {{ documents|tojson }} {{ x is defined }}"
      + " {{ add_generation_prompt }} {{ eos_token }} {{ bos_token is defined }}"
    let request = """
      {"messages": [], "tools": [], "documents": [{"title": "t"}], "add_generation_prompt": false,
       "chat_template_kwargs": {"enable_thinking": false, "a": [1]}}
      """
    #expect(
      rendered(template, request)
        == .text("[1] False None [{\"title\": \"t\"}] False False </s> False"))
  }

  @Test func brokenRequestsAreRefused() {
    for (request, message) in [
      ("", "not JSON at byte 0: the text ends where a value should begin"),
      ("{}", "'messages' is missing"),
      (#"{"messages": {}}"#, "'messages' must be an array"),
      (#"{"messages": [{}, 5]}"#, "messages[1] must be an object"),
      (#"{"messages": [], "tools": 5}"#, "'tools' must be an array"),
      (
        #"{"messages": [], "chat_template_kwargs": []}"#, "'chat_template_kwargs' must be an object"
      ),
      (#"{"messages": [}"#, "not JSON at byte 14: a value cannot begin like this"),
      (#"{"messages": []} x"#, "not JSON at byte 17: text after the value"),
      (#"{"messages": [1e999]}"#, "not JSON at byte 19: the number is out of range"),
      (#"{"a" 1}"#, "not JSON at byte 5: expected ':'"),
      (#"{"a": "\x"}"#, "not JSON at byte 8: unknown escape"),
      ("{\"a\": \"\n\"}", "not JSON at byte 7: a control character within a string"),
      (String(repeating: "[", count: 500), "not JSON at byte 100: nested more than 100 deep"),
    ] {
      #expect(rendered("", request) == .complaint(.input, message), "\(request)")
    }
  }

  // Half of a pair and bytes that are no UTF-8 come from broken clients every day.
  @Test func whatIsNoCharacterBecomesAReplacement() throws {
    let bytes: [UInt8] =
      Array(#"["\ud800", "\ud800\ud800x", "a"#.utf8) + [0xff] + Array(#"b"]"#.utf8)
    let json = try OrderedJSON(bytes)
    #expect(json.elements.map(\.text) == ["\u{fffd}", "\u{fffd}\u{fffd}x", "a\u{fffd}b"])
  }

  // OpenAI's API has arguments as a text, templates write them out as an object.
  @Test func argumentsOfToolCallsCanBeParsed() throws {
    let request = """
      {"messages": [{"role": "assistant", "tool_calls": [
        {"function": {"name": "f", "arguments": "{\\"b\\": 1, \\"a\\": [2]}"}},
        {"function": {"name": "g", "arguments": "not json"}}, 5]}]}
      """
    var input = try ChatInput(requestJSON: Array(request.utf8))
    input.parseToolArguments()
    #expect(
      outcome("{{ messages[0].tool_calls|tojson }}", input)
        == .text(
          #"[{"function": {"name": "f", "arguments": {"b": 1, "a": [2]}}}, "#
            + #"{"function": {"name": "g", "arguments": "not json"}}, 5]"#))
  }

  // What a template cannot read is an error for each client that sends it: parts of content, the
  // arguments of a call as a text, content that is null.
  @Test func habitsAreFoundOut() throws {
    func habits(_ template: String) throws -> [Bool] {
      let habits = try ChatTemplate(template).habits()
      return [habits.readsParts, habits.readsArgumentsAsText, habits.readsNullContent]
    }
    func real(_ name: String) throws -> String {
      String(decoding: try contents(of: "\(goldens)/Templates/\(name).jinja"), as: UTF8.self)
    }
    #expect(try habits(real("ChatML")) == [false, false, false])
    #expect(try habits(real("Qwen-Qwen3-0.6B")) == [false, false, false])
    // It asks `message['content'] is not none`, and then adds it to a text.
    #expect(
      try habits(real("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B")) == [false, false, true])
    let loop = "{% for m in messages %}"
    #expect(
      try habits(
        loop + "{% for c in m.tool_calls %}{{ 'x' + c.function.arguments }}{% endfor %}"
          + "{% endfor %}") == [false, true, false])
    #expect(
      try habits(
        loop + "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
          + "{{ p.text }}{% endfor %}{% endif %}{% endfor %}") == [true, false, false])
  }

  @Test func partsOfTextAreJoined() throws {
    let request = """
      {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"},
        {"type": "text", "text": "b"}]}, {"content": [{"type": "image_url"}]}, {"content": "c"}, {}]}
      """
    var input = try ChatInput(requestJSON: Array(request.utf8))
    input.adapt(
      to: TemplateHabits(
        readsParts: false, readsArgumentsAsText: false, readsNullContent: true))
    #expect(
      outcome("{{ messages|map(attribute='content')|list|tojson }}", input)
        == .text(#"["a\nb", [{"type": "image_url"}], "c", null]"#))
  }

  @Test func valuesOfJSONCanBeGiven() throws {
    let input = try ChatInput(
      messagesJSON: Array("[]".utf8), toolsJSON: Array(#"[{"b": 1, "a": 2}]"#.utf8),
      addGenerationPrompt: false,
      extra: ["on": .bool(true), "n": .number(3), "x": .array([.null, .string("s")])])
    #expect(
      outcome("{{ on }} {{ n }} {{ x }} {{ tools }} {{ add_generation_prompt }}", input)
        == .text("True 3 [None, 's'] [{'b': 1, 'a': 2}] False"))
  }

  // What a client is told, and what an operator is told.
  @Test func complaintsSayWhoseTheyAre() {
    func complaint(_ template: String) -> String {
      do {
        let input = try ChatInput(messagesJSON: Array("[]".utf8))
        _ = try ChatTemplate(template).render(input)
        return ""
      } catch { return "\(error)" }
    }
    #expect(complaint("\n{{ raise_exception('Only text') }}") == "Only text")
    #expect(complaint("a\n\n{{ x.y }}") == "chat template, line 3: 'x' is undefined")
    #expect(complaint("\n{% nope %}") == "chat template, line 2: unknown tag 'nope'")
    #expect(complaint("{{ 1|urlize }}") == "chat template, line 1: the filter 'urlize'")
    #expect(
      complaint("{% include 'x' %}")
        == "chat template, line 1: the tag 'include': a chat template stands alone")
    #expect(complaint("{{ 'a'.encode() }}") == "chat template, line 1: the method 'encode' of str")
  }

  @Test func timesAreCivil() {
    for (seconds, text) in [
      (0, "Thu 1970-01-01 00:00:00 001"), (951_782_400, "Tue 2000-02-29 00:00:00 060"),
      (1_783_156_203, "Sat 2026-07-04 09:10:03 185"), (-1, "Wed 1969-12-31 23:59:59 365"),
      (4_102_444_799, "Thu 2099-12-31 23:59:59 365"),
    ] {
      let time = WallTime(secondsSince1970: seconds)
      #expect(time.formatted(MarkedText("%a %Y-%m-%d %H:%M:%S %j")).string == text)
    }
    #expect(
      now.formatted(MarkedText("%-d|%e|%q|%|%-q|%5|é%")).string == "4| 4|%q|%|%-q|%5|é%")
  }
}
