import Generation
import JSON
import TestClient
import Testing

@testable import WorkerServer

/// Who leaves takes nothing from the others, and costs nothing more.
@Suite struct LeavingTests {
  // Of several texts all are given up, of whole answers as of streams, by FIN and by RST.
  @Test(arguments: [true, false], [true, false])
  func allTextsOfOneWhoLeavesAreGivenUp(isStreamed: Bool, resets: Bool) throws {
    let bench = try Bench { engine, request in engine.say("a", request, nil) }
    var client: TestClient? = try bench.client()
    client?.send(
      Bench.request(
        "POST", "/v1/completions", #"{"prompt":["x","y"],"n":2,"stream":\#(isStreamed)}"#))
    while bench.onLoop({ engine, _ in engine.submitted.count < 4 }) {}
    if resets { client?.resetAtClose() }
    client = nil
    while bench.onLoop({ engine, _ in engine.aborted.count < 4 }) {}
    #expect(bench.onLoop { engine, _ in Set(engine.aborted) == Set(engine.submitted.map(\.id)) })
    // What the engine had under way goes nowhere.
    bench.onLoop { engine, _ in
      let id = engine.submitted[0].id
      engine.onEvent?(.token(GeneratedToken(id: id, token: 97)))
      engine.onEvent?(.finished(id: id, .length))
    }
    let page = try bench.ask("GET", "/metrics").body
    #expect(page.contains(#"portico_worker_texts_total{model_name="letters",outcome="left"} 4"#))
    #expect(page.contains(#"portico_worker_in_flight{model_name="letters"} 0"#))
    #expect(page.contains(#"portico_worker_generated_tokens_total{model_name="letters"} 4"#))
  }

  // The group's loss is told once to each of its clients, and they may ask again where they are.
  @Test func everyRequestIsToldOfALossOnce() throws {
    let bench = try Bench()
    bench.onLoop { engine, _ in engine.change(.ready(FakeEngine.facts)) }
    let clients = try (0..<6).map { _ in try bench.client() }
    for client in clients {
      client.send(Bench.request("POST", "/v1/completions", #"{"prompt":"x","n":3}"#))
    }
    while bench.onLoop({ engine, _ in engine.submitted.count < 18 }) {}
    bench.onLoop { engine, _ in
      for request in engine.submitted { engine.say("a", request, nil) }
      engine.change(.starting(why: "rank 0 exited with 3"))
      engine.script = { engine, request in engine.say("b", request) }
      engine.change(.ready(FakeEngine.facts))
    }
    for client in clients {
      let response = client.readResponse()
      #expect(response.status == 503 && response["Retry-After"] == "2")
      #expect(
        response.body
          == #"{"error":{"message":"The engine was lost while it made this text: rank 0 exited "#
          + #"with 3. It is safe to try again.","type":"server_error","param":null,"#
          + #""code":"engine_lost"}}"#)
      client.send(Bench.request("POST", "/v1/completions", #"{"prompt":"x"}"#))
      #expect(client.readResponse().body.contains(#""text":"b""#))
    }
    // A group that is lost has forgotten by itself.
    #expect(bench.onLoop { engine, _ in engine.aborted.isEmpty })
    let page = try bench.ask("GET", "/metrics").body
    #expect(page.contains(#"portico_worker_restarts_total{model_name="letters"} 1"#))
    #expect(page.contains(#"outcome="failed"} 18"#))
  }

  // Others have all of their text while one does not read its own.
  @Test func oneWhoDoesNotReadHoldsNobodyUp() throws {
    let bench = try Bench(limits: { $0.heldBytes = 64 << 10 })
    let streamed = Bench.request("POST", "/v1/completions", #"{"prompt":"x","stream":true}"#)
    let idle = try bench.client()
    idle.send(streamed)
    while bench.onLoop({ engine, _ in engine.submitted.count < 1 }) {}
    let reader = try bench.client()
    reader.send(streamed)
    while bench.onLoop({ engine, _ in engine.submitted.count < 2 }) {}
    var rounds = 0
    while bench.onLoop({ engine, _ in
      engine.say(String(repeating: "a", count: 500), engine.submitted[0], nil)
      engine.say("b", engine.submitted[1], nil)
      return engine.aborted.isEmpty
    }) {
      rounds += 1
      try #require(rounds < 2_000)
    }
    bench.onLoop { engine, _ in engine.say("c", engine.submitted[1]) }
    let body = reader.readResponse().body
    #expect(body.split(separator: "\n\n").count { $0.contains(#""text":"b""#) } == rounds + 1)
    #expect(body.contains(#""text":"c""#) && body.hasSuffix("data: [DONE]\n\n"))
    #expect(bench.onLoop { engine, _ in engine.aborted == [engine.submitted[0].id] })
  }
}
