import Balancing
import Configuration
import Guard
import HTTP1
import HTTP2
import Primitives
import Routing
import Telemetry

/// A configuration as the loops use it: names resolved to identities, routes compiled, members
/// bound to the counters that all loops share. Immutable; an exchange ends on the one it began with.
package final class CoreSnapshot: Sendable {
  /// A member of a pool and what a loop needs to reach it.
  package struct Member: Sendable {
    package let spec: MemberSpec
    package let address: SocketAddress
    /// `Host` for requests that came without one.
    package let authority: [UInt8]
    /// The name that its certificate must have; of no meaning in clear.
    package let serverName: String
    /// Identity for telemetry, never used again for another member.
    package let id: Int

    package init(
      spec: MemberSpec, address: SocketAddress, authority: [UInt8], serverName: String, id: Int
    ) {
      self.spec = spec
      self.address = address
      self.authority = authority
      self.serverName = serverName
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
  package let listeners: [Listener]
  /// What hosts ask of their clients, by identity.
  package let boundaries: [ClientBoundary]
  /// Names, in lower case, of the fields in which backends are told a client's verified name. What
  /// clients say in them is removed, whichever listener they come by.
  package let clientNameFields: [[UInt8]]
  /// Every name that the access log may need, by identity.
  package let logNames: AccessLogNames
  package let guards: GuardRules

  /// What a loop asks of a listener for each request.
  package struct Listener: Sendable {
    /// Identity: its place in each loop's table, the same in every snapshot.
    package let id: Int
    package let settings: ListenerSettings
    package let healthPath: [UInt8]
    package let nameBytes: [UInt8]
    package let limits: ListenerLimits
    /// nil: in clear.
    package let hostBoundaries: HostBoundaries?

    package init(id: Int, settings: ListenerSettings, hostBoundaries: HostBoundaries? = nil) {
      self.id = id
      self.settings = settings
      healthPath = Array((settings.healthPath ?? "").utf8)
      nameBytes = Array(settings.name.utf8)
      limits = ListenerLimits(settings)
      self.hostBoundaries = hostBoundaries
    }
  }

  package init(
    settings: Settings, routes: RouteTable, pools: [Pool], listeners: [Listener],
    boundaries: [ClientBoundary], logNames: AccessLogNames, guards: GuardRules
  ) {
    self.settings = settings
    self.routes = routes
    self.pools = pools
    self.listeners = listeners
    self.boundaries = boundaries
    clientNameFields = Self.clientNameFields(of: settings)
    self.logNames = logNames
    self.guards = guards
  }
}

extension CoreSnapshot {
  private static func clientNameFields(of settings: Settings) -> [[UInt8]] {
    var names: Set<String> = []
    for tls in settings.listeners.compactMap(\.tls) {
      for host in tls.hosts {
        if let auth = tls.clientAuth(of: host) { names.insert(auth.header.lowercased()) }
      }
    }
    return names.sorted().map { Array($0.utf8) }
  }
}

/// The numbers of a listener, without the texts: copied for each request, so it must be trivial.
package struct ListenerLimits: Sendable {
  let requestHeadTimeout: TimeAmount
  let idleTimeout: TimeAmount
  let sendTimeout: TimeAmount
  let bodyGrace: TimeAmount
  let bodyRate: Int
  let bodyLimit: Int
  let head: HeadLimits
  let awaitsProxyHeader: Bool
  let hasHealthPath: Bool
  /// In clear: sessions may begin with their preface. Over TLS the handshake says which it is.
  let takesHTTP2: Bool
  /// In clear, and nothing else is spoken.
  let takesOnlyHTTP2: Bool
  let http2: HTTP2Settings
  let sessionAge: TimeAmount
  let isSecure: Bool
  let handshakeTimeout: TimeAmount
  let modelSearch: Int

  init(_ settings: ListenerSettings) {
    requestHeadTimeout = settings.requestHeadTimeout
    idleTimeout = settings.idleTimeout
    sendTimeout = settings.sendTimeout
    bodyGrace = settings.bodyGrace
    bodyRate = settings.bodyRate
    bodyLimit = settings.bodyLimit
    head = HeadLimits(
      headBytes: settings.headLimit, targetBytes: settings.targetLimit,
      fields: settings.fieldLimit)
    awaitsProxyHeader = settings.proxyProtocol
    hasHealthPath = settings.healthPath != nil
    takesHTTP2 = settings.tls == nil && settings.protocols.contains(.h2)
    takesOnlyHTTP2 = takesHTTP2 && !settings.protocols.contains(.h1)
    http2 = HTTP2Settings(
      streamLimit: UInt32(settings.http2.maxStreams),
      streamWindow: Int32(settings.http2.streamWindow),
      connectionWindow: Int32(settings.http2.connectionWindow), headBytes: settings.headLimit,
      fields: settings.fieldLimit, resetBurst: settings.http2.resets,
      resetsPerSecond: settings.http2.resetsPerSecond)
    sessionAge = settings.http2.maxAge
    isSecure = settings.tls != nil
    handshakeTimeout = settings.tls?.handshakeTimeout ?? .zero
    modelSearch = settings.modelSearch
  }
}
