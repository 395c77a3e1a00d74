import Dispatch
import EventLoop
import HTTPServer
import JSON
import Primitives
import Synchronization
import TestClient
import Text

@testable import EmbedServer

/// What an encoder was given, and when it may go on: for tests that hold a batch.
final class Gate: Sendable {
  let batches = Mutex<[[Int]]>([])
  private let begun = DispatchSemaphore(value: 0)
  private let mayEnd = DispatchSemaphore(value: 0)
  let isOpen: Bool

  init(isOpen: Bool) { self.isOpen = isOpen }

  fileprivate func pass(_ lengths: [Int]) {
    batches.withLock { $0.append(lengths) }
    guard !isOpen else { return }
    begun.signal()
    mayEnd.wait()
  }

  /// Waits until a batch is being computed.
  func waitForBatch() -> Bool { begun.wait(timeout: .now() + 30) == .success }
  func release() { mayEnd.signal() }

  var lengths: [[Int]] { batches.withLock { $0 } }
}

/// A text's vector says what came: its first token, its length, and the sum of its tokens.
final class FakeEncoder: TextEncoder {
  static let size = 4
  private let gate: Gate
  let weightBytes = 12_345

  init(_ gate: Gate) { self.gate = gate }

  func embed(_ tokens: [Int32], lengths: [Int]) -> [Float] {
    gate.pass(lengths)
    var first = 0
    return lengths.flatMap { count in
      let text = tokens[first..<first + count]
      first += count
      let isBad = text.first == 99
      return [
        isBad ? Float.nan : Float(text.first ?? 0), Float(count),
        Float(text.reduce(0) { $0 + Int($1) }), 0.1,
      ]
    }
  }
}

struct NoModel: Error, CustomStringConvertible {
  let description = "the weights are gone"
}

/// A server over a fake encoder, on a loopback socket.
final class Worker: Sendable {
  let address: SocketAddress
  let gate: Gate
  private let loop: EventLoop
  private let inside: LoopBound<(HTTPServer, EmbedServer)>
  private let state = DispatchSemaphore(value: 0)
  private let thread: EncoderThread

  static let tokenLimit = 8

  /// Words of the tokenizer are tokens 10 to 13; `[CLS]` and `[SEP]` are 1 and 2.
  static func model(isNormalised: Bool = false) throws -> EmbedModel {
    let tokenizer = try Tokenizer(
      huggingFace: Array(
        """
        {"added_tokens": [
          {"id": 1, "content": "[CLS]", "special": true},
          {"id": 2, "content": "[SEP]", "special": true}],
         "normalizer": {"type": "BertNormalizer", "clean_text": true,
          "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
         "pre_tokenizer": {"type": "BertPreTokenizer"},
         "post_processor": {"type": "TemplateProcessing",
          "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
           {"Sequence": {"id": "A", "type_id": 0}},
           {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
          "pair": [], "special_tokens": {
           "[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
           "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
         "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
         "model": {"type": "WordPiece", "unk_token": "[UNK]",
          "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
          "vocab": {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "a": 10, "b": 11, "c": 12,
           "d": 13}}}
        """.utf8), config: nil)
    return try EmbedModel(
      name: "tiny/bert", created: 1_700_000_000, size: FakeEncoder.size, tokenLimit: tokenLimit,
      vocabulary: 100, isNormalised: isNormalised, tokenizer: tokenizer)
  }

  init(
    gate: Gate = Gate(isOpen: true), isNormalised: Bool = false, loads: Bool = true,
    isStarted: Bool = true, _ change: (inout EmbedSettings) -> Void = { _ in }
  ) throws {
    self.gate = gate
    var settings = EmbedSettings()
    settings.version = "1.2.3"
    settings.batchTokens = 20
    change(&settings)
    loop = try EventLoop(index: 0, label: "test")
    let server = EmbedServer(settings: settings, model: try Self.model(isNormalised: isNormalised))
    let http = HTTPServer(loop: loop, handler: server, limits: settings.httpLimits)
    address = try http.listen(on: SocketAddress("127.0.0.1:0")!)
    inside = LoopBound((http, server), on: loop)
    let home = LoopBound(server, on: loop)
    thread = EncoderThread(
      make: {
        guard loads else { throw NoModel() }
        return FakeEncoder(gate)
      },
      tell: { event in home.post { $0.heard(event) } })
    server.encoder = thread
    let state = state
    server.onState = { _ in state.signal() }
    http.start()
    guard isStarted else { return }
    guard thread.start() else { throw NoModel() }
    state.wait()
  }

  deinit {
    thread.stop()
    onLoop { http, _ in http.close() }
    loop.stop()
  }

  func onLoop(_ work: @escaping @Sendable (HTTPServer, EmbedServer) -> Void) {
    let done = DispatchSemaphore(value: 0)
    inside.post { server in
      work(server.0, server.1)
      done.signal()
    }
    done.wait()
  }

  /// Looks until there are so many texts in flight: what a client does takes a moment to arrive.
  func waitForTexts(_ count: Int) -> Bool {
    let found = Found()
    for _ in 0..<3_000 {
      onLoop { _, server in found.count.store(server.texts, ordering: .relaxed) }
      if found.count.load(ordering: .relaxed) == count { return true }
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(10))
    }
    return false
  }

  private final class Found: Sendable {
    let count = Atomic(-1)
  }

  // MARK: Asking

  func send(_ body: String, path: String = "/v1/embeddings") throws -> TestClient {
    let client = try TestClient(address)
    client.send(
      "POST \(path) HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
    return client
  }

  func ask(_ body: String) throws -> TestClient.Response { try send(body).readResponse() }

  func get(_ path: String) throws -> TestClient.Response {
    let client = try TestClient(address)
    client.send("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n")
    return client.readResponse()
  }

  /// The vectors of an answer.
  func vectors(_ body: String) throws -> [[Double]] {
    let response = try ask(body)
    let json = try JSONValue(response.body)
    return (json["data"]?.elements ?? []).map {
      $0["embedding"]?.elements?.compactMap(\.number) ?? []
    }
  }
}
