/// Fields that the front door looks at. All others are bytes to it.
@frozen
@usableFromInline
package enum KnownField: UInt8, CaseIterable, Sendable {
  case other
  case host
  case contentLength
  case transferEncoding
  case connection
  case keepAlive
  case proxyConnection
  case te
  case trailer
  case upgrade
  case expect
  case http2Settings
  case proxyAuthenticate
  case proxyAuthorization
  /// `Proxy`: becomes HTTP_PROXY in CGI programs (CVE-2016-5385). Nobody sends it honestly.
  case proxy
  case xForwardedFor
  case xForwardedHost
  case xForwardedProto
  case xForwardedPort
  /// Any other name that begins with `X-Forwarded-`.
  case xForwardedOther
  case xRealIP
  case forwarded
  case xRequestID
  case idempotencyKey
  case retryAfter
  case contentType
  case contentEncoding
  case contentRange
  case secWebSocketKey
  case secWebSocketVersion
  case authorization
  case wwwAuthenticate
  case cookie
  case setCookie
  case cacheControl
  case location
  case server
  case date
  case userAgent
  case accept
  /// `X-Api-Key`, as Anthropic's clients send it.
  case xAPIKey
  /// `api-key`, as Azure's clients send it.
  case apiKey
  case origin

  /// One bit of a set of fields.
  @inline(__always) var bit: UInt64 { 1 &<< UInt64(rawValue) }

  static func set(_ fields: KnownField...) -> UInt64 { fields.reduce(0) { $0 | $1.bit } }

  /// Concern one connection only and are never forwarded as they came (RFC 9110, 7.6.1).
  @inline(__always) static var hopByHop: UInt64 {
    connection.bit | keepAlive.bit | proxyConnection.bit | te.bit | trailer.bit | upgrade.bit
      | http2Settings.bit | proxyAuthenticate.bit | proxyAuthorization.bit | proxy.bit
  }

  /// What only a trusted peer may say about where a request came from.
  @inline(__always) static var forwarding: UInt64 {
    xForwardedFor.bit | xForwardedHost.bit | xForwardedProto.bit | xForwardedPort.bit
      | xForwardedOther.bit | xRealIP.bit | forwarded.bit
  }

  /// Names that must not come in an underscore disguise either: CGI, WSGI and their kin see
  /// `X_Forwarded_For` and `X-Forwarded-For` as one variable.
  @inline(__always) static var undisguised: UInt64 {
    hopByHop | forwarding | contentLength.bit | transferEncoding.bit | xRequestID.bit
  }

  @inline(__always) func isIn(_ set: UInt64) -> Bool { set & bit != 0 }

  /// The field with this name, in any case. The bytes must not hold control bytes; when something
  /// other than `other` is found, they are all token bytes, but for what follows `X-Forwarded-`.
  @inline(__always)
  static func find(_ name: UnsafeRawPointer, _ count: Int) -> KnownField {
    // By length first: at most six comparisons remain, each of a word or two.
    func named(_ text: StaticString) -> Bool { ByteScan.equal(name, count, text) }
    switch count {
    case 2: if named("te") { return .te }
    case 4:
      if named("host") { return .host }
      if named("date") { return .date }
    case 5: if named("proxy") { return .proxy }
    case 6:
      if named("accept") { return .accept }
      if named("cookie") { return .cookie }
      if named("expect") { return .expect }
      if named("server") { return .server }
      if named("origin") { return .origin }
    case 7:
      if named("upgrade") { return .upgrade }
      if named("trailer") { return .trailer }
      if named("api-key") { return .apiKey }
    case 8: if named("location") { return .location }
    case 9:
      if named("x-real-ip") { return .xRealIP }
      if named("forwarded") { return .forwarded }
      if named("x-api-key") { return .xAPIKey }
    case 10:
      if named("connection") { return .connection }
      if named("user-agent") { return .userAgent }
      if named("keep-alive") { return .keepAlive }
      if named("set-cookie") { return .setCookie }
    case 11: if named("retry-after") { return .retryAfter }
    case 12:
      if named("content-type") { return .contentType }
      if named("x-request-id") { return .xRequestID }
    case 13:
      if named("authorization") { return .authorization }
      if named("cache-control") { return .cacheControl }
      if named("content-range") { return .contentRange }
    case 14:
      if named("content-length") { return .contentLength }
      if named("http2-settings") { return .http2Settings }
    case 15:
      if named("x-forwarded-for") { return .xForwardedFor }
      if named("idempotency-key") { return .idempotencyKey }
    case 16:
      if named("content-encoding") { return .contentEncoding }
      if named("x-forwarded-host") { return .xForwardedHost }
      if named("x-forwarded-port") { return .xForwardedPort }
      if named("proxy-connection") { return .proxyConnection }
      if named("www-authenticate") { return .wwwAuthenticate }
    case 17:
      if named("transfer-encoding") { return .transferEncoding }
      if named("x-forwarded-proto") { return .xForwardedProto }
      if named("sec-websocket-key") { return .secWebSocketKey }
    case 18: if named("proxy-authenticate") { return .proxyAuthenticate }
    case 19: if named("proxy-authorization") { return .proxyAuthorization }
    case 21: if named("sec-websocket-version") { return .secWebSocketVersion }
    default: break
    }
    if count > 12, ByteScan.equal(name, 12, "x-forwarded-") { return .xForwardedOther }
    return .other
  }
}
