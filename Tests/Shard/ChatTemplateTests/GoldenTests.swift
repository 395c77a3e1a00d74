import Testing

@testable import ChatTemplate

/// Against what jinja2 rendered, set up by transformers: see `Goldens/make.py`.
@Suite struct GoldenTests {
  // A filter, a scope or a space that differs from jinja2 shows here, each in a template of its own.
  @Test func snippetsRenderAsInJinja() throws {
    let golden = try OrderedJSON(contents(of: goldens + "/snippets.json"))
    let variables = golden["variables"]?.members ?? []
    let snippets = golden["snippets"]?.elements ?? []
    #expect(snippets.count > 400)
    for snippet in snippets {
      let template = try #require(snippet["template"]?.text)
      var input = try ChatInput(
        messagesJSON: Array("[]".utf8), bosToken: "<s>", eosToken: "</s>", now: now)
      input.extra = variables
      expect(outcome(template, input), equals: snippet, "\(template.debugDescription)")
    }
  }

  // A model is only as good as its prompt is exact: one newline more, and it answers worse.
  @Test func conversationsRenderAsInJinja() throws {
    let golden = try OrderedJSON(contents(of: goldens + "/templates.json"))
    let renders = golden["renders"]?.elements ?? []
    #expect(renders.count > 150)
    var sources: [String: String] = [:]
    for render in renders {
      let name = try #require(render["template"]?.text)
      let chat = try #require(render["chat"]?.text)
      let request = try #require(golden["requests"]?[chat])
      if sources[name] == nil {
        let path = "\(goldens)/Templates/\(name).jinja"
        sources[name] = String(decoding: try contents(of: path), as: UTF8.self)
      }
      var input = try ChatInput(
        messages: try #require(request["messages"]), tools: request["tools"],
        addGenerationPrompt: request["add_generation_prompt"] == nil, bosToken: "<s>",
        eosToken: "</s>", now: now)
      input.extra = request["chat_template_kwargs"]?.members ?? []
      expect(outcome(sources[name] ?? "", input), equals: render, "\(name): \(chat)")
    }
  }

  /// The same text, or a complaint where jinja2 complains. Messages of Python are not compared.
  private func expect(
    _ outcome: Outcome, equals golden: OrderedJSON, _ name: Comment
  ) {
    guard let text = golden["output"]?.text else {
      guard case .complaint(let kind, let message) = outcome else {
        Issue.record("\(name) should fail: \(golden["message"]?.text ?? "")")
        return
      }
      let isRaised = golden["error"]?.text == "raised"
      #expect((kind == .raisedByTemplate) == isRaised, name)
      if isRaised { #expect(message == golden["message"]?.text, name) }
      return
    }
    #expect(outcome == .text(text), name)
  }
}
