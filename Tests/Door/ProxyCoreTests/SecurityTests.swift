import Configuration
import Primitives
import ProxyCore
import Telemetry
import Testing

/// What TLS means for requests, told by events. What could break: a request that is told to be secure
/// and is not, a client that names itself, a certificate that is passed by, a backend that is written
/// to without having shown who it is.
@Suite struct SecurityTests {
  private let modern = Security(version: .tls13, isResumed: false, isHTTP2: false)

  private static func secure(_ settings: inout Settings) {
    var tls = ListenerTLSSettings()
    var open = TLSHost()
    open.name = "open"
    open.names = ["open.example.org", "*.open.example.org"]
    var closed = TLSHost()
    closed.name = "closed"
    closed.names = ["closed.example.org"]
    closed.clientAuth = Self.auth
    tls.hosts = [open, closed]
    settings.listeners[0].tls = tls
  }

  private static var auth: ClientAuthSettings {
    var auth = ClientAuthSettings()
    auth.ca = "clients.pem"
    return auth
  }

  private func get(_ host: String, _ fields: String = "") -> String {
    "GET /x HTTP/1.1\r\nHost: \(host)\r\n\(fields)\r\n"
  }

  @Test func aSecureRequestIsToldToTheBackend() {
    let story = Story { Self.secure(&$0) }
    _ = story.accept()
    #expect(story.secured("c1", modern) == [])
    _ = story.receive("c1", get("open.example.org"))
    let sent = story.connected("u1")
    #expect(sent[0].contains("X-Forwarded-Proto: https\r\n"))
    #expect(!sent[0].contains("X-SSL-Client-CN"))
  }

  @Test func aVerifiedNameGoesUpstreamAndAClaimedOneDoesNot() {
    let story = Story { Self.secure(&$0) }
    _ = story.accept()
    var security = modern
    security.boundary = story.boundary(Self.auth)
    _ = story.secured("c1", security, client: "billing.internal")
    _ = story.receive(
      "c1",
      get(
        "closed.example.org",
        "x-ssl-client-cn: root\r\nA: 1\r\nX_SSL_Client_CN: root\r\nX-SSL-Client-CN: root\r\n"))
    let sent = story.connected("u1")
    #expect(sent[0].contains("\r\nA: 1\r\n"))
    #expect(sent[0].contains("\r\nX-SSL-Client-CN: billing.internal\r\n"))
    #expect(!sent[0].contains("root"))
  }

  // The field is believed wherever it comes from, so it is removed on every listener.
  @Test func aClearListenerRemovesClaimedNamesToo() {
    let story = Story { settings in
      Self.secure(&settings)
      var clear = ListenerSettings()
      clear.name = "clear"
      settings.listeners = [clear, settings.listeners[0]]
    }
    _ = story.accept()
    _ = story.receive("c1", get("a", "X-SSL-Client-CN: root\r\n"))
    let sent = story.connected("u1")
    #expect(!sent[0].contains("root"))
    #expect(sent[0].contains("X-Forwarded-Proto: http\r\n"))
  }

  @Test(
    arguments: [
      ("open.example.org", true), ("OPEN.example.org:8443", true), ("a.open.example.org", true),
      // Unknown names mean the default host, as for SNI.
      ("unknown", true), ("a.b.open.example.org", true),
      ("closed.example.org", false), ("Closed.Example.org.", false),
      ("closed.example.org:443", false),
    ])
  func aRequestForAHostThatAsksMoreIsMisdirected(host: String, isServed: Bool) {
    let story = Story { Self.secure(&$0) }
    _ = story.accept()
    _ = story.secured("c1", modern)
    let first = story.receive("c1", get(host)).first ?? ""
    if isServed {
      #expect(first.hasPrefix("connect u1"))
    } else {
      #expect(first.hasPrefix("write c1 HTTP/1.1 421 Misdirected Request\r\n"))
      #expect(first.contains("\"code\":\"misdirected\""))
    }
  }

  // Hosts that ask the same are one domain: browsers join connections to them.
  @Test func hostsThatAskTheSameAreOne() {
    let story = Story { settings in
      Self.secure(&settings)
      settings.listeners[0].tls?.hosts[1].clientAuth = nil
    }
    _ = story.accept()
    _ = story.secured("c1", modern)
    #expect(story.receive("c1", get("closed.example.org"))[0].hasPrefix("connect u1"))
  }

  @Test func aHandshakeHasADeadlineAndThenTheHeadHasOne() {
    let story = Story { Self.secure(&$0) }
    _ = story.accept()
    #expect(story.wait(.seconds(11)) == ["drop c1"])
    _ = story.accept()
    _ = story.wait(.seconds(9))
    _ = story.secured("c2", modern)
    #expect(story.wait(.seconds(9)) == [])
    #expect(story.wait(.seconds(2)) == ["close c2"])
  }

  @Test func plainHTTPIsAnsweredInClear() {
    let story = Story { Self.secure(&$0) }
    _ = story.accept()
    let effects = story.securingFailed("c1", .plaintextHTTP)
    #expect(effects[0].hasPrefix("write c1 HTTP/1.1 400 Bad Request\r\n"))
    #expect(effects[0].contains("use https:// instead of http://"))
    #expect(effects.last == "finish c1")
    #expect(story.wait(.seconds(3)) == ["close c1"])
  }

  // Nothing has been sent: even a POST may go elsewhere.
  @Test func anotherBackendIsAskedAfterAFailedHandshake() {
    let story = Story()
    _ = story.accept()
    _ = story.receive("c1", request("POST", "hello"))
    #expect(
      story.securingFailed("u1", .certificateInvalid, "expired") == ["close u1", "connect u2 b0"])
    #expect(story.secured("u2", modern) == [])
    #expect(story.connected("u2").last?.hasSuffix("hello") == true)
  }

  @Test func theClientIsToldWhyNoBackendCouldBeBelieved() {
    let story = Story(backends: 1)
    _ = story.accept()
    _ = story.receive("c1", request("GET"))
    let effects = story.securingFailed(
      "u1", .certificateInvalid, "gpu1: certificate has expired")
    #expect(effects[1].hasPrefix("write c1 HTTP/1.1 502 Bad Gateway\r\n"))
    #expect(
      effects[1].contains(
        "could not be verified, so nothing was sent to it. gpu1: certificate has expired\",\"type\""
      ))
    #expect(effects[1].contains("\"code\":\"upstream_certificate\""))
  }
}
