import EventLoop
import JSON
import Primitives
import TestClient
import Testing

@testable import Load

/// An engine on a free port, quick unless told otherwise.
private func start(_ arguments: String = "") throws -> MockEngine {
  let quick = ["--ttft", "0", "--gap", "0", "--tokens", "4", "--listen", "127.0.0.1:0"]
  return try MockEngine.start(
    MockOptions.parse(
      arguments: quick + ["--name", "m1"] + arguments.split(separator: " ").map(String.init)))
}

extension MockEngine {
  fileprivate func client(_ index: Int = 0) throws -> TestClient {
    try TestClient(engines[index].address)
  }
}

extension TestClient {
  /// Sends a POST with a JSON body.
  fileprivate func post(_ path: String, _ body: String, mock: String? = nil) {
    send(
      "POST \(path) HTTP/1.1\r\nHost: a\r\n" + (mock.map { "X-Mock: \($0)\r\n" } ?? "")
        + "Content-Length: \(body.utf8.count)\r\n\r\n" + body)
  }

  fileprivate func get(_ path: String) -> Response {
    send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
    return readResponse()
  }
}

private let chat = #"{"messages":[{"role":"user","content":"say hello"}]}"#
private let streamed = #"{"stream":true,"prompt":"say hello"}"#

/// What breaks here: a client library that stops at a chunk it does not expect, and a test that
/// believes in a fault that was never injected.
@Suite struct MockEngineTests {
  // MARK: Proper answers

  @Test func aWholeChatAnswer() throws {
    let engine = try start("--tokens 6")
    defer { engine.stop() }
    let client = try engine.client()
    client.post("/v1/chat/completions", chat)
    let response = client.readResponse()
    #expect(response.status == 200)
    #expect(response["X-Mock-Name"] == "m1")
    #expect(response["Content-Type"] == "application/json")
    let json = try JSONValue(response.body)
    #expect(json["object"]?.text == "chat.completion")
    #expect(json["model"]?.text == "mock")
    let choice = json["choices"]?.elements?[0]
    #expect(choice?["message"]?["role"]?.text == "assistant")
    // Who answered, and what was said: that is what the mock is for.
    #expect(choice?["message"]?["content"]?.text == "[m1] You said: say hello The")
    #expect(choice?["finish_reason"]?.text == "stop")
    #expect(json["usage"]?["prompt_tokens"]?.integer == 2)
    #expect(json["usage"]?["completion_tokens"]?.integer == 6)
    #expect(json["usage"]?["total_tokens"]?.integer == 8)
  }

  /// Role, tokens, finish reason, usage, end: the openai client relies on this order.
  @Test func theEventsOfAStreamedChat() throws {
    let engine = try start()
    defer { engine.stop() }
    let client = try engine.client()
    client.post(
      "/v1/chat/completions",
      #"{"model":"x","stream":true,"stream_options":{"include_usage":true},"max_tokens":2,"#
        + #""messages":[{"content":[{"type":"text","text":"say \"hello\""}]}]}"#)
    let response = client.readResponse()
    #expect(response["Content-Type"] == "text/event-stream; charset=utf-8")
    let events = response.body.split(separator: "\n\n").map { String($0.dropFirst(6)) }
    try #require(events.count == 6)
    #expect(events[5] == "[DONE]")
    let chunks = try events[..<5].map { try JSONValue($0) }
    #expect(chunks.allSatisfy { $0["object"]?.text == "chat.completion.chunk" })
    #expect(chunks.allSatisfy { $0["model"]?.text == "x" })
    #expect(Set(chunks.map { $0["id"]?.text }).count == 1)
    let choices = chunks.map { $0["choices"]?.elements?.first }
    #expect(choices[0]?["delta"] == (try JSONValue(#"{"role":"assistant","content":""}"#)))
    #expect(choices[1]?["delta"] == (try JSONValue(#"{"content":"[m1]"}"#)))
    #expect(choices[2]?["delta"] == (try JSONValue(#"{"content":" You"}"#)))
    #expect(choices[3]?["delta"] == (try JSONValue("{}")))
    #expect(choices[..<3].allSatisfy { $0?["finish_reason"] == .null })
    #expect(choices[3]?["finish_reason"]?.text == "length")
    #expect(chunks[..<4].allSatisfy { $0["usage"] == .null })
    #expect(choices[4] == nil)
    #expect(chunks[4]["usage"]?["completion_tokens"]?.integer == 2)
  }

  @Test func theEventsOfAStreamedCompletion() throws {
    let engine = try start()
    defer { engine.stop() }
    let client = try engine.client()
    client.post("/v1/completions?tokens=5", streamed)
    let events = client.readResponse().body.split(separator: "\n\n").map { $0.dropFirst(6) }
    try #require(events.count == 7)
    #expect(events[6] == "[DONE]")
    let chunks = try events[..<6].map { try JSONValue(String($0)) }
    let texts = chunks.map { $0["choices"]?.elements?[0]["text"]?.text ?? "" }
    #expect(texts.joined() == "[m1] You said: say hello")
    #expect(chunks.allSatisfy { $0["usage"] == nil })
    #expect(chunks[5]["choices"]?.elements?[0]["finish_reason"]?.text == "stop")
    client.post("/v1/completions", #"{"prompt":["a b","c"]}"#)
    let whole = try JSONValue(client.readResponse().body)
    #expect(whole["object"]?.text == "text_completion")
    #expect(whole["choices"]?.elements?[0]["text"]?.text == "[m1] You said: c")
    #expect(whole["usage"]?["prompt_tokens"]?.integer == 3)
  }

  /// The same text must be the same vector whichever engine is asked, in both encodings.
  @Test func embeddingsAreTheSameEverywhere() throws {
    let first = try start()
    defer { first.stop() }
    let second = try start()
    defer { second.stop() }
    let body = #"{"input":["one","two","one"],"dimensions":3}"#
    var vectors: [[JSONValue]] = []
    for engine in [first, second] {
      let client = try engine.client()
      client.post("/v1/embeddings", body)
      let data = try #require(JSONValue(client.readResponse().body)["data"]?.elements)
      vectors.append(data.compactMap { $0["embedding"] })
    }
    #expect(vectors[0].count == 3)
    #expect(vectors[0] == vectors[1])
    #expect(vectors[0][0] == vectors[0][2])
    #expect(vectors[0][0] != vectors[0][1])
    let numbers = vectors[0][0].elements?.map { json -> Double in
      guard case .number(let number) = json else { return .nan }
      return number
    }
    #expect(abs((numbers ?? []).reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
    let client = try first.client()
    client.post("/v1/embeddings", #"{"input":"one","dimensions":3,"encoding_format":"base64"}"#)
    let text = try JSONValue(client.readResponse().body)["data"]?.elements?[0]["embedding"]?.text
    // Three floats of four bytes.
    #expect(text?.utf8.count == 16)
  }

  @Test func smallPaths() throws {
    let engine = try start("--model a,b --health 500")
    defer { engine.stop() }
    let client = try engine.client()
    #expect(client.get("/health").status == 500)
    let models = try JSONValue(client.get("/v1/models").body)["data"]?.elements
    #expect(models?.compactMap { $0["id"]?.text } == ["a", "b"])
    #expect(try JSONValue(client.get("/v1/models/b").body)["id"]?.text == "b")
    #expect(client.get("/v1/models/c").status == 404)
    #expect(client.get("/v1/realtime").status == 426)
    let wrong = client.get("/v1/chat/completions")
    #expect(wrong.status == 405)
    #expect(wrong["Allow"] == "POST")
    client.send("HEAD /health HTTP/1.1\r\nHost: a\r\nX-Request-Id: r7\r\n\r\n")
    #expect(client.readResponse(toHead: true)["X-Request-Id"] == "r7")
  }

  @Test(arguments: [
    ("/v1/chat/completions", "{", "the body is not JSON at byte 1: expected a name in quotes"),
    ("/v1/chat/completions", "[]", "the body must be a JSON object"),
    (
      "/v1/chat/completions", "{}", "'messages' must be a list with at least one message"
    ),
    ("/v1/completions", "{}", "'prompt' is missing"),
    ("/v1/completions", #"{"prompt":"","stream":1}"#, "'stream' must be true or false"),
    (
      "/v1/completions", #"{"prompt":"","max_tokens":0}"#,
      "'max_tokens' must be a whole number of at least 1"
    ),
    ("/v1/completions?gap=1", streamed, "gap: '1' is not a time; write it like 200ms, 1.5s or 0"),
    ("/v1/embeddings", "{}", "'input' is missing"),
    ("/mock?ttf=1s", "", "unknown mock parameter 'ttf'; did you mean 'ttft'?"),
  ])
  func refusals(path: String, body: String, message: String) throws {
    let engine = try start()
    defer { engine.stop() }
    let client = try engine.client()
    client.post(path, body)
    let response = client.readResponse()
    #expect(response.status == 400)
    #expect(try JSONValue(response.body)["error"]?["message"]?.text == message)
  }

  // MARK: Slots

  /// First come, first served; those who wait are counted, and those who leave are forgotten.
  @Test func slotsAreGivenInOrder() throws {
    let engine = try start("--slots 1")
    defer { engine.stop() }
    let watcher = try engine.client()
    let waitFor = { (running: Int, waiting: Int) in
      let label = #"{model_name="mock",engine="0"}"#
      while true {
        let text = watcher.get("/metrics").body
        if text.contains("vllm:num_requests_running\(label) \(running)\n"),
          text.contains("vllm:num_requests_waiting\(label) \(waiting)\n")
        {
          return
        }
      }
    }
    var first: TestClient? = try engine.client()
    first?.post("/v1/completions", streamed, mock: "stall=1")
    #expect(first?.read(through: "[m1]").hasSuffix("[m1]") == true)
    waitFor(1, 0)
    var second: TestClient? = try engine.client()
    second?.post("/v1/completions", streamed)
    waitFor(1, 1)
    let third = try engine.client()
    third.post("/v1/completions", streamed, mock: "stall=2")
    waitFor(1, 2)
    let fourth = try engine.client()
    fourth.post("/v1/completions", streamed)
    waitFor(1, 3)
    // One that waits leaves; then the one that runs.
    second = nil
    waitFor(1, 2)
    first = nil
    #expect(third.read(through: " You").hasSuffix(" You"))
    waitFor(1, 1)
    // More slots by hand: the last one is served at once.
    watcher.post("/mock?slots=2", "")
    #expect(watcher.readResponse().status == 200)
    #expect(fourth.readResponse().body.hasSuffix("data: [DONE]\n\n"))
    waitFor(1, 0)
    #expect(second == nil && first == nil)
  }

  // MARK: Faults

  @Test func anErrorOnDemand() throws {
    let engine = try start()
    defer { engine.stop() }
    let client = try engine.client()
    client.post("/v1/completions", streamed, mock: "status=503&retry_after=2")
    let response = client.readResponse()
    #expect(response.status == 503)
    #expect(response["Retry-After"] == "2")
    client.post("/v1/completions", streamed)
    #expect(client.readResponse().status == 200)
  }

  /// Where each fault cuts a streamed and a whole answer.
  @Test func faultsInTheMiddle() throws {
    let engine = try start("--tokens 6")
    defer { engine.stop() }
    let whole = #"{"prompt":"say hello"}"#
    for (fault, end) in [("reset=2", TestClient.End.reset), ("truncate=2", .fin)] {
      let client = try engine.client()
      client.post("/v1/completions", streamed, mock: fault)
      let text = client.readToEnd()
      #expect(text.contains("[m1]") && text.contains(" You") && !text.contains("said"))
      #expect(!text.hasSuffix("0\r\n\r\n"))
      #expect(client.end == end)
      let plain = try engine.client()
      plain.post("/v1/completions", whole, mock: fault)
      let response = plain.readResponse()
      let promised = response["Content-Length"].flatMap { Int($0) } ?? 0
      #expect(response.body.utf8.count < promised && !response.body.isEmpty)
      #expect(plain.end == end)
    }
    let reset = try engine.client()
    reset.post("/v1/completions", streamed, mock: "reset")
    #expect(reset.readToEnd() == "")
    #expect(reset.end == .reset)
    let garbage = try engine.client()
    garbage.post("/v1/completions", whole, mock: "garbage")
    #expect(garbage.readToEnd().hasPrefix("\u{16}\u{3}\u{1}HTTP/9"))
    let drip = try engine.client()
    drip.post("/v1/completions", streamed, mock: "drip=1us&tokens=1")
    let response = drip.readResponse()
    #expect(response.status == 200)
    #expect(response.body.hasSuffix("data: [DONE]\n\n"))
    #expect(drip.readToEnd() == "")
  }

  /// A stall holds its slot and keeps silent; with `early` the head comes before it.
  @Test func stalls() throws {
    let engine = try start("--head early")
    defer { engine.stop() }
    let client = try engine.client()
    client.post("/v1/completions", streamed, mock: "stall=0")
    #expect(client.read(through: "\r\n\r\n").hasPrefix("HTTP/1.1 200 OK\r\n"))
    engine.stop()
    #expect(client.readToEnd() == "")
  }

  @Test(arguments: UInt64(0)..<3) func faultsByChanceFollowTheSeed(seed: UInt64) throws {
    var runs: [[Int]] = []
    for _ in 0..<2 {
      let engine = try start("--fault status=503@0.3 --fault status=500@0.2 --seed \(seed)")
      defer { engine.stop() }
      let client = try engine.client()
      runs.append(
        (0..<60).map { _ in
          client.post("/v1/completions", streamed)
          return client.readResponse().status
        })
    }
    #expect(runs[0] == runs[1])
    #expect(Set(runs[0]) == [200, 500, 503])
  }

  @Test func anEngineIsChangedWhileItRuns() throws {
    let engine = try start("--fault status=500@1")
    defer { engine.stop() }
    let client = try engine.client()
    client.post("/v1/completions", streamed)
    #expect(client.readResponse().status == 500)
    client.post("/mock?fault=none&tokens=1&name=other", "")
    #expect(client.readResponse()["X-Mock-Name"] == "other")
    client.post("/v1/completions", #"{"prompt":""}"#)
    let json = try JSONValue(client.readResponse().body)
    #expect(json["choices"]?.elements?[0]["text"]?.text == "[other]")
  }

  // MARK: The process

  @Test func severalEnginesInOneProcess() throws {
    let engine = try start("--listen 127.0.0.1:0 --name m2")
    defer { engine.stop() }
    #expect(engine.engines.map(\.name) == ["m1", "m2"])
    #expect(engine.engines[0].address != engine.engines[1].address)
    for index in 0..<2 {
      #expect(try engine.client(index).get("/health")["X-Mock-Name"] == "m\(index + 1)")
    }
    let unnamed = try MockEngine.start(
      MockOptions.parse(arguments: ["--listen", "127.0.0.1:0"]))
    defer { unnamed.stop() }
    #expect(unnamed.engines[0].name == "mock-\(unnamed.engines[0].address.port ?? 0)")
  }

  @Test func aPortInUseIsSaid() throws {
    let engine = try start()
    defer { engine.stop() }
    let address = engine.engines[0].address
    do {
      try MockEngine.start(MockOptions.parse(arguments: ["--listen", "\(address)"])).stop()
      Issue.record("the port was given away twice")
    } catch {
      #expect("\(error)" == "cannot listen on \(address): Address already in use")
    }
  }

  @Test func aStoppedEngineHasLeft() throws {
    let engine = try start()
    let client = try engine.client()
    #expect(client.get("/health").status == 200)
    engine.stop()
    engine.stop()
    #expect(client.readToEnd() == "")
    #expect(client.end != .none)
  }

  @Test func realtimeEchoesBytes() throws {
    let engine = try start()
    defer { engine.stop() }
    let client = try engine.client()
    client.send(
      "GET /v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    let response = client.readResponse()
    #expect(response.status == 101)
    #expect(response["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    for size in [1, 125, 126, 4_096] {
      let text = String(repeating: "w", count: size)
      client.send(text)
      #expect(client.read(size) == text)
    }
    client.finishSending()
    #expect(client.readToEnd() == "")
    #expect(client.end == .fin)
  }
}
