import JSON
import Testing

@testable import Admin

/// One request, one answer, over a control side that remembers what it was told. A wrong status
/// takes the front door out of a load balancer; a GET that changes something lets a crawler drain a
/// fleet.
struct AdminHandlerTests {
  private let source = FakeSource()

  private func ask(
    _ method: String, _ target: String, token: String? = nil, authorization: String? = nil,
    host: String? = "127.0.0.1:9900", origin: String? = nil
  ) -> AdminAnswer {
    let handler = AdminHandler(source: source, token: token)
    var answers: [AdminAnswer] = []
    handler.answer(
      AdminRequest(
        method: method, target: target, host: host, origin: origin, authorization: authorization)
    ) { answers.append($0) }
    #expect(answers.count == 1, "every request is answered exactly once")
    return answers[0]
  }

  private func field(_ name: String, of answer: AdminAnswer) -> String? {
    answer.fields.first { $0.name == name }?.value
  }

  private static let open = ["/", "/healthz", "/readyz"]
  private static let closed = ["/metrics", "/fleet", "/config"]
  private static let changes = [
    "/reload", "/drain", "/pools/chat/backends/gpu-a/drain", "/pools/chat/backends/gpu-a/undrain",
  ]

  // MARK: Reading

  @Test func healthSaysThatTheProcessLivesEvenWhenNothingElseWorks() {
    source.readiness.isDraining = true
    let answer = ask("GET", "/healthz")
    #expect(answer.status == 200)
    #expect(answer.text == "ok\n")
  }

  @Test func readyWhenEveryPoolHasAUsableBackend() {
    source.readiness.pools = [
      .init(name: "chat", usable: 1, unhealthy: 1, draining: 1), .init(name: "solo", usable: 1),
    ]
    let answer = ask("GET", "/readyz")
    #expect(answer.status == 200)
    #expect(
      answer.text == """
        ready
        pool chat: 1 of 3 backends usable (1 unhealthy, 1 draining)
        pool solo: 1 of 1 backend usable

        """)
  }

  @Test func notReadyNamesThePoolAndWhy() {
    source.readiness.pools = [
      .init(name: "chat", usable: 2), .init(name: "big", usable: 0, unhealthy: 2),
      .init(name: "empty", usable: 0),
    ]
    let answer = ask("GET", "/readyz")
    #expect(answer.status == 503)
    #expect(
      answer.text == """
        not ready
        pool chat: 2 of 2 backends usable
        pool big: none of 2 backends usable (2 unhealthy)
        pool empty: has no backends

        """)
  }

  @Test func drainingIsNotReady() {
    source.readiness.isDraining = true
    source.readiness.pools = [.init(name: "chat", usable: 2)]
    let answer = ask("GET", "/readyz")
    #expect(answer.status == 503)
    #expect(
      answer.text == """
        not ready
        draining: nothing new is taken
        pool chat: 2 of 2 backends usable

        """)
  }

  // The old configuration serves on, so a bad edit must not take the front door out of service.
  @Test func aRefusedReloadShowsButDoesNotMakeItUnready() {
    source.readiness.pools = [.init(name: "chat", usable: 1)]
    source.readiness.lastReloadError = "p.yaml:3:1: unknown key 'x'\np.yaml:9:2: \u{1b}[2Jbad"
    let answer = ask("GET", "/readyz")
    #expect(answer.status == 200)
    #expect(
      answer.text == """
        ready
        pool chat: 1 of 1 backend usable
        the last reload was refused; the configuration before it is in use
        p.yaml:3:1: unknown key 'x'
        p.yaml:9:2: \u{fffd}[2Jbad

        """)
  }

  // The path is open to strangers; complaints quote the file, which may hold a secret.
  @Test func complaintsAreShownToTokenHoldersOnly() {
    source.readiness.lastReloadError = "p.yaml:3:1: unknown value 'hunter2'"
    let stranger = ask("GET", "/readyz", token: "t")
    #expect(stranger.text.contains("the last reload was refused"))
    #expect(!stranger.text.contains("hunter2"))
    let holder = ask("GET", "/readyz", token: "t", authorization: "Bearer t")
    #expect(holder.text.contains("hunter2"))
  }

  @Test func configurationIsYAML() {
    let answer = ask("GET", "/config")
    #expect(answer.status == 200)
    #expect(answer.content == .yaml)
    #expect(answer.text == source.configuration)
  }

  @Test func metricsArePrometheusText() {
    let answer = ask("GET", "/metrics")
    #expect(answer.status == 200)
    #expect(answer.content.rawValue == "text/plain; version=0.0.4; charset=utf-8")
    #expect(
      answer.text.contains("\nportico_backend_in_flight{pool=\"chat\",backend=\"gpu-a\"} 0\n"))
    #expect(answer.text.contains("\nportico_build_info{version=\"0.1.0\"} 1\n"))
  }

  @Test func fleetIsJSONThatStatusUnderstands() throws {
    let answer = ask("GET", "/fleet")
    #expect(answer.status == 200)
    #expect(answer.content.rawValue == "application/json")
    let view = try FleetView(JSONValue(answer.body))
    #expect(view.pools.map(\.name) == ["chat"])
  }

  @Test func dashboardIsOneFileThatMayNotBeFramed() {
    let answer = ask("GET", "/")
    #expect(answer.status == 200)
    #expect(answer.content == .html)
    #expect(answer.text.hasPrefix("<!doctype html>\n"))
    let policy = field("Content-Security-Policy", of: answer)
    #expect(policy?.contains("frame-ancestors 'none'") == true)
    #expect(policy?.contains("default-src 'none'") == true)
    // Nothing from elsewhere: the only addresses are names of XML formats.
    for address in answer.text.split(separator: "http").dropFirst() {
      #expect(address.hasPrefix("://www.w3.org/2000/svg"), "asks for http\(address.prefix(40))")
    }
    #expect(!answer.text.contains("innerHTML"), "texts of strangers would become markup")
  }

  @Test(arguments: open + closed) func answersAreNotKeptByAnyone(path: String) {
    let answer = ask("GET", path)
    #expect(field("Cache-Control", of: answer) == "no-store")
    #expect(field("X-Content-Type-Options", of: answer) == "nosniff")
  }

  @Test func aQueryIsIgnored() {
    #expect(ask("GET", "/healthz?probe=1").text == "ok\n")
  }

  // MARK: Changing

  @Test func reloadSaysWhatChanged() {
    source.nextReload = .applied(changes: ["pool chat: backend gpu-c added", "route /x removed"])
    let answer = ask("POST", "/reload")
    #expect(answer.status == 200)
    #expect(answer.text == "reloaded\npool chat: backend gpu-c added\nroute /x removed\n")
    source.nextReload = .applied(changes: [])
    #expect(ask("POST", "/reload").text == "reloaded; nothing changed\n")
    #expect(source.told == ["reload", "reload"])
  }

  @Test func aRefusedReloadGivesTheComplaints() {
    source.nextReload = .refused(complaints: ["p.yaml:3:1: unknown key 'x'", "p.yaml:4:1: y"])
    let answer = ask("POST", "/reload")
    #expect(answer.status == 422)
    #expect(
      answer.text == """
        not reloaded; the configuration before it stays in use
        p.yaml:3:1: unknown key 'x'
        p.yaml:4:1: y

        """)
  }

  @Test func drainIsDoneOnce() {
    let first = ask("POST", "/drain")
    #expect(first.status == 200)
    #expect(first.text == "draining: what is under way is finished, nothing new is taken\n")
    #expect(ask("POST", "/drain").text == "was draining already\n")
    #expect(source.told == ["drain"])
  }

  @Test func aBackendIsDrainedAndGivenBack() {
    let path = "/pools/chat/backends/gpu-a/"
    #expect(ask("POST", path + "drain").text == "pool 'chat': backend 'gpu-a' now drains\n")
    #expect(ask("POST", path + "drain").text == "pool 'chat': backend 'gpu-a' drains already\n")
    #expect(
      ask("POST", path + "undrain").text == "pool 'chat': backend 'gpu-a' now takes requests\n")
    #expect(
      ask("POST", path + "undrain").text
        == "pool 'chat': backend 'gpu-a' takes requests already\n")
    #expect(source.told == ["drain chat/gpu-a", "undrain chat/gpu-a"])
  }

  @Test func drainingTheLastOneIsDoneButWarned() {
    source.readiness.pools = [.init(name: "chat", usable: 0, unhealthy: 1, draining: 2)]
    let answer = ask("POST", "/pools/chat/backends/gpu-a/drain")
    #expect(answer.status == 200)
    #expect(
      answer.text == """
        pool 'chat': backend 'gpu-a' now drains
        warning: pool 'chat' has no usable backend left

        """)
  }

  // A Unix socket's name has slashes and may have spaces.
  @Test func namesArePercentDecoded() {
    let answer = ask("POST", "/pools/ch%61t/backends/unix%3A%2Frun%2Fgpu%20c.sock/drain")
    #expect(answer.status == 200)
    #expect(source.told == ["drain chat/unix:/run/gpu c.sock"])
  }

  @Test(arguments: [
    ("/pools/chta/backends/gpu-a/drain", "there is no pool 'chta'; did you mean 'chat'?\n"),
    (
      "/pools/chat/backends/gpu-x/undrain",
      "there is no backend 'gpu-x' in pool 'chat'; did you mean 'gpu-a'?\n"
    ),
    (
      "/pools/chat/backends/pgu-b/drain",
      "there is no backend 'pgu-b' in pool 'chat'; did you mean 'gpu-b'?\n"
    ),
    (
      "/pools/chat/backends/mock/drain",
      "there is no backend 'mock' in pool 'chat'; there is 'gpu-a', 'gpu-b', "
        + "'unix:/run/gpu c.sock'\n"
    ),
    (
      "/pools/embeddings/backends/a/drain",
      "there is no backend 'a' in pool 'embeddings', nor any other\n"
    ),
  ])
  func unknownNamesAreAnsweredWithKnownOnes(path: String, text: String) {
    let answer = ask("POST", path)
    #expect(answer.status == 404)
    #expect(answer.text == text)
    #expect(source.told.isEmpty)
  }

  @Test func aLongListOfNamesIsCut() {
    source.backendNames = [
      PoolNames(pool: "big", backends: (0..<25).map { "server-\($0)" })
    ]
    let names = (0..<20).map { "'server-\($0)'" }.joined(separator: ", ")
    #expect(
      ask("POST", "/pools/big/backends/x/drain").text
        == "there is no backend 'x' in pool 'big'; there is \(names) and 5 more\n")
  }

  // MARK: Refusals

  @Test(arguments: [
    "/nope", "", "//", "/healthz/", "/HEALTHZ", "/pools", "/pools/chat/backends/gpu-a",
    "/pools/chat/backends/gpu-a/drain/", "/pools/chat/gpu-a/drain", "/reload/x",
  ])
  func unknownPathsListTheKnownOnes(path: String) {
    let answer = ask("GET", path)
    #expect(answer.status == 404)
    #expect(answer.text == "there is no \(path) here; try\n\(AdminPath.list)\n")
  }

  @Test(arguments: ["/%", "/%4", "/%zz", "/pools/%ff/backends/a/drain"])
  func badEncodingIsRefused(path: String) {
    let answer = ask("POST", path)
    #expect(answer.status == 400)
    #expect(
      answer.text == "\(path): '%' needs two hexadecimal digits, and all must be UTF-8\n")
  }

  @Test(arguments: open + closed, ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "OTHER"])
  func readingPathsAreReadOnly(path: String, method: String) {
    let answer = ask(method, path)
    #expect(answer.status == 405)
    #expect(field("Allow", of: answer) == "GET, HEAD")
    #expect(answer.text == "\(method) is not for this path; use GET\n")
  }

  // A browser's prefetch, a crawler or a pasted link must never change anything.
  @Test(arguments: changes, ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
  func changesHappenByPOSTOnly(path: String, method: String) {
    let answer = ask(method, path)
    #expect(answer.status == 405)
    #expect(field("Allow", of: answer) == "POST")
    #expect(source.told.isEmpty)
  }

  @Test(arguments: open + closed) func headIsAnsweredAsGet(path: String) {
    #expect(ask("HEAD", path) == ask("GET", path))
  }

  @Test func withATokenTheRestIsClosed() {
    for path in Self.closed + ["/nope", "/%"] {
      let answer = ask("GET", path, token: "secret")
      #expect(answer.status == 401, "\(path)")
      #expect(field("WWW-Authenticate", of: answer) == #"Bearer realm="portico""#)
      #expect(
        answer.text
          == "a token is needed: send 'Authorization: Bearer TOKEN' with the one in admin.token\n")
    }
    for path in Self.changes {
      #expect(ask("POST", path, token: "secret").status == 401, "\(path)")
      #expect(ask("POST", path, token: "secret", authorization: "Bearer secret").status == 200)
    }
    for path in Self.open {
      #expect(ask("GET", path, token: "secret").status != 401, "\(path)")
    }
  }

  @Test func aWrongTokenIsToldApartFromNone() {
    let answer = ask("GET", "/fleet", token: "secret", authorization: "Bearer secreT")
    #expect(answer.status == 401)
    #expect(
      field("WWW-Authenticate", of: answer) == #"Bearer realm="portico", error="invalid_token""#)
    #expect(answer.text == "the token is not the one in admin.token\n")
  }

  @Test func aTokenMayChangeWithAReload() {
    let handler = AdminHandler(source: source, token: nil)
    handler.setToken("new")
    var status = 0
    handler.answer(AdminRequest(method: "GET", target: "/fleet")) { status = $0.status }
    #expect(status == 401)
  }

  // A page somewhere on the web can make a browser POST to 127.0.0.1.
  @Test(arguments: changes) func pagesOfOtherSitesMayNotChangeAnything(path: String) {
    let answer = ask("POST", path, origin: "https://evil.example")
    #expect(answer.status == 403)
    #expect(
      answer.text == "a page from 'https://evil.example' may not change anything here; "
        + "only the dashboard of this address may\n")
    #expect(source.told.isEmpty)
  }

  @Test func theDashboardsOwnOriginMay() {
    #expect(ask("POST", "/reload", origin: "http://127.0.0.1:9900").status == 200)
    #expect(
      ask("POST", "/reload", host: "localhost:9900", origin: "http://localhost:9900").status == 200)
  }

  // DNS rebinding: the stranger's name now points here, so Origin and Host agree.
  @Test func withoutATokenANameIsNotTrusted() {
    let answer = ask(
      "POST", "/drain", host: "evil.example:9900", origin: "http://evil.example:9900")
    #expect(answer.status == 403)
    #expect(
      answer.text == "without a token, changes from a browser are accepted under an IP address or "
        + "localhost only, not under 'evil.example:9900'; set admin.token to use names\n")
    let known = ask(
      "POST", "/drain", token: "t", authorization: "Bearer t", host: "proxy.example:9900",
      origin: "http://proxy.example:9900")
    #expect(known.status == 200)
  }

  @Test func readingIsNotHeldUpByAnOrigin() {
    #expect(ask("GET", "/healthz", origin: "https://evil.example").status == 200)
  }

  // What a stranger sends comes back on the operator's terminal.
  @Test func echoesAreHarmless() {
    let answer = ask("GET", "/\u{1b}[2J" + String(repeating: "x", count: 1_000))
    #expect(!answer.text.contains("\u{1b}"))
    #expect(answer.text.utf8.count < 1_200)
  }
}

extension AdminAnswer {
  var text: String { String(decoding: body, as: UTF8.self) }
}
