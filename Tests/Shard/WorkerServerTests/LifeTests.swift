import Generation
import JSON
import Primitives
import TestClient
import Testing

@testable import WorkerServer

/// Engines that die, clients that leave, servers that end.
@Suite struct LifeTests {
  private static let streamed = Bench.request(
    "POST", "/v1/completions", #"{"prompt":"x","stream":true}"#)

  // Half a text must never look whole: an error event, no [DONE], no last chunk.
  @Test func anEngineThatIsLostInMidStreamIsSeen() throws {
    let bench = try Bench { engine, request in engine.say("half", request, nil) }
    let streaming = try bench.client()
    streaming.send(Self.streamed)
    _ = streaming.read(through: "\"f\"")
    bench.onLoop { engine, _ in engine.change(.starting(why: "rank 1 was killed by signal 9")) }
    let rest = streaming.readToEnd()
    #expect(
      rest.contains(
        "The engine was lost while it made this text: rank 1 was killed by signal 9. "
          + "It is safe to try again."))
    #expect(!rest.contains("[DONE]") && !rest.contains("\r\n0\r\n"))
    let ready = try bench.ask("GET", "/ready")
    #expect(ready.status == 503)
    #expect(
      ready.body
        == #"{"status":"restarting","why":"the group was lost: rank 1 was killed by signal 9"}"#)
    let refused = try bench.ask("POST", "/v1/completions", #"{"prompt":"x"}"#)
    #expect(refused.status == 503 && refused["Retry-After"] == "2")
    bench.onLoop { engine, _ in engine.change(.ready(FakeEngine.facts)) }
    #expect(try bench.ask("GET", "/ready").status == 200)
  }

  @Test func beforeTheFirstTokenTheLossIsAStatus() throws {
    let bench = try Bench()
    let client = try bench.client()
    client.send(Self.streamed)
    while bench.onLoop({ engine, _ in engine.submitted.isEmpty }) {}
    bench.onLoop { engine, _ in engine.change(.starting(why: "a test")) }
    let response = client.readResponse()
    #expect(response.status == 503 && response["Retry-After"] == "2")
  }

  @Test func aClientThatLeavesIsToldToTheEngine() throws {
    let bench = try Bench { engine, request in engine.say("on", request, nil) }
    var client: TestClient? = try bench.client()
    client?.send(Self.streamed)
    _ = client?.read(through: "\"n\"")
    client = nil
    while bench.onLoop({ engine, _ in engine.aborted.isEmpty }) {}
    #expect(bench.onLoop { engine, _ in engine.aborted == engine.submitted.map(\.id) })
  }

  // One that never reads is given up at the limit; the others go on.
  @Test func aClientThatNeverReadsIsGivenUp() throws {
    let bench = try Bench(limits: { $0.heldBytes = 64 << 10 })
    let client = try bench.client()
    client.send(Self.streamed)
    while bench.onLoop({ engine, _ in engine.submitted.isEmpty }) {}
    var steps = 0
    while bench.onLoop({ engine, _ in
      engine.say(String(repeating: "a", count: 500), engine.submitted[0], nil)
      return engine.aborted.isEmpty
    }) {
      steps += 1
      try #require(steps < 2_000)
    }
    #expect(try bench.ask("GET", "/metrics").body.contains(#"outcome="slow"} 1"#))
    #expect(try bench.ask("GET", "/health").status == 200)
  }

  @Test func drainingLetsTextsEnd() throws {
    let bench = try Bench { engine, request in engine.say("a", request, nil) }
    let client = try bench.client()
    client.send(Self.streamed)
    _ = client.read(through: "\"a\"")
    let done = Flag()
    bench.onLoop { _, server in server.drain { done.raise() } }
    #expect(try bench.ask("POST", "/v1/completions", #"{"prompt":"x"}"#).status == 503)
    #expect(try bench.ask("GET", "/ready").body.contains("this worker is ending"))
    #expect(!done.isRaised)
    bench.onLoop { engine, _ in engine.say("b", engine.submitted[0]) }
    #expect(client.read(through: "[DONE]").hasSuffix("[DONE]"))
    // In a later turn, so that the end of the text is sent by then.
    while !bench.onLoop({ _, _ in done.isRaised }) {}
  }

  // Prometheus refuses a page with a family that has no type.
  @Test func metricsAreWellFormed() throws {
    let bench = try Bench { engine, request in engine.say("abc", request) }
    _ = try bench.ask("POST", "/v1/completions", #"{"prompt":"x"}"#)
    bench.onLoop { engine, _ in
      var report = EngineReport()
      report.running = 3
      report.waiting = 2
      report.batchLimit = 5
      engine.onEvent?(.report(report))
    }
    let page = try bench.ask("GET", "/metrics").body
    var types = Set<Substring>()
    for line in page.split(separator: "\n") {
      if line.hasPrefix("# TYPE ") { types.insert(line.split(separator: " ")[2]) }
      if line.hasPrefix("#") { continue }
      let name = line.prefix { $0 != "{" }
      let family = ["_bucket", "_sum", "_count"].reduce(name) {
        $0.hasSuffix($1) ? $0.dropLast($1.count) : $0
      }
      #expect(types.contains(name) || types.contains(family), "\(line)")
      #expect(Double(line.split(separator: " ").last ?? "") != nil, "\(line)")
    }
    #expect(page.contains(#"vllm:num_requests_waiting{model_name="letters"} 2"#))
    #expect(page.contains(#"portico_worker_batch_limit{model_name="letters"} 5"#))
    #expect(page.contains(#"portico_worker_generated_tokens_total{model_name="letters"} 3"#))
    let asked = try bench.ask(
      "POST", "/v1/completions", #"{"prompt":"x"}"#,
      fields: "endpoint-load-metrics-format: JSON\r\n")
    #expect(
      asked["endpoint-load-metrics"]
        == #"JSON {"named_metrics":{"kv_cache_usage_perc":0.000,"num_requests_running":3,"#
        + #""num_requests_waiting":2}}"#)
  }

  @Test func tokensAlone() throws {
    let bench = try Bench()
    #expect(
      try bench.ask("POST", "/tokenize", #"{"prompt":"hi"}"#).body
        == #"{"count":2,"max_model_len":64,"tokens":[104,105],"token_strs":null}"#)
    #expect(
      try bench.ask("POST", "/detokenize", #"{"tokens":[104,105]}"#).body == #"{"prompt":"hi"}"#)
    #expect(try bench.ask("GET", "/v1/models/letters").status == 200)
    #expect(try bench.ask("GET", "/v1/models/x").status == 404)
  }
}

private final class Flag: @unchecked Sendable {
  // Touched on the loop, and read behind a message to it.
  private(set) var isRaised = false
  func raise() { isRaised = true }
}

/// Stop strings, over every way in which a text may be cut into tokens.
@Suite struct StopTests {
  @Test func everySplitGivesTheSame() {
    let text = "one STOP two"
    let places = Array(text.indices.dropFirst())
    for first in places {
      for second in places where second >= first {
        var scanner = StopScanner(["STOP", "TOPX"])
        var shown = scanner.append(String(text[..<first]))
        shown += scanner.append(String(text[first..<second]))
        shown += scanner.append(String(text[second...]))
        shown += scanner.finish()
        #expect(shown == "one " && scanner.isStopped)
      }
    }
  }
}
