import CLinux
import EventLoop
import HTTP
import HTTPServer
import JSON
import Primitives

/// Answers for all engines of the process. Lives on their loop; not Sendable on purpose.
final class MockHandler: HTTPHandler {
  /// One engine: how it behaves and what it is doing.
  struct Engine {
    var settings: MockSettings
    var running = 0
    /// In order of arrival. Those that have left are skipped when their turn comes.
    var queue: [Handle] = []
    var waiting = 0
    var served = MockMetrics()
  }

  var engines: [Engine] = []
  var generations = Slab<Generation>()
  var deadlines = DeadlineHeap()
  var random: SeededRandom
  /// Requests so far; names the answers.
  private var serial: UInt64 = 0
  /// The events of one visit, built here and copied once.
  var scratch: [UInt8] = []

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  // MARK: Paths

  func handle(_ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    let path = request.path
    let isRead = request.method == .get || request.method == .head
    switch path {
    case "/v1/chat/completions", "/v1/completions", "/v1/embeddings":
      guard request.method == .post else { return refuseMethod(request, responder, allow: "POST") }
      generate(request, responder, path)
    case "/mock":
      guard request.method == .post else { return refuseMethod(request, responder, allow: "POST") }
      change(request, responder)
    case "/health", "/metrics", "/v1/models", "/v1/realtime":
      guard isRead else { return refuseMethod(request, responder, allow: "GET, HEAD") }
      show(request, responder, path)
    default:
      let prefix = "/v1/models/"
      let models = engines[request.listener].settings.models
      if isRead, path.hasPrefix(prefix), models.contains(String(path.dropFirst(prefix.count))) {
        return answer(
          request, responder, 200, Self.model(String(path.dropFirst(prefix.count))) + "\n")
      }
      refuse(request, responder, 404, "nothing is served at this path")
    }
  }

  private func show(
    _ request: borrowing HTTPRequest, _ responder: HTTPResponder, _ path: String
  ) {
    let engine = engines[request.listener]
    switch path {
    case "/health":
      responder.respond(engine.settings.health, fields: fields(request), "")
    case "/metrics":
      responder.respond(
        200, contentType: "text/plain; version=0.0.4; charset=utf-8", fields: fields(request),
        engine.served.text(engine))
    case "/v1/realtime":
      guard request.wantsWebSocket, let key = request.field("sec-websocket-key") else {
        let upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        return responder.respond(
          426, fields: fields(request) + upgrade, "this path speaks WebSocket, version 13\n")
      }
      echo(request, responder, key)
    default:
      let models = engine.settings.models.map(Self.model).joined(separator: ",")
      answer(request, responder, 200, "{\"object\":\"list\",\"data\":[\(models)]}\n")
    }
  }

  private static func model(_ name: String) -> String {
    "{\"id\":\(JSONText.quoted(name)),\"object\":\"model\",\"created\":0,"
      + "\"owned_by\":\"portico-mock\"}"
  }

  /// Sends back every byte as it is, masks included, which shows what a tunnel does to bytes. With
  /// `?frames` it speaks WebSocket, which is what a client library wants.
  private func echo(
    _ request: borrowing HTTPRequest, _ responder: HTTPResponder, _ key: String
  ) {
    let upgrade = [
      ("Upgrade", "websocket"), ("Connection", "Upgrade"),
      ("Sec-WebSocket-Accept", WebSocketHandshake.accept(key)),
    ]
    let speaksFrames = request.query.split(separator: "&").contains("frames")
    var frames = WebSocketEcho()
    // The responder lets go of both closures when it ends.
    responder.takeOver(
      head: (101, fields(request) + upgrade),
      onBytes: { bytes in
        guard speaksFrames else {
          _ = responder.write(bytes)
          return
        }
        let (answer, isOver) = frames.receive(bytes)
        responder.write(answer)
        if isOver { responder.end() }
      },
      onInputEnd: { responder.end() })
  }

  /// `POST /mock?ttft=2s`: changes the engine for all further requests.
  private func change(_ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    var settings = engines[request.listener].settings
    do throws(MockComplaint) {
      try MockParameters.apply(
        request.query, of: MockParameters.ofEngine, strict: true, to: &settings)
    } catch {
      return refuse(request, responder, 400, error.description)
    }
    engines[request.listener].settings = settings
    answer(request, responder, 200, "{}\n")
    admitWaiting(request.listener, at: EventLoop.now())
  }

  // MARK: Generations

  private func generate(
    _ request: borrowing HTTPRequest, _ responder: HTTPResponder, _ path: String
  ) {
    let index = request.listener
    var settings = engines[index].settings
    let asked: MockRequest
    do throws(MockComplaint) {
      let names = MockParameters.ofRequest
      try MockParameters.apply(request.query, of: names, strict: false, to: &settings)
      if let list = request.field("x-mock") {
        try MockParameters.apply(list, of: names, strict: true, to: &settings)
      }
      let json: JSONValue
      do throws(JSONComplaint) {
        json = try JSONValue(request.body, .tolerant)
      } catch {
        throw MockComplaint("the body is \(error)")
      }
      asked =
        switch path {
        case "/v1/chat/completions": try .chat(json)
        case "/v1/completions": try .completion(json)
        default: try .embedding(json)
        }
    } catch {
      return refuse(request, responder, 400, error.description)
    }
    if settings.fault == nil { settings.fault = drawFault(settings) }
    if case .status(let status) = settings.fault {
      engines[index].served.refused += 1
      let retry = settings.retryAfterSeconds.map { [("Retry-After", "\($0)")] } ?? []
      return refuse(request, responder, status, "the mock was asked to fail", retry)
    }

    serial += 1
    let answer = MockAnswer(
      asked, name: settings.name, model: asked.model ?? settings.models.first ?? "mock",
      tokens: settings.tokens, serial: serial, created: portico_realtime_ns() / 1_000_000_000)
    engines[index].served.promptTokens += asked.promptTokens
    let handle = generations.insert(
      Generation(
        responder: responder, engine: index, settings: settings, answer: answer,
        isStreamed: asked.isStreamed, isText: asked.isText, fields: fields(request)))
    responder.onClose = { [unowned self] in clientLeft(handle) }
    enqueue(handle, on: index)
  }

  private func drawFault(_ settings: MockSettings) -> MockFault? {
    if settings.chances.isEmpty { return nil }
    var place = random.unit()
    for chance in settings.chances {
      if place < chance.probability { return chance.fault }
      place -= chance.probability
    }
    return nil
  }

  // MARK: Small answers

  /// What every answer carries: who gave it, and the request's own name for itself.
  private func fields(_ request: borrowing HTTPRequest) -> [(String, String)] {
    let name = ("X-Mock-Name", engines[request.listener].settings.name)
    guard let id = request.field("x-request-id") else { return [name] }
    return [name, ("X-Request-Id", id)]
  }

  private func answer(
    _ request: borrowing HTTPRequest, _ responder: HTTPResponder, _ status: Int, _ json: String,
    _ more: [(String, String)] = []
  ) {
    responder.respond(
      status, contentType: "application/json", fields: fields(request) + more, json)
  }

  /// An error as OpenAI words it.
  private func refuse(
    _ request: borrowing HTTPRequest, _ responder: HTTPResponder, _ status: Int,
    _ message: String, _ more: [(String, String)] = []
  ) {
    let type = status < 500 ? "invalid_request_error" : "server_error"
    answer(
      request, responder, status,
      "{\"error\":{\"message\":\(JSONText.quoted(message)),\"type\":\"\(type)\",\"param\":null,"
        + "\"code\":\(status)}}\n", more)
  }

  private func refuseMethod(
    _ request: borrowing HTTPRequest, _ responder: HTTPResponder, allow: String
  ) {
    refuse(request, responder, 405, "this path takes \(allow) only", [("Allow", allow)])
  }
}
