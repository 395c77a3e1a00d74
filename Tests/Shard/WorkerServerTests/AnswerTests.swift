import Generation
import JSON
import Primitives
import TestClient
import Testing

@testable import WorkerServer

/// Clients parse these bytes: their order and shape are the API.
@Suite struct AnswerTests {
  // The order of OpenAI's own pieces: role, text, reason, usage, [DONE].
  @Test func aStreamedChatComesInTheRightOrder() throws {
    let bench = try Bench { engine, request in engine.say("Hi", request) }
    let response = try bench.ask(
      "POST", "/v1/chat/completions",
      #"{"messages":[{"role":"user","content":"x"}],"stream":true,"#
        + #""stream_options":{"include_usage":true}}"#)
    #expect(response.status == 200)
    #expect(response["Content-Type"] == "text/event-stream; charset=utf-8")
    let events = response.body.split(separator: "\n\n").map(String.init)
    let deltas = try events.dropLast().map { try JSONValue(String($0.dropFirst(6))) }
    func delta(_ index: Int) -> JSONValue? { deltas[index]["choices"]?.elements?.first?["delta"] }
    #expect(events.count == 6 && events[5] == "data: [DONE]")
    #expect(delta(0) == .object(["role": .string("assistant"), "content": .string("")]))
    #expect(delta(1) == .object(["content": .string("H")]))
    #expect(delta(2) == .object(["content": .string("i")]))
    #expect(delta(3) == .object([:]))
    let reasons = deltas.prefix(4).map { $0["choices"]?.elements?[0]["finish_reason"] }
    #expect(reasons == [.null, .null, .null, .string("stop")])
    #expect(deltas[4]["choices"] == .array([]))
    #expect(deltas[4]["usage"]?["completion_tokens"] == .number(2))
    #expect(deltas[4]["usage"]?["prompt_tokens_details"]?["cached_tokens"] == .number(2))
    #expect(deltas.prefix(4).allSatisfy { $0["usage"] == .null })
    #expect(Set(deltas.map { $0["id"]?.text ?? "" }).count == 1)
  }

  @Test func aWholeChatHasOneBody() throws {
    let bench = try Bench { engine, request in engine.say("Hi", request, .length) }
    let body = try bench.ask(
      "POST", "/v1/chat/completions", #"{"messages":[{"role":"user","content":"x"}]}"#
    ).body
    #expect(
      body.contains(
        #""object":"chat.completion","#)
        && body.contains(
          #""model":"letters","choices":["#
            + #"{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null},"#
            + #""logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":9,"#
            + #""completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":2}}}"#
        ), "\(body)")
  }

  @Test func completionsCarryTheirLogprobs() throws {
    let bench = try Bench { engine, request in engine.say("ab", request) }
    let body = try bench.ask(
      "POST", "/v1/completions", #"{"prompt":"x","logprobs":1,"echo":false}"#
    ).body
    #expect(
      body.contains(
        #""logprobs":{"tokens":["a","b"],"token_logprobs":[-0.5,-0.5],"#
          + #""top_logprobs":[{"a":-0.5},{"b":-0.5}],"text_offset":[0,1]}"#), "\(body)")
  }

  // A stop string that two tokens share is found, and nothing of it is shown before.
  @Test(arguments: [true, false]) func stopStringsEndATextOverTokens(isStreamed: Bool) throws {
    let bench = try Bench { engine, request in engine.say("one END two", request) }
    let response = try bench.ask(
      "POST", "/v1/completions", #"{"prompt":"x","stop":["END"],"stream":\#(isStreamed)}"#)
    if isStreamed {
      let texts = try response.body.split(separator: "\n\n").dropLast().map {
        try JSONValue(String($0.dropFirst(6)))["choices"]?.elements?[0]["text"]?.text ?? ""
      }
      #expect(texts.joined() == "one ")
      #expect(response.body.hasSuffix("data: [DONE]\n\n"))
    } else {
      #expect(response.body.contains(#""text":"one ","logprobs":null,"finish_reason":"stop""#))
    }
    #expect(bench.onLoop { engine, _ in engine.aborted == engine.submitted.map(\.id) })
  }

  // Each of n texts, of each prompt, in the order of its index; their seeds differ.
  @Test func severalTextsOfSeveralPrompts() throws {
    let bench = try Bench { engine, request in
      engine.say(request.prompt == [97] ? "A" : "B", request)
    }
    let body = try JSONValue(
      try bench.ask("POST", "/v1/completions", #"{"prompt":["a","b"],"n":2,"seed":5}"#).body)
    let choices = body["choices"]?.elements ?? []
    #expect(choices.map { $0["text"]?.text } == ["A", "A", "B", "B"])
    #expect(choices.map { $0["index"]?.integer } == [0, 1, 2, 3])
    #expect(body["usage"]?["prompt_tokens"] == .number(2))
    let seeds = bench.onLoop { engine, _ in engine.submitted.map(\.sampling.seed) }
    #expect(seeds[0] == 5 && seeds[2] == 5 && seeds[1] != 5 && seeds[1] == seeds[3])
  }
}

/// What is refused, and in which words.
@Suite struct RefusalTests {
  @Test(arguments: [
    ("{", 400, "invalid_json", "The body is no JSON at byte 1"),
    ("[]", 400, "invalid_json", "The body must be a JSON object."),
    (#"{"prompt":1}"#, 400, "prompt", "'prompt' must be a text, a list of texts"),
    (#"{"prompt":"x","n":1e9}"#, 400, "n", "'n' must be a whole number from 1 to 128"),
    (#"{"prompt":"x","temperature":-1}"#, 400, "temperature", "'temperature' must be a number"),
    (#"{"prompt":"x","model":"other"}"#, 404, "model_not_found", "this worker serves 'letters'"),
    (#"{"prompt":"x","response_format":{"type":"json_object"}}"#, 400, "response_format", "text"),
    (#"{"prompt":""}"#, 400, "prompt", "The prompt has no tokens"),
    (#"{"prompt":[300]}"#, 400, "prompt", "300"),
  ]) func badRequestsAreTold(body: String, status: Int, word: String, sentence: String) throws {
    let bench = try Bench()
    let response = try bench.ask("POST", "/v1/completions", body)
    #expect(response.status == status)
    #expect(response.body.contains(word) && response.body.contains(sentence), "\(response.body)")
    #expect(try JSONValue(response.body)["error"]?["message"]?.text != nil)
    #expect(bench.onLoop { engine, _ in engine.submitted.isEmpty })
  }

  @Test func aPromptLongerThanTheContextIsTold() throws {
    let bench = try Bench()
    let response = try bench.ask(
      "POST", "/v1/completions", #"{"prompt":"\#(String(repeating: "a", count: 64))"}"#)
    #expect(response.status == 400)
    #expect(
      response.body.contains(
        "This model's context is 64 tokens, and the prompt has 64; shorten it to at most 63."))
    #expect(response.body.contains(#""code":"context_length_exceeded""#))
  }

  @Test func pathsAndMethods() throws {
    let bench = try Bench()
    #expect(try bench.ask("GET", "/nowhere").status == 404)
    let get = try bench.ask("GET", "/v1/completions")
    #expect(get.status == 405 && get["Allow"] == "POST")
    let post = try bench.ask("POST", "/health", "{}")
    #expect(post.status == 405 && post["Allow"] == "GET, HEAD")
  }

  // A request that could never be taken must not be told to come back.
  @Test func moreTextsThanTheQueueHoldsAreNoMatterOfPatience() throws {
    let bench = try Bench(limits: { $0.inFlightLimit = 2 })
    let several = try bench.ask("POST", "/v1/completions", #"{"prompt":"x","n":3}"#)
    #expect(several.status == 400)
    #expect(several.body.contains("'n' must be a whole number from 1 to 2, not 3."))
    let prompts = try bench.ask("POST", "/v1/completions", #"{"prompt":["x","y","z"]}"#)
    #expect(prompts.status == 400)
  }

  @Test func aFullQueueSaysWhenToComeBack() throws {
    let bench = try Bench(limits: { $0.inFlightLimit = 1 })
    let first = try bench.client()
    first.send(Bench.request("POST", "/v1/completions", #"{"prompt":"x"}"#))
    while bench.onLoop({ engine, _ in engine.submitted.isEmpty }) {}
    let response = try bench.ask("POST", "/v1/completions", #"{"prompt":"y"}"#)
    #expect(response.status == 503 && response["Retry-After"] == "1")
    #expect(response.body.contains("takes at most 1; try again later"))
    bench.onLoop { engine, _ in engine.say("ok", engine.submitted[0]) }
    #expect(first.readResponse().status == 200)
  }
}
