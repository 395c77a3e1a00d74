import CLinux
import EventLoop
import Glibc
import Primitives

/// Asks an admin listener and waits for the answer. For commands that have nothing else to do
/// meanwhile; the front door itself never calls it.
///
/// One connection per request, so that a Portico that was restarted between two is no trouble.
package struct AdminClient: Sendable {
  package struct Reply: Sendable, Equatable {
    package let status: Int
    package let body: [UInt8]
    package var text: String { String(decoding: body, as: UTF8.self) }
  }

  package enum Failure: Error, Equatable, CustomStringConvertible {
    /// Positive `errno`.
    case unreachable(SocketAddress, code: Int32)
    case timedOut(SocketAddress, after: TimeAmount)
    case cut(SocketAddress, what: String)

    package var description: String {
      switch self {
      case .unreachable(let address, let code):
        "cannot reach the admin listener at \(address): \(String(cString: strerror(code)))"
          + "; is Portico running, and is this its admin.address?"
      case .timedOut(let address, let limit):
        "\(address) did not answer within \(limit); is this Portico's admin.address?"
      case .cut(let address, let what):
        "\(address) answered, but \(what); is this Portico's admin.address?"
      }
    }
  }

  /// An answer longer than this is not one of ours: a thousand members take half a megabyte. Bytes.
  private static let limitBytes = 64 << 20

  package let address: SocketAddress
  package let token: String?
  /// For a whole request, connecting included. A reload of a large directory takes a second.
  package let timeout: TimeAmount

  package init(address: SocketAddress, token: String?, timeout: TimeAmount = .seconds(5)) {
    self.address = address
    self.token = token
    self.timeout = timeout
  }

  /// - Parameters:
  ///   - method: `GET` or `POST`.
  ///   - path: as it goes into the request line, percent-encoded already.
  package func ask(_ method: String = "GET", _ path: String) throws(Failure) -> Reply {
    let end = EventLoop.now() + timeout
    let descriptor = Sockets.connect(address)
    guard descriptor >= 0 else { throw .unreachable(address, code: -descriptor) }
    defer { _ = portico_close(descriptor) }
    try wait(descriptor, POLLOUT, until: end)
    let problem = portico_socket_error(descriptor)
    if problem != 0 { throw .unreachable(address, code: problem) }
    try send(Array(request(method, path).utf8), descriptor, until: end)
    return try receive(descriptor, until: end)
  }

  private func request(_ method: String, _ path: String) -> String {
    var host = address.description
    if case .unix = address { host = "localhost" }
    var text = "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n"
    if let token { text += "Authorization: Bearer \(token)\r\n" }
    if method == "POST" { text += "Content-Length: 0\r\n" }
    return text + "\r\n"
  }

  private func send(_ bytes: [UInt8], _ descriptor: Int32, until end: Instant) throws(Failure) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        portico_send(descriptor, $0.baseAddress! + sent, $0.count - sent)
      }
      if count >= 0 {
        sent += count
      } else if count == -Int(EAGAIN) {
        try wait(descriptor, POLLOUT, until: end)
      } else {
        throw .unreachable(address, code: Int32(-count))
      }
    }
  }

  private func receive(_ descriptor: Int32, until end: Instant) throws(Failure) -> Reply {
    var bytes: [UInt8] = []
    var head: ReplyHead?
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = portico_receive(descriptor, buffer.baseAddress!, buffer.count)
      if count == -Int(EAGAIN) {
        try wait(descriptor, POLLIN, until: end)
        continue
      }
      if count < 0 { throw .unreachable(address, code: Int32(-count)) }
      bytes += buffer[..<count]
      if head == nil, let found = ReplyHead(bytes) {
        guard found.isUnderstood else {
          throw .cut(address, what: "not in HTTP/1.1 as we speak it")
        }
        head = found
      }
      if let head, let length = head.length, bytes.count >= head.count + length {
        return Reply(status: head.status, body: Array(bytes[head.count..<(head.count + length)]))
      }
      if count == 0 {
        guard let head, head.length == nil else { throw .cut(address, what: "not to the end") }
        return Reply(status: head.status, body: Array(bytes[head.count...]))
      }
      if bytes.count > Self.limitBytes { throw .cut(address, what: "without an end") }
    }
  }

  private func wait(_ descriptor: Int32, _ events: Int32, until end: Instant) throws(Failure) {
    while true {
      let left = end - EventLoop.now()
      guard left > .zero else { throw .timedOut(address, after: timeout) }
      var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
      // Rounded up, so that the last wait is not a loop of waits of nothing.
      let count = poll(&entry, 1, Int32(clamping: left.nanoseconds / 1_000_000 + 1))
      if count > 0 { return }
    }
  }
}

/// Status line and fields of an answer, as far as a client of our own server must understand them.
struct ReplyHead: Equatable {
  let status: Int
  /// Bytes of the body; nil when it ends with the connection.
  let length: Int?
  /// Bytes of the head itself.
  let count: Int
  /// False for what is not HTTP, and for codings that our server does not use.
  let isUnderstood: Bool

  /// nil while the head is not whole.
  init?(_ bytes: [UInt8]) {
    let end: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a]
    /// A head that is longer is not ours. Bytes.
    let limit = 64 << 10
    let place = bytes.prefix(limit).indices.first { bytes[$0...].starts(with: end) }
    guard let place else {
      if bytes.count < limit { return nil }
      (status, length, count, isUnderstood) = (0, nil, 0, false)
      return
    }
    count = place + end.count
    let lines = bytes[..<place].split(separator: 0x0a)
      .map { String(decoding: $0, as: UTF8.self).split(separator: "\r").first ?? "" }
    let first = lines.first?.split(separator: " ") ?? []
    var length: Int?
    var isUnderstood = first.count >= 2 && first[0].hasPrefix("HTTP/1.")
    status = first.count >= 2 ? Int(first[1]) ?? 0 : 0
    for line in lines.dropFirst() {
      guard let colon = line.utf8.firstIndex(of: 0x3a) else { continue }
      let value = line[line.utf8.index(after: colon)...].drop { $0 == " " }
      switch line[..<colon].lowercased() {
      case "content-length":
        length = Int(value)
        if length ?? -1 < 0 { isUnderstood = false }
      case "transfer-encoding": isUnderstood = false
      default: break
      }
    }
    self.length = length
    self.isUnderstood = isUnderstood && (200...599).contains(status)
  }
}
