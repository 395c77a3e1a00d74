import CLinux
import Glibc
import Primitives

/// systemd's ear: a datagram socket that keeps what it is told.
final class NotifySocket {
  let path: String
  private let descriptor: Int32
  private var heard: [String] = []

  init(_ path: String) throws {
    self.path = path
    let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    descriptor = socket(AF_UNIX, kind, 0)
    var address = portico_address()
    address.un.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.un.sun_path) { $0.copyBytes(from: path.utf8) }
    address.length = socklen_t(MemoryLayout<sockaddr_un>.size)
    precondition(bind(descriptor, to: &address) == 0, "cannot bind \(path)")
  }

  deinit { close(descriptor) }

  /// Every message so far, in order.
  var messages: [String] {
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while true {
      let count = portico_receive(descriptor, &buffer, buffer.count)
      guard count >= 0 else { return heard }
      heard.append(String(decoding: buffer[..<count], as: UTF8.self))
    }
  }
}
