import Generation
import JSON
import WorkerAPI

/// The fields that chats and completions share.
extension Preparation {
  func common(
    _ fields: Fields, _ kind: TextRequest.Kind, _ model: String
  ) throws(APIError) -> TextRequest {
    try refuseUnsupported(fields)
    var request = TextRequest(kind: kind, model: model)
    request.choices = try fields.integer("n", 1...settings.choiceLimit) ?? 1
    request.sampling = try sampling(fields)
    if let seed = try fields.integer("seed", .min ... .max) {
      request.sampling.seed = UInt64(bitPattern: Int64(seed))
      request.hasSeed = true
    }
    request.maxTokens = try fields.integer("max_completion_tokens", 1 ... .max)
    if request.maxTokens == nil { request.maxTokens = try fields.integer("max_tokens", 1 ... .max) }
    if request.maxTokens == nil { request.maxTokens = card.defaults.maxNewTokens }
    request.minTokens = try fields.integer("min_tokens", 0...max(0, bounds.context)) ?? 0
    if let most = request.maxTokens, request.minTokens > most {
      throw .invalid(
        "min_tokens", "'min_tokens' is \(request.minTokens), more than the most tokens, \(most).")
    }
    request.priority = try fields.integer("priority", -0x8000_0000...0x7fff_ffff) ?? 0
    request.isStreamed = try fields.flag("stream") ?? false
    request.skipsSpecial = try fields.flag("skip_special_tokens") ?? true
    request.includesUsage = try includesUsage(fields, isStreamed: request.isStreamed)
    try stops(fields, into: &request)
    return request
  }

  /// Fields whose effect a client counts on, and which would be silently missing.
  private func refuseUnsupported(_ fields: Fields) throws(APIError) {
    let unsupported = [
      "audio", "functions", "guided_choice", "guided_grammar", "guided_json", "guided_regex",
      "prompt_embeds", "prompt_logprobs", "structured_outputs",
    ]
    for name in unsupported where fields[name] != nil {
      throw .invalid(name, "'\(name)' is not supported by this worker; leave it out.")
    }
    if try fields.flag("use_beam_search") == true {
      throw .invalid("use_beam_search", "'use_beam_search' is not supported; leave it out.")
    }
    guard let format = fields["response_format"] else { return }
    guard let type = format["type"]?.text else {
      throw .invalid("response_format", "'response_format' must be an object with a 'type'.")
    }
    guard type == "text" else {
      throw .invalid(
        "response_format",
        "'response_format' may only be of type 'text': this worker cannot enforce a shape; "
          + "ask for it in the messages.")
    }
  }

  private func sampling(_ fields: Fields) throws(APIError) -> SamplingParameters {
    let defaults = card.defaults
    var sampling = SamplingParameters()
    sampling.temperature = try fields.number("temperature", 0...2) ?? defaults.temperature ?? 1
    sampling.topP = try fields.number("top_p", 0...1) ?? defaults.topP ?? 1
    sampling.minP = try fields.number("min_p", 0...1) ?? defaults.minP ?? 0
    // vLLM writes "all" as -1 too.
    let topK = try fields.integer("top_k", -1...0x7fff_ffff) ?? defaults.topK ?? 0
    sampling.topK = max(0, topK)
    sampling.presencePenalty = try fields.number("presence_penalty", -2...2) ?? 0
    sampling.frequencyPenalty = try fields.number("frequency_penalty", -2...2) ?? 0
    sampling.repetitionPenalty =
      try fields.number("repetition_penalty", 0.01...100) ?? defaults.repetitionPenalty ?? 1
    sampling.logitBias = try logitBias(fields)
    return sampling
  }

  private func logitBias(_ fields: Fields) throws(APIError) -> [SamplingParameters.LogitBias] {
    let name = "logit_bias"
    guard let value = fields[name] else { return [] }
    guard case .object(let members) = value else {
      throw .invalid(name, "'\(name)' must be an object of token ids, not \(value.kind).")
    }
    guard members.count <= settings.biasLimit else {
      throw .invalid(
        name, "'\(name)' has \(members.count) members; at most \(settings.biasLimit) are taken.")
    }
    var biases: [SamplingParameters.LogitBias] = []
    for (key, value) in members {
      guard let token = Int32(key), isToken(Int(token)) else {
        throw .invalid(
          name,
          "'\(name)' names the token '\(key.prefix(40))'; ids of this model are whole numbers "
            + "from 0 to \(text.vocabularySize - 1).")
      }
      guard let bias = value.number, (-100...100).contains(bias) else {
        throw .invalid(
          name, "'\(name)' of token \(token) must be a number from -100 to 100, not \(value.shown)."
        )
      }
      biases.append(SamplingParameters.LogitBias(token: token, bias: Float(bias)))
    }
    // The order of a dictionary differs from run to run.
    return biases.sorted { $0.token < $1.token }
  }

  func isToken(_ id: Int) -> Bool { id >= 0 && id < text.vocabularySize }

  private func includesUsage(_ fields: Fields, isStreamed: Bool) throws(APIError) -> Bool {
    let name = "stream_options"
    guard let options = fields[name] else { return false }
    guard case .object = options else {
      throw .invalid(name, "'\(name)' must be an object, not \(options.kind).")
    }
    guard isStreamed else {
      throw .invalid(name, "'\(name)' is only for streams; set 'stream' to true or leave it out.")
    }
    guard let value = options["include_usage"], value != .null else { return false }
    guard let flag = value.flag else {
      throw .invalid(
        "stream_options.include_usage",
        "'stream_options.include_usage' must be true or false, not \(value.kind).")
    }
    return flag
  }

  /// What ends the text: strings, the client's tokens, the model's own.
  private func stops(_ fields: Fields, into request: inout TextRequest) throws(APIError) {
    request.stops = try stopStrings(fields)
    request.includesStop = try fields.flag("include_stop_str_in_output") ?? false
    let ignoresEnd = try fields.flag("ignore_eos") ?? false
    request.endTokens = ignoresEnd ? [] : text.endTokens
    for token in try tokens(fields["stop_token_ids"], "stop_token_ids", settings.stopTokenLimit)
    where !request.endTokens.contains(token) {
      request.endTokens.append(token)
    }
  }

  private func stopStrings(_ fields: Fields) throws(APIError) -> [String] {
    guard let value = fields["stop"] else { return [] }
    let list = value.elements ?? [value]
    guard list.count <= settings.stopLimit else {
      throw .invalid(
        "stop", "'stop' has \(list.count) strings; at most \(settings.stopLimit) are taken.")
    }
    var stops: [String] = []
    for element in list {
      guard let stop = element.text else {
        throw .invalid("stop", "'stop' must be a text or a list of texts, not \(element.kind).")
      }
      guard (1...settings.stopBytes).contains(stop.utf8.count) else {
        throw .invalid(
          "stop",
          "'stop' has a string of \(stop.utf8.count) bytes; each must have 1 to "
            + "\(settings.stopBytes).")
      }
      if !stops.contains(stop) { stops.append(stop) }
    }
    return stops
  }

  /// A list of token ids; empty where there is none.
  func tokens(
    _ value: JSONValue?, _ name: String, _ limit: Int = .max
  ) throws(APIError) -> [Int32] {
    guard let value else { return [] }
    guard let elements = value.elements else {
      throw .invalid(name, "'\(name)' must be a list of token ids, not \(value.kind).")
    }
    guard elements.count <= limit else {
      throw .invalid(name, "'\(name)' has \(elements.count) tokens; at most \(limit) are taken.")
    }
    var tokens: [Int32] = []
    tokens.reserveCapacity(elements.count)
    for element in elements {
      guard let id = element.integer, isToken(id) else {
        throw .invalid(
          name,
          "'\(name)' holds \(element.shown); token ids of this model are whole numbers from 0 to "
            + "\(text.vocabularySize - 1).")
      }
      tokens.append(Int32(id))
    }
    return tokens
  }
}
