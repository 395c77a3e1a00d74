import JWT
import Primitives

/// What a request must bring to be let in.
package enum Authentication: Sendable, Equatable {
  case none
  case apiKey
  case token
  /// One of the two.
  case either
}

/// Who makes a request, once that has been verified.
package enum Caller: Sendable, Equatable {
  case nobody
  /// By the place of its key in the table of the snapshot.
  case key(Int)
  /// By a hash of the name in its token.
  case token(UInt64)
}

/// What a listener asks of every request.
package struct ListenerRules: Sendable {
  package var authentication = Authentication.none
  package var addresses = AddressRules()
  /// Peers whose `X-Forwarded-For` is believed.
  package var trusted: [AddressBlock] = []
  package var clientLimit: RateLimit?
  package var clients: ClientBuckets?

  package init() {}

  package var isEmpty: Bool {
    authentication == .none && addresses.isEmpty && clientLimit == nil
  }
}

/// What a route asks of every request, and how heads change on their way through it.
///
/// `@unchecked Sendable`: `requestLines` leads to memory that is never written again.
package struct RouteRules: @unchecked Sendable {
  /// nil: as the listener.
  package var authentication: Authentication?
  package var addresses = AddressRules()
  package var limit: RateLimit?
  package var bucket: RateBucket?
  package var clientLimit: RateLimit?
  package var clients: ClientBuckets?
  /// Empty: every model.
  package var models: [Glob] = []
  package var cors: CORSRules?
  package var requestEdits = HeaderEdits()
  /// The lines of `requestEdits` where they stay: made by `GuardRules`.
  package fileprivate(set) var requestLines = UnsafeRawBufferPointer(start: nil, count: 0)
  package var answerEdits = HeaderEdits()
  /// Verified credentials do not go upstream.
  package var dropsCredentials = true
  package var adminPaths = AdminPathRule.block(except: [])
  /// Bytes of a request body; 0 is no limit, nil: as the listener. Looked at on its own.
  package var bodyLimit: Int?

  package init() {}

  /// Nothing is asked and nothing changed; admin paths are looked at in any case.
  package var isEmpty: Bool {
    authentication == nil && addresses.isEmpty && limit == nil && clientLimit == nil
      && models.isEmpty && cors == nil && requestEdits.isEmpty && answerEdits.isEmpty
  }
}

package enum AdminPathRule: Sendable, Equatable {
  case allow
  /// Normalised as `AdminPaths` does.
  case block(except: [[UInt8]])

  package func blocks(_ path: UnsafeRawBufferPointer, reads: Bool) -> Bool {
    switch self {
    case .allow: false
    case .block(let exceptions):
      AdminPaths.contains(path, reads: reads)
        && !exceptions.contains { AdminPaths.matches($0, path: path) }
    }
  }
}

/// JSON web tokens that are taken.
package struct TokenRules: Sendable {
  package let verifier: TokenVerifier
  /// The claim that names the caller.
  package let nameClaim: String
  /// For each name.
  package let limits: CallerLimits
  package let requests: ClientBuckets?
  package let tokens: ClientBuckets?

  package init(
    verifier: TokenVerifier, nameClaim: String, limits: CallerLimits, requests: ClientBuckets?,
    tokens: ClientBuckets?
  ) {
    self.verifier = verifier
    self.nameClaim = nameClaim
    self.limits = limits
    self.requests = requests
    self.tokens = tokens
  }
}

/// The guards of a snapshot. Immutable but for the counters that all loops and all snapshots share.
///
/// `@unchecked Sendable`: what the pointers lead to is written in `init` and freed in `deinit`.
/// Pointers, so that a look at one rule copies no other: rules hold lists, and each copy of one
/// would cost two atomic operations.
package final class GuardRules: @unchecked Sendable {
  /// By identity.
  package let listeners: UnsafeMutablePointer<ListenerRules>
  /// By identity.
  package let routes: UnsafeMutablePointer<RouteRules>
  private let listenerCount: Int
  private let routeCount: Int
  private let routeNames: [[UInt8]]
  package let keys: KeyTable
  package let tokens: TokenRules?
  /// Neither listeners nor routes ask for anything: one look, and nothing more is done for a request.
  package let isOpen: Bool
  package let hasCORS: Bool

  package init(
    listeners: [ListenerRules] = [], routes: [RouteRules] = [], routeNames: [String] = [],
    keys: KeyTable = KeyTable(), tokens: TokenRules? = nil
  ) {
    self.listeners = .allocate(capacity: listeners.count)
    self.listeners.initialize(from: listeners, count: listeners.count)
    listenerCount = listeners.count
    self.routes = .allocate(capacity: routes.count)
    self.routes.initialize(from: routes, count: routes.count)
    routeCount = routes.count
    for index in 0..<routeCount {
      let lines = self.routes[index].requestEdits.lines
      if lines.isEmpty { continue }
      let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: lines.count, alignment: 1)
      copy.copyBytes(from: lines)
      self.routes[index].requestLines = UnsafeRawBufferPointer(copy)
    }
    self.routeNames = routeNames.map { Array($0.utf8) }
    self.keys = keys
    self.tokens = tokens
    isOpen = listeners.allSatisfy(\.isEmpty) && routes.allSatisfy(\.isEmpty)
    hasCORS = routes.contains { $0.cors != nil }
  }

  deinit {
    listeners.deinitialize(count: listenerCount)
    listeners.deallocate()
    for index in 0..<routeCount { routes[index].requestLines.deallocate() }
    routes.deinitialize(count: routeCount)
    routes.deallocate()
  }

  package func routeName(_ route: Int) -> [UInt8] {
    routeNames.indices.contains(route) ? routeNames[route] : []
  }

  /// The caller's own rules name the models that it may use.
  package func restricts(_ caller: Caller) -> Bool {
    if case .key(let place) = caller { !keys.keys[place].models.isEmpty } else { false }
  }

  package func limits(of caller: Caller) -> CallerLimits {
    switch caller {
    case .nobody: CallerLimits()
    case .key(let place): keys.keys[place].limits
    case .token: tokens?.limits ?? CallerLimits()
    }
  }

  /// A rule is about where a request comes from.
  package func needsClient(listener: Int, route: Int) -> Bool {
    listeners[listener].clientLimit != nil || routes[route].clientLimit != nil
      || !listeners[listener].addresses.isEmpty || !routes[route].addresses.isEmpty
  }

  /// The model must be known before the request may go on.
  package func needsModel(_ caller: Caller, route: Int) -> Bool {
    restricts(caller) || !routes[route].models.isEmpty
  }
}
