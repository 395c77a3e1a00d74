/// Versions that are spoken. TLS 1.0 and 1.1 are not: RFC 8996 has retired them, and OpenSSL 3 only
/// speaks them with its security level lowered to nothing.
package enum TLSVersion: UInt16, Sendable, Hashable, Comparable, CaseIterable,
  CustomStringConvertible
{
  case tls12 = 0x0303
  case tls13 = 0x0304

  package static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

  /// As logs and OpenSSL spell it.
  package var description: String {
    switch self {
    case .tls12: "TLSv1.2"
    case .tls13: "TLSv1.3"
    }
  }
}

/// What is spoken inside, as ALPN (RFC 7301) names it.
package enum ApplicationProtocol: String, Sendable, Hashable, CaseIterable {
  case http2 = "h2"
  case http1 = "http/1.1"
}
