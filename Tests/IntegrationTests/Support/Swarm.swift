import CLinux
import EventLoop
import Glibc
import Primitives
import Testing

/// Very many clients at once, each with one request, on one thread.
final class Swarm {
  /// One client: what it has received and how that ended.
  struct Client {
    fileprivate var descriptor: Int32
    fileprivate var unsent: ArraySlice<UInt8>
    var received: [UInt8] = []
    var isComplete = false
    /// The connection ended, whether its answer was complete or not.
    var hasEnded = false
    var text: String { String(decoding: received, as: UTF8.self) }
  }

  private(set) var clients: [Client] = []
  /// Clients whose answer is complete or whose connection has ended. Count.
  private(set) var finished = 0
  private let set: Int32
  private var events = [epoll_event](repeating: epoll_event(), count: 512)
  private var buffer = [UInt8](repeating: 0, count: 64 << 10)

  init() throws {
    // The test process holds both ends of some of them.
    _ = portico_raise_descriptor_limit()
    set = try SystemError.check(portico_epoll_create(), "epoll_create")
  }

  deinit {
    for client in clients where client.descriptor >= 0 { portico_close(client.descriptor) }
    portico_close(set)
  }

  /// Connects one more client. An empty request is a connection that says nothing.
  func add(_ address: SocketAddress, _ request: String) throws {
    let descriptor = try SystemError.check(Sockets.connect(address), "connect to \(address)")
    let interest = EPOLLIN.rawValue | (request.isEmpty ? 0 : EPOLLOUT.rawValue)
    _ = portico_epoll_add(set, descriptor, interest, UInt64(clients.count))
    clients.append(Client(descriptor: descriptor, unsent: Array(request.utf8)[...]))
  }

  /// Does what can be done now, and waits up to 10 ms for it.
  func turn() {
    let count = portico_epoll_wait(set, &events, Int32(events.count), 10)
    for index in 0..<max(0, Int(count)) {
      let place = Int(portico_event_data(&events[index]))
      if portico_event_flags(&events[index]) & EPOLLOUT.rawValue != 0 { send(place) }
      if portico_event_flags(&events[index]) & ~EPOLLOUT.rawValue != 0 { receive(place) }
    }
  }

  /// Turns until all have finished.
  func run(within seconds: Double = 60, between: () throws -> Void = {}) throws {
    try eventually(
      "all clients are answered", within: seconds, note: "\(finished) of \(clients.count) were"
    ) {
      turn()
      try between()
      return finished == clients.count
    }
  }

  /// Leaves with all connections that are still open.
  func leave() {
    for place in clients.indices where clients[place].descriptor >= 0 { close(place) }
  }

  private func send(_ place: Int) {
    let descriptor = clients[place].descriptor
    let sent = clients[place].unsent.withUnsafeBytes {
      portico_send(descriptor, $0.baseAddress!, $0.count)
    }
    if sent > 0 { clients[place].unsent = clients[place].unsent.dropFirst(sent) }
    if sent < 0 && sent != -Int(EAGAIN) || clients[place].unsent.isEmpty {
      portico_epoll_modify(set, descriptor, EPOLLIN.rawValue, UInt64(place))
    }
  }

  private func receive(_ place: Int) {
    let count = portico_receive(clients[place].descriptor, &buffer, buffer.count)
    if count > 0 {
      clients[place].received += buffer[..<count]
      if !clients[place].isComplete, Answer.isComplete(clients[place].received) {
        clients[place].isComplete = true
        close(place)
      }
    } else if count != -Int(EAGAIN) {
      close(place)
    }
  }

  private func close(_ place: Int) {
    portico_close(clients[place].descriptor)
    clients[place].descriptor = -1
    clients[place].hasEnded = true
    finished += 1
  }
}

/// The bytes of one answer, read without much ceremony: enough for well-formed ones.
enum Answer {
  private static let headEnd = Array("\r\n\r\n".utf8)
  private static let lastChunk = Array("\r\n0\r\n\r\n".utf8)

  static func isComplete(_ bytes: [UInt8]) -> Bool {
    guard bytes.count > 16 else { return false }
    // A stream grows in many small steps: look at its end first.
    if bytes.suffix(lastChunk.count).elementsEqual(lastChunk) { return true }
    guard bytes.count < 8_192, let start = find(headEnd, in: bytes, from: 0) else { return false }
    let head = String(decoding: bytes[..<start], as: UTF8.self)
    guard
      let line = head.split(separator: "\r\n").first(where: { $0.hasPrefix("Content-Length:") }),
      let length = Int(line.dropFirst("Content-Length: ".count))
    else { return false }
    return bytes.count >= start + headEnd.count + length
  }

  static func status(_ bytes: [UInt8]) -> Int {
    Int(String(decoding: bytes.dropFirst(9).prefix(3), as: UTF8.self)) ?? 0
  }

  /// The text of a chat answer, streamed or whole: all its pieces of content together.
  static func content(_ bytes: [UInt8]) -> String {
    let mark = Array("\"content\":\"".utf8)
    var text: [UInt8] = []
    var from = 0
    while let start = find(mark, in: bytes, from: from) {
      let end = bytes[(start + mark.count)...].firstIndex(of: UInt8(ascii: "\"")) ?? bytes.count
      text += bytes[(start + mark.count)..<end]
      from = end
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Where a text stands. The search for its first byte is the C library's, since tests are not
  /// optimised.
  private static func find(_ text: [UInt8], in bytes: [UInt8], from: Int) -> Int? {
    bytes.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return nil }
      var start = from
      while start + text.count <= bytes.count {
        let room = bytes.count - text.count - start + 1
        guard let first = memchr(base + start, Int32(text[0]), room) else { return nil }
        start = UnsafeRawPointer(first) - base
        if memcmp(first, text, text.count) == 0 { return start }
        start += 1
      }
      return nil
    }
  }
}
