/// What the control side gives the admin: facts to show and things to do.
///
/// Confined to the control loop, where the admin's HTTP server runs: calls come from there, and
/// `done` is called there, once, during the call or later.
package protocol AdminSource: AnyObject {
  /// How everything is. Asks all loops.
  func report(_ done: @escaping (FleetReport) -> Void)
  /// What is known without asking a loop, so that a busy loop cannot make the process unready.
  var readiness: Readiness { get }
  /// The configuration in use as YAML, with defaults, secrets hidden.
  func effectiveConfiguration() -> String
  func reload(_ done: @escaping (ReloadResult) -> Void)
  /// As SIGTERM, but the process stays. Again is no harm.
  func beginDrain()
  /// Takes new requests away from a backend, or gives them back.
  func setDraining(_ isDraining: Bool, pool: String, backend: String) -> DrainResult
  /// Every pool with the names of its backends, for who mistyped one.
  var backendNames: [PoolNames] { get }
}

/// Whether Portico can serve.
package struct Readiness: Sendable, Equatable {
  /// Each member is counted once, a draining one as draining whatever its health.
  package struct Pool: Sendable, Equatable {
    package var name: String
    package var usable: Int
    package var unhealthy: Int
    package var draining: Int

    package init(name: String, usable: Int, unhealthy: Int = 0, draining: Int = 0) {
      self.name = name
      self.usable = usable
      self.unhealthy = unhealthy
      self.draining = draining
    }
  }

  package var isDraining = false
  package var pools: [Pool] = []
  /// Why the last reload was refused, a complaint per line; nil when the last one was applied.
  package var lastReloadError: String?

  package init() {}

  package var isReady: Bool { !isDraining && pools.allSatisfy { $0.usable > 0 } }
}

package enum ReloadResult: Sendable, Equatable {
  /// In use. What changed, a sentence each; empty when nothing did.
  case applied(changes: [String])
  /// Nothing was changed. `file:line:column: ...` each.
  case refused(complaints: [String])
}

package enum DrainResult: Sendable, Equatable {
  case changed
  /// It was so already.
  case unchanged
  case unknown
}

package struct PoolNames: Sendable, Equatable {
  package var pool: String
  package var backends: [String]

  package init(pool: String, backends: [String]) {
    self.pool = pool
    self.backends = backends
  }
}
