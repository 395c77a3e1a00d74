import CLinux
import EventLoop
import Glibc
import Primitives

/// A client that does exactly what a test says, byte by byte, and waits for as long as it takes.
///
/// Nothing here measures time. The one limit is there so that a test that would wait for ever fails
/// instead.
package final class TestClient {
  /// How the server ended the connection.
  package enum End: Equatable {
    case fin
    case reset
    /// It did not, before the limit.
    case none
  }

  package struct Response: Equatable {
    package var status: Int
    package var head: String
    package var body: String

    /// The value of a field, by its name in any case: what came over HTTP/2 is in lower case.
    package subscript(_ name: String) -> String? {
      let start = name.lowercased() + ": "
      for line in head.split(separator: "\r\n") where line.lowercased().hasPrefix(start) {
        return String(line.dropFirst(name.count + 2))
      }
      return nil
    }
  }

  private let descriptor: Int32
  private var received: [UInt8] = []
  package private(set) var end = End.none

  /// Milliseconds. Far above what anything here takes, also on a busy machine.
  private static let patience: Int32 = 30_000

  package init(_ address: SocketAddress) throws(SystemError) {
    descriptor = try SystemError.check(Sockets.connect(address), "connect to \(address)")
  }

  /// The other side: a connection that a test's own listener has accepted, non-blocking.
  package init(accepted descriptor: Int32) { self.descriptor = descriptor }

  deinit { _ = portico_close(descriptor) }

  // MARK: Sending

  /// Sends all of it, or as much as the server takes before it resets.
  package func send(_ text: String) { send(Array(text.utf8)) }

  package func send(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty, wait(POLLOUT) {
      let sent = rest.withUnsafeBytes { portico_send(descriptor, $0.baseAddress!, $0.count) }
      if sent < 0, sent != -Int(EAGAIN) { return }
      rest = rest.dropFirst(max(0, sent))
    }
  }

  /// RST, when the client is given up next: what has not been sent is forgotten.
  package func resetAtClose() { _ = portico_arm_reset(descriptor) }

  /// FIN: nothing more will be sent.
  package func finishSending() {
    _ = wait(POLLOUT)
    _ = portico_shutdown_write(descriptor)
  }

  // MARK: Receiving

  private func wait(_ events: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    return poll(&entry, 1, Self.patience) > 0
  }

  /// Reads once. False when there is nothing more to come.
  private func readMore() -> Bool {
    guard end == .none, wait(POLLIN) else { return false }
    let count = withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 16) { buffer in
      let count = portico_receive(descriptor, buffer.baseAddress!, buffer.count)
      if count > 0 { received += buffer[..<count] }
      return count
    }
    if count == 0 { end = .fin }
    if count < 0, count != -Int(EAGAIN) { end = .reset }
    return count > 0 || count == -Int(EAGAIN)
  }

  /// Everything up to the end of the connection.
  package func readToEnd() -> String {
    while readMore() {}
    defer { received = [] }
    return String(decoding: received, as: UTF8.self)
  }

  /// Everything up to, and with, the first occurrence of a text; less when the connection ends.
  package func read(through text: String) -> String {
    let wanted = Array(text.utf8)
    var from = 0
    while true {
      if received.count >= wanted.count {
        for start in from...(received.count - wanted.count)
        where received[start..<(start + wanted.count)].elementsEqual(wanted) {
          return take(start + wanted.count)
        }
        from = received.count - wanted.count + 1
      }
      if !readMore() { return take(received.count) }
    }
  }

  package func read(_ count: Int) -> String {
    while received.count < count, readMore() {}
    return take(min(count, received.count))
  }

  /// Some bytes, as they come; empty at the end.
  package func readSome() -> [UInt8] {
    if received.isEmpty { _ = readMore() }
    defer { received = [] }
    return received
  }

  /// Waits for the peer to end the connection and throws away what comes before that.
  package func waitForEnd() -> End {
    while readMore() { received = [] }
    return end
  }

  private func take(_ count: Int) -> String {
    defer { received.removeFirst(count) }
    return String(decoding: received[..<count], as: UTF8.self)
  }

  /// One answer by its framing. The body of a chunked one is joined; a piece that is missing shows
  /// as a body that is too short, and `end` says why.
  package func readResponse(toHead: Bool = false) -> Response {
    let head = read(through: "\r\n\r\n")
    let status = Int(head.split(separator: " ").dropFirst().first ?? "") ?? 0
    var response = Response(status: status, head: head, body: "")
    if toHead || status < 200 || status == 204 || status == 304 { return response }
    if let length = response["Content-Length"].flatMap({ Int($0) }) {
      response.body = read(length)
    } else if response["Transfer-Encoding"] == "chunked" {
      while let size = Int(read(through: "\r\n").dropLast(), radix: 16) {
        let chunk = read(size + 2)
        if size == 0 { break }
        response.body += String(chunk.dropLast())
      }
    } else {
      response.body = readToEnd()
    }
    return response
  }
}
