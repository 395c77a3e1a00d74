import Balancing
import Configuration
import HTTP
import Primitives
import Routing
import Telemetry

/// Turns settings into snapshots, and gives every name an identity that outlives them.
///
/// The identities index each loop's tables and the metrics; the load cells are what all loops share
/// of a member. One builder lives as long as the process, on the control side.
package struct SnapshotBuilder {
  /// Names by identity, for telemetry and the admin side.
  package private(set) var poolNames: [String] = []
  package private(set) var routeNames: [String] = []
  package private(set) var listenerNames: [String] = []
  package private(set) var members: [MemberIdentity] = []

  /// A member's names and what all loops share of it.
  package struct MemberIdentity: Sendable {
    package let pool: Int
    package let name: String
    package let cell: LoadCell
  }

  /// What hosts ask of their clients, by identity. The first asks nothing.
  private var boundaries = [ClientBoundary(header: "")]
  private var boundaryNames = [""]

  private var memberIDs: [String: Int] = [:]
  private var guards: GuardBuilder

  /// - Parameter seed: by which clients are spread over tables; nobody outside should know it.
  package init(seed: UInt64 = 0) { guards = GuardBuilder(seed: seed) }

  package mutating func build(_ settings: Settings) -> CoreSnapshot {
    let pools = settings.pools.map { pool in
      let id = Self.identity(of: pool.name, in: &poolNames)
      return CoreSnapshot.Pool(
        id: id, settings: pool, policy: PoolPolicy(pool),
        members: pool.backends.map { member($0, pool: pool, id: id) })
    }
    let routes = settings.routes.map { route in
      RouteTable.Route(
        id: Self.identity(of: route.name, in: &routeNames), host: host(route.host),
        path: path(route.path), methods: route.methods.map { Array($0.utf8) },
        target: target(route.target))
    }
    let listeners = settings.listeners.map { listener in
      CoreSnapshot.Listener(
        id: Self.identity(of: listener.name, in: &listenerNames), settings: listener,
        hostBoundaries: listener.tls.map { hostBoundaries($0) })
    }
    let rules = guards.build(settings, listenerNames: listenerNames, routeNames: routeNames)
    return CoreSnapshot(
      settings: settings, routes: RouteTable(routes: routes), pools: pools, listeners: listeners,
      boundaries: boundaries, logNames: AccessLogNames(names), guards: rules)
  }

  /// Every name by identity, those of former snapshots included.
  package var names: MetricNames {
    var names = MetricNames()
    names.pools = poolNames
    names.routes = routeNames
    names.listeners = listenerNames
    names.members = members.map { MetricNames.Member(pool: $0.pool, name: $0.name) }
    names.keys = guards.keyNames
    names.rejections = Rejection.allCases.map { "\($0.label)" }
    return names
  }

  package func memberID(pool: String, backend: String) -> Int? { memberIDs["\(pool)\n\(backend)"] }

  package func cell(pool: String, backend: String) -> LoadCell? {
    memberID(pool: pool, backend: backend).map { members[$0].cell }
  }

  private mutating func hostBoundaries(_ tls: ListenerTLSSettings) -> HostBoundaries {
    HostBoundaries(
      hosts: tls.hosts.map { host in
        HostBoundaries.Host(names: host.names, boundary: boundary(tls.clientAuth(of: host)))
      }, defaultIndex: tls.defaultIndex)
  }

  /// The identity of what a host asks of its clients: the same for all that ask the same.
  package mutating func boundary(_ auth: ClientAuthSettings?) -> Int32 {
    guard let auth else { return Security.openToAll }
    let names = auth.allowedNames.sorted().joined(separator: "\n")
    let key = "\(auth.mode)\n\(auth.ca)\n\(auth.header.lowercased())\n\(names)"
    if let known = boundaryNames.firstIndex(of: key) { return Int32(known) }
    boundaryNames.append(key)
    boundaries.append(ClientBoundary(header: auth.header))
    return Int32(boundaryNames.count - 1)
  }

  /// The identity of what a host of a snapshot asks of its clients.
  package func knownBoundary(_ auth: ClientAuthSettings?) -> Int32 {
    var copy = self
    return copy.boundary(auth)
  }

  private static func identity(of name: String, in names: inout [String]) -> Int {
    if let known = names.firstIndex(of: name) { return known }
    names.append(name)
    return names.count - 1
  }

  private mutating func member(
    _ backend: BackendSettings, pool: PoolSettings, id poolID: Int
  ) -> CoreSnapshot.Member {
    let key = "\(pool.name)\n\(backend.name)"
    let id: Int
    if let known = memberIDs[key] {
      id = known
    } else {
      id = members.count
      memberIDs[key] = id
      members.append(MemberIdentity(pool: poolID, name: backend.name, cell: LoadCell()))
    }
    return CoreSnapshot.Member(
      spec: MemberSpec(name: backend.name, weight: backend.weight, cell: members[id].cell),
      address: backend.address, authority: Array(backend.authority.utf8),
      serverName: pool.tls?.name(of: backend) ?? "", id: id)
  }

  private func host(_ text: String?) -> RouteTable.Host {
    guard let text, text != "*" else { return .any }
    return text.hasPrefix("*.")
      ? .suffix(Array(text.dropFirst().utf8)) : .exact(Array(text.utf8))
  }

  private func path(_ match: RouteSettings.PathMatch) -> RouteTable.Path {
    switch match {
    case .any: .any
    case .exact(let text): .exact(Array(text.utf8))
    case .prefix(let text): .prefix(Array(text.utf8))
    }
  }

  private func target(_ target: RouteSettings.Target) -> RouteTable.Target {
    switch target {
    case .refuse(let status): return .refuse(status: status)
    case .pool(let name):
      guard let id = poolNames.firstIndex(of: name) else {
        preconditionFailure("a validated route names pool '\(name)', which does not exist")
      }
      return .pool(id)
    }
  }
}
