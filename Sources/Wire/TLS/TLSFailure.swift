/// Why a session has ended badly. Trivial, so that results cost nothing; the words are made when
/// somebody reads them.
package struct TLSFailure: Error, Sendable, Hashable, CustomStringConvertible {
  /// The classes that metrics count. Raw values are their labels.
  package enum Reason: String, Sendable, CaseIterable {
    /// HTTP in clear on a TLS port: to be answered in clear with a 400.
    case plaintextHTTP = "plaintext_http"
    /// Neither TLS nor HTTP.
    case notTLS = "not_tls"
    /// No common version, cipher, group or signature algorithm.
    case noCommonParameters = "no_common_parameters"
    /// ALPN offered, and nothing of ours in it.
    case noCommonProtocol = "no_common_protocol"
    /// No host of this name, and no default host.
    case unknownServerName = "unknown_server_name"
    /// A client certificate is required and none was shown.
    case certificateMissing = "certificate_missing"
    /// The peer's certificate is not good. For an upstream: also its name.
    case certificateInvalid = "certificate_invalid"
    /// The client's certificate is good, but none of its names is allowed.
    case nameNotAllowed = "name_not_allowed"
    /// The peer has sent a fatal alert: it does not like us.
    case peerAlert = "peer_alert"
    /// A handshake message or the whole handshake is larger than its limit.
    case handshakeTooLarge = "handshake_too_large"
    /// Records without data, key updates or renegotiation attempts beyond their limit.
    case misuse = "misuse"
    /// A record that cannot be opened, or a message that should not come now.
    case protocolError = "protocol_error"
    /// OpenSSL failed by itself, as for want of memory.
    case internalError = "internal_error"
  }

  package let reason: Reason
  /// For `peerAlert` the alert's number, for `certificateInvalid` OpenSSL's verification code, else
  /// OpenSSL's packed error code, or 0.
  package let code: UInt

  init(_ reason: Reason, code: UInt = 0) {
    self.reason = reason
    self.code = code
  }

  /// What a log line says.
  package var description: String { reason.rawValue }
}
