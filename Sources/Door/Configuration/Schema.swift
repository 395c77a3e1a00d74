import Primitives
import SettingsFile

/// The one description of the configuration: its keys, their types and ranges, and what they mean.
///
/// The parser, the hints for slips, the JSON Schema, the annotated example, the effective
/// configuration and the differences of a reload are all made from it. Defaults are those of
/// `Settings` itself. A new key is one line here and one stored property there.
struct Schema {
  let root: Keys<Settings>

  /// The longest time that a setting takes: a week. The shortest that makes sense on a loop: 1 ms.
  static let someTime = TimeAmount.milliseconds(1)...TimeAmount.seconds(7 * 86_400)
  static let anyTime = TimeAmount.zero...TimeAmount.seconds(7 * 86_400)

  init() {
    root = Keys(
      noun: "the file",
      fields: [
        .value(
          "loops", \.loops,
          Kind.integer(0...1024).or("auto", 0, when: { $0 == 0 }),
          "Event loops, each on one core; auto is one per core. Changes with a restart only."),
        .list(
          "listeners", \.listeners, Self.listener, sample: "[{address: 127.0.0.1:8080}]",
          "Where clients connect."),
        .optional(
          "admin", \.admin, Self.admin.kind, "The admin API with metrics, health and reload."),
        .value("access_log", \.accessLog, Self.accessLog.kind, "One JSON line per request."),
        .value("drain", \.drain, Self.drain.kind, "How Portico leaves after SIGTERM."),
        .list(
          "pools", \.pools, Self.pool, sample: "[{name: chat, backends: [127.0.0.1:9001]}]",
          "Groups of backends that serve the same."),
        .list(
          "routes", \.routes, Self.route, sample: "[{pool: chat}]",
          "Which request goes where. The first route that matches wins."),
        Self.apiKeys, Self.apiKeysFile, Self.jwt,
        Self.include,
      ],
      ignoredPrefix: "x-")
  }

  /// Keys without which nothing can be served.
  static let required = ["listeners", "pools", "routes"]

  /// Read by the loader before anything else; a field all the same, for hints and editors.
  static var include: Field<Settings> {
    Field(
      key: "include",
      doc: """
        A file, a directory or a list of them, relative to this file; of a directory all *.yaml in \
        the order of their names. Lists follow one another, anything else may be set only once.
        """,
      isRequired: false, sample: "conf.d",
      json: { _ in
        .object([
          (
            "anyOf",
            .list([
              .object([("type", .text("string"))]),
              .object([
                ("type", .text("array")), ("items", .object([("type", .text("string"))])),
              ]),
            ])
          )
        ])
      },
      childKeys: [],
      read: { node, _, reader in
        reader.complain(node.place, "'include' works in the main file only; name all files there")
      },
      show: { _ in nil })
  }

  // MARK: Listeners

  private static var listener: Section<ListenerSettings> {
    Section(
      "listener", make: ListenerSettings.init,
      finish: { node, listener, reader in
        if listener.targetLimit > listener.headLimit {
          reader.complain(
            node.place,
            """
            'target' (\(sizeText(listener.targetLimit))) is larger than 'head' \
            (\(sizeText(listener.headLimit))), of which it is a part; raise 'head'
            """)
        }
      },
      fields: [
        .value(
          "name", \.name, .name("public"), sample: "public",
          "Shown in logs and metrics. Default: the address as written."),
        .value(
          "address", \.written, .listenAddress, required: true, sample: "127.0.0.1:8080",
          """
          IPv4, [IPv6] or * with a port, or unix:PATH. * is every IPv4 address; [::] is every \
          address of both families.
          """),
        .value(
          "proxy_protocol", \.proxyProtocol, .flag,
          "Every connection must begin with a PROXY protocol header, version 1 or 2."),
        .optional(
          "health_path", \.healthPath, .requestPath, sample: "/lb-health",
          "Answered by the listener itself with 200, and with 503 while draining. Default: none."),
        .values(
          "trusted_proxies", \.trustedProxies, .block, whenEmpty: "nobody",
          "Peers whose X-Forwarded-* and Forwarded are kept and extended. Default: nobody."),
        .values(
          "protocols", \.protocols, .choice("a protocol"), whenEmpty: nil, sample: "[h1, h2]",
          """
          HTTP/1.1 and HTTP/2: offered by ALPN over TLS; in clear h2 is taken from clients that \
          begin with it.
          """),
        .value(
          "tls", \.tls, listenerTLS.kind.orNil("off"),
          "Clients speak TLS. Files are watched, and new ones are taken over."),
        .value("http2", \.http2, http2.kind, "Bounds of one HTTP/2 connection."),
        .group("timeouts", listenerTimeouts, "Patience with clients."),
        .group("limits", listenerLimits, "What a client may send."),
        .value("access", \.access, access("none").kind, "Who may come in at this listener."),
      ])
  }

  private static var http2: Section<ListenerHTTP2Settings> {
    Section(
      "http2", make: ListenerHTTP2Settings.init,
      fields: [
        .value(
          "max_concurrent_streams", \.maxStreams, .integer(1...10_000),
          "Requests at once; one more is refused by itself."),
        .value(
          "stream_window", \.streamWindow, .size(65_535...16 << 20),
          "Bytes of a body that may come before any have gone on."),
        .value(
          "connection_window", \.connectionWindow, .size(65_535...256 << 20),
          "The same for all streams of a connection together."),
        .value(
          "max_age", \.maxAge, .duration(someTime),
          "A connection says goodbye after this, so that load spreads anew."),
        .value(
          "resets", \.resets, .integer(10...1_000_000),
          "Streams that a client may reset, or make us reset, before its connection ends."),
        .value(
          "resets_per_second", \.resetsPerSecond, .integer(1...100_000),
          "How many of them come back."),
      ])
  }

  private static var listenerTimeouts: [Field<ListenerSettings>] {
    [
      .value(
        "request_head", \.requestHeadTimeout, .duration(someTime),
        "From the first byte of a request head to its last."),
      .value(
        "idle", \.idleTimeout, .duration(someTime),
        "Between two requests of a connection. More than the 60s of common load balancers."),
      .value(
        "send", \.sendTimeout, .duration(someTime),
        "A client that takes no byte of an answer for this long is given up."),
      .value(
        "body_grace", \.bodyGrace, .duration(anyTime),
        "A request body may be slow this long before its rate is judged."),
    ]
  }

  private static var listenerLimits: [Field<ListenerSettings>] {
    [
      .value(
        "head", \.headLimit, .size(1 << 10...1 << 20),
        "Bytes of a request head: its first line and its fields."),
      .value(
        "target", \.targetLimit, .size(64...1 << 20), "Bytes of a request target."),
      .value("fields", \.fieldLimit, .integer(8...10_000), "Fields of a request head."),
      .value(
        "body", \.bodyLimit, Kind.size(0...1 << 40).or("off", 0, when: { $0 == 0 }),
        "Bytes of a request body."),
      .value(
        "body_rate", \.bodyRate, Kind.size(0...1 << 30).or("off", 0, when: { $0 == 0 }),
        "Bytes per second that a request body must average after its grace."),
      .value(
        "connections", \.connectionLimit,
        Kind.integer(0...10_000_000).or("off", 0, when: { $0 == 0 }),
        "Open client connections; off is as many as there are descriptors."),
      .value(
        "model_search", \.modelSearch, .size(1 << 10...64 << 20),
        "Bytes of a body that are held while its model is looked for, where a rule needs it."),
    ]
      + rateFields(
        "requests_per_client", \.requestsPerClient, "client_burst", \.clientBurst,
        "Requests of one client address (of one /64 with IPv6), such as 20/s.")
  }

  private static var admin: Section<AdminSettings> {
    Section(
      "admin", make: AdminSettings.init,
      fields: [
        .value(
          "address", \.written, .listenAddress, sample: "127.0.0.1:9900",
          "Keep it on the loopback, or set a token."),
        .optional(
          "token", \.token, .secret, sample: "${PORTICO_ADMIN_TOKEN:-change-me}",
          """
          Bearer token that every admin request must carry, except /healthz and /readyz. \
          Default: none.
          """),
      ])
  }

  private static var accessLog: Section<AccessLogSettings> {
    Section(
      "access_log", make: AccessLogSettings.init,
      fields: [
        .value(
          "path", \.destination, .logDestination,
          "off, stdout or a file, which is opened again on SIGUSR1.")
      ])
  }

  private static var drain: Section<DrainSettings> {
    Section(
      "drain", make: DrainSettings.init,
      fields: [
        .value(
          "settle", \.settle, .duration(anyTime),
          "/readyz says no for this long before listeners stop, so that load balancers look away."),
        .value(
          "deadline", \.deadline, .duration(anyTime),
          "Streams may finish for this long after that; the rest are cut."),
      ])
  }

  // MARK: Routes

  private static var route: Section<RouteSettings> {
    Section(
      "route", make: RouteSettings.init,
      rules: [
        .exactlyOne(["pool", "refuse"], advice: "write 'pool: NAME' or 'refuse: 404'"),
        .atMostOne(["path", "path_prefix"]),
      ],
      finish: { _, route, _ in
        if route.name.isEmpty { route.name = route.defaultName }
      },
      fields: [
        .value(
          "name", \.name, .name("chat"), sample: "chat",
          "Shown in logs and metrics. Default: what it matches, such as POST api.example.org/v1*."),
        .optional(
          "host", \.host, .hostPattern, sample: "api.example.org",
          "Host without port, or *.example.org for all below it. Default: every host."),
        .optional(
          "path", \.exactPath, .requestPath, sample: "/v1/models",
          "Exactly this path, without query. Default: every path."),
        .optional(
          "path_prefix", \.pathPrefix, .requestPath, sample: "/v1",
          "This path and all below it: /v1 matches /v1 and /v1/models, but not /v10."),
        .values(
          "methods", \.methods, .method, whenEmpty: nil, sample: "[GET, POST]",
          "Only these methods. Default: every method."),
        .optional("pool", \.pool, .name("chat"), sample: "chat", "The pool that serves it."),
        .optional(
          "refuse", \.refuse, .integer(400...599, "a status"), sample: "404",
          "Answered by Portico itself with this status."),
      ] + routeGuards)
  }
}

// MARK: Keys that are kept in another form

extension ListenerSettings {
  fileprivate var written: WrittenAddress {
    get { WrittenAddress(address: address, text: name) }
    set {
      address = newValue.address
      if name.isEmpty { name = newValue.text }
    }
  }
}

extension AdminSettings {
  fileprivate var written: WrittenAddress {
    get { WrittenAddress(address: address, text: address.description) }
    set { address = newValue.address }
  }
}

extension RouteSettings {
  fileprivate var exactPath: String? {
    get { if case .exact(let path) = path { path } else { nil } }
    set { path = newValue.map { .exact($0) } ?? .any }
  }
  fileprivate var pathPrefix: String? {
    get { if case .prefix(let path) = path { path } else { nil } }
    set { path = newValue.map { .prefix($0) } ?? .any }
  }
  fileprivate var pool: String? {
    get { if case .pool(let name) = target, !name.isEmpty { name } else { nil } }
    set { target = .pool(newValue ?? "") }
  }
  fileprivate var refuse: Int? {
    get { if case .refuse(let status) = target { status } else { nil } }
    set { target = newValue.map { .refuse(status: $0) } ?? .pool("") }
  }

  /// What it matches, as a person would say it: `GET,POST api.example.org/v1*`, or `*` for all.
  var defaultName: String {
    let pathText: String
    switch path {
    case .any: pathText = ""
    case .exact(let path): pathText = path
    case .prefix(let path): pathText = path + "*"
    }
    let place = (host ?? "") + pathText
    let name = (methods.isEmpty ? "" : methods.joined(separator: ",") + " ") + place
    return String((name.isEmpty ? "*" : name).prefix(128))
  }
}
