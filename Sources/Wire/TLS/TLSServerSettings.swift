import Primitives

/// One certificate and what belongs to it. Paths of files.
package struct TLSCertificateFiles: Sendable, Hashable {
  /// The certificate and then its intermediates, PEM. The root need not be there.
  package var chain: String
  /// Its private key, PEM, not encrypted.
  package var key: String
  /// A response of its authority's OCSP responder, DER, to be stapled. A file that is not there is
  /// a warning, not a refusal: it is often fetched only after the first start.
  package var ocspResponse: String?

  package init(chain: String, key: String, ocspResponse: String? = nil) {
    self.chain = chain
    self.key = key
    self.ocspResponse = ocspResponse
  }
}

/// Whether clients have to show a certificate, and whose is good.
package struct TLSClientAuthentication: Sendable, Hashable {
  package enum Mode: String, Sendable, CaseIterable {
    /// Not asked for.
    case none
    /// Asked for. A client may have none; one that is shown has to be good.
    case request
    /// A client without a good one is refused in the handshake.
    case require
  }

  package var mode: Mode
  /// Path of the authorities' certificates, PEM. Needed unless the mode is `none`.
  package var authorities: String
  /// Names of which a client's certificate must carry one: DNS or URI names of its subject
  /// alternative names, or its common name if it has no such names. `*.example.org` stands for one
  /// label. Empty: every certificate of these authorities is good.
  package var allowedNames: [String]

  package init(mode: Mode, authorities: String, allowedNames: [String] = []) {
    self.mode = mode
    self.authorities = authorities
    self.allowedNames = allowedNames
  }

  package static let none = Self(mode: .none, authorities: "")
}

/// A virtual host as the handshake knows it: by server name indication (SNI).
package struct TLSHostSettings: Sendable, Hashable {
  /// DNS names, or `*.example.org` for exactly one label more. An exact name wins.
  package var names: [String]
  /// One or more of different kinds, as P-256 and RSA; the client's signature algorithms choose.
  package var certificates: [TLSCertificateFiles]
  /// Its own, where it is not the listener's.
  package var clientAuthentication: TLSClientAuthentication?

  package init(
    names: [String], certificates: [TLSCertificateFiles],
    clientAuthentication: TLSClientAuthentication? = nil
  ) {
    self.names = names
    self.certificates = certificates
    self.clientAuthentication = clientAuthentication
  }
}

/// How a listener speaks TLS.
///
/// Not to be set, on purpose: early data (0-RTT) is off, since it can be replayed and a request here
/// is a POST that costs a GPU; renegotiation and compression are off; session tickets are the only
/// resumption, so that nothing is kept per client.
package struct TLSServerSettings: Sendable, Hashable {
  package var hosts: [TLSHostSettings]
  /// Serves clients that name no host or an unknown one. Index in `hosts`; nil refuses them with the
  /// alert unrecognized_name.
  package var defaultHost: Int?
  package var minimumVersion = TLSVersion.tls12
  package var maximumVersion = TLSVersion.tls13
  /// Of TLS 1.2, in our order of preference, by OpenSSL's names.
  package var ciphers = Self.safeCiphers
  /// Of TLS 1.3, in our order of preference.
  package var cipherSuites = Self.safeCipherSuites
  /// For the key exchange, by OpenSSL's names.
  package var groups = Self.safeGroups
  /// In our order of preference. A client that offers others only is refused with the alert
  /// no_application_protocol; one that offers none speaks HTTP/1.1.
  package var protocols: [ApplicationProtocol] = [.http2, .http1]
  package var clientAuthentication = TLSClientAuthentication.none
  /// For how long a session may be resumed. Default two hours: long enough for a client that comes
  /// back, and short enough that a revoked client certificate does not live on.
  package var ticketLifetime = TimeAmount.seconds(7_200)
  /// Tickets sent after a TLS 1.3 handshake. Count, 0...8; 0 switches resumption off, in TLS 1.2
  /// too. Default 1: each resumption brings the next one, and every ticket costs the handshake about
  /// 250 bytes and 5 us.
  package var ticketCount = 1

  /// ECDHE with an AEAD only, as Mozilla's "intermediate" without finite-field Diffie-Hellman: each
  /// is forward secret and none is forbidden for HTTP/2 (RFC 9113, appendix A).
  package static let safeCiphers = [
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
  ]
  /// AES-128 first: as safe in practice and a fifth cheaper. A client without AES hardware that puts
  /// ChaCha20 first gets it.
  package static let safeCipherSuites = [
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
  ]
  package static let safeGroups = ["X25519", "P-256", "P-384"]

  package init(hosts: [TLSHostSettings], defaultHost: Int? = 0) {
    self.hosts = hosts
    self.defaultHost = defaultHost
  }

  /// Client authentication of a host: its own or else the listener's.
  package func clientAuthentication(ofHost index: Int) -> TLSClientAuthentication {
    hosts[index].clientAuthentication ?? clientAuthentication
  }
}
