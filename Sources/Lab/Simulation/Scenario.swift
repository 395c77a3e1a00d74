import Configuration
import Primitives
import ProxyCore

/// One day of the world, made from a seed: who is there, how the front door is configured, and what
/// the operator will do.
struct Scenario {
  /// Addresses at which backends may stand, in use or not.
  static let places = 8

  let seed: UInt64
  var climate: Climate
  var requests: Int
  var settings: Settings
  var loops = 2
  /// Bytes that a loop reads at once. Small ones make large bodies of small ones.
  var clientReadLimit: Int
  var upstreamReadLimit: Int
  /// Backends' own speed: a place's requests take this many times as long.
  var slowness: [Double]
  /// How much one more request under way slows a backend's others.
  var slope: [Double]
  var policy: BalancePolicy?
  /// Requests come by the clock and not when others end: what a comparison of policies needs.
  var openArrivals: TimeAmount?
  /// Users that speak HTTP/2. 0...1.
  var streamShare = 0.0
  /// Sessions put together what they send in one turn.
  var holdsOutput = false
  var mutation = Mutation.none

  init(seed: UInt64, climate name: Climate.Name, requests: Int, policy: BalancePolicy?) {
    var random = SeededRandom(seed: seed ^ 0x5eed)
    var climate = Climate(name)
    if random.chance(0.4) { climate.exaggerate(&random) }
    self.seed = seed
    self.climate = climate
    self.requests = requests
    self.policy = policy
    clientReadLimit = random.pick([2_048, 16_384, 65_536, ProxyCore.clientReadLimit])
    upstreamReadLimit = min(clientReadLimit, ProxyCore.upstreamReadLimit)
    slowness = (0..<Self.places).map { _ in 0.5 + 2 * random.unit() }
    slope = (0..<Self.places).map { _ in 0.3 * random.unit() }
    settings = Self.settings(climate, policy, &random)
    streamShare = random.pick([0, 0.5, 0.5, 1])
    holdsOutput = random.chance(0.7)
  }

  /// Some connections carry HTTP/2.
  var hasStreams: Bool {
    streamShare > 0 || climate.reloads > 0 || settings.pools.contains { $0.wireProtocol == .h2 }
  }

  static func address(_ place: Int) -> SocketAddress {
    .ipv4(0x0a00_0001 + UInt32(place), port: 9_000)
  }

  /// Who speaks the PROXY protocol.
  static var balancer: SocketAddress { .ipv4(0x0aff_0001, port: 50_000) }

  /// The place of an address.
  static func place(_ address: SocketAddress) -> Int? {
    guard case .ipv4(let bits, port: _) = address else { return nil }
    return Int(bits) - 0x0a00_0001
  }

  // MARK: Configuration

  private static func settings(
    _ climate: Climate, _ policy: BalancePolicy?, _ random: inout SeededRandom
  ) -> Settings {
    var settings = Settings()
    var listener = ListenerSettings()
    listener.name = "door"
    listener.healthPath = "/lb-health"
    listener.sendTimeout = .seconds(20)
    listener.bodyGrace = .seconds(5)
    if climate.name != .calm, random.chance(0.2) { listener.bodyLimit = 40_000 }
    settings.listeners = [listener, listener]
    settings.listeners[1].name = "behind a balancer"
    settings.listeners[1].proxyProtocol = true
    let pools = random.between(1, 3)
    settings.pools = (0..<pools).map { pool("pool\($0)", climate, policy, &random) }
    settings.routes = (0..<pools).map {
      route("pool\($0)", .prefix("/sim/p\($0)"), .pool("pool\($0)"))
    }
    settings.routes.append(route("gone", .exact("/sim/gone"), .refuse(status: 410)))
    return settings
  }

  static func route(
    _ name: String, _ path: RouteSettings.PathMatch, _ target: RouteSettings.Target
  ) -> RouteSettings {
    var route = RouteSettings()
    route.name = name
    route.path = path
    route.target = target
    return route
  }

  static func member(_ place: Int, name: String? = nil, weight: Int = 1) -> BackendSettings {
    var backend = BackendSettings()
    backend.name = name ?? "place\(place)"
    backend.address = address(place)
    backend.authority = backend.address.description
    backend.weight = weight
    return backend
  }

  static func pool(
    _ name: String, _ climate: Climate, _ policy: BalancePolicy?, _ random: inout SeededRandom
  ) -> PoolSettings {
    var pool = PoolSettings()
    pool.name = name
    var places = Array(0..<Self.places)
    pool.backends = (0..<random.between(1, 5)).map { _ in
      let place = places.remove(at: random.below(places.count))
      return member(place, weight: random.chance(0.3) ? random.between(1, 4) : 1)
    }
    pool.balance.policy = policy ?? random.pick(BalancePolicy.allCases)
    if pool.balance.policy == .consistentHash { pool.balance.hashKey = .header("x-sim-user") }
    pool.wireProtocol = random.pick([.h1, .h2])
    pool.timeouts.firstByte = .seconds(20)
    pool.timeouts.responseHead = .seconds(5)
    pool.timeouts.betweenChunks = .seconds(10)
    pool.timeouts.tunnelIdle = .seconds(30)
    pool.breaker.failures = random.between(2, 5)
    pool.breaker.minimumVolume = random.pick([5, 20])
    pool.breaker.cooldown = random.pick([.milliseconds(200), .seconds(1), .seconds(10)])
    pool.breaker.maxEjected = random.pick([0.5, 0.5, 1])
    pool.breaker.panicThreshold = random.pick([0.5, 0.5, 0])
    guard climate.name != .calm else { return pool }
    if random.chance(0.1) { pool.timeouts.total = .seconds(8) }
    pool.retry.attempts = random.pick([1, 2, 2, 3])
    pool.retry.nonIdempotent = random.chance(0.1)
    pool.retry.bodyLimit = random.pick([0, 200, 4_096, 65_536, 65_536])
    pool.retry.minimumPerSecond = random.pick([0, 10, 10])
    pool.limits.inFlight = random.pick([0, 0, 0, 3])
    pool.limits.idleConnections = random.pick([0, 1, 256, 256])
    return pool
  }

  /// What the operator makes of a configuration: something is added, removed or changed.
  static func edit(
    _ old: Settings, _ scenario: Scenario, _ random: inout SeededRandom
  ) -> Settings {
    var new = old
    for _ in 0..<random.between(1, 3) {
      guard !new.pools.isEmpty else { break }
      let index = random.below(new.pools.count)
      switch random.below(10) {
      case 0, 1:
        let used = new.pools[index].backends.compactMap { place($0.address) }
        let free = (0..<places).filter { place in
          !used.contains(place)
            && !new.pools[index].backends.contains { $0.name == "place\(place)" }
        }
        if let place = free.randomElement(using: &random) {
          new.pools[index].backends.append(member(place))
        }
      case 2, 3:
        if new.pools[index].backends.count > 1 {
          new.pools[index].backends.remove(at: random.below(new.pools[index].backends.count))
        }
      case 4:
        let which = random.below(new.pools[index].backends.count)
        new.pools[index].backends[which].weight = random.between(1, 8)
      case 5:
        // The name stays and leads elsewhere.
        let used = new.pools[index].backends.compactMap { place($0.address) }
        let free = (0..<places).filter { !used.contains($0) }
        if let place = free.randomElement(using: &random) {
          let which = random.below(new.pools[index].backends.count)
          new.pools[index].backends[which].address = address(place)
        }
      case 6:
        if scenario.policy == nil {
          let policy = random.pick(BalancePolicy.allCases)
          new.pools[index].balance.policy = policy
          new.pools[index].balance.hashKey =
            policy == .consistentHash ? .header("x-sim-user") : nil
        }
      case 7:
        new.pools[index].wireProtocol = random.pick([.h1, .h2])
      case 8:
        let name = new.pools[index].name
        new.pools.remove(at: index)
        new.routes.removeAll { $0.name == name }
      default:
        let name = "pool\(index)"
        if !new.pools.contains(where: { $0.name == name }) {
          new.pools.append(pool(name, scenario.climate, scenario.policy, &random))
          new.routes.append(route(name, .prefix("/sim/p\(index)"), .pool(name)))
        }
      }
    }
    return new
  }
}
