import Generation
import JSON
import TestClient
import Testing
import WorkerAPI

@testable import WorkerServer

/// Whole bodies, byte for byte but for ids and times: an order that changes or a member that is
/// missing breaks some client.
@Suite struct ByteTests {
  private static let completion = #"{"id":"cmpl","object":"text_completion","created":0,"#
  private static let chunk = #"{"id":"chatcmpl","object":"chat.completion.chunk","created":0,"#
  private static let usage =
    #""usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"#
    + #""prompt_tokens_details":{"cached_tokens":2}}"#

  /// Without what differs from run to run.
  private func normal(_ body: String) -> String {
    body.replacing(/"id":"(chatcmpl|cmpl)-[0-9a-f]+"/) { #""id":"\#($0.1)""# }
      .replacing(/"created":[0-9]+/) { _ in #""created":0"# }
  }

  private func events(_ events: String...) -> String {
    events.map { "data: \($0)\n\n" }.joined()
  }

  // Clients that did not ask for usage must not find a piece without choices.
  @Test(arguments: [true, false]) func aStreamedCompletion(wantsUsage: Bool) throws {
    let bench = try Bench { engine, request in engine.say("Hi", request, .length) }
    let options = wantsUsage ? #","stream_options":{"include_usage":true}"# : ""
    let body = try bench.ask(
      "POST", "/v1/completions", #"{"prompt":"x","stream":true\#(options)}"#
    ).body
    func piece(_ text: String, _ finish: String) -> String {
      Self.completion + #""model":"letters","choices":[{"index":0,"text":"\#(text)","#
        + #""logprobs":null,"finish_reason":\#(finish)}]"# + (wantsUsage ? #","usage":null}"# : "}")
    }
    let last = Self.completion + #""model":"letters","choices":[],\#(Self.usage)}"#
    #expect(
      normal(body)
        == events(piece("H", "null"), piece("i", "null"), piece("", #""length""#))
        + (wantsUsage ? events(last) : "") + events("[DONE]"))
  }

  @Test func aWholeCompletion() throws {
    let bench = try Bench { engine, request in engine.say("Hi", request) }
    let body = try bench.ask("POST", "/v1/completions", #"{"prompt":"x","model":"letters"}"#).body
    #expect(
      normal(body)
        == Self.completion + #""model":"letters","choices":[{"index":0,"text":"Hi","#
        + #""logprobs":null,"finish_reason":"stop"}],\#(Self.usage)}"#)
  }

  // Texts come as they are made, each under its index; every one begins and ends once.
  @Test func twoStreamedTextsOfAChatWithLogprobs() throws {
    let bench = try Bench()
    let client = try bench.client()
    client.send(
      Bench.request(
        "POST", "/v1/chat/completions",
        #"{"messages":[{"role":"user","content":"x"}],"stream":true,"n":2,"logprobs":true,"#
          + #""top_logprobs":1}"#))
    while bench.onLoop({ engine, _ in engine.submitted.count < 2 }) {}
    bench.onLoop { engine, _ in
      engine.say("B", engine.submitted[1], nil)
      engine.say("a", engine.submitted[0], .length)
      engine.onEvent?(.finished(id: engine.submitted[1].id, .endToken))
    }
    func piece(_ index: Int, _ delta: String, _ letter: UInt8?, _ finish: String) -> String {
      var logprobs = "null"
      if let letter {
        let entry =
          #""token":"\#(String(UnicodeScalar(letter)))","logprob":-0.5,"bytes":[\#(letter)]"#
        logprobs = #"{"content":[{\#(entry),"top_logprobs":[{\#(entry)}]}],"refusal":null}"#
      }
      return Self.chunk + #""model":"letters","choices":[{"index":\#(index),"delta":\#(delta),"#
        + #""logprobs":\#(logprobs),"finish_reason":\#(finish)}]}"#
    }
    let opening = #"{"role":"assistant","content":""}"#
    #expect(
      normal(client.readResponse().body)
        == events(
          piece(0, opening, nil, "null"), piece(1, opening, nil, "null"),
          piece(1, #"{"content":"B"}"#, 66, "null"), piece(0, #"{"content":"a"}"#, 97, "null"),
          piece(0, "{}", nil, #""length""#), piece(1, "{}", nil, #""stop""#), "[DONE]"))
  }

  @Test func aWholeChatWithLogprobs() throws {
    let bench = try Bench { engine, request in engine.say("a", request) }
    let body = try bench.ask(
      "POST", "/v1/chat/completions",
      #"{"messages":[{"role":"user","content":"x"}],"logprobs":true}"#
    ).body
    let entry = #""token":"a","logprob":-0.5,"bytes":[97]"#
    #expect(
      normal(body).contains(
        #""message":{"role":"assistant","content":"a","refusal":null},"logprobs":{"content":["#
          + #"{\#(entry),"top_logprobs":[{\#(entry)}]}],"refusal":null},"finish_reason":"stop"}]"#
      ), "\(body)")
  }

  // Texts of a stream with log probabilities carry those of their own tokens, and none gets lost with
  // text that is held back.
  @Test func logprobsGoWithTheirTexts() throws {
    let bench = try Bench { engine, request in engine.say("aENx", request, .length) }
    let body = try bench.ask(
      "POST", "/v1/completions", #"{"prompt":"x","stream":true,"stop":"END","logprobs":1}"#
    ).body
    let choices = try body.split(separator: "\n\n").dropLast().compactMap {
      try JSONValue(String($0.dropFirst(6)))["choices"]?.elements?[0]
    }
    #expect(choices.map { $0["text"]?.text } == ["a", "ENx", ""])
    let tokens = choices.map { $0["logprobs"]?["tokens"]?.elements?.compactMap(\.text) ?? [] }
    #expect(tokens == [["a"], ["E", "N", "x"], []])
    #expect(choices[1]["logprobs"]?["text_offset"] == .array([.number(1), .number(2), .number(3)]))
  }

  @Test(arguments: [
    (#""stop":"END","include_stop_str_in_output":true"#, "one END", "stop"),
    (#""stop":["two","ne"]"#, "o", "stop"),
    (#""stop":["three",""# + #"four"]"#, "one END two", "length"),
    (#""stop":"two!""#, "one END two", "length"),
    (#""stop":"one","min_tokens":3"#, "one END two", "length"),
    (#""stop":"o","min_tokens":3"#, "one END tw", "stop"),
  ]) func stopStrings(stop: String, text: String, finish: String) throws {
    let bench = try Bench { engine, request in engine.say("one END two", request, .length) }
    for isStreamed in [false, true] {
      let body = try bench.ask(
        "POST", "/v1/completions", #"{"prompt":"x",\#(stop),"stream":\#(isStreamed)}"#
      ).body
      let answers = isStreamed ? body.split(separator: "\n\n").dropLast() : ["data: " + body]
      let choices = try answers.compactMap {
        try JSONValue(String($0.dropFirst(6)))["choices"]?.elements?[0]
      }
      #expect(choices.map { $0["text"]?.text ?? "" }.joined() == text)
      #expect(choices.last?["finish_reason"]?.text == finish)
    }
  }

  // A connection serves one request after another, whatever kind of answer the last had.
  @Test func answersFollowEachOtherOnAConnection() throws {
    let bench = try Bench { engine, request in engine.say("k", request) }
    let client = try bench.client()
    for isStreamed in [true, false, true] {
      client.send(
        Bench.request("POST", "/v1/completions", #"{"prompt":"x","stream":\#(isStreamed)}"#))
      let body = client.readResponse().body
      #expect(body.contains(#""text":"k""#) && body.hasSuffix("[DONE]\n\n") == isStreamed)
      client.send(Bench.request("POST", "/v1/completions", "{"))
      #expect(client.readResponse().status == 400)
    }
  }

  // MARK: Others than texts

  @Test func modelsTokensAndVersion() throws {
    let bench = try Bench()
    let card =
      #"{"id":"letters","object":"model","created":7,"owned_by":"portico","max_model_len":64}"#
    #expect(
      try bench.ask("GET", "/v1/models").body == #"{"object":"list","data":[\#(card)]}"#)
    #expect(try bench.ask("GET", "/v1/models/letters").body == card)
    #expect(try bench.ask("GET", "/version").body == #"{"version":"0"}"#)
    #expect(
      try bench.ask("POST", "/tokenize", #"{"prompt":"hi","return_token_strs":true}"#).body
        == #"{"count":2,"max_model_len":64,"tokens":[104,105],"token_strs":["h","i"]}"#)
    // As the fake template writes it: the first bytes of the messages, as the client wrote them.
    #expect(
      try bench.ask("POST", "/tokenize", #"{"messages":[{"role":"user","content":"x"}]}"#).body
        == #"{"count":9,"max_model_len":64,"tokens":[91,123,34,114,111,108,101,34,62],"#
        + #""token_strs":null}"#)
    #expect(try bench.ask("POST", "/detokenize", #"{"tokens":[]}"#).body == #"{"prompt":""}"#)
  }

  @Test func headIsAnsweredWithoutABody() throws {
    let bench = try Bench()
    bench.onLoop { engine, _ in engine.change(.ready(FakeEngine.facts)) }
    let client = try bench.client()
    for path in ["/health", "/ready", "/metrics", "/v1/models"] {
      client.send(Bench.request("HEAD", path))
      #expect(client.readResponse(toHead: true).status == 200)
    }
    client.send(Bench.request("GET", "/health"))
    #expect(client.readResponse().body == #"{"status":"ok"}"#)
  }

  // A balancer that asks gets the load with the head, of streams too; others get no field.
  @Test func loadReports() throws {
    let bench = try Bench { engine, request in engine.say("a", request) }
    bench.onLoop { engine, _ in
      var report = EngineReport()
      report.running = 2
      report.blocksUsed = 3
      engine.onEvent?(.report(report))
    }
    func field(_ asked: String, stream: Bool) throws -> String? {
      try bench.ask(
        "POST", "/v1/completions", #"{"prompt":"x","stream":\#(stream)}"#,
        fields: asked.isEmpty ? "" : "endpoint-load-metrics-format: \(asked)\r\n"
      )["endpoint-load-metrics"]
    }
    let text =
      "TEXT named_metrics.kv_cache_usage_perc=0.375, named_metrics.num_requests_running=2, "
      + "named_metrics.num_requests_waiting=0"
    #expect(try field("TEXT", stream: true) == text)
    #expect(try field("text", stream: false) == text)
    #expect(try field("JSON", stream: true)?.hasPrefix("JSON {\"named_metrics\":{") == true)
    #expect(try field("BIN", stream: true) == nil)
    #expect(try field("", stream: false) == nil)
  }
}

/// Pages that Prometheus reads.
@Suite struct MetricsTests {
  // Each family once, with HELP and TYPE before its samples; histograms only grow.
  @Test func everyFamilyIsDescribedOnceAndHistogramsAddUp() throws {
    let bench = try Bench { engine, request in engine.say("abc", request) }
    for _ in 0..<3 { _ = try bench.ask("POST", "/v1/completions", #"{"prompt":"x"}"#) }
    let response = try bench.ask("GET", "/metrics")
    #expect(response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
    var described = Set<String>()
    var family = ""
    var type = ""
    var bucket = 0.0
    var counts: [String: Double] = [:]
    let lines = response.body.split(separator: "\n").map(String.init)
    for (index, line) in lines.enumerated() {
      let words = line.split(separator: " ").map(String.init)
      if words[1] == "HELP" {
        family = words[2]
        #expect(described.insert(family).inserted, "\(family) is there twice")
        #expect(words.count > 3 && lines[index + 1].hasPrefix("# TYPE \(family) "), "\(line)")
        bucket = 0
      } else if words[1] == "TYPE" {
        type = words[3]
        #expect(["counter", "gauge", "histogram"].contains(type))
        #expect((type == "counter") == family.hasSuffix("_total"), "\(family)")
      } else {
        let name = String(line.prefix { $0 != "{" })
        let value = try #require(Double(words.last!))
        let suffix = name.dropFirst(family.count)
        #expect(name.hasPrefix(family) && line.contains(#"model_name="letters""#), "\(line)")
        #expect(
          (type == "histogram" ? ["_bucket", "_sum", "_count"] : [""]).contains(String(suffix)))
        if suffix == "_bucket" {
          #expect(value >= bucket, "\(line)")
          bucket = value
        }
        if suffix == "_count" {
          #expect(value == bucket)
          counts[family] = value
        }
      }
    }
    #expect(
      counts == [
        "portico_worker_time_to_first_token_seconds": 3, "portico_worker_inter_token_seconds": 6,
        "portico_worker_request_seconds": 3,
      ])
  }

  // A name with a quote or a line end must not end the label, nor the page.
  @Test func namesAreEscaped() {
    var page = MetricsPage(model: "a\"b\\c\nd")
    page.gauge("x", "Help.", 1)
    #expect(page.text == "# HELP x Help.\n# TYPE x gauge\nx{model_name=\"a\\\"b\\\\c\\nd\"} 1\n")
  }
}
