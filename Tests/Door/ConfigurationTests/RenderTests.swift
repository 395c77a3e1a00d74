import Primitives
import Testing

@testable import Configuration
@testable import SettingsFile

/// Settings in which nothing has its default, and names are as awkward as they may be.
private func unusual() throws -> Settings {
  let yaml = #"""
    loops: 3
    listeners:
      - name: 'a: b'
        address: '[::1]:8443'
      - address: unix:/run/portico.sock
        proxy_protocol: true
        health_path: /ok
        trusted_proxies: [10.0.0.0/8, 'fd00::/8', 192.0.2.1]
        timeouts: {request_head: 1.5s, idle: 90s, send: 61s, body_grace: 0s}
        limits:
          head: 4000B
          target: 1KB
          fields: 99
          body: 1MB
          body_rate: off
          connections: 7
          model_search: 64KiB
          requests_per_client: 20/s
          client_burst: 40
        access: {authenticate: api_key, allow: [10.0.0.0/8], deny: [10.9.0.0/16]}
      - {name: 'true', address: '*:80'}
      - {name: '1.5', address: '*:81'}
      - {name: '$$HOME', address: '*:82'}
      - {name: '- x: #', address: '*:83'}
    admin: {address: 'localhost:9900', token: 's3cret:''$${x}'''}
    access_log: {path: '/var/log/a b.log'}
    drain: {settle: 0s, deadline: 2h}
    pools:
      - name: '#1'
        backends:
          - gpu1:9001
          - unix:/run/engine.sock
          - {name: x, address: 'six:80', weight: 256}
        balance:
          policy: consistent_hash
          alpha: 0.000001
          beta: 99.5
          units: raw
          latency: full
          tau: 250ms
          slow_start: 0s
          hot_quantile: 99.9%
          hash: {header: X-Session-Id}
          hash_bound: 1.01
        health: {tcp: true, interval: 100ms, jitter: 0, timeout: 1s, rise: 1, fall: 1}
        breaker:
          enabled: false
          failures: 1
          error_rate: 1%
          window: 1m
          minimum_volume: 1
          cooldown: 1h
          backpressure: 0s
          backpressure_limit: 0s
          max_ejected: 100%
          panic_threshold: 0
        retry:
          attempts: 1
          non_idempotent: true
          statuses: []
          budget: 0
          minimum_per_second: 0
          body_limit: 0B
        timeouts:
          connect: 1ms
          first_byte: 1h
          response_head: 168h
          between_chunks: 1m
          total: 10m
          idle: 999ms
          tunnel_idle: 61m
        limits: {in_flight: 1, idle_connections: 0}
        credentials: keep
        api_key: an-engine-key
        request_headers: {set: {X-Engine: 's3cret: ''x'''}, append: {X-A: 1}, remove: [Cookie]}
        response_headers: {remove: [Server]}
      - name: second
        backends: [127.0.0.1:1]
        balance: round_robin
        health: {path: /h, status: 204}
    routes:
      - {host: '*.Example.org', path_prefix: /, methods: [GET, M-SEARCH], pool: '#1'}
      - {name: odd, path: '/a''b', refuse: 599}
      - pool: second
        access: none
        models: ['meta-llama/*', '*']
        limits: {requests: 1000/h, request_burst: 7, requests_per_client: 1/m, body: 5MB}
        cors:
          origins: ['https://*.example.org', 'http://localhost:3000']
          methods: [PUT]
          headers: [X-A]
          exposed_headers: [X-B]
          credentials: true
          max_age: 2h
        response_headers: {set: {X-Frame-Options: DENY}}
        admin_paths: [/metrics]
    api_keys:
      - name: team-a
        sha256: 50D858E0985ECC7F60418AAF0CC5AB587F42C2570A884095A9E8CCACD0F6545C
        models: [llama-*]
        routes: [odd]
        limits: {requests: 600/m, request_burst: 5, tokens: 9/s, token_burst: 99, concurrency: 3}
    """#
  let result = load(yaml)
  return try #require(result.loaded, "\(result.lines)").settings
}

@Suite struct RenderTests {
  /// What has nothing in it is printed so that it is read back as nothing, and names of fields that
  /// YAML takes for something else are printed in quotes.
  @Test func mappingsAreReadBack() throws {
    let yaml = """
      listeners: [{address: '127.0.0.1:80'}]
      pools: [{name: a, backends: ['127.0.0.1:81'], request_headers: {set: {'on': b, '1': c}}}]
      routes: [{pool: a}]
      """
    let first = try #require(load(yaml).loaded)
    let text = render(first.settings, showSecrets: true)
    #expect(text.contains("\n      append: {}\n"))
    #expect(text.contains("\n        'on': b\n"))
    let second = load(text)
    #expect(second.lines == [])
    #expect(second.loaded?.settings == first.settings)
  }

  // GET /config must show what is in force; if reading it back gave something else, it would lie.
  @Test func readsBackAsTheSame() throws {
    let settings = try unusual()
    let text = render(settings, showSecrets: true)
    let result = load(text)
    #expect(result.loaded?.settings == settings, "\(result.lines)")
    #expect(render(try #require(result.loaded).settings, showSecrets: true) == text)
  }

  @Test(arguments: ["minimal.yaml", "full.yaml", "vllm-fleet.yaml"])
  func examplesReadBack(name: String) throws {
    let loader = ConfigurationLoader(resolve: testAnswers)
    let settings = try #require(
      loader.load(path: "\(repository)/Config/\(name)", environment: [:]).loaded
    ).settings
    #expect(load(render(settings, showSecrets: true)).loaded?.settings == settings)
  }

  // A token in a log, a dashboard or a bug report is a token that must be changed.
  @Test func hidesSecrets() throws {
    let text = render(try unusual())
    #expect(!text.contains("s3cret"))
    #expect(text.contains("  token: '***'\n"))
  }

  @Test func showsEveryDefault() throws {
    let minimal = try #require(
      ConfigurationLoader().load(path: "\(repository)/Config/minimal.yaml", environment: [:]).loaded
    )
    let lines = render(minimal.settings).split(separator: "\n").map(String.init)
    #expect(
      lines.prefix(6) == [
        "loops: auto", "listeners:", "  - name: 127.0.0.1:8080", "    address: 127.0.0.1:8080",
        "    proxy_protocol: false", "    trusted_proxies: []",
      ])
    #expect(lines.contains("      first_byte: 10m"))
    #expect(lines.contains("    health: off"))
    #expect(lines.contains("      statuses: [502, 503, 504]"))
  }

  // A text that another YAML reader takes for a number, a flag or a comment.
  @Test(arguments: [
    ("plain", "plain"), ("127.0.0.1:9001", "127.0.0.1:9001"), ("8080", "'8080'"),
    ("1.5", "'1.5'"), ("12:30", "'12:30'"), ("off", "'off'"), ("NULL", "'NULL'"), ("", "''"),
    ("[::1]:80", "'[::1]:80'"), ("a: b", "'a: b'"), ("a:", "'a:'"), ("it's", "'it''s'"),
    ("$x", "'$$x'"), ("a\nb", #""a\nb""#), ("é", #""é""#), ("0x10", "'0x10'"), ("-", "'-'"),
    ("/v1", "/v1"), ("*", "'*'"), ("gpu1:9001", "gpu1:9001"),
  ])
  func quotes(text: String, written: String) {
    #expect(YAMLWriter.quote(text, isInList: false) == written)
  }
}
