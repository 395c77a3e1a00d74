import HTTP
import HTTP1
import Testing

@Suite struct ForwardingTests {
  private let origin = "X-Forwarded-For: 10.1.2.3⏎X-Forwarded-Proto: http⏎"

  /// The usual request leaves as it came, with the origin behind it.
  @Test func usual() {
    let head =
      "POST /v1/chat/completions HTTP/1.1⏎Host: 127.0.0.1:8080⏎Content-Type: application/json⏎"
      + "Accept: */*⏎User-Agent: wrk⏎Content-Length: 250⏎"
    #expect(parseRequest(head + "⏎").upstream == head + origin + "⏎")
  }

  /// I01, I02, I03: what concerns the connection stays behind; what matters cannot be named away.
  @Test func hopByHop() {
    let parsed = parseRequest(
      "POST / HTTP/1.1⏎A: 1⏎Host: a⏎Connection: close, X-Forwarded-For, Authorization⏎"
        + "Authorization: Bearer k⏎Keep-Alive: timeout=5⏎Upgrade: foo⏎Trailer: X-T⏎b:2⏎"
        + "Connection: Host, Transfer-Encoding,x-mine, Content-Type, cookie⏎X-MINE: 3⏎"
        + "x-Mine: 4⏎X-Mine2: 5⏎Transfer-Encoding: chunked⏎Content-Type: t⏎Cookie: c⏎"
        + "Proxy-Connection: x⏎Proxy-Authorization: y⏎Proxy: z⏎HTTP2-Settings: s⏎⏎")
    #expect(!parsed.keepAlive)
    #expect(
      parsed.upstream
        == "POST / HTTP/1.1⏎Host: a⏎A: 1⏎Authorization: Bearer k⏎b:2⏎X-Mine2: 5⏎"
        + "Transfer-Encoding: chunked⏎Content-Type: t⏎Cookie: c⏎\(origin)⏎")
  }

  /// I03.3: of TE only `trailers` means something to a backend.
  @Test func te() {
    func upstream(_ te: String) -> String {
      parseRequest("GET / HTTP/1.1⏎Host: a⏎\(te)⏎").upstream
    }
    let start = "GET / HTTP/1.1⏎Host: a⏎\(origin)"
    #expect(upstream("TE: gzip⏎") == start + "⏎")
    #expect(upstream("TE: gzip;q=0.5, Trailers⏎") == start + "TE: trailers⏎Connection: TE⏎⏎")
    #expect(upstream("Connection: TE⏎TE: xtrailers⏎") == start + "⏎")
  }

  /// I04: anyone can write these fields; only a trusted peer is believed.
  @Test func forwardedFields() {
    let request =
      "GET / HTTP/1.1⏎Host: a⏎X-Forwarded-For: 6.6.6.6⏎X-Forwarded-Host: evil.example⏎"
      + "X-Real-IP: 6.6.6.6⏎X-Forwarded-Proto: https⏎x-forwarded-port: 1⏎X-Forwarded-Prefix: /p⏎"
      + "Forwarded: for=6.6.6.6⏎Z: 1⏎X-Forwarded-For: 7.7.7.7⏎⏎"
    #expect(parseRequest(request).upstream == "GET / HTTP/1.1⏎Host: a⏎Z: 1⏎\(origin)⏎")
    var choice = ForwardingChoice()
    choice.isTrusted = true
    #expect(
      parseRequest(request, choice).upstream
        == "GET / HTTP/1.1⏎Host: a⏎X-Forwarded-Host: evil.example⏎X-Real-IP: 6.6.6.6⏎"
        + "X-Forwarded-Proto: https⏎x-forwarded-port: 1⏎X-Forwarded-Prefix: /p⏎Z: 1⏎"
        + "X-Forwarded-For: 6.6.6.6, 7.7.7.7, 10.1.2.3⏎"
        + "Forwarded: for=6.6.6.6, for=10.1.2.3;proto=http⏎⏎")
    choice.client = "2001:db8::1"
    choice.isSecure = true
    #expect(
      parseRequest("GET / HTTP/1.1⏎Host: a⏎Forwarded: for=b⏎⏎", choice).upstream
        == "GET / HTTP/1.1⏎Host: a⏎X-Forwarded-For: 2001:db8::1⏎X-Forwarded-Proto: https⏎"
        + "Forwarded: for=b, for=\"[2001:db8::1]\";proto=https⏎⏎")
    // A trusted peer that says nothing vouches for nothing: the origin is the peer.
    #expect(
      parseRequest("GET / HTTP/1.1⏎Host: a⏎⏎", choice).upstream
        == "GET / HTTP/1.1⏎Host: a⏎X-Forwarded-For: 2001:db8::1⏎X-Forwarded-Proto: https⏎⏎")
    choice.client = ""
    choice.isTrusted = false
    #expect(
      parseRequest("GET / HTTP/1.1⏎Host: a⏎X-Forwarded-For: x⏎⏎", choice).upstream
        == "GET / HTTP/1.1⏎Host: a⏎X-Forwarded-Proto: https⏎⏎")
  }

  /// A request has one id upstream: the client's when it is fit to be logged, else ours.
  @Test func requestID() {
    var choice = ForwardingChoice()
    choice.requestID = "ours-1"
    func upstream(_ fields: String) -> String {
      parseRequest("GET / HTTP/1.1⏎Host: a⏎\(fields)⏎", choice).upstream
    }
    let start = "GET / HTTP/1.1⏎Host: a⏎"
    #expect(upstream("") == start + origin + "X-Request-Id: ours-1⏎⏎")
    #expect(upstream("x-request-id: t-1⏎") == start + "x-request-id: t-1⏎" + origin + "⏎")
    for bad in [
      "X-Request-Id:⏎", "X-Request-Id: a b⏎", "X-Request-Id: \u{e4}⏎",
      "X-Request-Id: \(String(repeating: "x", count: 129))⏎",
      "X-Request-Id: a⏎X-Request-Id: a⏎",
    ] {
      #expect(upstream(bad) == start + origin + "X-Request-Id: ours-1⏎⏎")
    }
    choice.requestID = ""
    #expect(upstream("X-Request-Id: a b⏎") == start + origin + "⏎")
  }

  private let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==⏎"

  /// H11, H12: what is asked for wrongly, or leads where we cannot follow, is not asked for upstream.
  @Test func upgrades() {
    func upgrade(_ fields: String, _ method: String = "GET", _ version: String = "1.1") -> Upgrade {
      let parsed = parseRequest("\(method) / HTTP/\(version)⏎Host: a⏎\(fields)⏎")
      #expect(parsed.result == .complete)
      #expect(parsed.upstream.contains("Upgrade: ") == (parsed.upgrade != .none))
      return parsed.upgrade
    }
    let good = "Connection: keep-alive, Upgrade⏎Upgrade: WebSocket⏎"
    let version = "Sec-WebSocket-Version: 13⏎"
    #expect(upgrade(good + key + version) == .websocket)
    #expect(upgrade(good + key + version, "POST") == .none)
    #expect(upgrade(good + key + version, "GET", "1.0") == .none)
    #expect(upgrade(good + key + "Sec-WebSocket-Version: 99⏎") == .none)
    #expect(upgrade(good + key) == .none)
    #expect(upgrade(good + version) == .none)
    #expect(upgrade(good + key + key + version) == .none)
    #expect(upgrade(good + "Sec-WebSocket-Key: short==⏎" + version) == .none)
    #expect(upgrade(good + key + version + "Content-Length: 5⏎") == .none)
    #expect(upgrade("Upgrade: websocket⏎" + key + version) == .none)
    #expect(upgrade("Connection: upgrade⏎") == .none)
    #expect(
      upgrade("Connection: Upgrade, HTTP2-Settings⏎Upgrade: h2c⏎HTTP2-Settings: A⏎") == .none)
    #expect(upgrade("Connection: upgrade⏎Upgrade: foo/1⏎") == .other)
    #expect(upgrade("Connection: upgrade⏎Upgrade: websocket, foo⏎") == .none)
    #expect(upgrade("Connection: upgrade⏎Upgrade: TLS/1.0⏎") == .none)
    #expect(upgrade("Connection: upgrade⏎Upgrade: ⏎") == .none)
    #expect(
      parseRequest("GET / HTTP/1.1⏎Host: a⏎\(good)\(key)\(version)⏎").upstream
        == "GET / HTTP/1.1⏎Host: a⏎\(key)\(version)\(origin)Connection: upgrade⏎Upgrade: WebSocket⏎⏎"
    )
  }
}
