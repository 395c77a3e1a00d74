import HTTP
import HTTP1
import Primitives
import Testing

@Suite struct SplitAndFuzzTests {
  static let requests = [
    "POST /v1/chat/completions HTTP/1.1⏎Host: 127.0.0.1:8080⏎Content-Type: application/json⏎"
      + "Accept: */*⏎User-Agent: wrk⏎Content-Length: 250⏎⏎",
    "⏎GET http://b:81/x?y=1 HTTP/1.1⏎Host: a⏎Connection: close, x⏎X: \t1\t2 ⏎⏎",
    "OPTIONS * HTTP/1.0⏎⏎",
    "POST / HTTP/1.1⏎Accept:⏎Host: [::1]:80⏎Transfer-Encoding: chunked⏎Expect: 100-continue⏎"
      + "TE: trailers⏎X-Request-Id: abc⏎Idempotency-Key: k⏎⏎",
    "GET /chat?room=1 HTTP/1.1⏎Host: a⏎Connection: keep-alive, Upgrade⏎Upgrade: websocket⏎"
      + "Sec-WebSocket-Version: 13⏎Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==⏎⏎",
  ]

  static let responses = [
    "HTTP/1.1 200 OK⏎Content-Type: text/event-stream⏎Transfer-Encoding: chunked⏎Date: x⏎⏎",
    "HTTP/1.0 503⏎Retry-After: 5⏎Connection: keep-alive⏎Keep-Alive: timeout=5⏎Content-Length: 3⏎⏎",
    "HTTP/1.1 101 Switching Protocols⏎Upgrade: websocket⏎Connection: upgrade⏎⏎",
    "HTTP/1.1 304 Not Modified⏎Content-Length: 7⏎ETag: \"a\"⏎⏎",
  ]

  /// A head is the same head however it comes: no prefix is refused or complete, and what follows it
  /// changes nothing. The caller's way of feeding, which parses only when it may pay, agrees.
  @Test(arguments: requests) func requestPrefixes(_ text: String) {
    let bytes = wire(text)
    let whole = parseRequest(bytes)
    #expect(whole.result == .complete)
    #expect(whole.headBytes == bytes.count)
    #expect(parseRequest(bytes + wire("GET /evil HTTP/1.1⏎⏎")) == whole)
    var parses = 0
    for count in 0..<bytes.count {
      #expect(parseRequest(Array(bytes[..<count])).result == .incomplete)
    }
    for count in 1...bytes.count {
      let isWorth = withExactBytes([bytes[count - 1]]) {
        RequestHead.worthParsing(newBytes: $0, seen: count - 1, limits: HeadLimits())
      }
      if isWorth { parses += 1 }
      if count == bytes.count { #expect(isWorth) }
    }
    #expect(parses == bytes.count { $0 == 0x0d || $0 == 0x0a })
  }

  @Test(arguments: responses) func responsePrefixes(_ text: String) {
    let bytes = wire(text)
    let whole = parseResponse(bytes)
    #expect(whole.result == .complete)
    #expect(whole.headBytes == bytes.count)
    #expect(parseResponse(bytes + wire("more⏎⏎")) == whole)
    for count in 0..<bytes.count {
      #expect(parseResponse(Array(bytes[..<count])).result == .incomplete)
    }
  }

  /// A drip of bytes is looked at when a line, a fault or a limit may have come; and only then.
  @Test func worthParsing() {
    let limits = HeadLimits(headBytes: 1_000, targetBytes: 100, fields: 8)
    func isWorth(_ text: String, seen: Int) -> Bool {
      withExactBytes(wire(text)) {
        RequestHead.worthParsing(newBytes: $0, seen: seen, limits: limits)
      }
    }
    #expect(!isWorth("GET / HT", seen: 0))
    #expect(!isWorth("a\tb", seen: 500))
    #expect(isWorth("a⏎", seen: 20))
    #expect(isWorth("\r", seen: 20))
    #expect(isWorth("a\0b", seen: 20))
    #expect(isWorth(String(repeating: "x", count: 140), seen: 0))
    #expect(isWorth("x", seen: 136))
    #expect(!isWorth("x", seen: 137))
    #expect(isWorth("x", seen: 999))
    withExactBytes(wire("x")) {
      #expect(!ResponseHead.worthParsing(newBytes: $0, seen: 136, limits: limits))
      #expect(ResponseHead.worthParsing(newBytes: $0, seen: 999, limits: limits))
    }
    #expect(
      parseRequest("GET /" + String(repeating: "x", count: 132), limits: limits).status == 414)
  }

  /// What goes upstream is itself a request that we would accept, with the same meaning, and goes on
  /// unchanged from there: nothing grows, shrinks or changes its mind from hop to hop.
  @Test(arguments: requests) func printedRequestIsAFixedPoint(_ text: String) {
    expectFixedPoint(parseRequest(text))
  }

  private func expectFixedPoint(_ first: ParsedRequest) {
    var choice = ForwardingChoice()
    choice.client = ""
    choice.isTrusted = true
    choice.forwardExpect = true
    let second = parseRequest(first.upstream, choice)
    #expect(second.result == .complete)
    #expect(second.method == first.method)
    #expect(second.framing == first.framing)
    #expect(second.query == first.query)
    #expect(second.upgrade == first.upgrade)
    #expect(second.authority == (first.authority.isEmpty ? "fallback" : first.authority))
    let third = parseRequest(second.upstream, choice)
    #expect(third.upstream == second.upstream)
    #expect(third.fields.sorted() == second.fields.sorted())
  }

  @Test(arguments: responses) func printedResponseIsAFixedPoint(_ text: String) {
    let first = parseResponse(text)
    let second = parseResponse(first.client)
    #expect(second.result == .complete)
    #expect(second.framing == first.framing)
    #expect(second.client == first.client)
  }

  // MARK: Fuzzing

  private static let spice: [[UInt8]] = [
    wire("⏎"), wire("\r"), wire("\n"), wire(":"), wire(" "), wire("\t"), wire("\0"), wire(","),
    wire(";"), wire("%2e"), wire("/../"), wire("Content-Length: 1⏎"),
    wire("Transfer-Encoding: chunked⏎"), wire("Host: b⏎"), wire("Connection: close⏎"),
    wire("\u{ff}"),
    wire("HTTP/1.0"), wire("0"), wire("f"), wire("_"), wire("\""), wire("http://x"),
  ]

  private func mutate(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
    var bytes = bytes
    for _ in 0...random.below(3) where !bytes.isEmpty {
      let at = random.below(bytes.count)
      switch random.below(5) {
      case 0: bytes[at] = UInt8(random.below(256))
      case 1: bytes.remove(at: at)
      case 2: bytes.insert(contentsOf: Self.spice[random.below(Self.spice.count)], at: at)
      case 3:
        let end = min(bytes.count, at + random.below(20))
        bytes.insert(contentsOf: bytes[at..<end], at: random.below(bytes.count))
      default: bytes.removeSubrange(at..<min(bytes.count, at + random.below(8)))
      }
    }
    return bytes
  }

  /// No input crashes the parser, and whatever it accepts it accepts again as what it has written:
  /// with the same framing, so that no hop sees another end of the message.
  @Test(arguments: UInt64(0)..<16) func mutatedRequests(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var accepted = 0
    for _ in 0..<400 {
      let bytes = mutate(wire(Self.requests[random.below(Self.requests.count)]), &random)
      let parsed = parseRequest(bytes)
      guard parsed.result == .complete else { continue }
      accepted += 1
      expectFixedPoint(parsed)
      // What is complete was never refused or complete before.
      let cut = random.below(parsed.headBytes)
      #expect(parseRequest(Array(bytes[..<cut])).result == .incomplete)
    }
    #expect(accepted > 20)
  }

  @Test(arguments: UInt64(0)..<8) func mutatedResponses(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var accepted = 0
    for _ in 0..<400 {
      let bytes = mutate(wire(Self.responses[random.below(Self.responses.count)]), &random)
      let first = parseResponse(bytes)
      guard first.result == .complete else { continue }
      accepted += 1
      let second = parseResponse(first.client)
      #expect(second.result == .complete)
      #expect(second.framing == first.framing || first.isInterim)
      #expect(second.client == first.client)
    }
    #expect(accepted > 20)
  }

  /// Chunked bodies: every way of cutting comes to the same verdict and the same bytes, and what is
  /// written is read back as the same payload.
  @Test(arguments: UInt64(0)..<16) func mutatedBodies(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var accepted = 0
    let bodies = BodyTests.good.map { wire($0.0) }
    for _ in 0..<400 {
      let bytes = mutate(bodies[random.below(bodies.count)], &random)
      let whole = decode(bytes, .chunked, to: .chunked)
      let cut = decode(bytes, .chunked, to: .chunked, piece: 1 + random.below(6))
      #expect(whole.rejected == cut.rejected)
      #expect(whole.finished == cut.finished)
      #expect(whole.payloadBytes == cut.payloadBytes)
      #expect(whole.consumed == cut.consumed)
      guard whole.finished else { continue }
      accepted += 1
      let again = decode(whole.out, .chunked, to: .chunked)
      #expect(again.finished)
      #expect(again.out == whole.out)
      #expect(
        decode(whole.out, .chunked, to: .untilClose).out
          == decode(bytes, .chunked, to: .untilClose).out)
      #expect(spelled(cut.out).lowercased() == spelled(whole.out).lowercased())
    }
    #expect(accepted > 20)
  }

  /// Noise is refused or waited for, never a crash.
  @Test(arguments: UInt64(0)..<4) func noise(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<400 {
      let bytes = (0..<random.below(200)).map { _ in UInt8(random.below(256)) }
      #expect(parseRequest(bytes).result != .complete)
      #expect(parseResponse(bytes).result != .complete)
      _ = decode(bytes, .chunked, to: .chunked, piece: 1 + random.below(9))
      withExactBytes(bytes) { _ = ProxyProtocol.parse($0) }
    }
  }
}
