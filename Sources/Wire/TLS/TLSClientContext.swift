import COpenSSL

/// What all sessions of one loop with one pool's backends share. Not Sendable on purpose.
package final class TLSClientContext {
  package let material: TLSClientMaterial
  let pointer: OpaquePointer
  let scratch = SealScratch()
  /// The newest session of each backend, to be resumed by the next connection.
  private var sessions: [String: OpaquePointer] = [:]
  /// Backends whose session is kept. Count: 3 KB each; more than a pool usually has.
  private static let sessionLimit = 256

  package init(_ material: TLSClientMaterial) throws(TLSComplaint) {
    let settings = material.settings
    let context = try ContextBuilder.context(
      TLS_client_method(),
      settings.parameters)
    self.material = material
    pointer = context
    SSL_CTX_set_verify(context, settings.verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
    if let path = settings.authorities {
      _ = try ContextBuilder.trust(material.authorities, path: path, in: context)
    } else if settings.verifies {
      guard SSL_CTX_set_default_verify_paths(context) == 1 else {
        throw TLSComplaint(
          "TLS: the system's authorities cannot be read: \(OpenSSLError.take()); install the "
            + "package ca-certificates, or name a file of authorities")
      }
    }
    if let certificate = material.certificate {
      _ = try ContextBuilder.add(certificate, to: context)
    }
    rememberSessions()
    let list = ContextBuilder.list(settings.protocols)
    if !list.isEmpty { _ = SSL_CTX_set_alpn_protos(context, list, UInt32(list.count)) }
    if let name = settings.serverName, ServerName(name) == nil {
      throw TLSComplaint(
        "TLS: '\(name)' is neither a host name nor an address; a backend's certificate cannot "
          + "carry it")
    }
  }

  deinit {
    for session in sessions.values { SSL_SESSION_free(session) }
    SSL_CTX_free(pointer)
  }

  // MARK: Resumption

  private func rememberSessions() {
    portico_ssl_ctx_set_session_cache_mode(
      pointer, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE))
    SSL_CTX_sess_set_new_cb(pointer) { ssl, ticket in
      guard let ticket, let session = OwnSlot.session(ssl) else { return 0 }
      return session.remember(ticket) ? 1 : 0
    }
  }

  /// Takes the session over; false: it was not wanted.
  func remember(_ session: OpaquePointer, of host: String) -> Bool {
    if let old = sessions[host] {
      SSL_SESSION_free(old)
    } else if sessions.count >= Self.sessionLimit {
      return false
    }
    sessions[host] = session
    return true
  }

  func resume(_ host: String, in ssl: OpaquePointer) {
    if let session = sessions[host] { SSL_set_session(ssl, session) }
  }

  /// After a handshake that failed: the next one has to be a full one.
  func forget(_ host: String) {
    if let session = sessions.removeValue(forKey: host) { SSL_SESSION_free(session) }
  }
}

/// A name or an address that a certificate has to carry.
enum ServerName {
  case name(String)
  case address(String)

  init?(_ text: String) {
    // A zone, as in fe80::1%eth0, and brackets are not part of what a certificate says.
    var bare = text
    if bare.hasPrefix("["), bare.hasSuffix("]") { bare = String(bare.dropFirst().dropLast()) }
    if let zone = bare.firstIndex(of: "%") { bare = String(bare[..<zone]) }
    if let octets = a2i_IPADDRESS(bare) {
      ASN1_OCTET_STRING_free(octets)
      self = .address(bare)
      return
    }
    ERR_clear_error()
    let name = bare.hasSuffix(".") ? bare.dropLast() : bare[...]
    guard HostTable.isName(name) else { return nil }
    self = .name(name.lowercased())
  }
}
