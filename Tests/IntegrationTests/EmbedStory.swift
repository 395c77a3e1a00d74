import Glibc
import JSON
import TestClient
import Testing

extension Stories {
  /// What could break: vectors that depend on who else is in a batch, a format that the openai client
  /// does not read, texts that end the process.
  @Suite struct Embeddings {
    private let folder = Folder()
    private let port: Port
    private let process: ChildProcess

    init() throws {
      port = try Port()
      let program = String(Programs.portico[..<Programs.portico.lastIndex(of: "/")!])
      process = try ChildProcess(
        [
          program + "/portico-embed", "serve", "--model",
          "\(Programs.package)/Tests/Shard/ShardRunnerTests/Goldens/bert", "--name", "tiny",
          "--address", port.text, "--threads", "2", "--batch-tokens", "64",
        ], output: folder["embed"])
      let process = process
      try eventually("it is ready", within: 60, note: process.output) {
        process.output.contains("ready after")
      }
    }

    private func embed(_ body: String) throws -> TestClient.Response {
      try ask(port.address, "POST", "/v1/embeddings", body: body)
    }

    private func vectors(_ body: String) throws -> [[Double]] {
      let response = try embed(body)
      #expect(response.status == 200, "\(response.body)")
      return try JSONValue(response.body)["data"]?.elements?.map {
        $0["embedding"]?.elements?.compactMap(\.number) ?? []
      } ?? []
    }

    @Test func aTextHasItsVectorWhoeverElseAsks() throws {
      let alone = try vectors(#"{"input":"a front door"}"#)
      #expect(alone.count == 1 && alone[0].count == 48)
      #expect(abs(alone[0].reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
      let many = (0..<40).map { #""text number \#($0), some longer than others""# }
      let beside = try vectors(#"{"input":["a front door",\#(many.joined(separator: ","))]}"#)
      #expect(beside.count == 41 && beside[0] == alone[0])
      // Cut, and scaled to length 1 again.
      let short = try vectors(#"{"input":"a front door","dimensions":8}"#)
      #expect(short[0].count == 8)
      #expect(abs(short[0].reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
      #expect(abs(short[0][1] / short[0][0] - alone[0][1] / alone[0][0]) < 1e-4)
      // The openai client's default: the same bits in base64, 48 floats in 192 bytes.
      let text = try JSONValue(
        try embed(#"{"input":"a front door","encoding_format":"base64"}"#).body)["data"]?
        .elements?[0]["embedding"]?.text
      #expect(text?.utf8.count == 256)
    }

    @Test func whatCannotBeEmbeddedIsTold() throws {
      for (body, sentence) in [
        ("{", "The body is no JSON at byte 1"),
        ("{}", "'input' is missing."),
        (#"{"input":[]}"#, "is an empty list; it needs at least one text."),
        (#"{"input":[[1],2]}"#, "or a list of such lists; element 1 is a number."),
        (#"{"input":[99999999]}"#, "holds what is no token at place 0"),
        (#"{"input":"x","dimensions":49}"#, "'dimensions' must be a whole number from 1 to 48"),
        (#"{"input":"x","encoding_format":"int8"}"#, "must be 'float' or 'base64'."),
      ] {
        let response = try embed(body)
        #expect(response.status == 400 && response.body.contains(sentence), "\(response.body)")
      }
      #expect(try embed(#"{"input":"x","model":"y"}"#).status == 404)
      let long = String(repeating: "word ", count: 5_000)
      #expect(try vectors(#"{"input":["\#(long)",""]}"#).count == 2)
      #expect(try ask(port.address, "GET", "/v1/embeddings").status == 405)
      #expect(try ask(port.address, "GET", "/ready").status == 200)
      let metrics = Metrics(try ask(port.address, "GET", "/metrics").body)
      #expect(metrics.sum("portico_embed_refusals_total", #"reason="invalid""#) == 7)
    }

    @Test func itEndsWhenItIsToldTo() throws {
      process.signal(SIGTERM)
      #expect(try process.waitForEnd() == .exited(0))
    }
  }
}
