import Primitives

/// Requests as they travel in HTTP/2.
enum StreamRequest {
  /// What must be refused, each on its own stream.
  static func garbage(_ dice: inout SeededRandom) -> [Field] {
    let method = Field(":method", "GET")
    let scheme = Field(":scheme", "http")
    let authority = Field(":authority", "sim.example")
    let path = Field(":path", "/sim/p0/x")
    let whole = [method, scheme, authority, path]
    return dice.pick([
      [method, scheme, authority],
      [scheme, authority, path],
      [method, scheme, path],
      whole + [path],
      whole + [Field("connection", "close")],
      whole + [Field("transfer-encoding", "chunked")],
      whole + [Field("upgrade", "websocket")],
      whole + [Field("te", "gzip")],
      whole + [Field("content-length", "+5")],
      whole + [Field("content-length", "5")],
      whole + [Field("X-Upper", "a")],
      whole + [Field("a:b", "c")],
      whole + [Field("a", "b\r\nc: d")],
      whole + [Field("a", "b\0")],
      whole + [Field("host", "other.example")],
      whole + [Field("content_length", "3")],
      [method, scheme, authority, Field("a", "b"), path],
      [method, scheme, authority, Field(":path", "/ HTTP/1.1\r\nX: y")],
      [method, scheme, authority, Field(":path", "/a b")],
      [method, scheme, authority, Field(":path", "")],
      [method, scheme, authority, Field(":path", "*")],
      [method, scheme, authority, Field(":path", "/sim/p0/../x")],
      [method, scheme, Field(":authority", "u@sim.example"), path],
      [method, scheme, Field(":authority", "a b"), path],
      [Field(":method", "GET /x HTTP/1.1\r\n\r\nGET"), scheme, authority, path],
      [Field(":method", "CONNECT"), authority],
    ])
  }

  static func fields(_ request: Request, _ dice: inout SeededRandom) -> [Field] {
    var fields = [
      Field(":method", request.method), Field(":scheme", "http"),
      Field(":authority", request.host), Field(":path", request.target),
      Field("x-sim-id", "\(request.id)"), Field("x-sim-user", "\(request.user)"),
      Field("x-sim-canary", request.canary),
    ]
    if request.hasKey { fields.append(Field("idempotency-key", "k\(request.id)")) }
    if request.expectsContinue { fields.append(Field("expect", "100-continue")) }
    if let length = request.length, !request.isChunked {
      fields.append(Field("content-length", "\(length)"))
    }
    if dice.chance(0.3) { fields.append(Field("te", "trailers")) }
    return fields
  }
}
