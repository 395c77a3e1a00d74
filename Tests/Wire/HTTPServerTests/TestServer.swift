import Dispatch
import EventLoop
import HTTP
import HTTPServer
import Primitives
import Synchronization
import TestClient

/// A server with a handler that does what the path says, and notes what it is told.
final class TestServer: Sendable {
  let address: SocketAddress
  let notes: Notes
  private let loop: EventLoop
  private let inside: LoopBound<(HTTPServer, TestHandler)>

  init(
    notes: Notes = Notes(), _ change: (inout HTTPServerLimits) -> Void = { _ in }
  ) throws(SystemError) {
    loop = try EventLoop(index: 0, label: "test")
    var limits = HTTPServerLimits()
    change(&limits)
    let handler = TestHandler(notes)
    let server = HTTPServer(loop: loop, handler: handler, limits: limits)
    self.notes = notes
    address = try server.listen(on: SocketAddress("127.0.0.1:0")!, tag: 7)
    server.start()
    inside = LoopBound((server, handler), on: loop)
  }

  deinit {
    close()
    loop.stop()
  }

  func drain() { onLoop { server, _ in server.drain() } }
  func close() { onLoop { server, _ in server.close() } }

  /// Answers what `/hold` has kept.
  func release() {
    onLoop { _, handler in
      for responder in handler.held { responder.respond(200, "released") }
      handler.held = []
    }
  }

  private func onLoop(_ work: @escaping @Sendable (HTTPServer, TestHandler) -> Void) {
    let done = DispatchSemaphore(value: 0)
    inside.post { server, handler in
      work(server, handler)
      done.signal()
    }
    done.wait()
  }

  func client() throws -> TestClient { try TestClient(address) }
}

/// What the handler was told, readable from the test's thread.
final class Notes: Sendable {
  private let lines = Mutex<[String]>([])
  private let arrived = DispatchSemaphore(value: 0)

  func add(_ line: String) {
    lines.withLock { $0.append(line) }
    arrived.signal()
  }

  /// The next note, waited for.
  func next() -> String {
    guard arrived.wait(timeout: .now() + 30) == .success else { return "nothing came" }
    return lines.withLock { $0.removeFirst() }
  }

  var isEmpty: Bool { lines.withLock { $0.isEmpty } }
}

final class TestHandler: HTTPHandler {
  private let notes: Notes
  /// A serial queue has a thread when it needs one; those of the global queue wait in tests.
  private let elsewhere = DispatchQueue(label: "elsewhere")
  var held: [HTTPResponder] = []
  /// Bytes that `/flood` still has to write.
  private var flood = 0

  init(_ notes: Notes) { self.notes = notes }

  func handle(_ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    let notes = notes
    switch request.path {
    case "/hello":
      responder.respond(200, "hello")
    case "/facts":
      let canary = request.field("x-canary") ?? "none"
      responder.respond(
        200, "\(request.method.name) \(request.query) \(canary) \(request.listener)")
    case "/echo":
      notes.add("body of \(request.body.count)")
      responder.respond(200, contentType: "application/x-echo", body: Array(request.body))
    case "/later":
      // Goes to another thread and comes home.
      let home = responder.bound
      elsewhere.async { home?.post { $0.respond(200, "later") } }
    case "/empty":
      responder.respond(204, "")
    case "/split":
      responder.respond(200, fields: [("X-Split", "a\r\nX-Evil: b")], "split")
    case "/hold":
      responder.onClose = { notes.add("left") }
      held.append(responder)
      notes.add("held")
    case "/stream":
      responder.beginStream(200, contentType: "text/event-stream")
      responder.write("one")
      responder.write("")
      responder.write([UInt8]("two".utf8))
      responder.end()
      // Late calls change nothing.
      responder.write("three")
      responder.end()
    case "/open-stream":
      responder.onClose = { notes.add("left") }
      responder.beginStream(200, contentType: "text/event-stream")
      responder.write("first")
      held.append(responder)
    case "/flood":
      flood = 32 << 20
      responder.onClose = { notes.add("left") }
      responder.beginStream(200, contentType: "application/octet-stream")
      pour(responder)
    case "/cut":
      responder.beginStream(200, contentType: "text/plain")
      responder.write("half")
      responder.cut()
    case "/reset":
      responder.beginStream(200, contentType: "text/plain")
      responder.write("half")
      responder.reset()
    case "/tunnel":
      responder.takeOver(
        head: (101, [("Upgrade", "x"), ("Connection", "Upgrade")]),
        onBytes: { responder.write($0) },
        onInputEnd: {
          responder.write("bye")
          responder.end()
        })
    default:
      responder.respond(404, "no such path")
    }
  }

  private func pour(_ responder: HTTPResponder) {
    let piece = [UInt8](repeating: 0x78, count: 1 << 20)
    while flood > 0 {
      flood -= piece.count
      guard responder.write(piece) else {
        if responder.unsentBytes > 3 << 20 { notes.add("too much is buffered") }
        responder.onWritable = { [unowned self] in pour(responder) }
        notes.add("waits")
        return
      }
    }
    responder.end()
  }
}
