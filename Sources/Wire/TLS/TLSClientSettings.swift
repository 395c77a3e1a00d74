/// How a pool speaks TLS with its backends.
package struct TLSClientSettings: Sendable, Hashable {
  /// Path of the authorities' certificates, PEM; nil: those of the system.
  package var authorities: String?
  /// The certificate has to be good and to carry the name. Off, anybody may answer.
  package var verifies = true
  /// The name that is checked and sent (SNI), where it is not the backend's own host name. Needed
  /// for a backend that is known by address and whose certificate carries a name.
  package var serverName: String?
  /// Whether the name is sent. An address never is (RFC 6066).
  package var sendsServerName = true
  /// Shown when the backend asks for one.
  package var certificate: TLSCertificateFiles?
  /// Offered, in order of preference. Empty: nothing is offered.
  package var protocols: [ApplicationProtocol] = [.http1]
  package var minimumVersion = TLSVersion.tls12
  package var maximumVersion = TLSVersion.tls13
  package var ciphers = TLSServerSettings.safeCiphers
  package var cipherSuites = TLSServerSettings.safeCipherSuites
  package var groups = TLSServerSettings.safeGroups

  package init(authorities: String? = nil) { self.authorities = authorities }
}
