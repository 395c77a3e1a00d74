import COpenSSL

/// What a handshake has agreed on.
package struct TLSFacts: Sendable, Hashable {
  package var version: TLSVersion
  /// By its RFC name, as `TLS_AES_128_GCM_SHA256`.
  package var cipher: String
  /// Nil: ALPN was not used; HTTP/1.1 is spoken.
  package var applicationProtocol: ApplicationProtocol?
  /// What the client asked for (SNI), in lower case; for an upstream what we have sent.
  package var serverName: String?
  /// Index in the settings' hosts; 0 for an upstream.
  package var hostIndex = 0
  /// No full handshake was made.
  package var isResumed: Bool
  /// The name of a verified client: the allowed one, or the first DNS or URI name, or the common
  /// name. Printable ASCII, so safe in a header field; nil where there is none such.
  package var clientName: String?

  init(of ssl: OpaquePointer) {
    version = SSL_version(ssl) == Int32(TLSVersion.tls12.rawValue) ? .tls12 : .tls13
    cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl)).map { String(cString: $0) } ?? ""
    isResumed = SSL_session_reused(ssl) == 1
    var name: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &name, &count)
    if let name {
      let bytes = UnsafeBufferPointer(start: name, count: Int(count))
      applicationProtocol = ApplicationProtocol(rawValue: String(decoding: bytes, as: UTF8.self))
    }
  }

  /// Of a client whose certificate this handshake, or the one it resumes, has verified.
  static func clientName(_ ssl: OpaquePointer, _ host: TLSServerContext.Host) -> String? {
    guard host.mode != .none, let certificate = SSL_get0_peer_certificate(ssl),
      SSL_get_verify_result(ssl) == Int(X509_V_OK)
    else { return nil }
    return CertificateNames.clientName(of: certificate, allowed: host.allowedNames)
  }
}
