import JSON
import Synchronization
import Testing

@testable import EmbedServer

/// Many clients at a time, and those that leave.
@Suite struct BatchTests {
  // Requests that wait while a batch runs are one batch, up to the budget of 20 tokens; a long request
  // gives one text in its turn, so that the short one behind it is not last.
  @Test func requestsThatWaitAreJoined() throws {
    let gate = Gate(isOpen: false)
    let worker = try Worker(gate: gate)
    let first = try worker.send(#"{"input": "a"}"#)
    #expect(gate.waitForBatch())
    let long = try worker.send(#"{"input": [[1,1,1,1,1,1,1,1],[2,2,2,2,2,2],[3,3,3,3,3,3]]}"#)
    #expect(worker.waitForTexts(4))
    let short = try worker.send(#"{"input": [[5],[6]]}"#)
    #expect(worker.waitForTexts(6))
    for _ in 0..<2 {
      gate.release()
      #expect(gate.waitForBatch())
    }
    gate.release()
    #expect(first.readResponse().status == 200)
    let answer = try JSONValue(long.readResponse().body)
    let sums = answer["data"]?.elements?.map { $0["embedding"]?.elements?[2].number }
    #expect(sums == [8, 12, 18])
    #expect(answer["usage"]?["total_tokens"]?.integer == 20)
    #expect(short.readResponse().status == 200)
    #expect(gate.lengths == [[3], [8, 1, 6, 1], [6]])
  }

  // A client that leaves takes its texts with it: nobody computes them, and the queue is free.
  @Test func leavingDropsTexts() throws {
    let gate = Gate(isOpen: false)
    let worker = try Worker(gate: gate)
    let first = try worker.send(#"{"input": "a"}"#)
    #expect(gate.waitForBatch())
    do {
      let leaving = try worker.send(#"{"input": [[7],[7],[7]]}"#)
      #expect(worker.waitForTexts(4))
      leaving.finishSending()
      #expect(worker.waitForTexts(1))
    }
    let last = try worker.send(#"{"input": [[8]]}"#)
    #expect(worker.waitForTexts(2))
    gate.release()
    #expect(first.readResponse().status == 200)
    #expect(gate.waitForBatch())
    gate.release()
    #expect(last.readResponse().status == 200)
    #expect(gate.lengths == [[3], [1]])
    #expect(try worker.get("/metrics").body.contains("outcome=\"left\"} 1\n"))
  }

  // In the batch already: the others get theirs.
  @Test func leavingWithinABatchDisturbsNobody() throws {
    let gate = Gate(isOpen: false)
    let worker = try Worker(gate: gate)
    let first = try worker.send(#"{"input": [[1],[2]]}"#)
    #expect(gate.waitForBatch())
    first.finishSending()
    #expect(worker.waitForTexts(0))
    gate.release()
    let next = try worker.send(#"{"input": [[3]]}"#)
    #expect(gate.waitForBatch())
    gate.release()
    #expect(next.readResponse().status == 200)
  }

  // Beyond the queue's limit: a refusal that says when to come back, and no wait.
  @Test func aFullQueueRefuses() throws {
    let gate = Gate(isOpen: false)
    let worker = try Worker(gate: gate) { $0.queueTexts = 3 }
    // More than the limit, but there is no other.
    let first = try worker.send(#"{"input": ["a", "a", "a", "a"]}"#)
    #expect(gate.waitForBatch())
    let refused = try worker.ask(#"{"input": "a"}"#)
    #expect(refused.status == 503)
    #expect(refused["Retry-After"] == "1")
    #expect(
      refused.body
        == #"{"error":{"message":"4 texts are in flight, and this worker takes at most 3; try again "#
        + #"later, or ask another.","type":"server_error","param":null,"code":"queue_full"}}"#)
    gate.release()
    #expect(first.readResponse().status == 200)
  }

  // Bodies and answers that are too long for the loop take another way to the same end.
  @Test func longRequestsAreServedElsewhere() throws {
    let worker = try Worker {
      $0.inlineBytes = 16
      $0.inlineFloats = 4
    }
    let texts = (0..<2_000).map { "\"\("abcd".map { String($0) }[$0 % 4])\"" }
    let vectors = try worker.vectors("{\"input\": [\(texts.joined(separator: ","))]}")
    #expect(vectors.map { $0[2] } == (0..<2_000).map { 13 + Double($0 % 4) })
  }

  // More than a piece of 256 KiB: sent in pieces as the client reads, and in flight until then.
  @Test func longAnswersAreSentInPieces() throws {
    let worker = try Worker { $0.inputLimit = 20_000 }
    let texts = [String](repeating: "[1]", count: 12_000).joined(separator: ",")
    let client = try worker.send("{\"input\": [\(texts)]}")
    let response = client.readResponse()
    #expect(response.status == 200)
    #expect(response["Transfer-Encoding"] == "chunked")
    #expect(try JSONValue(response.body)["data"]?.elements?.count == 12_000)
    #expect(worker.waitForTexts(0))
  }

  // Numbers that are none must not reach a client as JSON that nobody can read.
  @Test func aVectorThatIsNoNumberIsAnError() throws {
    let worker = try Worker()
    let response = try worker.ask(#"{"input": [[1], [99], [2]]}"#)
    #expect(response.status == 500)
    #expect(try JSONValue(response.body)["error"]?["type"]?.text == "server_error")
    #expect(worker.waitForTexts(0))
    #expect(try worker.vectors(#"{"input": [[1], [2]]}"#).count == 2)
  }

  // SIGTERM's way: what is in flight is answered, what comes is refused, and then it is over.
  @Test func drainingAnswersWhatIsInFlight() throws {
    let gate = Gate(isOpen: false)
    let worker = try Worker(gate: gate)
    let first = try worker.send(#"{"input": "a"}"#)
    #expect(gate.waitForBatch())
    let isOver = Flag()
    worker.onLoop { _, server in server.drain { isOver.set() } }
    let refused = try worker.ask(#"{"input": "a"}"#)
    #expect(refused.status == 503)
    #expect(
      try JSONValue(refused.body)["error"]?["message"]?.text
        == "This worker is ending; ask another.")
    let ready = try worker.get("/ready")
    #expect(ready.status == 503)
    #expect(ready.body == #"{"status":"draining","why":"this worker is ending"}"#)
    #expect(!isOver.isSet)
    gate.release()
    #expect(first.readResponse().status == 200)
    worker.onLoop { _, _ in }
    #expect(isOver.isSet)
  }

  private final class Flag: Sendable {
    private let value = Atomic(false)

    func set() { value.store(true, ordering: .relaxed) }
    var isSet: Bool { value.load(ordering: .relaxed) }
  }
}

/// What watchers see.
@Suite struct WatchTests {
  @Test func modelsAreListed() throws {
    let worker = try Worker()
    let card =
      #"{"id":"tiny/bert","object":"model","created":1700000000,"owned_by":"portico","#
      + #""max_model_len":8}"#
    #expect(try worker.get("/v1/models").body == #"{"object":"list","data":[\#(card)]}"#)
    #expect(try worker.get("/v1/models/tiny%2Fbert").body == card)
    #expect(try worker.get("/v1/models/tiny/bert").body == card)
    #expect(try worker.get("/v1/models/other").status == 404)
    #expect(try worker.get("/version").body == #"{"version":"1.2.3"}"#)
  }

  @Test func healthAndReadiness() throws {
    let worker = try Worker()
    #expect(try worker.get("/health").body == #"{"status":"ok"}"#)
    #expect(try worker.get("/ready").body == #"{"status":"ready"}"#)
    let loading = try Worker(isStarted: false)
    #expect(try loading.get("/health").body == #"{"status":"starting"}"#)
    #expect(
      try loading.get("/ready").body == #"{"status":"loading","why":"the model is being loaded"}"#)
    let refused = try loading.ask(#"{"input": "a"}"#)
    #expect(refused.status == 503)
    #expect(refused["Retry-After"] == "1")
    let failed = try Worker(loads: false)
    let health = try failed.get("/health")
    #expect(health.status == 503)
    #expect(health.body == #"{"status":"ended","why":"the weights are gone"}"#)
  }

  @Test func metricsCount() throws {
    let worker = try Worker()
    _ = try worker.ask(#"{"input": ["a", "b c"]}"#)
    _ = try worker.ask(#"{"input": []}"#)
    let page = try worker.get("/metrics").body
    for line in [
      "portico_embed_ready{model_name=\"tiny/bert\"} 1\n",
      "portico_embed_texts_total{model_name=\"tiny/bert\"} 2\n",
      "portico_embed_tokens_total{model_name=\"tiny/bert\"} 7\n",
      "portico_embed_batches_total{model_name=\"tiny/bert\"} 1\n",
      "portico_embed_weight_bytes{model_name=\"tiny/bert\"} 12345\n",
      "portico_embed_requests_total{model_name=\"tiny/bert\",outcome=\"answered\"} 1\n",
      "portico_embed_refusals_total{model_name=\"tiny/bert\",reason=\"invalid\"} 1\n",
      "portico_embed_request_seconds_count{model_name=\"tiny/bert\"} 1\n",
      "vllm:num_requests_running{model_name=\"tiny/bert\"} 0\n",
    ] {
      #expect(page.contains(line), "\(line)")
    }
  }
}
