import CLinux
import Glibc
import Primitives

/// Sockets by `SocketAddress`: the one place that knows how the kernel writes an address.
package enum Sockets {
  /// Opens a listening socket, non-blocking.
  ///
  /// A Unix socket's file outlives a process that was killed; it is removed first when nobody
  /// listens on it any more. `reusePort` lets each loop have a listener of its own (IP only).
  package static func listen(
    _ address: SocketAddress, backlog: Int32 = 1024, reusePort: Bool = false
  ) throws(SystemError) -> Int32 {
    guard var native = native(address) else {
      throw SystemError(code: ENAMETOOLONG, action: "listen on \(address)")
    }
    if case .unix(let path) = address { removeStale(path, &native) }
    return try SystemError.check(
      portico_listen(&native, backlog, reusePort ? 1 : 0), "listen on \(address)")
  }

  /// A non-blocking socket on its way to the address, or `-errno`. That the connection stands, or
  /// why not, is known when the socket becomes writable.
  package static func connect(_ address: SocketAddress) -> Int32 {
    guard var native = native(address) else { return -ENAMETOOLONG }
    return portico_connect(&native)
  }

  /// The next connection, non-blocking, or `-errno` (`-EAGAIN`: nobody waits). A Unix peer has an
  /// empty path; nil is an address of a family that we do not speak.
  package static func accept(_ listener: Int32) -> (fd: Int32, peer: SocketAddress?) {
    var native = portico_address()
    let descriptor = portico_accept(listener, &native)
    return (descriptor, descriptor < 0 ? nil : address(native))
  }

  /// Where a socket really is: port 0 has become the port that the kernel chose.
  package static func localAddress(of descriptor: Int32) -> SocketAddress? {
    var native = portico_address()
    return portico_local_address(descriptor, &native) < 0 ? nil : address(native)
  }

  /// Removes a socket file that refuses connections. Anything else at that path is left alone, and
  /// `bind` says that it is in the way.
  private static func removeStale(_ path: String, _ native: inout portico_address) {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
    let probe = portico_connect(&native)
    if probe >= 0 { _ = portico_close(probe) }
    if probe == -ECONNREFUSED { _ = unlink(path) }
  }

  // MARK: Addresses as the kernel takes them

  private static func native(_ address: SocketAddress) -> portico_address? {
    var native = portico_address()
    switch address {
    case .ipv4(let host, let port):
      native.v4.sin_family = sa_family_t(AF_INET)
      native.v4.sin_port = port.bigEndian
      native.v4.sin_addr.s_addr = host.bigEndian
      native.length = socklen_t(MemoryLayout<sockaddr_in>.size)
    case .ipv6(let high, let low, let port):
      native.v6.sin6_family = sa_family_t(AF_INET6)
      native.v6.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &native.v6.sin6_addr) { bytes in
        bytes.storeBytes(of: high.bigEndian, as: UInt64.self)
        bytes.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
      }
      native.length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    case .unix(let path):
      // The rest of `sun_path` is zero already, which ends the path.
      guard path.utf8.count <= SocketAddress.unixPathLimit else { return nil }
      native.un.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &native.un.sun_path) { $0.copyBytes(from: path.utf8) }
      native.length = socklen_t(pathOffset + path.utf8.count + 1)
    }
    return native
  }

  private static func address(_ native: portico_address) -> SocketAddress? {
    switch Int32(native.any.sa_family) {
    case AF_INET:
      return .ipv4(
        UInt32(bigEndian: native.v4.sin_addr.s_addr), port: UInt16(bigEndian: native.v4.sin_port))
    case AF_INET6:
      let (high, low) = withUnsafeBytes(of: native.v6.sin6_addr) { bytes in
        (
          UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
          UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
      }
      return .ipv6(high, low, port: UInt16(bigEndian: native.v6.sin6_port))
    case AF_UNIX:
      let path = withUnsafeBytes(of: native.un.sun_path) { bytes in
        let filled = bytes.prefix(max(0, Int(native.length) - pathOffset))
        return String(decoding: filled.prefix { $0 != 0 }, as: UTF8.self)
      }
      return .unix(path: path)
    default:
      return nil
    }
  }

  private static let pathOffset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)!
}
