import Primitives

/// Makes requests up and puts them on the wire.
enum RequestWriter {
  /// Lines that a strict parser must refuse, as heads of their own.
  private static let garbage: [String] = [
    "GET /sim/p0/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /sim/p0/x HTTP/1.1\nHost: a\n\n",
    "POST /sim/p0/x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    "POST /sim/p0/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "GET /sim/p0/../x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  /sim/p0/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /sim/p0/x HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET /sim/p0/x HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
    "GET /sim/p0/x HTTP/1.1\r\n\r\n",
    "GET /sim/p0/x HTTP/9.9\r\nHost: a\r\n\r\n",
    "\u{16}\u{03}\u{01}\u{02}\u{00}\u{01}\u{00}\u{01}\u{fc}\u{03}\u{03}",
    "POST /sim/p0/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
  ]

  /// Chooses what to ask.
  static func fill(
    _ request: Request, _ world: World, _ dice: inout SeededRandom, isAlone: Bool,
    isFlood: Bool
  ) {
    let climate = world.scenario.climate
    request.offset = dice.below(Pattern.period)
    request.canary = "c\(dice.next() >> 16)"
    if dice.chance(climate.garbage) {
      request.isBroken = true
      request.isHonest = false
      request.target = "garbage"
      request.isForwarded = false
      return
    }
    if dice.chance(isFlood ? 0.9 : climate.ownAnswers) {
      request.isForwarded = false
      request.target = dice.pick(["/lb-health", "/sim/gone", "/nowhere"])
      if dice.chance(0.1) { request.method = "HEAD" }
      return
    }
    request.target = "/sim/p\(dice.below(3))/\(request.id)?q=\(request.offset)"
    if request.target.hasPrefix("/sim/p") {
      let pools = world.scenario.settings.pools.count
      request.target = "/sim/p\(dice.below(pools))/\(request.id)?q=\(request.offset)"
    }
    if isAlone, dice.chance(climate.tunnel) {
      request.wantsTunnel = true
      return
    }
    request.isHTTP10 = dice.chance(climate.http10)
    request.method = dice.pick(["GET", "GET", "POST", "POST", "POST", "PUT", "HEAD", "DELETE"])
    if request.method == "POST" || request.method == "PUT" {
      var length = dice.chance(0.1) ? 0 : dice.between(1, 1_500)
      if dice.chance(climate.bigBody) { length = dice.between(8_000, 150_000) }
      request.length = length
      let limit = world.scenario.settings.listeners[0].bodyLimit
      if limit > 0, length > limit { request.isHonest = false }
      request.isChunked = !request.isHTTP10 && dice.chance(climate.chunkedRequest)
      request.expectsContinue = isAlone && length > 0 && dice.chance(climate.expectContinue)
      request.hasKey = dice.chance(climate.idempotencyKey)
      if request.isChunked, dice.chance(0.2) { request.trailer = "t\(request.id)" }
      if request.isChunked, dice.chance(climate.garbage) {
        request.isBroken = true
        request.isHonest = false
      }
    }
    request.closes = dice.chance(climate.closing)
  }

  /// Another request may be sent behind this one before it is answered.
  static func mayBeFollowed(_ request: Request) -> Bool {
    !request.closes && !request.isHTTP10 && !request.isBroken && !request.expectsContinue
      && !request.wantsTunnel
  }

  /// Appends head and body as they go over the wire.
  static func put(
    _ request: Request, into queue: ByteQueue, body: ByteQueue, _ dice: inout SeededRandom
  ) {
    if request.target == "garbage" {
      queue.append(dice.pick(garbage))
      return
    }
    var head = "\(request.method) \(request.target) HTTP/1.\(request.isHTTP10 ? 0 : 1)\r\n"
    head += "Host: \(request.host)\r\nX-Sim-Id: \(request.id)\r\nX-Sim-User: \(request.user)\r\n"
    head += "X-Sim-Canary: \(request.canary)\r\n"
    if request.hasKey { head += "Idempotency-Key: k\(request.id)\r\n" }
    if request.expectsContinue { head += "Expect: 100-continue\r\n" }
    if request.wantsTunnel {
      head += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    } else if request.closes {
      head += "Connection: close\r\n"
    } else if request.isHTTP10 {
      head += "Connection: keep-alive\r\n"
    }
    if let length = request.length {
      head += request.isChunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: \(length)\r\n"
    }
    queue.append(head + "\r\n")
    guard let length = request.length else { return }
    if request.isChunked {
      putChunks(request, length, into: body, &dice)
    } else {
      body.appendBody(request.offset, 0..<length)
    }
  }

  private static func putChunks(
    _ request: Request, _ length: Int, into queue: ByteQueue, _ dice: inout SeededRandom
  ) {
    var position = 0
    let largest = dice.pick([7, 200, 5_000, 60_000])
    while position < length {
      // Few chunks, so that large bodies stay cheap.
      let size = min(length - position, max(dice.between(1, largest), length / 60))
      let isPlain = dice.chance(0.8)
      queue.append(
        isPlain ? "\(String(size, radix: 16))\r\n" : "0\(String(size, radix: 16));x=y\r\n")
      queue.appendBody(request.offset, position..<(position + size))
      queue.append("\r\n")
      position += size
    }
    if request.isBroken {
      queue.append(dice.pick(["xyz\r\n", "-1\r\n", "5\n", "ffffffffffffffffffff\r\n"]))
    } else if let trailer = request.trailer {
      queue.append("0\r\nX-Sim-Trailer: \(trailer)\r\n\r\n")
    } else {
      queue.append("0\r\n\r\n")
    }
  }
}
