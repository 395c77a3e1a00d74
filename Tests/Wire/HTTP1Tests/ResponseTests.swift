import HTTP
import HTTP1
import Testing

@Suite struct ResponseTests {
  static let refused: [Case] = [
    Case(
      "M01.1", "HTTP/1.1 200 OK⏎Content-Length: 5⏎Content-Length: 6⏎⏎", "content_length_conflict"),
    Case(
      "M01 same", "HTTP/1.1 200 OK⏎Content-Length: 5⏎Content-Length: 5⏎⏎", "content_length_conflict"
    ),
    Case(
      "M01.3", "HTTP/1.1 200 OK⏎Content-Length: 5⏎Transfer-Encoding: chunked⏎⏎",
      "length_and_chunked"),
    Case("M01.5", "HTTP/1.1 200 OK⏎Transfer-Encoding: gzip⏎⏎", "transfer_encoding_unknown"),
    Case(
      "M01 both", "HTTP/1.1 200 OK⏎Transfer-Encoding: gzip, chunked⏎⏎", "transfer_encoding_unknown"),
    Case("M01 length", "HTTP/1.1 200 OK⏎Content-Length: +5⏎⏎", "content_length_invalid"),
    Case("M01 old", "HTTP/1.0 200 OK⏎Transfer-Encoding: chunked⏎⏎", "chunked_by_http10"),
    Case("M01.7", "HTTP/1.1 OK⏎⏎", "status_line_malformed"),
    Case("M01.8", "HTTP/1.1 200 OK⏎A: b⏎ c⏎⏎", "line_folding"),
    Case("M05.3", "HTTP/1.1 200 OK⏎A: b\0⏎⏎", "control_byte"),
    Case("version", "HTTP/2.0 200 OK⏎⏎", "status_line_malformed"),
    Case("other protocol", "SSH-2.0-OpenSSH_9.2⏎", "status_line_malformed"),
    Case("two digits", "HTTP/1.1 20 OK⏎⏎", "status_line_malformed"),
    Case("four digits", "HTTP/1.1 2000 OK⏎⏎", "status_line_malformed"),
    Case("two spaces", "HTTP/1.1  200 OK⏎⏎", "status_line_malformed"),
    Case("status 099", "HTTP/1.1 099 Low⏎⏎", "status_invalid"),
    Case("status 600", "HTTP/1.1 600 High⏎⏎", "status_invalid"),
    Case("bare LF", "HTTP/1.1 200 OK\n\n", "bare_lf"),
    Case("bare LF, no reason", "HTTP/1.1 200\n\n", "bare_lf"),
    Case("bare CR", "HTTP/1.1 200 OK\rX: y⏎⏎", "bare_cr"),
    Case("control in the reason", "HTTP/1.1 200 O\u{1}K⏎⏎", "control_byte"),
    Case("space before the colon", "HTTP/1.1 200 OK⏎A : b⏎⏎", "space_before_colon"),
    Case("100 with a body", "HTTP/1.1 100 Go⏎Content-Length: 5⏎⏎", "body_in_interim"),
    Case("101 with a body", "HTTP/1.1 101 Go⏎Transfer-Encoding: chunked⏎⏎", "body_in_interim"),
    Case("short", "HTTP/1.1 2", "incomplete"),
    Case("wrong at once", "HTTQ", "status_line_malformed"),
  ]

  /// What the client could frame differently does not reach it.
  @Test(arguments: refused) func refuses(_ c: Case) {
    #expect(parseResponse(c.input).label == c.label)
  }

  /// M05.1: a head over the limit is refused before its end.
  @Test func longField() {
    let text = "HTTP/1.1 200 OK⏎A: " + String(repeating: "x", count: 65_536)
    #expect(parseResponse(text).label == "head_too_large")
  }

  /// Where the body ends, by status, method and fields; and whether the connection serves again.
  @Test func framing() {
    func check(
      _ head: String, to method: Method = .get, _ framing: Framing, keepAlive: Bool,
      sourceLocation: SourceLocation = #_sourceLocation
    ) {
      let parsed = parseResponse(head, to: method)
      #expect(parsed.result == .complete, sourceLocation: sourceLocation)
      #expect(parsed.framing == framing, sourceLocation: sourceLocation)
      #expect(parsed.keepAlive == keepAlive, sourceLocation: sourceLocation)
    }
    let length = "Content-Length: 5⏎⏎"
    let chunked = "Transfer-Encoding: chunked⏎⏎"
    check("HTTP/1.1 200 OK⏎\(length)", .length(5), keepAlive: true)
    check("HTTP/1.1 200⏎\(length)", .length(5), keepAlive: true)
    check("HTTP/1.1 200 ⏎\(length)", .length(5), keepAlive: true)
    check("HTTP/1.1 200 OK⏎\(chunked)", .chunked, keepAlive: true)
    check("HTTP/1.1 200 OK⏎⏎", .untilClose, keepAlive: false)
    check("HTTP/1.1 200 OK⏎Connection: keep-alive⏎⏎", .untilClose, keepAlive: false)
    check("HTTP/1.1 200 OK⏎Connection: close⏎\(length)", .length(5), keepAlive: false)
    check("HTTP/1.0 200 OK⏎\(length)", .length(5), keepAlive: false)
    check("HTTP/1.0 200 OK⏎Connection: keep-alive⏎\(length)", .length(5), keepAlive: true)
    check("HTTP/1.1 200 OK⏎\(length)", to: .head, .none, keepAlive: true)
    check("HTTP/1.1 200 OK⏎\(chunked)", to: .head, .none, keepAlive: true)
    check("HTTP/1.1 200 OK⏎⏎", to: .head, .none, keepAlive: true)
    check("HTTP/1.1 204 No Content⏎⏎", .none, keepAlive: true)
    check("HTTP/1.1 204 No Content⏎Content-Length: 0⏎⏎", .none, keepAlive: true)
    // M07: whether bytes follow cannot be known.
    check("HTTP/1.1 204 No Content⏎\(length)", .none, keepAlive: false)
    check("HTTP/1.1 204 No Content⏎\(chunked)", .none, keepAlive: false)
    check("HTTP/1.1 304 Not Modified⏎\(length)", .none, keepAlive: true)
    check("HTTP/1.1 101 Switching Protocols⏎Upgrade: websocket⏎⏎", .none, keepAlive: false)
  }

  /// What policies need from an answer.
  @Test func facts() {
    func parse(_ fields: String) -> ParsedResponse {
      parseResponse("HTTP/1.1 503 x⏎Content-Length: 0⏎\(fields)⏎")
    }
    #expect(parse("Retry-After: 120⏎").retryAfterSeconds == 120)
    #expect(parse("Retry-After: 99999999999⏎").retryAfterSeconds == 1_000_000)
    #expect(parse("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT⏎").retryAfterSeconds == nil)
    #expect(parse("Retry-After: -1⏎").retryAfterSeconds == nil)
    #expect(parse("Retry-After:⏎").retryAfterSeconds == nil)
    #expect(parse("Keep-Alive: timeout=5, max=100⏎").keepAliveSeconds == 5)
    #expect(parse("Keep-Alive: max=100, Timeout=5⏎").keepAliveSeconds == 5)
    #expect(parse("Keep-Alive: timeout=⏎").keepAliveSeconds == nil)
    #expect(parse("").keepAliveSeconds == nil)
    #expect(parse("Content-Type: text/event-stream⏎").isEventStream)
    #expect(parse("Content-Type: Text/Event-Stream; charset=utf-8⏎").isEventStream)
    #expect(!parse("Content-Type: text/event-streams⏎").isEventStream)
    #expect(!parse("Content-Type: text⏎").isEventStream)
  }

  /// The usual answer leaves as it came; what concerns connections is said anew.
  @Test func forwarding() {
    let usual = "HTTP/1.1 200 OK⏎Content-Type: application/json⏎Content-Length: 5⏎X: y⏎"
    #expect(parseResponse(usual + "⏎").client == usual + "⏎")
    #expect(
      parseResponse(wire(usual + "⏎"), close: true).client == usual + "Connection: close⏎⏎")
    #expect(
      parseResponse(wire(usual + "⏎"), clientIsHTTP11: false).client
        == usual + "Connection: keep-alive⏎⏎")
    #expect(
      parseResponse(
        wire(
          "HTTP/1.0 200 Fine\u{e4}⏎Keep-Alive: timeout=5⏎Connection: keep-alive, x-hop⏎A: 1⏎"
            + "Content-Length: 5 ⏎X-Hop: 2⏎Trailer: t⏎B: 2⏎Proxy-Authenticate: x⏎Upgrade: h2c⏎⏎")
      ).client == "HTTP/1.1 200 Fine\u{e4}⏎A: 1⏎B: 2⏎Content-Length: 5⏎⏎")
    #expect(parseResponse("HTTP/1.1 204⏎Content-Length: 0⏎⏎").client == "HTTP/1.1 204 ⏎⏎")
    // An answer that ends with its connection, to a client that stays.
    #expect(
      parseResponse(wire("HTTP/1.1 200 OK⏎A: b⏎⏎"), framing: .chunked).client
        == "HTTP/1.1 200 OK⏎A: b⏎Transfer-Encoding: chunked⏎⏎")
    // A chunked answer to a client that does not know chunks.
    #expect(
      parseResponse(
        wire("HTTP/1.1 200 OK⏎Transfer-Encoding: chunked⏎A: b⏎⏎"), framing: .untilClose,
        close: true, clientIsHTTP11: false
      ).client == "HTTP/1.1 200 OK⏎A: b⏎Connection: close⏎⏎")
    // What is said about a body that is left out.
    #expect(parseResponse(usual + "⏎", to: .head).client == usual + "⏎")
    #expect(
      parseResponse("HTTP/1.1 304 x⏎content-length:  7⏎⏎").client
        == "HTTP/1.1 304 x⏎Content-Length: 7⏎⏎")
    #expect(
      parseResponse("HTTP/1.1 200 OK⏎Transfer-Encoding: chunked⏎⏎", to: .head).client
        == "HTTP/1.1 200 OK⏎⏎")
  }

  /// Interim answers and switches.
  @Test func interim() {
    let hints = parseResponse("HTTP/1.1 103 Early Hints⏎Link: </a>⏎Connection: close⏎⏎")
    #expect(hints.isInterim)
    #expect(hints.client == "HTTP/1.1 103 Early Hints⏎Link: </a>⏎⏎")
    let go = parseResponse("HTTP/1.1 100 Continue⏎Content-Length: 0⏎⏎")
    #expect(go.client == "HTTP/1.1 100 Continue⏎⏎")
    let switched = parseResponse(
      "HTTP/1.1 101 Switching Protocols⏎Upgrade: websocket⏎Connection: Upgrade⏎A: b⏎⏎")
    #expect(!switched.isInterim)
    #expect(
      switched.client
        == "HTTP/1.1 101 Switching Protocols⏎A: b⏎Connection: upgrade⏎Upgrade: websocket⏎⏎")
  }
}
