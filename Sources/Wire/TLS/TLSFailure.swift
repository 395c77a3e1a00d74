import COpenSSL

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
  package var description: String {
    switch reason {
    case .plaintextHTTP: "plain HTTP on a TLS port"
    case .notTLS: "neither TLS nor HTTP"
    case .noCommonParameters: "nothing in common to speak: \(OpenSSLError.text(code))"
    case .noCommonProtocol: "the client offers neither h2 nor http/1.1 (ALPN)"
    case .unknownServerName: "no host of this name, and no default host (SNI)"
    case .certificateMissing: "the client has shown no certificate"
    case .certificateInvalid: Self.verification(code)
    case .nameNotAllowed: "no name of the client's certificate is allowed"
    case .peerAlert: "the peer has refused: alert \(code), \(Self.alert(code))"
    case .handshakeTooLarge: "the handshake is larger than its limit"
    case .misuse: "records without data, key updates or renegotiations beyond their limit"
    case .protocolError, .internalError: OpenSSLError.text(code)
    }
  }

  private static func verification(_ code: UInt) -> String {
    let code = Int32(truncatingIfNeeded: code)
    let text = X509_verify_cert_error_string(Int(code)).map { String(cString: $0) } ?? "unknown"
    let hint =
      switch code {
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        "; its issuer is not among the authorities, or it sends no intermediate"
      case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        "; it is good only if it stands among the authorities"
      case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
        "; it carries another name than the one expected"
      case X509_V_ERR_CERT_HAS_EXPIRED: "; renew it"
      default: ""
      }
    return "the peer's certificate is not good: \(text)\(hint)"
  }

  private static func alert(_ number: UInt) -> String {
    let packed = Int32(truncatingIfNeeded: number)
    return SSL_alert_desc_string_long(packed).map { String(cString: $0) } ?? "unknown"
  }

  // MARK: From OpenSSL

  /// What OpenSSL's queue of errors says about a call that has failed. Empties the queue.
  ///
  /// - Parameter ssl: says why a certificate was not good.
  init(of ssl: OpaquePointer) {
    let code = ERR_peek_error()
    ERR_clear_error()
    let reason = portico_err_reason(code)
    guard portico_err_library(code) == ERR_LIB_SSL else {
      // Most are records that cannot be opened; OpenSSL says so in the words of its ciphers.
      self.init(
        code == 0 || reason == portico_err_malloc_failure() ? .internalError : .protocolError,
        code: code)
      return
    }
    switch reason {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      let verdict = SSL_get_verify_result(ssl)
      self =
        verdict == Int(X509_V_ERR_APPLICATION_VERIFICATION)
        ? TLSFailure(.nameNotAllowed)
        : TLSFailure(.certificateInvalid, code: UInt(truncatingIfNeeded: verdict))
    case Self.alertOffset..<(Self.alertOffset + 256):
      self.init(.peerAlert, code: UInt(reason - Self.alertOffset))
    default:
      self.init(Self.reasons[reason] ?? .protocolError, code: code)
    }
  }

  /// OpenSSL's reasons for alerts of the peer begin here (SSL_AD_REASON_OFFSET).
  private static let alertOffset: Int32 = 1_000

  private static let reasons: [Int32: Reason] = [
    SSL_R_UNSUPPORTED_PROTOCOL: .noCommonParameters,
    SSL_R_VERSION_TOO_LOW: .noCommonParameters,
    SSL_R_VERSION_TOO_HIGH: .noCommonParameters,
    SSL_R_UNKNOWN_PROTOCOL: .noCommonParameters,
    SSL_R_INAPPROPRIATE_FALLBACK: .noCommonParameters,
    SSL_R_NO_SHARED_CIPHER: .noCommonParameters,
    SSL_R_NO_SHARED_GROUPS: .noCommonParameters,
    SSL_R_NO_SUITABLE_GROUPS: .noCommonParameters,
    SSL_R_NO_SUITABLE_KEY_SHARE: .noCommonParameters,
    SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM: .noCommonParameters,
    SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS: .noCommonParameters,
    SSL_R_NO_APPLICATION_PROTOCOL: .noCommonProtocol,
    SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: .certificateMissing,
    SSL_R_EXCESSIVE_MESSAGE_SIZE: .handshakeTooLarge,
    SSL_R_RECORD_TOO_SMALL: .misuse,
    SSL_R_TOO_MANY_WARN_ALERTS: .misuse,
    SSL_R_TOO_MANY_KEY_UPDATES: .misuse,
  ]
}
