import Generation
import JSON
import TestClient
import Testing

@testable import WorkerServer

/// Refusals, word for word: programs read `param` and `code`, people read the sentence.
@Suite struct SentenceTests {
  private static func error(
    _ message: String, _ param: String?, code: String? = nil, type: String = "invalid_request_error"
  ) -> String {
    func quoted(_ text: String?) -> String { text.map { "\"\($0)\"" } ?? "null" }
    return #"{"error":{"message":"\#(message)","type":"\#(type)","param":\#(quoted(param)),"#
      + #""code":\#(quoted(code))}}"#
  }

  private func expect(
    _ bench: Bench, _ path: String, _ body: String, status: Int = 400, _ error: String
  ) throws {
    let response = try bench.ask("POST", path, body)
    #expect(response.status == status && response.body == error, "\(response.body)")
    #expect(response["Content-Type"] == "application/json")
    #expect(bench.onLoop { engine, _ in engine.submitted.isEmpty })
  }

  // What is wrong with a chat, and which member of which message.
  @Test(arguments: [
    (#""messages":[]"#, "'messages' must be a list with at least one message.", "messages"),
    (#""messages":"x""#, "'messages' must be a list with at least one message.", "messages"),
    (#""messages":[1]"#, "'messages[0]' must be an object, not a number.", "messages[0]"),
    (
      #""messages":[{"role":"user","content":"x"},{"content":"x"}]"#,
      "'messages[1].role' must be a text such as 'user'.", "messages[1].role"
    ),
    (
      #""messages":[{"role":"user","content":3}]"#,
      "'messages[0].content' must be a text or a list of parts, not a number.",
      "messages[0].content"
    ),
    (
      #""messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]"#,
      "'messages[0].content[0]' must be a part of type 'text' with a 'text': this model reads "
        + "nothing else.", "messages[0].content[0]"
    ),
  ]) func messages(members: String, message: String, param: String) throws {
    try expect(
      try Bench(), "/v1/chat/completions", "{\(members)}", Self.error(message, param))
  }

  @Test(arguments: [
    (#""top_logprobs":2"#, "'top_logprobs' needs 'logprobs' to be true.", "top_logprobs"),
    (
      #""logprobs":true,"top_logprobs":21"#,
      "'top_logprobs' must be a whole number from 0 to 20, not 21.", "top_logprobs"
    ),
    (#""logprobs":1"#, "'logprobs' must be true or false, not a number.", "logprobs"),
    (
      #""response_format":{"type":"json_object"}"#,
      "'response_format' may only be of type 'text': this worker cannot enforce a shape; ask for "
        + "it in the messages.", "response_format"
    ),
    (
      #""response_format":"json""#, "'response_format' must be an object with a 'type'.",
      "response_format"
    ),
    (
      #""tool_choice":"required""#,
      "'tool_choice' may be 'none' or 'auto': this worker cannot make a model call a tool. Calls "
        + "are returned as text.", "tool_choice"
    ),
    (#""tools":{}"#, "'tools' must be a list, not an object.", "tools"),
    (
      #""continue_final_message":true,"add_generation_prompt":true"#,
      "'continue_final_message' needs 'add_generation_prompt' to be false.",
      "continue_final_message"
    ),
    (
      #""chat_template_kwargs":[]"#, "'chat_template_kwargs' must be an object, not a list.",
      "chat_template_kwargs"
    ),
  ]) func membersOfChats(members: String, message: String, param: String) throws {
    try expect(
      try Bench(), "/v1/chat/completions",
      #"{"messages":[{"role":"user","content":"x"}],\#(members)}"#, Self.error(message, param))
  }

  @Test(arguments: [
    ("{}", "'prompt' is missing.", "prompt"),
    (#"{"prompt":null}"#, "'prompt' is missing.", "prompt"),
    (#"{"prompt":"x","n":129}"#, "'n' must be a whole number from 1 to 128, not 129.", "n"),
    (#"{"prompt":"x","n":0}"#, "'n' must be a whole number from 1 to 128, not 0.", "n"),
    (#"{"prompt":"x","n":"2"}"#, "'n' must be a whole number from 1 to 128, not a text.", "n"),
    (
      #"{"prompt":[\#(Array(repeating: "\"x\"", count: 65).joined(separator: ","))],"n":2}"#,
      "65 prompts times n = 2 are more texts than the 128 that one request may ask for.", "prompt"
    ),
    (
      #"{"prompt":[\#(Array(repeating: "\"x\"", count: 129).joined(separator: ","))]}"#,
      "'prompt' has 129 prompts; one request may ask for at most 128 texts.", "prompt"
    ),
    (#"{"prompt":"x","stream":1}"#, "'stream' must be true or false, not a number.", "stream"),
    (#"{"prompt":"x","model":5}"#, "'model' must be a text, not a number.", "model"),
    (
      #"{"prompt":"x","temperature":2.5}"#, "'temperature' must be a number from 0 to 2, not 2.5.",
      "temperature"
    ),
    (
      #"{"prompt":"x","presence_penalty":"x"}"#,
      "'presence_penalty' must be a number from -2 to 2, not a text.", "presence_penalty"
    ),
    (
      #"{"prompt":"x","best_of":2}"#,
      "'best_of' is not supported; leave it out, or make it equal to 'n'.", "best_of"
    ),
    (
      #"{"prompt":"x","echo":true,"logprobs":1}"#,
      "'logprobs' together with 'echo' is not supported: prompts have no log probabilities here.",
      "logprobs"
    ),
    (
      #"{"prompt":"x","guided_json":{}}"#,
      "'guided_json' is not supported by this worker; leave it out.", "guided_json"
    ),
    (
      #"{"prompt":"x","use_beam_search":true}"#,
      "'use_beam_search' is not supported; leave it out.", "use_beam_search"
    ),
    (
      #"{"prompt":"x","stream":true,"stream_options":{"include_usage":1}}"#,
      "'stream_options.include_usage' must be true or false, not a number.",
      "stream_options.include_usage"
    ),
    (
      #"{"prompt":"x","logit_bias":[]}"#,
      "'logit_bias' must be an object of token ids, not a list.", "logit_bias"
    ),
    (
      #"{"prompt":"x","stop":{}}"#, "'stop' must be a text or a list of texts, not an object.",
      "stop"
    ),
  ]) func completions(body: String, message: String, param: String) throws {
    try expect(try Bench(), "/v1/completions", body, Self.error(message, param))
  }

  @Test func bodiesAndModels() throws {
    let bench = try Bench()
    try expect(
      bench, "/v1/completions", "[1]",
      Self.error("The body must be a JSON object.", nil, code: "invalid_json"))
    let json = try bench.ask("POST", "/v1/chat/completions", #"{"messages":"#)
    #expect(json.status == 400 && json.body.hasPrefix(#"{"error":{"message":"The body is no JSON"#))
    #expect(json.body.hasSuffix(#""param":null,"code":"invalid_json"}}"#))
    for path in ["/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"] {
      try expect(
        bench, path, #"{"model":"gpt-4"}"#, status: 404,
        Self.error(
          "The model 'gpt-4' does not exist here; this worker serves 'letters'.", "model",
          code: "model_not_found"))
    }
  }

  @Test func tokens() throws {
    let bench = try Bench()
    try expect(
      bench, "/tokenize", "{}", Self.error("'prompt' or 'messages' must be there.", "prompt"))
    try expect(
      bench, "/detokenize", "{}", Self.error("'tokens' must be a list of token ids.", "tokens"))
    try expect(
      bench, "/detokenize", #"{"tokens":[999]}"#,
      Self.error(
        "'tokens' holds 999; token ids of this model are whole numbers from 0 to 256.", "tokens"))
  }

  @Test func pathsAndMethods() throws {
    let bench = try Bench()
    let nowhere = try bench.ask("POST", "/v1/embeddings", #"{"input":"x"}"#)
    #expect(nowhere.status == 404)
    #expect(
      nowhere.body
        == Self.error(
          "There is no /v1/embeddings here; there are /v1/chat/completions, /v1/completions, "
            + "/v1/models, /tokenize, /detokenize, /v2, /health, /ready, /metrics and /version.",
          nil))
    for path in ["/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"] {
      let response = try bench.ask("PUT", path)
      #expect(response.status == 405 && response["Allow"] == "POST")
      #expect(response.body == Self.error("\(path) is asked with POST.", nil))
    }
    for path in ["/health", "/ready", "/metrics", "/v1/models", "/v1/models/letters", "/version"] {
      let response = try bench.ask("DELETE", path)
      #expect(response.status == 405 && response["Allow"] == "GET, HEAD")
      #expect(response.body == Self.error("\(path) is asked with GET.", nil))
    }
    let page = try bench.ask("GET", "/metrics").body
    #expect(page.contains(#"model_name="letters",reason="wrong_method"} 10"#))
    #expect(page.contains(#"model_name="letters",reason="unknown_path"} 1"#))
  }

  // MARK: Not ready, and ends that are no end

  // A worker says what it is doing before it can serve, and when it never will again.
  @Test func anEngineThatIsNotReady() throws {
    let bench = try Bench()
    bench.onLoop { engine, _ in engine.change(.starting(why: "")) }
    let loading = try bench.ask("POST", "/v1/completions", #"{"prompt":"x"}"#)
    #expect(loading.status == 503 && loading["Retry-After"] == "2")
    #expect(
      loading.body
        == Self.error(
          "The model is being loaded; try again shortly.", nil, code: "model_not_ready",
          type: "server_error"))
    #expect(
      try bench.ask("GET", "/ready").body
        == #"{"status":"loading","why":"the model is being loaded"}"#)
    #expect(try bench.ask("GET", "/health").body == #"{"status":"starting"}"#)
    // Tokens need no engine.
    #expect(try bench.ask("POST", "/tokenize", #"{"prompt":"x"}"#).status == 200)
    #expect(try bench.ask("GET", "/metrics").body.contains("portico_worker_ready{"))
    bench.onLoop { engine, _ in engine.change(.ended(why: "no memory")) }
    let ended = try bench.ask("POST", "/v1/chat/completions", "{}")
    #expect(ended.status == 503 && ended.body.contains("The engine has ended: no memory."))
    for path in ["/ready", "/health"] {
      let response = try bench.ask("GET", path)
      #expect(response.status == 503)
      #expect(response.body == #"{"status":"ended","why":"no memory"}"#)
    }
  }

  @Test(arguments: [
    (
      FinishReason.deadline, 504, "The text was not ready in time.", "timeout", "server_error"
    ),
    (
      .outOfMemory, 400,
      "The text does not fit into this worker's memory for keys and values; ask for fewer tokens, "
        + "or give the worker more with --kv-memory.", "kv_memory", "invalid_request_error"
    ),
    (
      .overloaded, 503, "The engine's queue is full; try again later, or ask another.",
      "queue_full", "server_error"
    ),
    (
      .notANumber, 500,
      "The model made no numbers for this text: its weights may be damaged.", "not_a_number",
      "server_error"
    ),
  ]) func endsThatAreErrors(
    reason: FinishReason, status: Int, message: String, code: String, type: String
  ) throws {
    let bench = try Bench { engine, request in
      engine.say(request.prompt == [97] ? "" : "so far", request, reason)
    }
    let error = Self.error(message, nil, code: code, type: type)
    // A whole answer, whatever was made; a stream without a token; a stream with some.
    for (prompt, isStreamed) in [("a", false), ("b", false), ("a", true)] {
      let response = try bench.ask(
        "POST", "/v1/completions", #"{"prompt":"\#(prompt)","stream":\#(isStreamed)}"#)
      #expect(response.status == status && response.body == error)
    }
    let client = try bench.client()
    client.send(Bench.request("POST", "/v1/completions", #"{"prompt":"b","stream":true}"#))
    let answer = client.readToEnd()
    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(answer.contains("data: \(error)\n\n"))
    #expect(!answer.contains("[DONE]") && !answer.contains("\r\n0\r\n"))
  }
}
