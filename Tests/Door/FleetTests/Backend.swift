import CLinux
import Dispatch
import EventLoop
import Glibc
import Primitives
import Synchronization
import Testing

/// A member to be probed: a real socket that does one thing with every connection. Sendable, since
/// what changes is behind a mutex and the source is only cancelled, in `deinit`.
final class Backend: @unchecked Sendable {
  enum Manner: Sendable {
    /// Sends this once the request's head is there, and closes.
    case answer(String)
    /// Takes the request and says nothing.
    case stall
  }

  let address: SocketAddress
  private let descriptor: Int32
  private let source: any DispatchSourceRead
  private let manner: Mutex<Manner>
  private let seen = Mutex<[String]>([])
  private let open = Mutex<[Int32]>([])

  /// On a free port of 127.0.0.1, or a Unix socket.
  init(_ manner: Manner, unixPath: String? = nil) throws {
    var raw = portico_address()
    if let unixPath {
      raw.un.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &raw.un.sun_path) { $0.copyBytes(from: unixPath.utf8) }
      raw.length = socklen_t(MemoryLayout<sockaddr_un>.size)
    } else {
      raw.v4.sin_family = sa_family_t(AF_INET)
      raw.v4.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      raw.length = socklen_t(MemoryLayout<sockaddr_in>.size)
    }
    descriptor = portico_listen(&raw, 64, 0)
    try #require(descriptor >= 0)
    if let unixPath {
      address = .unix(path: unixPath)
    } else {
      var bound = portico_address()
      try #require(portico_local_address(descriptor, &bound) == 0)
      address = .ipv4(0x7f00_0001, port: UInt16(bigEndian: bound.v4.sin_port))
    }
    self.manner = Mutex(manner)
    source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: .init(label: "b"))
    source.setEventHandler { [unowned self] in serve() }
    source.setCancelHandler { [descriptor] in _ = portico_close(descriptor) }
    source.activate()
  }

  deinit {
    source.cancel()
    for fd in open.withLock({ $0 }) { _ = portico_close(fd) }
  }

  /// The requests so far, whole heads.
  var requests: [String] { seen.withLock { $0 } }

  func become(_ manner: Manner) { self.manner.withLock { $0 = manner } }

  private func serve() {
    var peer = portico_address()
    let fd = portico_accept(descriptor, &peer)
    guard fd >= 0 else { return }
    var head: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while !head.reversed().starts(with: [10, 13, 10, 13]) {
      var wait = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
      guard poll(&wait, 1, 5_000) == 1 else { break }
      let count = portico_receive(fd, &chunk, chunk.count)
      guard count > 0 else { break }
      head += chunk[..<count]
    }
    seen.withLock { $0.append(String(decoding: head, as: UTF8.self)) }
    switch manner.withLock({ $0 }) {
    case .stall:
      open.withLock { $0.append(fd) }
    case .answer(let text):
      let bytes = Array(text.utf8)
      var sent = 0
      while sent < bytes.count {
        var wait = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        guard poll(&wait, 1, 5_000) == 1 else { break }
        let count = bytes[sent...].withUnsafeBytes { portico_send(fd, $0.baseAddress, $0.count) }
        guard count > 0 else { break }
        sent += count
      }
      _ = portico_close(fd)
    }
  }
}

/// An address where nobody listens, and nobody can begin to while this lives: bound, no more.
final class DeadAddress: Sendable {
  let address: SocketAddress
  private let descriptor: Int32

  init() throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.descriptor = descriptor
    var raw = portico_address()
    raw.v4.sin_family = sa_family_t(AF_INET)
    raw.v4.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    // Not `&raw.any`, which would be a copy of the first 16 bytes.
    let bound = withUnsafeBytes(of: &raw) {
      bind(descriptor, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, size)
    }
    try #require(bound == 0)
    try #require(portico_local_address(descriptor, &raw) == 0)
    address = .ipv4(0x7f00_0001, port: UInt16(bigEndian: raw.v4.sin_port))
  }

  deinit { _ = portico_close(descriptor) }
}

/// Takes the turns of a control loop that has nothing but messages.
final class Idle: LoopDelegate {
  func ready(_ events: UnsafeBufferPointer<epoll_event>) {}
  func deadlinePassed(at now: Instant) {}
  var nextDeadline: Instant { .never }
}
