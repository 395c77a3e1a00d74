import CLinux
import EventLoop
import Glibc
import Primitives

/// A free port of the loopback that stays this story's own: a socket is bound to it that does not
/// listen, so the kernel gives the port to nobody else, and both a listener with SO_REUSEPORT and
/// one with SO_REUSEADDR may still be opened there, again and again.
final class Port: Sendable {
  let number: UInt16
  private let descriptor: Int32

  init(isIPv6: Bool = false) throws {
    let family = isIPv6 ? AF_INET6 : AF_INET
    descriptor = try SystemError.check(
      socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0), "socket")
    var on: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, socklen_t(MemoryLayout<Int32>.size))
    var address = portico_address()
    if isIPv6 {
      address.v6.sin6_family = sa_family_t(AF_INET6)
      address.v6.sin6_addr = in6addr_loopback
      address.length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    } else {
      address.v4.sin_family = sa_family_t(AF_INET)
      address.v4.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      address.length = socklen_t(MemoryLayout<sockaddr_in>.size)
    }
    guard bind(descriptor, to: &address) == 0,
      let local = Sockets.localAddress(of: descriptor), let number = local.port
    else { throw SystemError(code: errno, action: "find a free port") }
    self.number = number
  }

  deinit { close(descriptor) }

  var address: SocketAddress { .ipv4(0x7f00_0001, port: number) }
  var text: String { "127.0.0.1:\(number)" }
}

/// `bind`, with the address as a whole: what is passed as `&address.any` would be a copy of its
/// first sixteen bytes.
func bind(_ descriptor: Int32, to address: inout portico_address) -> Int32 {
  let length = address.length
  return withUnsafeMutablePointer(to: &address) {
    bind(descriptor, UnsafeMutableRawPointer($0).assumingMemoryBound(to: sockaddr.self), length)
  }
}
