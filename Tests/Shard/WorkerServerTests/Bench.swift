import Dispatch
import EventLoop
import Generation
import HTTPServer
import Primitives
import TestClient

@testable import WorkerServer

/// An engine that does what a test says. Lives on the server's loop.
final class FakeEngine: TokenEngine {
  var state = EngineState.ready(FakeEngine.facts)
  var onEvent: ((EngineEvent) -> Void)?
  var onState: ((EngineState) -> Void)?
  private(set) var submitted: [GenerationRequest] = []
  private(set) var aborted: [UInt64] = []
  /// What happens when a request comes.
  var script: ((FakeEngine, GenerationRequest) -> Void)?

  static let facts = EngineFacts(
    ranks: 1, contextLimit: 64, blockTokens: 16, blocks: 8, weightBytes: 1_000, kvBytes: 2_000,
    startNanoseconds: 1)

  func submit(_ request: GenerationRequest) {
    submitted.append(request)
    script?(self, request)
  }

  func abort(id: UInt64) { aborted.append(id) }

  /// Says these letters, and why it ends.
  func say(_ text: String, _ request: GenerationRequest, _ reason: FinishReason? = .endToken) {
    for (index, byte) in text.utf8.enumerated() where !aborted.contains(request.id) {
      var token = GeneratedToken(
        id: request.id, token: Int32(byte), cachedTokens: index == 0 ? 2 : 0)
      if request.sampling.logprobs != nil {
        token.logprobs = TokenLogprobs(
          drawn: -0.5, top: [TokenLogprobs.Entry(token: Int32(byte), logprob: -0.5)])
      }
      onEvent?(.token(token))
    }
    if let reason, !aborted.contains(request.id) {
      onEvent?(.finished(id: request.id, reason))
    }
  }

  func change(_ new: EngineState) {
    state = new
    onState?(new)
  }
}

/// Tokens are bytes; 256 ends a text.
struct Letters: TextModel {
  var vocabularySize: Int { 257 }
  var endTokens: [Int32] { [256] }
  var hasChatTemplate: Bool { true }
  /// Called before more than 200 bytes are encoded.
  var beforeLong: @Sendable () -> Void = {}

  func encode(_ pieces: [TextPiece], addSpecial: Bool) -> [Int32] {
    if pieces.contains(where: { $0.text.utf8.count > 200 }) { beforeLong() }
    return pieces.flatMap { $0.text.utf8.map { Int32($0) } }
  }

  func render(_ prompt: ChatPrompt) throws -> [TextPiece] {
    [TextPiece(String(decoding: prompt.messages, as: UTF8.self).prefix(8) + ">", isTrusted: true)]
  }

  func bytes(of token: Int32) -> [UInt8] { token < 256 ? [UInt8(token)] : [] }

  func makeTextStream(skipsSpecial: Bool) -> any TextStream { Stream() }

  private struct Stream: TextStream {
    mutating func append(_ token: Int32) -> String {
      String(UnicodeScalar(UInt8(truncatingIfNeeded: token)))
    }
    mutating func finish() -> String { "" }
  }
}

extension TextPiece {
  init(_ text: some StringProtocol, isTrusted: Bool) {
    self.init(String(text), isTrusted: isTrusted)
  }
}

/// The server on a loop of its own, with a fake engine behind it.
final class Bench: @unchecked Sendable {
  let loop: EventLoop
  let address: SocketAddress
  private let engine: FakeEngine
  private let server: WorkerServer
  private let http: HTTPServer

  init(
    _ script: ((FakeEngine, GenerationRequest) -> Void)? = nil, text: Letters = Letters(),
    limits change: (inout WorkerSettings) -> Void = { _ in }
  ) throws {
    loop = try EventLoop(index: 0, label: "test")
    engine = FakeEngine()
    engine.script = script
    var settings = WorkerSettings()
    change(&settings)
    server = WorkerServer(
      settings: settings, engine: engine, text: text,
      model: ModelCard(name: "letters", created: 7, contextLimit: 64))
    http = HTTPServer(loop: loop, handler: server, limits: settings.httpLimits)
    address = try http.listen(on: .ipv4(0x7f00_0001, port: 0))
    http.start()
  }

  deinit {
    let http = LoopBound(http, on: loop)
    let closed = DispatchSemaphore(value: 0)
    http.post {
      $0.close()
      closed.signal()
    }
    closed.wait()
    loop.stop()
  }

  /// On the loop, and waits for it.
  func onLoop<Value: Sendable>(
    _ body: @escaping @Sendable (FakeEngine, WorkerServer) -> Value
  ) -> Value {
    let bound = LoopBound((engine, server), on: loop)
    let done = DispatchSemaphore(value: 0)
    let box = Box<Value>()
    bound.post { engine, server in
      box.value = body(engine, server)
      done.signal()
    }
    done.wait()
    return box.value!
  }

  /// As a process that ends does: when the drain is over, every connection is cut.
  func drainAndClose() {
    let bound = LoopBound((server, http), on: loop)
    bound.post { server, http in server.drain { http.close() } }
  }

  private final class Box<Value>: @unchecked Sendable {
    var value: Value?
  }

  func client() throws -> TestClient { try TestClient(address) }

  func ask(
    _ method: String, _ path: String, _ body: String = "", fields: String = ""
  ) throws -> TestClient.Response {
    let client = try client()
    client.send(Self.request(method, path, body, fields: fields))
    return client.readResponse()
  }

  static func request(
    _ method: String, _ path: String, _ body: String = "", fields: String = ""
  ) -> String {
    let length = method == "POST" ? "Content-Length: \(body.utf8.count)\r\n" : ""
    return "\(method) \(path) HTTP/1.1\r\nHost: a\r\n\(fields)\(length)\r\n\(body)"
  }
}
