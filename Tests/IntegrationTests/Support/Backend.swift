import CLinux
import Dispatch
import EventLoop
import Glibc
import Primitives
import Synchronization
import TestClient

/// A backend of the story's own, which does what no mock would: waits for the story's word within an
/// answer, breaks off where the story wants it, and knows when its caller has left.
///
/// One thread per connection, so that a part reads from top to bottom.
final class Backend: Sendable {
  let address: SocketAddress
  private let port: Port?
  private let listener: Int32
  private let isStopped = Atomic(false)
  private let accepted = Atomic(0)
  private let heads = Mutex<[String]>([])
  private let play: @Sendable (Call) -> Void

  /// - Parameter play: the part, for every request; its body has not been read.
  init(
    at path: String? = nil, _ play: @escaping @Sendable (Call) -> Void = { $0.answer("ok\n") }
  ) throws {
    let port = path == nil ? try Port() : nil
    self.port = port
    address = port?.address ?? .unix(path: path!)
    listener = try Sockets.listen(address)
    self.play = play
    DispatchQueue(label: "story.backend").async { [self] in accept() }
  }

  /// Closes the listener. Calls under way go on until their part ends.
  func stop() { isStopped.store(true, ordering: .relaxed) }

  /// Heads of the requests that came, in order.
  var requests: [String] { heads.withLock { $0 } }
  /// Connections that came. Count.
  var connections: Int { accepted.load(ordering: .relaxed) }

  private func accept() {
    while !isStopped.load(ordering: .relaxed) {
      var entry = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
      guard poll(&entry, 1, 50) > 0 else { continue }
      let (descriptor, _) = Sockets.accept(listener)
      guard descriptor >= 0 else { continue }
      accepted.wrappingAdd(1, ordering: .relaxed)
      DispatchQueue(label: "story.backend.connection").async { [self] in serve(descriptor) }
    }
    portico_close(listener)
  }

  private func serve(_ descriptor: Int32) {
    let connection = TestClient(accepted: descriptor)
    while true {
      let head = connection.read(through: "\r\n\r\n")
      guard head.hasSuffix("\r\n\r\n") else { return }
      heads.withLock { $0.append(head) }
      let call = Call(head: head, connection: connection)
      play(call)
      if call.isOver { return }
    }
  }
}

/// One request in the hands of its part.
final class Call {
  let head: String
  let connection: TestClient
  private var bodyLeft: Int
  private(set) var isOver = false

  init(head: String, connection: TestClient) {
    self.head = head
    self.connection = connection
    bodyLeft = 0
    bodyLeft = field("content-length").flatMap { Int($0) } ?? 0
  }

  /// The value of a field of the request.
  func field(_ name: String) -> String? {
    for line in head.split(separator: "\r\n") {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2, parts[0].lowercased() == name {
        return String(parts[1].drop { $0 == " " })
      }
    }
    return nil
  }

  /// Hands over the body piece by piece and returns how many bytes came. Only with a length.
  @discardableResult
  func readBody(_ take: ([UInt8]) -> Void = { _ in }) -> Int {
    var count = 0
    while bodyLeft > 0 {
      let piece = connection.readSome()
      if piece.isEmpty { break }
      take(piece)
      count += piece.count
      bodyLeft -= piece.count
    }
    return count
  }

  /// A whole answer.
  func answer(_ body: String, status: Int = 200, fields: String = "") {
    readBody()
    let lines = fields.split(separator: "\n").map { $0 + "\r\n" }.joined()
    connection.send(
      "HTTP/1.1 \(status) Canned\r\n\(lines)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
  }

  /// The head of a streamed answer.
  func start() {
    readBody()
    connection.send(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
  }

  func piece(_ text: String) {
    connection.send(String(text.utf8.count, radix: 16) + "\r\n\(text)\r\n")
  }

  func finish() { connection.send("0\r\n\r\n") }

  /// Ends the connection, by FIN.
  func close() { isOver = true }

  /// Ends the connection, by RST.
  func reset() {
    connection.resetAtClose()
    isOver = true
  }

  /// Waits until the caller has left.
  func waitUntilLeft() {
    _ = connection.waitForEnd()
    isOver = true
  }
}

/// What one thread waits for and another one opens, once and for all.
final class Gate: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)

  func open() { semaphore.signal() }

  /// False when it was not opened in time.
  @discardableResult
  func pass() -> Bool {
    let passed = semaphore.wait(timeout: .now() + 30) == .success
    semaphore.signal()
    return passed
  }
}

final class Counter: Sendable {
  private let count = Atomic(0)
  var value: Int { count.load(ordering: .sequentiallyConsistent) }
  func add(_ number: Int = 1) { count.wrappingAdd(number, ordering: .sequentiallyConsistent) }
}
