import Primitives
import SettingsFile

extension Schema {
  /// An average needs a few samples, and must forget within the hour.
  private static let averageTime = TimeAmount.milliseconds(100)...TimeAmount.seconds(3600)

  static var pool: Section<PoolSettings> {
    Section(
      "pool", make: PoolSettings.init,
      fields: [
        .value(
          "name", \.name, .name("chat"), required: true, sample: "chat",
          "Named by routes, logs, metrics and admin paths."),
        .list(
          "backends", \.backends, backend, required: true, sample: "[127.0.0.1:9001]",
          "Its members. One may be written as an address alone."),
        .value(
          "balance", \.balance, balance.kind,
          "How a backend is chosen. May be written as a policy alone."),
        .value("health", \.health, health.kind.orNil("off"), "Active probes."),
        .value(
          "protocol", \.wireProtocol, .choice("a protocol"),
          "auto: over TLS what ALPN gives, in clear h1."),
        .value("tls", \.tls, poolTLS.kind.orNil("off"), "Backends speak TLS."),
        .value(
          "breaker", \.breaker, breaker.kind,
          "When a backend that fails is left alone for a while."),
        .value("retry", \.retry, retry.kind, "When a request is sent to another backend."),
        .value("timeouts", \.timeouts, timeouts.kind, "Patience with backends."),
        .value("limits", \.limits, limits.kind, "What a backend may be given."),
      ] + poolGuards)
  }

  private static var backend: Section<BackendSettings> {
    let address = Kind<WrittenAddress>.backendAddress
    return Section(
      "backend", make: BackendSettings.init,
      shorthand: Kind(
        wanted: address.wanted, json: address.json,
        read: { node, reader in
          guard let written = address.read(node, &reader) else { return nil }
          var backend = BackendSettings()
          backend.written = written
          reader.inside("address") { $0.markGood(node.place) }
          return backend
        },
        show: { address.show($0.written) }),
      fields: [
        .value(
          "name", \.name, .name("gpu1"), sample: "gpu1",
          "Shown in logs, metrics and admin paths. Default: the address as written."),
        .value(
          "address", \.written, address, required: true, sample: "127.0.0.1:9001",
          """
          IPv4, [IPv6] or a host name with a port, or unix:PATH. A name is resolved at each load, \
          to its lowest address.
          """),
        .value("weight", \.weight, .integer(1...256), "Share of the traffic."),
      ])
  }

  private static var balance: Section<BalanceSettings> {
    let policy = Kind<BalancePolicy>.choice("a policy")
    return Section(
      "balance", make: BalanceSettings.init,
      shorthand: Kind(
        wanted: policy.wanted, json: policy.json,
        read: { node, reader in
          policy.read(node, &reader).map { policy in
            var balance = BalanceSettings()
            balance.policy = policy
            return balance
          }
        },
        show: { policy.show($0.policy) }),
      finish: { node, balance, reader in
        if balance.alpha == 0, balance.beta == 0 {
          reader.complain(node.place, "'alpha' and 'beta' are both 0; raise one of them")
        }
        // A `hash` that could not be read was complained about already.
        var hasHash = false
        if case .map(let entries) = node.content { hasHash = entries.contains { $0.key == "hash" } }
        if balance.policy == .consistentHash, balance.hashKey == nil, !hasHash {
          reader.complain(
            node.place,
            """
            policy 'consistent_hash' without 'hash'; write 'hash: {header: X-Session-Id}' or \
            'hash: {cookie: session}'
            """)
        }
        if balance.policy != .consistentHash, balance.hashKey != nil {
          reader.warn(
            node.place,
            """
            'hash' has no effect with policy '\(balance.policy.rawValue)'; did you mean \
            'policy: consistent_hash'?
            """)
        }
      },
      fields: [
        .value(
          "policy", \.policy, policy,
          """
          weighted_score takes the lowest of alpha * latency + beta * queue; round_robin, random, \
          least_request, power_of_two, peak_ewma, hot_cold and consistent_hash as elsewhere.
          """),
        .value(
          "alpha", \.alpha, .decimal(0...100), "weighted_score: weight of the average latency."),
        .value(
          "beta", \.beta, .decimal(0...100),
          "weighted_score: weight of the requests in flight."),
        .value(
          "units", \.units, .choice("units"),
          """
          weighted_score: relative divides both terms by the pool's mean, so that alpha and beta \
          mean the same at any scale; raw adds milliseconds to requests.
          """),
        .value(
          "latency", \.latency, .choice("a latency"),
          "What is averaged: time to the first byte, or to the end of the answer."),
        .value(
          "tau", \.tau, .duration(averageTime),
          "Time constant of the average: what happened this long ago counts a third."),
        .value(
          "slow_start", \.slowStart, .duration(.zero...TimeAmount.seconds(3600)),
          "A new or recovered backend ramps up over this time; 0s is off."),
        .value(
          "hot_quantile", \.hotQuantile, .ratio(),
          "hot_cold: backends above this quantile of requests in flight are hot."),
        .group(
          "hash",
          [
            .optional(
              "header", \.hashHeader, .token("header field", "X-Session-Id"),
              sample: "X-Session-Id",
              "Requests with the same value of this field go to the same backend."),
            .optional(
              "cookie", \.hashCookie, .token("cookie", "session"), sample: "session",
              "Requests with the same value of this cookie go to the same backend."),
          ],
          rules: [.exactlyOne(["header", "cookie"], advice: "write 'header: X-Session-Id'")],
          "consistent_hash: what is hashed. Requests without it are spread by load."),
        .value(
          "hash_bound", \.hashBound, .decimal(1.01...100),
          "consistent_hash: a backend takes at most this many times the mean load."),
      ])
  }

  private static var health: Section<HealthSettings> {
    Section(
      "health", make: HealthSettings.init,
      finish: { node, health, reader in
        guard case .map(let entries) = node.content else { return }
        let isHTTP =
          switch entries.first(where: { $0.key == "protocol" })?.value.content {
          case nil, .scalar("http", isPlain: _): true
          default: false
          }
        for entry in entries {
          let clash: String? =
            switch (entry.key, health.probe) {
            case ("path", .tcp), ("status", .tcp), ("service", .tcp), ("protocol", .tcp):
              "with 'tcp: true'; keep one of them"
            case ("service", _) where isHTTP: "without 'protocol: grpc'; add that, or drop it"
            case ("path", .grpc) where !isHTTP, ("status", .grpc) where !isHTTP:
              "with 'protocol: grpc'; keep one of them"
            default: nil
            }
          guard let clash else { continue }
          reader.complain(entry.keyPlace, "'\(entry.key)' has no meaning \(clash)")
        }
      },
      fields: [
        .optional(
          "protocol", \.probeProtocol, .choice("a protocol"),
          "http, or grpc for grpc.health.v1.Health/Check: only SERVING is healthy."),
        .optional(
          "service", \.service, .name("inference.GRPCInferenceService"),
          sample: "inference.GRPCInferenceService",
          "grpc: the service that is asked about. Default: the whole server."),
        .optional(
          "path", \.path, .requestPath,
          "Asked with GET: /health of most engines, /v2/health/ready of Triton and KServe."),
        .optional("status", \.statuses, .statuses, "Statuses that count as healthy."),
        .value("tcp", \.tcp, .flag, "Only whether a connection opens; no request is sent."),
        .value(
          "interval", \.interval, .duration(.milliseconds(100)...TimeAmount.seconds(3600)),
          "From one probe to the next."),
        .value(
          "jitter", \.jitter, .ratio(),
          "Part of the interval by which probes move at random, so that they do not march in step."
        ),
        .value(
          "timeout", \.timeout, .duration(.milliseconds(10)...TimeAmount.seconds(600)),
          "A probe without an answer by then has failed."),
        .value("rise", \.rise, .integer(1...1000), "Good probes in a row until it is used again."),
        .value("fall", \.fall, .integer(1...1000), "Bad probes in a row until it is not used."),
      ])
  }

  private static var breaker: Section<BreakerSettings> {
    Section(
      "breaker", make: BreakerSettings.init,
      fields: [
        .value("enabled", \.enabled, .flag, "false: no backend is ever left alone."),
        .value("failures", \.failures, .integer(1...10_000), "Failures in a row that open it."),
        .value("error_rate", \.errorRate, .ratio(0.01...1), "Share of failures that opens it."),
        .value(
          "window", \.window, .duration(.seconds(1)...TimeAmount.seconds(600)),
          "Over which the share is counted."),
        .value(
          "minimum_volume", \.minimumVolume, .integer(1...1_000_000),
          "Requests that the window must hold before its share is judged."),
        .value(
          "cooldown", \.cooldown, .duration(.milliseconds(10)...TimeAmount.seconds(3600)),
          "Stays open this long before one request is let through to try."),
        .value(
          "backpressure", \.backpressure, .duration(.zero...TimeAmount.seconds(3600)),
          "Pause after a 429 or 503 without Retry-After."),
        .value(
          "backpressure_limit", \.backpressureLimit,
          .duration(.zero...TimeAmount.seconds(86_400)),
          "The longest Retry-After that is believed."),
        .value(
          "max_ejected", \.maxEjected, .ratio(),
          "Share of the pool that breakers may take out together."),
        .value(
          "panic_threshold", \.panicThreshold, .ratio(),
          "Below this share of usable backends all of them are used."),
      ])
  }

  private static var retry: Section<RetrySettings> {
    Section(
      "retry", make: RetrySettings.init,
      fields: [
        .value(
          "attempts", \.attempts, .integer(1...10),
          "Tries of one request in all, the first included; 1 is no retry."),
        .value(
          "non_idempotent", \.nonIdempotent, .flag,
          "Send again what may not be harmless twice, such as a POST without Idempotency-Key."),
        .values(
          "statuses", \.statuses, .integer(400...599, "a status"), whenEmpty: "none",
          "Answers that are tried elsewhere when a retry is allowed."),
        .value("budget", \.budget, .ratio(), "Retries as a share of all requests."),
        .value(
          "minimum_per_second", \.minimumPerSecond, .integer(0...1_000_000),
          "Retries per second that are allowed however few requests there are."),
        .value(
          "body_limit", \.bodyLimit, .size(0...64 << 20),
          "Bytes of a request kept for a retry; a longer one is not retried once it was sent."),
      ])
  }

  private static var timeouts: Section<PoolTimeouts> {
    Section(
      "timeouts", make: PoolTimeouts.init,
      fields: [
        .value("connect", \.connect, .duration(someTime), "Until a connection is open."),
        .value(
          "first_byte", \.firstByte, .duration(someTime),
          """
          From the request sent to the first byte of its answer; a long prompt in a full queue \
          takes minutes.
          """),
        .value(
          "response_head", \.responseHead, .duration(someTime),
          "From the first byte of an answer's head to its last."),
        .value(
          "between_chunks", \.betweenChunks, .duration(someTime),
          "Between two pieces of an answer; thinking models pause for a minute."),
        .value(
          "total", \.total, Kind.duration(someTime).orNil("off"),
          "For the whole request. Streams are long, so there is none."),
        .value(
          "idle", \.idle, .duration(someTime),
          """
          Unused connections are closed after this. Less than the 5s of uvicorn, which would \
          close them under a request.
          """),
        .value(
          "tunnel_idle", \.tunnelIdle, .duration(someTime),
          "An upgraded connection (WebSocket) without a byte either way."),
      ])
  }

  private static var limits: Section<PoolLimits> {
    Section(
      "limits", make: PoolLimits.init,
      fields: [
        .value(
          "in_flight", \.inFlight, Kind.integer(0...1_000_000).or("off", 0, when: { $0 == 0 }),
          "Requests in flight to one backend."),
        .value(
          "idle_connections", \.idleConnections, .integer(0...100_000),
          "Idle connections kept to one backend by one loop."),
      ])
  }
}

// MARK: Keys that are kept in another form

extension BackendSettings {
  fileprivate var written: WrittenAddress {
    get {
      if case .unix = address {
        return WrittenAddress(address: address, text: address.description)
      }
      return WrittenAddress(
        address: address, text: authority.isEmpty ? address.description : authority)
    }
    set {
      address = newValue.address
      // A path is no host; servers on Unix sockets expect this one, as curl sends it.
      if case .unix = newValue.address {
        authority = "localhost"
      } else {
        authority = newValue.text
      }
      if name.isEmpty { name = newValue.text }
    }
  }
}

extension BalanceSettings {
  fileprivate var hashHeader: String? {
    get { if case .header(let name) = hashKey { name } else { nil } }
    set { hashKey = newValue.map { .header($0) } }
  }
  fileprivate var hashCookie: String? {
    get { if case .cookie(let name) = hashKey { name } else { nil } }
    set { hashKey = newValue.map { .cookie($0) } }
  }
}

extension HealthSettings {
  fileprivate var path: String? {
    get { if case .http(let path) = probe { path } else { nil } }
    // `tcp: true` may stand before a path, which is then complained about.
    set { if let newValue, case .http = probe { probe = .http(path: newValue) } }
  }
  fileprivate var probeProtocol: ProbeProtocol? {
    get {
      switch probe {
      case .http: .http
      case .grpc: .grpc
      case .tcp: nil
      }
    }
    set { if newValue == .grpc, case .http = probe { probe = .grpc(service: "") } }
  }
  fileprivate var service: String? {
    get { if case .grpc(let service) = probe, !service.isEmpty { service } else { nil } }
    // It may stand before the protocol; without one it is complained about.
    set { if let newValue, probe != .tcp { probe = .grpc(service: newValue) } }
  }
  fileprivate var statuses: StatusRange? {
    get {
      guard case .http = probe else { return nil }
      return StatusRange(low: statusLow, high: statusHigh)
    }
    set {
      guard let newValue else { return }
      statusLow = newValue.low
      statusHigh = newValue.high
    }
  }
  fileprivate var tcp: Bool {
    get { probe == .tcp }
    set { if newValue { probe = .tcp } }
  }
}
