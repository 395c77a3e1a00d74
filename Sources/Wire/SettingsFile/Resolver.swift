import Glibc
import Primitives

/// Turns the host names of backends into addresses, once per load.
///
/// One name becomes one backend: the lowest of its IPv4 addresses, or of its IPv6 addresses when it
/// has no other. The lowest, because name servers shuffle their answers and a reload that changed
/// nothing must not move a backend; one, because the several addresses of a name come and go
/// without a reload, which is discovery's business.
package struct Resolver {
  package enum Answer: Sendable, Equatable {
    /// In any order, ports are ignored.
    case addresses([SocketAddress])
    /// The name server says that there is none, in the system's words.
    case unknown(String)
    /// No name server answers, in the system's words.
    case unreachable(String)
  }

  private let ask: (String) -> Answer
  private var known: [String: Answer] = [:]
  /// The name at which no name server answered. Each would take about ten seconds more.
  private var silentSince: String?

  /// - Parameter ask: the system's resolver when nil; tests bring their own.
  package init(_ ask: ((String) -> Answer)? = nil) {
    self.ask = ask ?? Self.askSystem
  }

  package enum Resolution: Equatable {
    /// With the number of addresses that the name has.
    case address(SocketAddress, of: Int)
    case failure(String)
  }

  package mutating func resolve(_ host: String, port: UInt16) -> Resolution {
    // RFC 6761, 6.3: always the loopback, whatever a name server says.
    if host == "localhost" { return .address(.ipv4(0x7f00_0001, port: port), of: 1) }
    if let silentSince, known[host] == nil {
      return .failure("not asked, as no name server answered for '\(silentSince)'")
    }
    let answer = known[host] ?? ask(host)
    known[host] = answer
    switch answer {
    case .unknown(let reason): return .failure(reason)
    case .unreachable(let reason):
      silentSince = silentSince ?? host
      return .failure(reason)
    case .addresses(let addresses):
      let all = Set(addresses.compactMap { Self.with(port, $0) })
      guard let lowest = all.min(by: Self.isBefore) else { return .failure("it has no address") }
      return .address(lowest, of: all.count)
    }
  }

  private static func with(_ port: UInt16, _ address: SocketAddress) -> SocketAddress? {
    switch address {
    case .ipv4(let v4, _): .ipv4(v4, port: port)
    case .ipv6(let high, let low, _): .ipv6(high, low, port: port)
    case .unix: nil
    }
  }

  private static func isBefore(_ a: SocketAddress, _ b: SocketAddress) -> Bool {
    switch (a, b) {
    case (.ipv4(let x, _), .ipv4(let y, _)): x < y
    case (.ipv4, _): true
    case (.ipv6(let x, let x2, _), .ipv6(let y, let y2, _)): (x, x2) < (y, y2)
    case (.ipv6, _), (.unix, _): false
    }
  }

  private static func askSystem(_ host: String) -> Answer {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, nil, &hints, &list)
    guard code == 0 else {
      let reason = String(cString: gai_strerror(code))
      return code == EAI_AGAIN ? .unreachable(reason) : .unknown(reason)
    }
    defer { freeaddrinfo(list) }
    var addresses: [SocketAddress] = []
    var next = list
    while let item = next {
      let raw = UnsafeRawPointer(item.pointee.ai_addr)
      if item.pointee.ai_family == AF_INET, let raw {
        let v4 = raw.loadUnaligned(as: sockaddr_in.self)
        addresses.append(.ipv4(UInt32(bigEndian: v4.sin_addr.s_addr), port: 0))
      } else if item.pointee.ai_family == AF_INET6, let raw {
        let offset = MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr)!
        let high = raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        let low = raw.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
        addresses.append(.ipv6(UInt64(bigEndian: high), UInt64(bigEndian: low), port: 0))
      }
      next = item.pointee.ai_next
    }
    return .addresses(addresses)
  }
}
