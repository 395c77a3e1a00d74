import Primitives
import Telemetry
import Testing

@testable import Guard

let start = Instant(nanoseconds: 1_000_000_000_000)

func bytes<R>(_ text: String, _ body: (UnsafeRawBufferPointer) -> R) -> R {
  Array(text.utf8).withUnsafeBytes { body($0) }
}

func digest(_ text: String) -> Digest { bytes(text) { Digest(of: $0) } }

/// A world with one listener and one route, named 'chat'.
func rules(
  _ change: (inout RouteRules) -> Void = { _ in },
  listener: (inout ListenerRules) -> Void = { _ in }, keys: [APIKey] = []
) -> GuardRules {
  var door = ListenerRules()
  listener(&door)
  var route = RouteRules()
  change(&route)
  return GuardRules(
    listeners: [door], routes: [route, RouteRules()], routeNames: ["chat", "other"],
    keys: KeyTable(keys))
}

func key(
  _ name: String, _ secret: String, models: [String] = [], routes: [Int] = [],
  _ change: (inout CallerLimits) -> Void = { _ in }
) -> APIKey {
  var limits = CallerLimits()
  change(&limits)
  return APIKey(
    id: 0, name: name, digest: digest(secret), models: models.map(Glob.init), routes: routes,
    limits: limits, requests: RateBucket(), tokens: RateBucket(), cell: KeyCell())
}

extension GuardRules {
  func ask(
    _ secret: String?, client: String? = nil, route: Int = 0, at now: Instant = start
  ) -> Finding {
    var cache = TokenCache()
    let address = client.flatMap { text in bytes(text) { ClientAddress(text: $0) } }
    return bytes(secret ?? "") { secret in
      examine(
        listener: 0, route: route, client: address,
        credentials: secret.isEmpty ? .none : .presented(secret), cache: &cache, at: now,
        unixSeconds: 0)
    }
  }

  /// What a client would read; nil when nothing is refused.
  func sentence(_ refusal: Refusal?, model: String? = nil) -> String? {
    guard let refusal else { return nil }
    return withUnsafeTemporaryAllocation(byteCount: Sentence.limitBytes, alignment: 1) { memory in
      var text = Sentence(memory)
      if let model {
        bytes(model) { refusal.write(self, route: 0, model: $0, into: &text) }
      } else {
        refusal.write(self, route: 0, model: nil, into: &text)
      }
      return String(decoding: text.bytes, as: UTF8.self)
    }
  }
}

extension GuardRules.Finding {
  var refusal: Refusal? { if case .refused(let refusal) = self { refusal } else { nil } }
  var caller: Caller? { if case .passed(let caller) = self { caller } else { nil } }
}

extension GuardRules.Verdict {
  var refusal: Refusal? { if case .refused(let refusal) = self { refusal } else { nil } }
  var admission: Admission? { if case .admitted(let a) = self { a } else { nil } }
}

/// SHA-256 and the table of keys. What could break: another hash than every other program makes, or a
/// key that is found by another's hash.
@Suite struct KeyTests {
  /// FIPS 180-2, appendix B, and the empty text.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func digestsAreThoseOfTheStandard(text: String, hexadecimal: String) {
    #expect(digest(text).hexadecimal == hexadecimal)
    #expect(Digest(hexadecimal: hexadecimal.uppercased()) == digest(text))
  }

  @Test(arguments: ["", "ab", String(repeating: "a", count: 63), String(repeating: "g", count: 64)])
  func whatIsNoDigestIsNone(text: String) {
    #expect(Digest(hexadecimal: text) == nil)
  }

  @Test func everyKeyIsFoundAndNothingElse() {
    let table = KeyTable((0..<500).map { key("k\($0)", "secret-\($0)") })
    for index in 0..<500 {
      let place = table.find(digest("secret-\(index)"))
      #expect(place.map { table.keys[$0].name } == Array("k\(index)".utf8))
    }
    for index in 500..<1_000 { #expect(table.find(digest("secret-\(index)")) == nil) }
    #expect(KeyTable().find(digest("x")) == nil)
  }

  @Test(arguments: [
    ("Bearer k", "k"), ("bearer   k", "k"), ("BEARER k", "k"), ("Bearer ", nil), ("Bearer", nil),
    ("Basic abcdefg", nil), ("Bearerk", nil),
  ])
  func bearerTokens(value: String, expected: String?) {
    let found = bytes(value) { value in
      Credentials.bearer(value).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(found == expected)
  }
}

@Suite struct GlobTests {
  @Test(arguments: [
    ("llama", "llama", true), ("llama", "llama2", false), ("llama*", "llama2", true),
    ("*", "", true), ("*", "a/b", true), ("meta/*", "meta/x/y", true), ("meta/*", "meta", false),
    ("*-8b", "llama-8b", true), ("a*b*c", "aXbYbZc", true), ("a*b*c", "aXcYb", false),
    ("", "", true), ("", "a", false), ("Llama", "llama", false), ("a**b", "ab", true),
  ])
  func matches(pattern: String, text: String, expected: Bool) {
    #expect(bytes(text) { Glob(pattern).matches($0) } == expected)
  }

  /// A pattern made to be slow stays within the product of the lengths.
  @Test func isNotSlow() {
    let glob = Glob(String(repeating: "a*", count: 120) + "b")
    #expect(!bytes(String(repeating: "a", count: 256)) { glob.matches($0) })
  }
}

/// Who is let in. What could break: somebody without a key, or a rule that is asked in the wrong order
/// and charges whom it refuses.
@Suite struct ExamineTests {
  @Test func withoutRulesEverybodyPasses() {
    #expect(rules().ask(nil).caller == .nobody)
    #expect(rules().isOpen)
  }

  @Test func aKeyIsAskedForByName() {
    let rules = rules({ $0.authentication = .apiKey }, keys: [key("team-a", "s3cret")])
    #expect(rules.ask("s3cret").caller == .key(0))
    let none = rules.ask(nil).refusal
    #expect(none?.reason == .credentialsMissing)
    #expect(
      rules.sentence(none)
        == "This route asks for an API key; send it as Authorization: Bearer KEY.")
    let wrong = rules.ask("other").refusal
    #expect(wrong?.reason == .credentialsInvalid)
    #expect(
      rules.sentence(wrong) == "The API key is not known here; check it, or ask for another one.")
  }

  @Test func theRouteKnowsBetterThanTheListener() {
    let open = rules(
      { $0.authentication = Authentication.none }, listener: { $0.authentication = .apiKey })
    #expect(open.ask(nil).caller == .nobody)
    let closed = rules { $0.authentication = .apiKey }
    #expect(closed.ask(nil, route: 1).caller == .nobody)
    let all = rules(listener: { $0.authentication = .apiKey })
    #expect(all.ask(nil, route: 1).refusal?.reason == .credentialsMissing)
  }

  @Test func aKeyMayBeForOtherRoutes() {
    let rules = rules(
      { $0.authentication = .apiKey }, keys: [key("team-a", "s3cret", routes: [1])])
    let refusal = rules.ask("s3cret").refusal
    #expect(refusal?.reason == .routeNotAllowed)
    #expect(
      rules.sentence(refusal)
        == "The API key 'team-a' may not use the route 'chat'; its routes do not name it.")
  }

  @Test func addressesAreAskedBeforeCredentials() {
    let rules = rules {
      $0.authentication = .apiKey
      $0.addresses = AddressRules(allow: [AddressBlock("10.0.0.0/8")!])
    }
    #expect(rules.ask(nil, client: "10.0.0.1").refusal?.reason == .credentialsMissing)
    let refusal = rules.ask(nil, client: "11.0.0.1").refusal
    #expect(refusal?.reason == .addressDenied)
    #expect(rules.sentence(refusal) == "Requests from this address are not taken here.")
    #expect(rules.ask(nil).refusal?.reason == .addressDenied)
  }

  /// Guessing keys is slowed down too: a wrong one uses up its address's share.
  @Test func anAddressHasItsRate() {
    let rules = rules {
      $0.authentication = .apiKey
      $0.clientLimit = RateLimit(count: 2, per: .seconds(60))
      $0.clients = ClientBuckets(seed: 5)
    }
    #expect(rules.ask("a", client: "10.0.0.1").refusal?.reason == .credentialsInvalid)
    #expect(rules.ask("b", client: "10.0.0.1").refusal?.reason == .credentialsInvalid)
    let third = rules.ask("c", client: "10.0.0.1").refusal
    #expect(third?.reason == .clientRequestRate)
    #expect(third?.retryAfterSeconds == 30)
    #expect(
      rules.sentence(third)
        == "One address may make 2 requests per minute (requests_per_client); try again in 30 s.")
    #expect(rules.ask("c", client: "10.0.0.2").refusal?.reason == .credentialsInvalid)
  }
}

/// What is charged. What could break: a refused request that has used something up, or a slot that is
/// never given back.
@Suite struct AdmitTests {
  @Test func aSlotIsHeldUntilTheEnd() {
    let rules = rules(keys: [key("team-a", "k") { $0.concurrency = 2 }])
    let first = rules.admit(.key(0), route: 0, tokens: 0, at: start).admission
    _ = rules.admit(.key(0), route: 0, tokens: 0, at: start)
    let refusal = rules.admit(.key(0), route: 0, tokens: 0, at: start).refusal
    #expect(refusal?.reason == .keyConcurrency)
    #expect(
      rules.sentence(refusal)
        == """
        The API key 'team-a' may have 2 requests in progress (concurrency); wait for one of them.
        """)
    rules.release(first!, tokens: nil, at: start)
    #expect(rules.keys.keys[0].cell.requestsInProgress == 1)
    #expect(rules.admit(.key(0), route: 0, tokens: 0, at: start).admission != nil)
  }

  @Test func theRefusalOfOneLimitChargesNoOther() {
    let key = key("team-a", "k") {
      $0.requests = RateLimit(count: 10, per: .seconds(60))
      $0.tokens = RateLimit(count: 100, per: .seconds(60))
      $0.concurrency = 5
    }
    let rules = rules(
      {
        $0.limit = RateLimit(count: 10, per: .seconds(1))
        $0.bucket = RateBucket()
      }, keys: [key])
    #expect(rules.admit(.key(0), route: 0, tokens: 80, at: start).admission != nil)
    let refusal = rules.admit(.key(0), route: 0, tokens: 80, at: start).refusal
    #expect(refusal?.reason == .keyTokenRate)
    #expect(
      rules.sentence(refusal)
        == "The API key 'team-a' may take 100 tokens per minute (tokens); try again in 36 s.")
    #expect(rules.standing(.key(0), .requests, at: start)?.remaining == 9)
    #expect(rules.routes[0].bucket!.remaining(rules.routes[0].limit!, at: start) == 9)
    #expect(key.cell.requestsInProgress == 1)
  }

  @Test func aRequestThatCanNeverPassIsToldSo() {
    let rules = rules(
      keys: [key("team-a", "k") { $0.tokens = RateLimit(count: 100, per: .seconds(60)) }])
    let refusal = rules.admit(.key(0), route: 0, tokens: 5_000, at: start).refusal
    #expect(refusal?.retryAfterSeconds == nil)
    #expect(
      rules.sentence(refusal)
        == """
        The API key 'team-a' may take 100 tokens per minute (tokens), at most 100 at once, and this \
        request may take 5000; send a shorter one.
        """)
  }

  @Test func theRouteHasItsRate() {
    let rules = rules {
      $0.limit = RateLimit(count: 1, per: .seconds(1))
      $0.bucket = RateBucket()
    }
    #expect(rules.admit(.nobody, route: 0, tokens: 0, at: start).admission != nil)
    let refusal = rules.admit(.nobody, route: 0, tokens: 0, at: start).refusal
    #expect(refusal?.reason == .routeRequestRate)
    #expect(
      rules.sentence(refusal)
        == "The route 'chat' takes 1 requests per second (requests); try again in 1 s.")
  }

  @Test func tokensAreCorrectedAtTheEnd() {
    let rules = rules(
      keys: [key("team-a", "k") { $0.tokens = RateLimit(count: 1_000, per: .seconds(60)) }])
    let admission = rules.admit(.key(0), route: 0, tokens: 900, at: start).admission!
    #expect(rules.standing(.key(0), .tokens, at: start)?.remaining == 100)
    rules.release(admission, tokens: 50, at: start)
    #expect(rules.standing(.key(0), .tokens, at: start)?.remaining == 950)
  }

  @Test func modelsAreNamed() {
    let rules = rules(
      { $0.models = [Glob("llama-*"), Glob("qwen")] },
      keys: [key("team-a", "k", models: ["llama-8b"])])
    func judge(_ model: String, _ caller: Caller) -> Refusal? {
      bytes(model) { rules.judge(model: $0, caller, route: 0) }
    }
    #expect(judge("llama-8b", .key(0)) == nil)
    #expect(
      rules.sentence(judge("qwen", .key(0)), model: "qwen")
        == """
        The API key 'team-a' may not use the model 'qwen'; its models do not name it.
        """)
    #expect(judge("qwen", .nobody) == nil)
    #expect(
      rules.sentence(judge("gpt", .nobody), model: "gpt")
        == "The route 'chat' does not take the model 'gpt'; its models do not name it.")
    // What a client names goes into JSON as it stands, or not at all.
    #expect(
      rules.sentence(judge("g\"pt", .nobody), model: "g\"pt")
        == "The route 'chat' does not take this model; its models do not name it.")
  }
}

/// Pages of other origins. What could break: an origin that only looks like one that is named.
@Suite struct CORSTests {
  private func cors(_ origins: String...) -> CORSRules {
    CORSRules(
      origins: origins, methods: ["GET", "POST"], headers: ["Content-Type"], exposed: ["X-A"],
      allowsCredentials: false, maxAgeSeconds: 600)
  }

  @Test(arguments: [
    ("https://app.example.org", true), ("https://APP.example.org", true),
    ("http://app.example.org", false), ("https://app.example.org:8443", false),
    ("https://app.example.org.evil.com", false), ("https://evil.com#app.example.org", false),
    ("https://a.b.example.net", true), ("https://example.net", false),
    ("https://evil.com/.example.net", false), ("https://evil.com?x.example.net", false),
    ("https://evil@x.example.net", false), ("null", false), ("", false),
  ])
  func origins(origin: String, passes: Bool) {
    let cors = cors("https://app.example.org", "https://*.example.net")
    #expect(bytes(origin) { cors.admits($0) } == passes)
  }

  @Test func linesAreWhole() {
    let cors = cors("*")
    #expect(cors.saysAny)
    #expect(
      String(decoding: cors.preflightLines, as: UTF8.self) == """
        Access-Control-Allow-Methods: GET, POST\r
        Access-Control-Allow-Headers: Content-Type\r
        Access-Control-Max-Age: 600\r
        Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r

        """)
    #expect(
      String(decoding: cors.answerLines, as: UTF8.self)
        == "Access-Control-Expose-Headers: X-A\r\nVary: Origin\r\n")
  }
}

@Suite struct HeaderEditTests {
  @Test func theLaterEditWins() {
    var edits = HeaderEdits()
    edits.set("X-Team", "a")
    edits.append("X-Tag", "1")
    edits.append("X-Tag", "2")
    edits.set("x-team", "b")
    edits.remove("Cookie")
    #expect(
      edits.dropped.map { String(decoding: $0, as: UTF8.self) } == ["x-team", "cookie"])
    #expect(
      String(decoding: edits.lines, as: UTF8.self)
        == "X-Tag: 1\r\nX-Tag: 2\r\nx-team: b\r\n")
  }
}
