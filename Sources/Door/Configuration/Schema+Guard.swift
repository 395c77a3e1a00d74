import Primitives
import SettingsFile

/// Keys about who may do what: API keys, tokens, access, limits, CORS, fields and admin paths.
extension Schema {
  // MARK: At the top

  static var apiKeys: Field<Settings> {
    .list(
      "api_keys", \.apiKeys, apiKey, sample: "[{name: team-a, sha256: ...}]",
      "Who may use routes with 'access: api_key', by the hash of a key.")
  }

  static var apiKeysFile: Field<Settings> {
    .optional(
      "api_keys_file", \.apiKeysFile, .filePath("keys.yaml"), sample: "keys.yaml",
      """
      A file with a list of further keys, written as under api_keys; relative to this file, and \
      watched like it. Default: none.
      """)
  }

  /// What stands in that file: no key of this one.
  static var fileKeys: Field<Settings> {
    .list("api_keys_file", \.fileKeys, apiKey, sample: "", "Read by the loader.")
  }

  static var jwt: Field<Settings> {
    .optional(
      "jwt", \.jwt, token.kind, "JSON web tokens, for routes with 'access: jwt' or 'either'.")
  }

  static var apiKey: Section<APIKeySettings> {
    Section(
      "API key", make: APIKeySettings.init,
      fields: [
        .value(
          "name", \.name, .name("team-a"), required: true, sample: "team-a",
          "Shown in logs, metrics and refusals."),
        .value(
          "sha256", \.sha256, .keyHash, required: true, sample: exampleHash,
          """
          What `portico hash-key` prints for the key. Keys must be random, from 20 characters on: \
          then nobody who reads this file can find one by trying.
          """),
        .values(
          "models", \.models, .modelPattern, whenEmpty: "every model",
          "Models it may use, with * for any characters. Default: every model."),
        .values(
          "routes", \.routes, .name("chat"), whenEmpty: "every route",
          "Routes it may use, by name. Default: every route."),
        .value("limits", \.limits, keyLimits.kind, "How much it may use, over all loops."),
      ])
  }

  /// Of no key that anybody knows: who copies an example lets nobody in.
  static let exampleHash = String(repeating: "0", count: 64)

  private static var keyLimits: Section<CallerLimitSettings> {
    Section(
      "limit", make: CallerLimitSettings.init,
      fields: callerRates + [
        .value(
          "concurrency", \.concurrency,
          Kind.integer(0...1_000_000).or("off", 0, when: { $0 == 0 }), "Requests in progress.")
      ])
  }

  private static var callerRates: [Field<CallerLimitSettings>] {
    rateFields(
      "requests", \.requests, "request_burst", \.requestBurst, "Requests, such as 600/m.")
      + rateFields(
        "tokens", \.tokens, "token_burst", \.tokenBurst,
        """
        Tokens of prompt and completion, such as 100000/m. Estimated when a request comes, \
        corrected when its answer has said how many they were.
        """)
  }

  private static var token: Section<JWTSettings> {
    Section(
      "token", make: JWTSettings.init,
      finish: { node, jwt, reader in
        if jwt.algorithms.isEmpty {
          reader.complain(node.place, "'algorithms' is empty; write algorithms: [ES256]")
        }
      },
      fields: [
        .value(
          "issuer", \.issuer, .claimText, required: true, sample: "https://login.example.org",
          "What 'iss' must be."),
        .optional(
          "audience", \.audience, .claimText, sample: "portico",
          "What 'aud' must hold. Default: tokens that are meant for nobody in particular."),
        .value(
          "jwks", \.keysFile, .filePath("jwks.json"), required: true, sample: "jwks.json",
          "A file with the issuer's public keys (JWKS), watched like this one."),
        .values(
          "algorithms", \.algorithms, .choice("an algorithm"), whenEmpty: "none",
          "Signatures that are taken."),
        .value(
          "leeway", \.leeway, .duration(.zero...TimeAmount.seconds(3600)),
          "Difference of clocks that is forgiven."),
        .values(
          "required_claims", \.requiredClaims, .claimText, whenEmpty: "none",
          "Claims that must be there, besides exp."),
        .value(
          "name_claim", \.nameClaim, .claimText, "The claim that names the caller."),
        .group("limits", tokenLimits, "How much each name may use, over all loops."),
      ])
  }

  private static var tokenLimits: [Field<JWTSettings>] {
    rateFields(
      "requests", \.limits.requests, "request_burst", \.limits.requestBurst,
      "Requests, such as 600/m.")
      + rateFields(
        "tokens", \.limits.tokens, "token_burst", \.limits.tokenBurst,
        "Tokens of prompt and completion, such as 100000/m.")
  }

  /// A rate and how much of it may come at once.
  static func rateFields<Root>(
    _ key: String, _ rate: WritableKeyPath<Root, RateSetting?>, _ burstKey: String,
    _ burst: WritableKeyPath<Root, Int>, _ doc: String
  ) -> [Field<Root>] {
    [
      .value(key, rate, Kind.rate.orNil("off"), doc),
      .value(
        burstKey, burst, Kind.integer(0...1_000_000_000).or("auto", 0, when: { $0 == 0 }),
        "How many of '\(key)' may come at once; auto is as many as the rate says."),
    ]
  }

  // MARK: Listeners and routes

  static func access(_ whenNil: String) -> Section<AccessSettings> {
    let kind = Kind<AuthenticationSetting>.choice("an authentication")
    return Section(
      "access rule", make: AccessSettings.init,
      shorthand: Kind(
        wanted: kind.wanted, json: kind.json,
        read: { node, reader in
          kind.read(node, &reader).map { authenticate in
            var access = AccessSettings()
            access.authenticate = authenticate
            return access
          }
        },
        show: { kind.show($0.authenticate ?? .none) }),
      fields: [
        .optional(
          "authenticate", \.authenticate, kind, sample: "api_key",
          """
          none, api_key, jwt or either. Taken from Authorization: Bearer, X-Api-Key or api-key. \
          Default: \(whenNil).
          """),
        .values(
          "allow", \.allow, .block, whenEmpty: "everybody",
          """
          Client addresses that may come; behind trusted_proxies those in X-Forwarded-For. \
          Default: everybody.
          """),
        .values(
          "deny", \.deny, .block, whenEmpty: "nobody",
          "Client addresses that may not come, even where 'allow' has them. Default: nobody."),
      ])
  }

  static var routeGuards: [Field<RouteSettings>] {
    [
      .value("access", \.access, access("as the listener").kind, "Who may use it."),
      .values(
        "models", \.models, .modelPattern, whenEmpty: "every model",
        "Models that may be asked for, with * for any characters. Default: every model."),
      .value("limits", \.limits, routeLimits.kind, "How much of it may be used, over all loops."),
      .optional("cors", \.cors, cors.kind, "Pages of other origins that may use it."),
      .value(
        "request_headers", \.requestHeaders, headerEdits(isSecret: true).kind,
        "Fields of requests that change on their way to a backend."),
      .value(
        "response_headers", \.responseHeaders, headerEdits(isSecret: false).kind,
        "Fields of answers that change on their way to the client."),
      .value(
        "admin_paths", \.adminPaths, .adminPaths,
        """
        block refuses the paths by which engines are administered (/sleep, /metrics, \
        /v2/repository and the like); allow lets them through, a list only those in it.
        """),
    ]
  }

  private static var routeLimits: Section<RouteLimitSettings> {
    Section(
      "limit", make: RouteLimitSettings.init,
      fields: rateFields(
        "requests", \.requests, "request_burst", \.requestBurst,
        "Requests of all clients together, such as 1000/s.")
        + rateFields(
          "requests_per_client", \.requestsPerClient, "client_burst", \.clientBurst,
          "Requests of one client address, such as 20/s.") + [
          .optional(
            "body", \.body, Kind.size(0...1 << 40).or("off", 0, when: { $0 == 0 }),
            sample: "32MiB", "Bytes of a request body. Default: as the listener.")
        ])
  }

  private static var cors: Section<CORSSettings> {
    Section(
      "CORS rule", make: CORSSettings.init,
      finish: { node, cors, reader in
        if cors.credentials, cors.origins.contains("*") {
          reader.complain(
            node.place,
            "'credentials: true' with the origin '*' would let every page act for its visitor; "
              + "name the origins")
        }
      },
      fields: [
        .values(
          "origins", \.origins, .origin, whenEmpty: nil, sample: "[https://app.example.org]",
          "Such as https://app.example.org, https://*.example.org, or '*'."),
        .values(
          "methods", \.methods, .method, whenEmpty: nil, "Methods that pages may use."),
        .values(
          "headers", \.headers, .token("header field", "Content-Type"), whenEmpty: "any",
          "Fields that pages may send. Default: whatever they ask for."),
        .values(
          "exposed_headers", \.exposedHeaders, .token("header field", "X-Request-Id"),
          whenEmpty: "none", "Fields of answers that pages may read besides the usual ones."),
        .value(
          "credentials", \.credentials, .flag, "Pages may send cookies and the like."),
        .value(
          "max_age", \.maxAge, .duration(.zero...TimeAmount.seconds(86_400)),
          "Browsers need not ask again for this long."),
      ])
  }

  private static func headerEdits(isSecret: Bool) -> Section<HeaderEditSettings> {
    Section(
      "header edit", make: HeaderEditSettings.init,
      fields: [
        .value(
          "set", \.set, .headerLines(isSecret: isSecret),
          "Fields that replace any of the same name, as NAME: VALUE."),
        .value(
          "append", \.append, .headerLines(isSecret: isSecret),
          "Fields that are added, as NAME: VALUE."),
        .values(
          "remove", \.remove, .headerName, whenEmpty: "none", "Names of fields that are dropped."),
      ])
  }

  // MARK: Pools

  static var poolGuards: [Field<PoolSettings>] {
    [
      .optional(
        "api_key", \.apiKey, .secret, sample: "${ENGINE_KEY:-change-me}",
        """
        The engines' own key (vLLM's --api-key): sent as Authorization: Bearer in place of what \
        the client sent. Default: none.
        """),
      .value(
        "credentials", \.credentials, .choice("what to do"),
        "drop keeps credentials that Portico has verified from the backends; keep passes them on."),
      .value(
        "request_headers", \.requestHeaders, headerEdits(isSecret: true).kind,
        "As in a route, for every request to this pool."),
      .value(
        "response_headers", \.responseHeaders, headerEdits(isSecret: false).kind,
        "As in a route, for every answer of this pool."),
    ]
  }
}
