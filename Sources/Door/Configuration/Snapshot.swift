import HTTP
import Primitives
import SettingsFile

/// The whole effective configuration as one immutable value: what a reload swaps.
///
/// Every default and its reason stands here, beside the field. `Schema` describes the same fields
/// to the parser and to editors; a test holds the two together.
package struct Settings: Sendable, Equatable {
  /// Event loops. Count; 0 means one per core.
  package var loops = 0
  package var listeners: [ListenerSettings] = []
  package var admin: AdminSettings?
  package var pools: [PoolSettings] = []
  package var routes: [RouteSettings] = []
  package var accessLog = AccessLogSettings()
  package var drain = DrainSettings()
  package var apiKeys: [APIKeySettings] = []
  /// A file with further keys.
  package var apiKeysFile: String?
  /// What stands in it, read with the configuration.
  package var fileKeys: [APIKeySettings] = []
  package var jwt: JWTSettings?

  package init() {}
}

package struct ListenerSettings: Sendable, Equatable {
  /// Shown in logs and metrics. Default: the address as written.
  package var name = ""
  package var address = SocketAddress.ipv4(0x7f00_0001, port: 8080)
  /// Every connection must begin with a PROXY protocol header, version 1 or 2.
  package var proxyProtocol = false
  /// What clients may speak. Default: both.
  package var protocols = WireProtocol.allCases
  /// Default: in clear.
  package var tls: ListenerTLSSettings?
  package var http2 = ListenerHTTP2Settings()
  /// Answered by the listener itself with 200 (503 while draining), for load balancers in front.
  package var healthPath: String?
  /// Peers whose `X-Forwarded-*` and `Forwarded` are kept and extended. Default: nobody.
  package var trustedProxies: [AddressBlock] = []
  /// From the first byte of a head to its last. HAProxy recommends 5 to 10 s.
  package var requestHeadTimeout = TimeAmount.seconds(10)
  /// Between requests of a keep-alive connection. Longer than the 60 s of common load balancers.
  package var idleTimeout = TimeAmount.seconds(75)
  /// A client that takes no byte of an answer for this long is given up.
  package var sendTimeout = TimeAmount.seconds(60)
  /// A body may be slow this long before its rate is judged.
  package var bodyGrace = TimeAmount.seconds(10)
  /// Bytes per second that a request body must average after its grace; 0 switches it off.
  package var bodyRate = 500
  /// Bytes of a request head, start line and fields. nginx allows 4 buffers of 8 KiB.
  package var headLimit = 32 * 1024
  /// Bytes of a request target. Common servers stop at 8 KiB.
  package var targetLimit = 8 * 1024
  /// Fields of a head. Count.
  package var fieldLimit = 128
  /// Bytes of a request body; 0 means no limit.
  package var bodyLimit = 0
  /// Open client connections, counted per loop as an equal share. Count; 0 means as many as there
  /// are descriptors.
  package var connectionLimit = 0
  /// Bytes of a body that are held while its model is looked for. Clients of OpenAI's libraries put
  /// the messages before the model, and a prompt of 128 Ki tokens has about 512 KiB.
  package var modelSearch = 1 << 20
  package var access = AccessSettings()
  /// Requests of one client address.
  package var requestsPerClient: RateSetting?
  /// Requests of one address that may come at once. Count; 0 means as many as in one period.
  package var clientBurst = 0
  package init() {}
}

/// Bounds of one HTTP/2 connection of a client.
package struct ListenerHTTP2Settings: Sendable, Equatable {
  /// Requests at once. Count. As nginx; HAProxy takes 100.
  package var maxStreams = 128
  /// Bytes of one request's body that may come before any have gone on. What a prompt of that size
  /// costs is one round trip, and what one stream can make us keep is no more.
  package var streamWindow = 256 * 1024
  /// The same for all streams of a connection together.
  package var connectionWindow = 8 << 20
  /// A connection says goodbye after this, so that load spreads anew when loops or addresses change.
  package var maxAge = TimeAmount.seconds(3_600)
  /// Streams that a client may reset, or make us reset, before its connection ends; they come back at
  /// `resetsPerSecond`. Count. nghttp2's numbers for CVE-2023-44487.
  package var resets = 1_000
  package var resetsPerSecond = 33
  package init() {}
}

package struct AdminSettings: Sendable, Equatable {
  package var address = SocketAddress.ipv4(0x7f00_0001, port: 9900)
  /// Bearer token that every admin request must carry, except `/healthz` and `/readyz`.
  package var token: String?
  package init() {}
}

package struct AccessLogSettings: Sendable, Equatable {
  package enum Destination: Sendable, Equatable {
    case off
    case stdout
    case file(path: String)
  }
  /// Default off: a line per request costs more than the request.
  package var destination = Destination.off
  package init() {}
}

package struct DrainSettings: Sendable, Equatable {
  /// `/readyz` says no for this long before listeners stop: the time a load balancer needs to look.
  package var settle = TimeAmount.seconds(5)
  /// Streams may finish for this long after that; the rest are told and cut.
  package var deadline = TimeAmount.seconds(60)
  package init() {}
}

package struct PoolSettings: Sendable, Equatable {
  package var name = ""
  package var backends: [BackendSettings] = []
  package var balance = BalanceSettings()
  package var health: HealthSettings?
  package var wireProtocol = PoolProtocol.auto
  /// Default: in clear.
  package var tls: PoolTLSSettings?
  package var breaker = BreakerSettings()
  package var retry = RetrySettings()
  package var timeouts = PoolTimeouts()
  package var limits = PoolLimits()
  /// What the backends' own key is; sent in place of the client's credentials.
  package var apiKey: String?
  /// What becomes of credentials that Portico has verified. Engines that do not know them would refuse
  /// them, and need not see them.
  package var credentials = CredentialSetting.drop
  package var requestHeaders = HeaderEditSettings()
  package var responseHeaders = HeaderEditSettings()
  package init() {}
}

package struct BackendSettings: Sendable, Equatable {
  /// Shown in logs, metrics and admin paths. Default: the address as written.
  package var name = ""
  package var address = SocketAddress.ipv4(0x7f00_0001, port: 8000)
  /// What goes upstream as `Host` when the client sent none: the address as written.
  package var authority = ""
  /// Share of the traffic, 1...256.
  package var weight = 1
  package init() {}
}

package enum BalancePolicy: String, Sendable, CaseIterable {
  case weightedScore = "weighted_score"
  case roundRobin = "round_robin"
  case random
  case leastRequest = "least_request"
  case powerOfTwo = "power_of_two"
  case peakEWMA = "peak_ewma"
  case hotCold = "hot_cold"
  case consistentHash = "consistent_hash"
}

package struct BalanceSettings: Sendable, Equatable {
  package enum Units: String, Sendable, CaseIterable {
    case relative
    case raw
  }
  package enum Latency: String, Sendable, CaseIterable {
    case firstByte = "first_byte"
    case full
  }
  package enum HashKey: Sendable, Equatable {
    case header(String)
    case cookie(String)
  }
  package var policy = BalancePolicy.weightedScore
  /// Weight of the latency term; 0.6 in the article Portico follows.
  package var alpha = 0.6
  /// Weight of the queue term; 0.4 in the article Portico follows.
  package var beta = 0.4
  package var units = Units.relative
  package var latency = Latency.firstByte
  /// Time constant of the moving average; Finagle, linkerd and Envoy use 10 s.
  package var tau = TimeAmount.seconds(10)
  /// A new or recovered member ramps up over this time. Default as HAProxy's example; 0 is off.
  package var slowStart = TimeAmount.seconds(10)
  /// `hot_cold`: members above this quantile of requests in flight are hot.
  package var hotQuantile = 0.75
  /// `consistent_hash`: what is hashed. Requests without it are spread by load.
  package var hashKey: HashKey?
  /// `consistent_hash`: a member takes at most this many times the mean load (Google, 1.25).
  package var hashBound = 1.25
  package init() {}
}

package struct HealthSettings: Sendable, Equatable {
  package enum Probe: Sendable, Equatable {
    case http(path: String)
    case tcp
    /// `grpc.health.v1.Health/Check` of this service; empty for the whole server.
    case grpc(service: String)
  }
  /// The word for those that send a request.
  package enum ProbeProtocol: String, Sendable, CaseIterable {
    case http
    case grpc
  }
  package var probe = Probe.http(path: "/health")
  /// Statuses that count as healthy.
  package var statusLow = 200
  package var statusHigh = 299
  package var interval = TimeAmount.seconds(5)
  /// Part of the interval by which probes are moved at random, so that they do not march in step.
  package var jitter = 0.1
  package var timeout = TimeAmount.seconds(2)
  /// Good probes in a row that make a bad member good. Count.
  package var rise = 2
  /// Bad probes in a row that make a good member bad. Count.
  package var fall = 3
  package init() {}
}

package struct BreakerSettings: Sendable, Equatable {
  package var enabled = true
  /// Failures in a row that open the breaker. Count. Envoy `consecutive_5xx` is 5.
  package var failures = 5
  /// Share of failures in the window that opens it. Hystrix: 0.5.
  package var errorRate = 0.5
  package var window = TimeAmount.seconds(10)
  /// Requests the window must hold before its rate is judged. Count. Hystrix: 20.
  package var minimumVolume = 20
  /// How long it stays open before one probe is let through. Envoy and SMG: 30 s; shorter, because
  /// one probe is cheap and a fleet is small.
  package var cooldown = TimeAmount.seconds(10)
  /// Cool-down after 429 or 503 without Retry-After.
  package var backpressure = TimeAmount.seconds(1)
  /// Longest Retry-After that is believed. linkerd: 300 s.
  package var backpressureLimit = TimeAmount.seconds(300)
  /// Share of a pool that breakers may take out together.
  package var maxEjected = 0.5
  /// Below this share of usable members all are used. Envoy: 0.5.
  package var panicThreshold = 0.5
  package init() {}
}

package struct RetrySettings: Sendable, Equatable {
  /// Tries of one request in all, the first included. Count.
  package var attempts = 2
  /// Opt-in: requests that are not idempotent may be sent again too.
  package var nonIdempotent = false
  /// Statuses that are tried elsewhere when a retry is allowed.
  package var statuses: [Int] = [502, 503, 504]
  /// Retries allowed as a share of requests. Finagle: 0.2.
  package var budget = 0.2
  /// Retries per second that are allowed however few requests there are. Finagle: 10.
  package var minimumPerSecond = 10
  /// Bytes of a request that are kept for a retry; longer ones are not retried once sent.
  package var bodyLimit = 64 * 1024
  package init() {}
}

package struct PoolTimeouts: Sendable, Equatable {
  package var connect = TimeAmount.seconds(2)
  /// Request sent to first byte of the answer: a long prompt in a full queue takes minutes.
  package var firstByte = TimeAmount.seconds(600)
  /// First byte of an answer's head to its last.
  package var responseHead = TimeAmount.seconds(30)
  /// Between two reads of an answer's body: thinking models pause for a minute.
  package var betweenChunks = TimeAmount.seconds(120)
  /// No limit for a whole request, by default: streams are long.
  package var total: TimeAmount?
  /// Idle upstream connections are closed after this: uvicorn closes its own at 5 s.
  package var idle = TimeAmount.seconds(4)
  /// An upgraded connection without a byte either way.
  package var tunnelIdle = TimeAmount.seconds(3600)
  package init() {}
}

package struct PoolLimits: Sendable, Equatable {
  /// Requests in flight to one backend over all loops. Count; 0 means no limit.
  package var inFlight = 0
  /// Idle connections kept to one backend by one loop. Count.
  package var idleConnections = 256
  package init() {}
}

package struct RouteSettings: Sendable, Equatable {
  package enum PathMatch: Sendable, Equatable {
    case any
    case exact(String)
    case prefix(String)
  }
  package enum Target: Sendable, Equatable {
    case pool(String)
    /// Answered by the front door with this status.
    case refuse(status: Int)
  }
  /// Shown in logs and metrics. Default: what it matches, as written.
  package var name = ""
  /// Exact host in lower case without port, or `*.example.org`. nil matches every host.
  package var host: String?
  package var path = PathMatch.any
  /// Empty matches every method. `other` methods stand by their exact name.
  package var methods: [String] = []
  package var target = Target.pool("")
  package var access = AccessSettings()
  package var limits = RouteLimitSettings()
  /// Names with `*`. Empty: every model.
  package var models: [String] = []
  package var cors: CORSSettings?
  package var requestHeaders = HeaderEditSettings()
  package var responseHeaders = HeaderEditSettings()
  package var adminPaths = AdminPathSettings.block(except: [])
  package init() {}
}
