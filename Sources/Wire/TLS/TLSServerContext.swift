import COpenSSL
import Primitives

/// What all sessions of one listener on one loop share. Not Sendable on purpose: OpenSSL 3.0 locks
/// what is shared between threads, so each loop builds its own from the same material.
///
/// A reload builds a new one. Sessions keep the one they began with alive.
package final class TLSServerContext {
  /// One virtual host: its own OpenSSL context.
  final class Host {
    let pointer: OpaquePointer
    let index: Int
    let mode: TLSClientAuthentication.Mode
    let allowedNames: [String]
    /// What is stapled to which certificate.
    fileprivate(set) var responses: [(certificate: PEM.Certificate, bytes: [UInt8])] = []

    /// Takes the context over.
    fileprivate init(
      _ pointer: OpaquePointer, _ index: Int, _ authentication: TLSClientAuthentication
    ) {
      self.pointer = pointer
      self.index = index
      mode = authentication.mode
      allowedNames = authentication.allowedNames
    }

    deinit { SSL_CTX_free(pointer) }

    var verification: Int32 {
      switch mode {
      case .none: SSL_VERIFY_NONE
      case .request: SSL_VERIFY_PEER
      case .require: SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
      }
    }
  }

  /// Tickets after one handshake at most. Count: what a browser's parallel connections may use up.
  private static let ticketLimit = 8

  package let material: TLSServerMaterial
  /// Assigning rotates: the next ticket is sealed with the new current key.
  package var ticketKeys: TicketKeys
  private(set) var hosts: [Host] = []
  /// Ours, in ALPN's wire form.
  let protocols: [UInt8]
  let scratch = SealScratch()

  package init(
    _ material: TLSServerMaterial, ticketKeys: TicketKeys
  ) throws(TLSComplaint) {
    self.material = material
    self.ticketKeys = ticketKeys
    protocols = ContextBuilder.list(material.settings.protocols)
    for index in material.hosts.indices { hosts.append(try makeHost(index)) }
  }

  /// The host that serves a name: an exact one, a wildcard, the default one; nil: refused. For
  /// deciding 421: a request for a name of another host than the handshake's.
  package func hostIndex(serverName: String?) -> Int? {
    material.table.host(for: serverName?.lowercased())
  }

  /// Where a handshake begins, before the name is known.
  var firstHost: Host { hosts[material.settings.defaultHost ?? 0] }

  private func makeHost(_ index: Int) throws(TLSComplaint) -> Host {
    let settings = material.settings
    let from = material.hosts[index]
    let context = try ContextBuilder.context(
      TLS_server_method(),
      settings.parameters)
    let host = Host(context, index, from.clientAuthentication)
    for certificate in from.certificates {
      let first = try ContextBuilder.add(certificate, to: context)
      if !certificate.ocspResponse.isEmpty {
        host.responses.append((first, certificate.ocspResponse))
      }
    }
    if host.mode != .none {
      let path = from.clientAuthentication.authorities
      for certificate in try ContextBuilder.trust(from.authorities, path: path, in: context) {
        SSL_CTX_add_client_CA(context, certificate.pointer)
      }
    }
    SSL_CTX_set_verify(context, host.verification, nil)
    setTickets(of: context, from.identity)
    ServerCallbacks.install(in: context, context: self, host: host)
    return host
  }

  private func setTickets(of context: OpaquePointer, _ identity: [UInt8]) {
    let settings = material.settings
    SSL_CTX_set_session_id_context(context, identity, UInt32(identity.count))
    let seconds = max(settings.ticketLifetime.nanoseconds / 1_000_000_000, 1)
    // RFC 8446 allows seven days.
    SSL_CTX_set_timeout(context, Int(min(seconds, 604_800)))
    let count = min(max(settings.ticketCount, 0), Self.ticketLimit)
    SSL_CTX_set_num_tickets(context, count)
    if count == 0 { portico_ssl_ctx_switch_tickets_off(context) }
  }
}
