import Dispatch
import EventLoop
import Generation
import HTTPServer
import JSON
import Primitives
import TestClient
import Testing

@testable import WorkerServer

/// Limits that hold, ends that are told, and bodies that were made to hurt.
@Suite struct BoundTests {
  // The client asked for its prompt in front of the text, and must get it streamed as well as whole.
  @Test(arguments: [true, false]) func anEchoedPromptComesFirst(isStreamed: Bool) throws {
    let bench = try Bench { engine, request in engine.say("cd", request) }
    let body = try bench.ask(
      "POST", "/v1/completions",
      #"{"prompt":["ab","x"],"n":2,"echo":true,"stream":\#(isStreamed)}"#
    ).body
    var texts = [String](repeating: "", count: 4)
    let answers =
      isStreamed
      ? body.split(separator: "\n\n").dropLast().map { $0.dropFirst(6) }
      : [body[...]]
    for answer in answers {
      for choice in try JSONValue(String(answer))["choices"]?.elements ?? [] {
        texts[choice["index"]?.integer ?? 0] += choice["text"]?.text ?? ""
      }
    }
    #expect(texts == ["abcd", "abcd", "xcd", "xcd"])
  }

  // When the drain's time is up, whoever still waits is told before the process may end.
  @Test(arguments: [true, false]) func theEndOfADrainIsTold(isStreamed: Bool) throws {
    let bench = try Bench(
      { engine, request in engine.say(isStreamed ? "a" : "", request, nil) },
      limits: { $0.drainLimit = .milliseconds(1) })
    let client = try bench.client()
    client.send(
      Bench.request("POST", "/v1/completions", #"{"prompt":"x","stream":\#(isStreamed)}"#))
    while bench.onLoop({ engine, _ in engine.submitted.isEmpty }) {}
    bench.drainAndClose()
    let rest = client.readToEnd()
    #expect(rest.contains("This worker is ending, and waits no longer; ask another."))
    #expect(rest.hasPrefix(isStreamed ? "HTTP/1.1 200 OK" : "HTTP/1.1 503"))
    #expect(!rest.contains("[DONE]"))
  }

  // An engine that lives and says so, but has forgotten to work, is not ready: nobody is served.
  @Test func anEngineThatDoesNotGetOnIsStuck() throws {
    let bench = try Bench()
    let clock = Clock()
    bench.onLoop { _, server in server.clock = { clock.now } }
    let client = try bench.client()
    client.send(Bench.request("POST", "/v1/completions", #"{"prompt":"x"}"#))
    while bench.onLoop({ engine, _ in engine.submitted.isEmpty }) {}
    func report(steps: UInt64, after seconds: Int64) {
      bench.onLoop { engine, _ in
        clock.now = clock.now + .seconds(seconds)
        var report = EngineReport()
        report.steps = steps
        report.waiting = 1
        engine.onEvent?(.report(report))
      }
    }
    report(steps: 1, after: 50)
    report(steps: 1, after: 50)
    #expect(try bench.ask("GET", "/ready").status == 200)
    report(steps: 1, after: 20)
    let ready = try bench.ask("GET", "/ready")
    #expect(ready.status == 503)
    #expect(
      ready.body
        == #"{"status":"stuck","why":"texts are being made, but none has got on for 70 s"}"#)
    #expect(try bench.ask("GET", "/health").status == 200)
    // A step is progress: a long prompt makes no token for a while.
    report(steps: 2, after: 1)
    #expect(try bench.ask("GET", "/ready").status == 200)
    bench.onLoop { _, _ in clock.now = clock.now + .seconds(31) }
    let health = try bench.ask("GET", "/health")
    #expect(health.status == 503)
    #expect(
      health.body == #"{"status":"silent","why":"the engine has said nothing for 31 s"}"#)
  }

  // Every text counts against the queue, not every request.
  @Test func aRequestForManyTextsCountsAsMany() throws {
    let bench = try Bench(limits: { $0.inFlightLimit = 4 })
    let first = try bench.client()
    first.send(Bench.request("POST", "/v1/completions", #"{"prompt":"x","n":3}"#))
    while bench.onLoop({ engine, _ in engine.submitted.count < 3 }) {}
    let refused = try bench.ask("POST", "/v1/completions", #"{"prompt":"y","n":2}"#)
    #expect(refused.status == 503 && refused["Retry-After"] == "1")
    #expect(
      refused.body.contains(
        "3 texts are in flight, 2 more are asked for, and this worker takes at most 4"))
    let second = try bench.client()
    second.send(Bench.request("POST", "/v1/completions", #"{"prompt":"y"}"#))
    while bench.onLoop({ engine, _ in engine.submitted.count < 4 }) {}
  }

  // Half characters look alike, and an object of JSON has each name once: the likelier stays.
  @Test func likeliestTokensThatLookAlikeAreNamedOnce() throws {
    let bench = try Bench { engine, request in
      var token = GeneratedToken(id: request.id, token: 97)
      token.logprobs = TokenLogprobs(
        drawn: -0.25,
        top: [
          TokenLogprobs.Entry(token: 0xc3, logprob: -1),
          TokenLogprobs.Entry(token: 0xc4, logprob: -2),
          TokenLogprobs.Entry(token: 98, logprob: -.infinity),
        ])
      engine.onEvent?(.token(token))
      engine.onEvent?(.finished(id: request.id, .length))
    }
    let body = try bench.ask("POST", "/v1/completions", #"{"prompt":"x","logprobs":3}"#).body
    #expect(body.contains("\"top_logprobs\":[{\"\u{fffd}\":-1,\"b\":-9999}]"), "\(body)")
  }

  // What a client may send on purpose: an answer in OpenAI's shape each, and the next is served.
  @Test(arguments: [
    (#"{"prompt":"x","temperature":1e400}"#, "out of range"),
    (#"{"prompt":"x","temperature":NaN}"#, "a value cannot begin like this"),
    (#"{"prompt":"x","top_p":-0.1}"#, "'top_p' must be a number from 0 to 1, not -0.1."),
    (
      #"{"prompt":"x","max_tokens":0}"#, "'max_tokens' must be a whole number of at least 1, not 0."
    ),
    (#"{"prompt":"x","max_tokens":1e30}"#, "not 1e+30."),
    (#"{"prompt":"x","seed":1.5}"#, "not 1.5."),
    (#"{"prompt":"x","stream":"yes"}"#, "'stream' must be true or false, not a text."),
    (#"{"prompt":"x","logit_bias":{"257":1}}"#, "from 0 to 256."),
    (#"{"prompt":"x","logit_bias":{"1":101}}"#, "must be a number from -100 to 100, not 101."),
    (#"{"prompt":"x","stop":["a",""]}"#, "'stop' has a string of 0 bytes"),
    (#"{"prompt":"x","stop_token_ids":[-1]}"#, "'stop_token_ids' holds -1;"),
    (#"{"prompt":"x","suffix":"y"}"#, "'suffix' is not supported"),
    (#"{"prompt":"x","min_tokens":3,"max_tokens":2}"#, "more than the most tokens, 2."),
    (#"{"prompt":"x","stream_options":{"include_usage":true}}"#, "is only for streams"),
    (#"{"prompt":[[1],2]}"#, "'prompt[1]' must be a text or a list of token ids, not a number."),
    (#"{"prompt":[]}"#, "not an empty list."),
  ]) func absurdValuesAreRefused(body: String, sentence: String) throws {
    let bench = try Bench()
    let response = try bench.ask("POST", "/v1/completions", body)
    #expect(response.status == 400)
    let message = try JSONValue(response.body)["error"]?["message"]?.text ?? ""
    #expect(message.contains(sentence), "\(message)")
    #expect(bench.onLoop { engine, _ in engine.submitted.isEmpty })
  }

  @Test func bodiesMadeToHurtAreRefused() throws {
    let bench = try Bench { engine, request in engine.say("k", request) }
    func ask(_ body: String) throws -> TestClient.Response {
      try bench.ask("POST", "/v1/completions", body)
    }
    let deep = String(repeating: "[", count: 30_000)
    #expect(try ask(#"{"prompt":"# + deep).body.contains("nested more than 100 deep"))
    let deepElsewhere = String(repeating: "{\"a\":", count: 200_000)
    #expect(try ask(deepElsewhere).body.contains("nested more than 100 deep"))
    let many = #"{"prompt":"x","y":["# + String(repeating: "{},", count: 600_000) + "0]}"
    #expect(try ask(many).body.contains("JSON values; at most 1000000 are read."))
    let stops = "[" + (0..<10_000).map { "\"s\($0)\"" }.joined(separator: ",") + "]"
    #expect(
      try ask(#"{"prompt":"x","stop":\#(stops)}"#).body
        .contains("'stop' has 10000 strings; at most 16 are taken."))
    let long = try ask(#"{"prompt":"\#(String(repeating: "a", count: 1_000_000))"}"#)
    #expect(
      long.body.contains(
        "This model's context is 64 tokens, and the prompt has 1000000 bytes, which are more than "
          + "64 tokens can stand for; shorten it."))
    // Of equal names the last counts; half a pair becomes U+FFFD, three bytes of UTF-8.
    #expect(try ask(#"{"prompt":7,"prompt":"\ud800"}"#).status == 200)
    #expect(
      bench.onLoop { engine, _ in engine.submitted.map(\.prompt) } == [[0xef, 0xbf, 0xbd]])
  }

  // While a long prompt is read, others are served; who leaves meanwhile costs the engine nothing.
  @Test func aLongPromptHoldsNobodyUp() throws {
    let gate = Gate()
    var letters = Letters()
    letters.beforeLong = { gate.wait() }
    let bench = try Bench(
      { engine, request in engine.say("k", request) }, text: letters,
      limits: { $0.inlineBytes = 128 })
    let long = Bench.request(
      "POST", "/tokenize", #"{"prompt":"\#(String(repeating: "a", count: 250))"}"#)
    let patient = try bench.client()
    patient.send(long)
    var hasty: TestClient? = try bench.client()
    hasty?.send(
      Bench.request(
        "POST", "/v1/completions", #"{"prompt":"\#(String(repeating: "a", count: 250))"}"#))
    while bench.onLoop({ _, server in server.preparing < 2 }) {}
    hasty = nil
    #expect(try bench.ask("POST", "/v1/completions", #"{"prompt":"x"}"#).status == 200)
    gate.open()
    #expect(patient.readResponse().body.hasPrefix(#"{"count":250,"#))
    while bench.onLoop({ _, server in server.preparing > 0 }) {}
    #expect(
      bench.onLoop { engine, server in (engine.submitted.count, server.preparingBytes) } == (1, 0))
  }
}

/// Moved by the test, on the loop.
private final class Clock: @unchecked Sendable {
  var now = EventLoop.now()
}

/// Closed until it is opened, and then for good.
private final class Gate: @unchecked Sendable {
  private let opened = DispatchSemaphore(value: 0)

  func wait() {
    opened.wait()
    opened.signal()
  }
  func open() { opened.signal() }
}
