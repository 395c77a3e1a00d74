import JSON
import WorkerAPI

/// Completions: prompts as they are.
extension Preparation {
  func completion(_ fields: Fields, _ model: String) throws(APIError) -> TextRequest {
    var request = try common(fields, .completion, model)
    request.sampling.logprobs = try fields.integer("logprobs", 0...20)
    if let suffix = try fields.text("suffix"), !suffix.isEmpty {
      throw .invalid("suffix", "'suffix' is not supported: this model writes forwards only.")
    }
    if let best = try fields.integer("best_of", 1 ... .max), best != request.choices {
      throw .invalid(
        "best_of", "'best_of' is not supported; leave it out, or make it equal to 'n'.")
    }
    let echoes = try fields.flag("echo") ?? false
    if echoes, request.sampling.logprobs != nil {
      throw .invalid(
        "logprobs",
        "'logprobs' together with 'echo' is not supported: prompts have no log probabilities here.")
    }
    let prompts = try prompts(fields)
    let (count, overflow) = prompts.count.multipliedReportingOverflow(by: request.choices)
    guard !overflow, count <= settings.choiceLimit else {
      throw .invalid(
        "prompt",
        "\(prompts.count) prompts times n = \(request.choices) are more texts than the "
          + "\(settings.choiceLimit) that one request may ask for.")
    }
    let addSpecial = try fields.flag("add_special_tokens") ?? true
    for prompt in prompts {
      let encoded: TextRequest.Prompt
      switch prompt {
      case .text(let string):
        let pieces = [TextPiece(string, isTrusted: true)]
        try bounds.check(pieces, param: "prompt")
        encoded = TextRequest.Prompt(
          tokens: text.encode(pieces, addSpecial: addSpecial), echo: echoes ? string : "")
      case .tokens(let tokens):
        encoded = TextRequest.Prompt(
          tokens: tokens, echo: echoes ? decoded(tokens, skipsSpecial: request.skipsSpecial) : "")
      }
      try bounds.check(encoded.tokens.count, param: "prompt")
      request.prompts.append(encoded)
    }
    return request
  }

  private enum RawPrompt {
    case text(String)
    case tokens([Int32])
  }

  /// A text, a list of texts, a list of tokens, or a list of lists of tokens.
  private func prompts(_ fields: Fields) throws(APIError) -> [RawPrompt] {
    switch fields["prompt"] {
    case nil: throw .invalid("prompt", "'prompt' is missing.")
    case .string(let string): return [.text(string)]
    case .array(let elements) where !elements.isEmpty:
      if case .number = elements[0] { return [.tokens(try tokens(fields["prompt"], "prompt"))] }
      guard elements.count <= settings.choiceLimit else {
        throw .invalid(
          "prompt",
          "'prompt' has \(elements.count) prompts; one request may ask for at most "
            + "\(settings.choiceLimit) texts.")
      }
      var prompts: [RawPrompt] = []
      for (index, element) in elements.enumerated() {
        switch element {
        case .string(let string): prompts.append(.text(string))
        case .array: prompts.append(.tokens(try tokens(element, "prompt[\(index)]")))
        case .null, .bool, .number, .object:
          throw .invalid(
            "prompt[\(index)]",
            "'prompt[\(index)]' must be a text or a list of token ids, not \(element.kind).")
        }
      }
      return prompts
    case .some(let other):
      throw .invalid(
        "prompt",
        "'prompt' must be a text, a list of texts, or a list of token ids, not "
          + (other == .array([]) ? "an empty list." : "\(other.kind)."))
    }
  }

  func decoded(_ tokens: [Int32], skipsSpecial: Bool) -> String {
    var stream = text.makeTextStream(skipsSpecial: skipsSpecial)
    var decoded = ""
    for token in tokens { decoded += stream.append(token) }
    return decoded + stream.finish()
  }

  // MARK: Tokens alone, in vLLM's shapes

  func tokenize(_ fields: Fields, _ raw: RawBody) throws(APIError) -> [UInt8] {
    let tokens: [Int32]
    if fields["messages"] != nil {
      tokens = text.encode(
        try rendered(fields, raw), addSpecial: try fields.flag("add_special_tokens") ?? false)
    } else {
      guard let prompt = try fields.text("prompt") else {
        throw .invalid("prompt", "'prompt' or 'messages' must be there.")
      }
      tokens = text.encode(
        [TextPiece(prompt, isTrusted: true)],
        addSpecial: try fields.flag("add_special_tokens") ?? true)
    }
    let wantsTexts = try fields.flag("return_token_strs") ?? false
    var json = JSONText(capacity: 64 + tokens.count * 6)
    json.object {
      $0.put("count", tokens.count)
      $0.put("max_model_len", bounds.context)
      $0.array("tokens") { for token in tokens { $0.value(Int(token)) } }
      if wantsTexts {
        $0.array("token_strs") { for token in tokens { $0.value(text.shownText(of: token)) } }
      } else {
        $0.put("token_strs", nil as String?)
      }
    }
    return json.bytes
  }

  func detokenize(_ fields: Fields) throws(APIError) -> [UInt8] {
    guard let list = fields["tokens"] else {
      throw .invalid("tokens", "'tokens' must be a list of token ids.")
    }
    let tokens = try tokens(list, "tokens")
    var json = JSONText(capacity: 64 + tokens.count * 6)
    json.object { $0.put("prompt", decoded(tokens, skipsSpecial: false)) }
    return json.bytes
  }
}
