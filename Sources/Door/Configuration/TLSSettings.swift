import Primitives

/// TLS towards clients: what a listener shows, asks for and allows.
package struct ListenerTLSSettings: Sendable, Equatable {
  /// By whom a client may mean to be served. At least one.
  package var hosts: [TLSHost] = []
  /// The host for clients that name none, or one that is not here. Default: the first.
  package var defaultHost: String?
  /// TLS 1.2 is still what some HTTP libraries speak; 1.0 and 1.1 are broken (RFC 8996).
  package var minimumVersion = MinimumTLSVersion.tls12
  /// OpenSSL's list for TLS 1.2; empty: forward secret AEAD suites only (RFC 9325, 4.2).
  package var ciphers = ""
  /// OpenSSL's list for TLS 1.3; empty: OpenSSL's own.
  package var ciphersuites = ""
  /// Groups for key agreement, the best first; empty: X25519 and P-256, then P-384.
  package var groups = ""
  /// For hosts that say nothing of their own.
  package var clientAuth: ClientAuthSettings?
  package var tickets = TicketSettings()
  /// From the first byte that may come to the end of the handshake. As `request_head`: a client
  /// needs two round trips for it.
  package var handshakeTimeout = TimeAmount.seconds(10)
  package init() {}

  /// What a host asks of its clients, its own word before the listener's.
  package func clientAuth(of host: TLSHost) -> ClientAuthSettings? {
    let auth = host.clientAuth ?? clientAuth
    return auth?.mode == .off ? nil : auth
  }

  /// The place of the host for clients that name none.
  package var defaultIndex: Int {
    guard let defaultHost else { return 0 }
    return hosts.firstIndex { $0.name == defaultHost || $0.names.contains(defaultHost) } ?? 0
  }
}

/// The oldest version that is spoken.
package enum MinimumTLSVersion: String, Sendable, CaseIterable {
  case tls12 = "1.2"
  case tls13 = "1.3"
}

/// Names that are served with the same certificates and ask the same of clients.
package struct TLSHost: Sendable, Equatable {
  /// Shown in logs and metrics. Default: the first of `names`, or the certificate's file.
  package var name = ""
  /// Exact, or `*.example.org`, in lower case. Empty: the names in its certificates.
  package var names: [String] = []
  /// One for each kind of key; clients get the one that they can check.
  package var certificates: [CertificateSettings] = []
  package var clientAuth: ClientAuthSettings?
  package init() {}
}

/// Files in PEM.
package struct CertificateSettings: Sendable, Equatable {
  /// The certificate, and behind it those that lead to its root.
  package var certificate = ""
  /// Default: it stands in the certificate's file.
  package var key: String?
  /// A response of the certificate's OCSP responder, in DER, sent along with it.
  package var ocsp: String?
  package init() {}

  package var keyFile: String { key ?? certificate }
}

/// Mutual TLS: who clients must be.
package struct ClientAuthSettings: Sendable, Equatable {
  package enum Mode: String, Sendable, CaseIterable {
    case off
    case optional
    case require
  }
  /// The name that HAProxy's manual and many applications behind it use.
  package static let defaultHeader = "X-SSL-Client-CN"

  package var mode = Mode.require
  /// Certificates of those who may vouch for clients.
  package var ca = ""
  /// Names of which a client must have one. Empty: whoever the CA vouches for.
  package var allowedNames: [String] = []
  /// Tells backends the verified name.
  package var header = Self.defaultHeader
  package init() {}
}

/// Resumption without a table: what a client shows is sealed with keys that all loops share.
package struct TicketSettings: Sendable, Equatable {
  package var enabled = true
  /// How long a ticket is good: long enough for a client that comes back, and short enough that a
  /// revoked client certificate does not live on.
  package var lifetime = TimeAmount.seconds(2 * 3600)
  /// A new key seals from then on. Cloudflare and others rotate every hour.
  package var rotation = TimeAmount.seconds(3600)
  /// A file with keys that several machines share; without it they are made at random.
  package var keys: String?
  package init() {}
}

/// TLS towards the backends of a pool.
package struct PoolTLSSettings: Sendable, Equatable {
  /// Certificates of those who may vouch for backends. nil: the system's.
  package var ca: String?
  /// Without it anybody in between may answer for a backend.
  package var verify = true
  /// Asked for by SNI and looked for in the certificate. nil: each backend's host as written.
  package var serverName: String?
  /// What is shown to backends that ask.
  package var certificate: String?
  /// nil: it stands in the certificate's file.
  package var key: String?
  package var minimumVersion = MinimumTLSVersion.tls12
  package init() {}

  package var keyFile: String? { key ?? certificate }

  /// The name that a backend's certificate must have.
  package func name(of backend: BackendSettings) -> String {
    if let serverName { return serverName }
    if case .unix = backend.address { return "localhost" }
    var host = Substring(backend.authority.isEmpty ? "\(backend.address)" : backend.authority)
    if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") { host = host[..<colon] }
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    return String(host)
  }
}

/// HTTP versions that a listener takes.
package enum WireProtocol: String, Sendable, CaseIterable {
  case h1
  case h2
}

/// HTTP towards backends.
package enum PoolProtocol: String, Sendable, CaseIterable {
  case h1
  case h2
  /// Over TLS what both ends like best; in clear HTTP/1.1.
  case auto
}
