/// Which TLS a connection speaks.
package enum TLSVersionSeen: UInt8, Sendable, CaseIterable {
  case tls12
  case tls13

  package var label: StaticString {
    switch self {
    case .tls12: "1.2"
    case .tls13: "1.3"
    }
  }
}

/// Why a TLS handshake came to nothing, with a client or with a backend.
///
/// The label stands in metrics and logs and is never renamed. Those of the room TLS are spelled as
/// there; the last two only a clock and a socket can know.
package enum HandshakeFailure: UInt8, Sendable, CaseIterable {
  case plaintextHTTP
  case notTLS
  case noCommonParameters
  case noCommonProtocol
  case unknownServerName
  case certificateMissing
  case certificateInvalid
  case nameNotAllowed
  case peerAlert
  case handshakeTooLarge
  case misuse
  case protocolError
  case internalError
  case timeout
  /// The peer left.
  case closed

  package var label: StaticString {
    switch self {
    case .plaintextHTTP: "plaintext_http"
    case .notTLS: "not_tls"
    case .noCommonParameters: "no_common_parameters"
    case .noCommonProtocol: "no_common_protocol"
    case .unknownServerName: "unknown_server_name"
    case .certificateMissing: "certificate_missing"
    case .certificateInvalid: "certificate_invalid"
    case .nameNotAllowed: "name_not_allowed"
    case .peerAlert: "peer_alert"
    case .handshakeTooLarge: "handshake_too_large"
    case .misuse: "misuse"
    case .protocolError: "protocol_error"
    case .internalError: "internal_error"
    case .timeout: "timeout"
    case .closed: "closed"
    }
  }
}

/// The handshakes of one listener or one pool.
package struct HandshakeCounts: Sendable {
  /// By `TLSVersionSeen`, whole ones first and then resumed ones.
  package var done: [4 of UInt64] = .init(repeating: 0)
  /// By `HandshakeFailure`.
  package var failed: [15 of UInt64] = .init(repeating: 0)

  mutating func succeeded(_ version: TLSVersionSeen, isResumed: Bool) {
    done[Int(version.rawValue) + (isResumed ? 2 : 0)] &+= 1
  }

  mutating func failed(_ failure: HandshakeFailure) { failed[Int(failure.rawValue)] &+= 1 }

  /// Something was counted.
  var isUsed: Bool {
    (0..<4).contains { done[$0] > 0 } || (0..<15).contains { failed[$0] > 0 }
  }

  mutating func merge(_ other: HandshakeCounts) {
    for index in 0..<4 { done[index] &+= other.done[index] }
    for index in 0..<15 { failed[index] &+= other.failed[index] }
  }
}

/// A certificate that is shown to clients, at the moment of a scrape.
package struct CertificateReading: Sendable, Equatable {
  package var listener: String
  package var host: String
  /// The file.
  package var certificate: String
  /// The end of its validity. Seconds since 1970.
  package var notAfterSeconds: Double

  package init(listener: String, host: String, certificate: String, notAfterSeconds: Double) {
    self.listener = listener
    self.host = host
    self.certificate = certificate
    self.notAfterSeconds = notAfterSeconds
  }
}
