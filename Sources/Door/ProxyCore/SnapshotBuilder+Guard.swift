import Configuration
import Guard
import JWT
import Primitives

/// Guards as the loops use them, from what the operator wrote. A bucket stays with its name and its
/// rate: an edit elsewhere forgives nobody what has been used up, and whoever gets another rate begins
/// anew with it. (A bucket counts time, not units: what 50 an hour had used up would also be all of 500
/// an hour.)
struct GuardBuilder {
  private(set) var keyNames: [String] = []
  private var shared = Shared()
  private var before = Shared()
  private let seed: UInt64

  /// What loops and snapshots share. What a configuration does not use any more is forgotten.
  private struct Shared {
    var cells: [String: KeyCell] = [:]
    var buckets: [String: RateBucket] = [:]
    var clients: [String: ClientBuckets] = [:]
  }

  init(seed: UInt64) { self.seed = seed }

  /// - Parameters:
  ///   - listenerNames: by identity, those of former snapshots included; likewise routes.
  mutating func build(
    _ settings: Settings, listenerNames: [String], routeNames: [String]
  ) -> GuardRules {
    before = shared
    shared = Shared()
    defer { before = Shared() }
    var listeners = [ListenerRules](repeating: ListenerRules(), count: listenerNames.count)
    for listener in settings.listeners {
      guard let id = listenerNames.firstIndex(of: listener.name) else { continue }
      listeners[id] = rules(of: listener)
    }
    var routes = [RouteRules](repeating: RouteRules(), count: routeNames.count)
    for route in settings.routes {
      guard let id = routeNames.firstIndex(of: route.name) else { continue }
      var pool: PoolSettings?
      if case .pool(let name) = route.target {
        pool = settings.pools.first { $0.name == name }
      }
      routes[id] = rules(of: route, pool)
    }
    let keys = (settings.apiKeys + settings.fileKeys).compactMap { key($0, routeNames) }
    return GuardRules(
      listeners: listeners, routes: routes, routeNames: routeNames, keys: KeyTable(keys),
      tokens: settings.jwt.flatMap { tokens($0) })
  }

  private mutating func rules(of listener: ListenerSettings) -> ListenerRules {
    var rules = ListenerRules()
    rules.authentication = listener.access.authenticate.map(Authentication.init) ?? .none
    rules.addresses = AddressRules(allow: listener.access.allow, deny: listener.access.deny)
    rules.trusted = listener.trustedProxies
    if let rate = listener.requestsPerClient {
      rules.clientLimit = RateLimit(rate, burst: listener.clientBurst)
      rules.clients = table(for: "listener \(listener.name)", rules.clientLimit)
    }
    return rules
  }

  private mutating func rules(of route: RouteSettings, _ pool: PoolSettings?) -> RouteRules {
    var rules = RouteRules()
    rules.authentication = route.access.authenticate.map(Authentication.init)
    rules.addresses = AddressRules(allow: route.access.allow, deny: route.access.deny)
    if let rate = route.limits.requests {
      rules.limit = RateLimit(rate, burst: route.limits.requestBurst)
      rules.bucket = bucket(for: "route \(route.name)", rules.limit)
    }
    if let rate = route.limits.requestsPerClient {
      rules.clientLimit = RateLimit(rate, burst: route.limits.clientBurst)
      rules.clients = table(for: "route \(route.name)", rules.clientLimit)
    }
    rules.models = route.models.map(Glob.init)
    rules.cors = route.cors.map(CORSRules.init)
    rules.bodyLimit = route.limits.body
    if case .block(let paths) = route.adminPaths {
      rules.adminPaths = .block(except: paths.map { Array($0.lowercased().utf8) })
    } else {
      rules.adminPaths = .allow
    }
    // The pool's edits first: the route knows better.
    if let pool {
      rules.dropsCredentials = pool.credentials == .drop
      rules.requestEdits.add(pool.requestHeaders)
      rules.answerEdits.add(pool.responseHeaders)
      if let key = pool.apiKey {
        for name in ["authorization", "x-api-key", "api-key"] { rules.requestEdits.remove(name) }
        rules.requestEdits.append("Authorization", "Bearer \(key)")
      }
    }
    rules.requestEdits.add(route.requestHeaders)
    rules.answerEdits.add(route.responseHeaders)
    return rules
  }

  private mutating func key(_ settings: APIKeySettings, _ routeNames: [String]) -> APIKey? {
    guard let digest = Digest(hexadecimal: settings.sha256) else { return nil }
    let id: Int
    if let known = keyNames.firstIndex(of: settings.name) {
      id = known
    } else {
      id = keyNames.count
      keyNames.append(settings.name)
    }
    let cell = before.cells[settings.name] ?? KeyCell()
    shared.cells[settings.name] = cell
    let limits = CallerLimits(settings.limits)
    return APIKey(
      id: id, name: settings.name, digest: digest, models: settings.models.map(Glob.init),
      routes: settings.routes.compactMap { routeNames.firstIndex(of: $0) },
      limits: limits, requests: bucket(for: "key requests \(settings.name)", limits.requests),
      tokens: bucket(for: "key tokens \(settings.name)", limits.tokens), cell: cell)
  }

  private mutating func tokens(_ settings: JWTSettings) -> Guard.TokenRules? {
    var complaints: [KeyComplaint] = []
    let keys = settings.keys.withUnsafeBytes { KeySet(jwks: $0, complaints: &complaints) }
    guard let keys else { return nil }
    let rules = JWT.TokenRules(
      issuers: [settings.issuer], audiences: settings.audience.map { [$0] } ?? [],
      algorithms: Set(settings.algorithms.compactMap { TokenAlgorithm(rawValue: $0.rawValue) }),
      requiredClaims: settings.requiredClaims, leeway: settings.leeway)
    let limits = CallerLimits(settings.limits)
    return Guard.TokenRules(
      verifier: TokenVerifier(keys: keys, rules: rules), nameClaim: settings.nameClaim,
      limits: limits, requests: limits.requests.map { table(for: "jwt requests", $0) },
      tokens: limits.tokens.map { table(for: "jwt tokens", $0) })
  }

  private mutating func bucket(for name: String, _ limit: RateLimit?) -> RateBucket {
    let name = Self.named(name, limit)
    let bucket = before.buckets[name] ?? RateBucket()
    shared.buckets[name] = bucket
    return bucket
  }

  private mutating func table(for name: String, _ limit: RateLimit?) -> ClientBuckets {
    let name = Self.named(name, limit)
    let table = before.clients[name] ?? ClientBuckets(seed: seed &+ UInt64(shared.clients.count))
    shared.clients[name] = table
    return table
  }

  private static func named(_ name: String, _ limit: RateLimit?) -> String {
    guard let limit else { return name }
    return "\(name) \(limit.count)/\(limit.period) \(limit.burst)"
  }
}

extension RateLimit {
  init(_ setting: RateSetting, burst: Int) {
    self.init(count: setting.count, per: setting.period, burst: burst > 0 ? burst : nil)
  }
}

extension CallerLimits {
  init(_ settings: CallerLimitSettings) {
    self.init()
    requests = settings.requests.map { RateLimit($0, burst: settings.requestBurst) }
    tokens = settings.tokens.map { RateLimit($0, burst: settings.tokenBurst) }
    concurrency = settings.concurrency
  }
}

extension Authentication {
  init(_ setting: AuthenticationSetting) {
    switch setting {
    case .none: self = .none
    case .apiKey: self = .apiKey
    case .jwt: self = .token
    case .either: self = .either
    }
  }
}

extension CORSRules {
  init(_ settings: CORSSettings) {
    self.init(
      origins: settings.origins, methods: settings.methods, headers: settings.headers,
      exposed: settings.exposedHeaders, allowsCredentials: settings.credentials,
      maxAgeSeconds: Int(settings.maxAge.seconds))
  }
}

extension HeaderEdits {
  mutating func add(_ settings: HeaderEditSettings) {
    for name in settings.remove { remove(name) }
    for line in settings.set { set(line.name, line.value) }
    for line in settings.append { append(line.name, line.value) }
  }
}
