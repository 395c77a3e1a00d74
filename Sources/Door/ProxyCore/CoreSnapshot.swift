import Balancing
import Configuration
import Primitives
import Routing

/// A configuration as the loops use it: names resolved to identities, routes compiled, members
/// bound to the counters that all loops share. Immutable; an exchange ends on the one it began with.
package final class CoreSnapshot: Sendable {
  /// A member of a pool and what a loop needs to reach it.
  package struct Member: Sendable {
    package let spec: MemberSpec
    package let address: SocketAddress
    /// `Host` for requests that came without one.
    package let authority: [UInt8]
    /// Identity for telemetry, never used again for another member.
    package let id: Int

    package init(spec: MemberSpec, address: SocketAddress, authority: [UInt8], id: Int) {
      self.spec = spec
      self.address = address
      self.authority = authority
      self.id = id
    }
  }

  package struct Pool: Sendable {
    /// Identity of the pool: its place in each loop's table, the same in every snapshot.
    package let id: Int
    package let settings: PoolSettings
    package let policy: PoolPolicy
    package let members: [Member]

    package init(id: Int, settings: PoolSettings, policy: PoolPolicy, members: [Member]) {
      self.id = id
      self.settings = settings
      self.policy = policy
      self.members = members
    }
  }

  package let settings: Settings
  package let routes: RouteTable
  package let pools: [Pool]
  /// By place among `settings.listeners`.
  package let listeners: [Listener]
  package let logsAccess: Bool

  /// What a loop asks of a listener for each request.
  package struct Listener: Sendable {
    package let settings: ListenerSettings
    package let healthPath: [UInt8]?
    package let nameBytes: [UInt8]

    package init(settings: ListenerSettings) {
      self.settings = settings
      healthPath = settings.healthPath.map { Array($0.utf8) }
      nameBytes = Array(settings.name.utf8)
    }
  }

  package init(settings: Settings, routes: RouteTable, pools: [Pool]) {
    self.settings = settings
    self.routes = routes
    self.pools = pools
    listeners = settings.listeners.map(Listener.init)
    logsAccess = settings.accessLog.destination != .off
  }
}
