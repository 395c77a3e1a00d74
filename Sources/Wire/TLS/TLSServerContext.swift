import COpenSSL

/// What all sessions of one listener on one loop share. Not Sendable on purpose: OpenSSL 3.0 locks
/// what is shared between threads, so each loop builds its own from the same material.
///
/// A reload builds a new one. Sessions keep the one they began with alive.
package final class TLSServerContext {
  package let material: TLSServerMaterial
  /// Assigning rotates: the next ticket is sealed with the new current key.
  package var ticketKeys: TicketKeys

  package init(
    _ material: TLSServerMaterial, ticketKeys: TicketKeys
  ) throws(TLSComplaint) {
    self.material = material
    self.ticketKeys = ticketKeys
  }

  /// The host that serves a name: an exact one, a wildcard, the default one; nil: refused. For
  /// deciding 421: a request for a name of another host than the handshake's.
  package func hostIndex(serverName: String?) -> Int? { material.settings.defaultHost }
}
