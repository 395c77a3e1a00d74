import Dispatch
import EventLoop
import GRPC
import HTTP
import HTTP2
import HTTPServer
import Primitives
import TestClient

@testable import GRPCServer

/// Calls are answered as a test says. Lives on the server's loop.
final class ScriptedCalls: GRPCHandler, HTTPHandler {
  var script: (GRPCCall) -> Void
  private(set) var isDrained = false

  init(_ script: @escaping (GRPCCall) -> Void) { self.script = script }

  func begin(_ call: GRPCCall) { script(call) }
  var nextDeadline: Instant { .never }
  func deadlinePassed(at now: Instant) {}
  func drain() { isDrained = true }
  func handle(_ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    responder.respond(200, "by HTTP/1.1")
  }
}

/// The defaults with some changes.
func limits(_ change: (inout GRPCServerLimits) -> Void) -> GRPCServerLimits {
  var limits = GRPCServerLimits()
  change(&limits)
  return limits
}

/// The server on a loop of its own.
final class Bench: @unchecked Sendable {
  let loop: EventLoop
  let address: SocketAddress
  private let handler: ScriptedCalls
  let server: GRPCServer
  private let http: HTTPServer

  init(
    limits: GRPCServerLimits = GRPCServerLimits(), _ script: @escaping (GRPCCall) -> Void
  ) throws {
    loop = try EventLoop(index: 0, label: "test")
    handler = ScriptedCalls(script)
    http = HTTPServer(loop: loop, handler: handler)
    server = GRPCServer(http: http, limits: limits)
    server.handler = handler
    address = try http.listen(on: .ipv4(0x7f00_0001, port: 0))
    http.start()
  }

  deinit {
    onLoop { bench in bench.http.close() }
    loop.stop()
  }

  /// On the loop, and waits for it.
  @discardableResult
  func onLoop<Value: Sendable>(_ body: @escaping @Sendable (Bench) -> Value) -> Value {
    let done = DispatchSemaphore(value: 0)
    let box = Box<Value>()
    // Held by whoever calls, for as long as it waits.
    let this = Unmanaged.passUnretained(self)
    let bound = LoopBound(this, on: loop)
    bound.post { bench in
      box.value = bench._withUnsafeGuaranteedRef { body($0) }
      done.signal()
    }
    done.wait()
    return box.value!
  }

  private final class Box<Value>: @unchecked Sendable {
    var value: Value?
  }

  func drain() { onLoop { $0.http.drain() } }
  var isDrained: Bool { onLoop { $0.handler.isDrained } }
  var callCount: Int { onLoop { $0.server.callCount } }
  var partialBytes: Int { onLoop { $0.server.partialBytes } }
}

/// A client with an HTTP/2 session of the client's side, which does what a test says.
final class Client {
  /// What came on a stream.
  struct Stream {
    var status = ""
    var fields = ""
    var body: [UInt8] = []
    var trailers = ""
    var hasEnded = false
    /// Of its end; nil before.
    var code: UInt32?

    /// Of `grpc-status`, wherever it stands.
    var grpcStatus: String? { value("grpc-status") }
    var grpcMessage: String? { value("grpc-message") }

    func value(_ name: String) -> String? {
      for line in (fields + trailers).split(separator: "\r\n") where line.hasPrefix(name + ": ") {
        return String(line.dropFirst(name.count + 2))
      }
      return nil
    }

    var messages: [[UInt8]] {
      var reader = MessageReader()
      body.withUnsafeBytes { reader.receive($0) }
      var messages: [[UInt8]] = []
      while let message = try? reader.next() { messages.append(message) }
      return messages
    }
  }

  let socket: TestClient
  private let session: HTTP2Session
  private let inbox = HTTP2Inbox()
  private var gather = Gather()
  private(set) var streams: [Int: Stream] = [:]
  private(set) var goAways: [Int32] = []
  private(set) var isOver = false
  /// Answers are taken out of the window as they come.
  var consumes = true

  init(_ address: SocketAddress, window: Int32 = 1 << 20) throws {
    socket = try TestClient(address)
    session = HTTP2Session(
      .client, HTTP2Settings(streamWindow: window), inbox: inbox, at: .zero)
  }

  deinit {
    session.free()
    inbox.free()
  }

  func open(
    _ path: String, fields: String = "", method: String = "POST",
    type: String = "application/grpc", ends: Bool = false
  ) -> Int {
    var list = HTTP2Fields()
    let lines = Array("content-type: \(type)\r\nte: trailers\r\n\(fields)".utf8)
    var stream: Int?
    lend([method, path]) { texts in
      lines.withUnsafeBytes { lines in
        list.begin(nameBytes: lines.count)
        list.add(":method", texts[0])
        list.add(":path", texts[1])
        list.add(":scheme", Self.constant("http"))
        list.add(":authority", Self.constant("a"))
        list.add(lines: lines)
        stream = session.submitRequest(list, ends: ends, owner: .none)
      }
    }
    streams[stream!] = Stream()
    return stream!
  }

  private static func constant(_ text: StaticString) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
  }

  private func lend(_ texts: [String], _ body: ([UnsafeRawBufferPointer]) -> Void) {
    let all = texts.map { Array($0.utf8) }
    all[0].withUnsafeBytes { first in all[1].withUnsafeBytes { body([first, $0]) } }
  }

  /// Sends bytes of a body, and everything that waited.
  func send(_ stream: Int, _ bytes: [UInt8], ends: Bool = false) {
    bytes.withUnsafeBytes { bytes in
      session.send(stream, bytes)
      if ends { session.end(stream) }
      flush()
    }
  }

  func message(_ stream: Int, _ message: [UInt8], ends: Bool = false) {
    send(stream, MessageReader.frame(message), ends: ends)
  }

  func end(_ stream: Int) {
    session.end(stream)
    flush()
  }

  func reset(_ stream: Int) {
    session.reset(stream, code: HTTP2Error.cancel)
    flush()
  }

  func flush() {
    session.flush(into: &gather, at: .zero)
    while session.nextChange() != nil {}
    var bytes: [UInt8] = []
    for index in gather.cut() {
      let segment = gather.segments[index]
      bytes += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
    }
    gather.reset()
    if !bytes.isEmpty { socket.send(bytes) }
  }

  /// One call with one message, to its end.
  func ask(_ path: String, _ message: [UInt8], fields: String = "") -> Stream {
    let stream = open(path, fields: fields)
    self.message(stream, message, ends: true)
    return wait(stream)
  }

  func wait(_ stream: Int) -> Stream {
    wait { $0.streams[stream]?.code != nil }
    return streams[stream] ?? Stream()
  }

  /// Takes what comes until the test has seen enough, or the connection ends.
  func wait(until isEnough: (Client) -> Bool) {
    flush()
    while !isEnough(self) {
      let bytes = socket.readSome()
      guard !bytes.isEmpty else {
        isOver = true
        return
      }
      inbox.clear()
      _ = bytes.withUnsafeBytes { session.receive($0, at: .zero) }
      for index in 0..<inbox.count {
        if let event = inbox[index] { take(event) }
      }
      inbox.clear()
      flush()
    }
  }

  private func take(_ event: HTTP2Event) {
    func text(_ range: ByteRange) -> String {
      String(decoding: range.bytes(in: inbox.text), as: UTF8.self)
    }
    switch event {
    case .head(let stream, let head):
      streams[stream]?.status = text(head.status)
      streams[stream]?.fields = text(head.lines)
    case .data(let stream, let bytes):
      streams[stream]?.body += bytes
      if consumes { session.consume(stream, bytes.count) }
    case .trailers(let stream, let lines): streams[stream]?.trailers = text(lines)
    case .ended(let stream): streams[stream]?.hasEnded = true
    case .closed(let stream, let code):
      // Places are never released, so that what a test holds stays its own.
      streams[stream]?.code = code
    case .goAway(let last, _): goAways.append(last)
    case .settingsChanged, .settingsAcknowledged, .pong: return
    }
  }
}
