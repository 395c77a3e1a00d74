import Configuration
import Primitives

/// One member of one pool, as the prober sees it.
package struct Target: Sendable, Equatable {
  /// Names the member across reloads. A member of two pools is two targets, each with the settings
  /// of its pool; sharing their probes is possible, not needed so far.
  package struct ID: Sendable, Hashable, CustomStringConvertible {
    package let pool: String
    package let backend: String

    package init(pool: String, backend: String) {
      self.pool = pool
      self.backend = backend
    }

    package var description: String { "\(pool)/\(backend)" }
  }

  package let id: ID
  package let address: SocketAddress
  /// Goes out as `Host`; empty: the address.
  package let authority: String
  package let settings: HealthSettings
  /// As requests are sent: a probe in clear would say nothing about a backend that speaks TLS.
  package let wireProtocol: PoolProtocol
  /// nil: in clear.
  package let tls: PoolTLSSettings?
  /// The name that the certificate must have.
  package let serverName: String

  package init(
    id: ID, address: SocketAddress, authority: String, settings: HealthSettings,
    wireProtocol: PoolProtocol = .auto, tls: PoolTLSSettings? = nil, serverName: String = ""
  ) {
    self.id = id
    self.address = address
    self.authority = authority
    self.settings = settings
    self.wireProtocol = wireProtocol
    self.tls = tls
    self.serverName = serverName
  }

  /// Every member that is to be probed, in the order of the file. Pools without `health` have none.
  package static func all(in settings: Settings) -> [Target] {
    settings.pools.flatMap { pool in
      guard let health = pool.health else { return [Target]() }
      return pool.backends.map { backend in
        Target(
          id: ID(pool: pool.name, backend: backend.name), address: backend.address,
          authority: backend.authority, settings: health, wireProtocol: pool.wireProtocol,
          tls: pool.tls, serverName: pool.tls?.name(of: backend) ?? "")
      }
    }
  }
}
