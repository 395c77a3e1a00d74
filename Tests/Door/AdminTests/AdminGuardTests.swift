import Testing

@testable import Admin

/// Who is let in. One wrong answer here and a web page drains a fleet.
struct AdminGuardTests {
  private func isAuthorized(_ given: String?, token: String? = "s3cret") -> Bool {
    AdminGuard(token: token).isAuthorized(
      AdminRequest(method: "GET", target: "/", authorization: given))
  }

  @Test(arguments: ["Bearer s3cret", "bearer s3cret", "BEARER s3cret"])
  func theTokenIsLetIn(given: String) {
    #expect(isAuthorized(given))
  }

  @Test(arguments: [
    nil, "", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets", "Bearer S3cret", "s3cret",
    "Basic s3cret", "Bearer  s3cret", "Bearer s3cret ", "Bearer s3crets3cret", "Bearer\ts3cret",
    "Bearer s3c\u{301}ret",
  ])
  func anythingElseIsNot(given: String?) {
    #expect(!isAuthorized(given))
  }

  // An empty token must close the door, not open it.
  @Test func anEmptyTokenLetsNobodyIn() {
    #expect(!isAuthorized("Bearer ", token: ""))
    #expect(!isAuthorized("Bearer x", token: ""))
  }

  @Test func withoutATokenEverybodyMayAsk() {
    #expect(isAuthorized(nil, token: nil))
    #expect(isAuthorized("Bearer whatever", token: nil))
  }

  private func refusal(_ origin: String?, host: String?, token: String? = nil) -> String? {
    AdminGuard(token: token).refusal(
      AdminRequest(method: "POST", target: "/drain", host: host, origin: origin))
  }

  @Test(arguments: [
    (nil, "127.0.0.1:9900"), (nil, nil), (nil, "any.example"),
    ("http://127.0.0.1:9900", "127.0.0.1:9900"), ("http://[::1]:9900", "[::1]:9900"),
    ("https://[::1]", "[::1]"), ("http://LOCALHOST:9900", "localhost:9900"),
    ("http://a.localhost", "a.localhost"), ("http://10.0.0.7", "10.0.0.7"),
  ])
  func ownPagesAndCommandsMay(origin: String?, host: String?) {
    #expect(refusal(origin, host: host) == nil)
  }

  @Test(arguments: [
    ("null", "127.0.0.1:9900"), ("", "127.0.0.1:9900"), ("127.0.0.1:9900", "127.0.0.1:9900"),
    ("http://127.0.0.1:9901", "127.0.0.1:9900"), ("http://127.0.0.1", "127.0.0.1:9900"),
    ("http://127.0.0.1:9900/", "127.0.0.1:9900"), ("file://127.0.0.1:9900", "127.0.0.1:9900"),
    ("http://127.0.0.1:9900@evil.example", "127.0.0.1:9900"), ("http://evil.example", nil),
    ("http://evil.example", "evil.example"), ("http://localhost.evil.example:1", "localhost:1"),
    ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example"), ("http://*", "*"),
    ("http://:9900", ":9900"), ("http://unix:/x", "unix:/x"), ("http://1evil", "1evil"),
    ("http://notlocalhost", "notlocalhost"),
  ])
  func otherPagesMayNot(origin: String, host: String?) {
    #expect(refusal(origin, host: host) != nil)
  }

  @Test func withATokenNamesMayBeUsed() {
    #expect(refusal("http://door.example", host: "door.example", token: "t") == nil)
    #expect(refusal("http://evil.example", host: "door.example", token: "t") != nil)
    #expect(refusal("null", host: "door.example", token: "t") != nil)
  }
}
