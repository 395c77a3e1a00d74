import HTTP
import Testing

@testable import HTTP1

@Suite struct RequestFieldTests {
  static let hosts: [Case] = [
    Case("B01", "", "missing_host"),
    Case("B02", "Host: a⏎Host: b⏎", "duplicate_host"),
    Case("B03", "Host: a⏎Host: a⏎", "duplicate_host"),
    Case("B05", "Host: ⏎", "host_invalid"),
    Case("B06.1", "Host: a/b⏎", "host_invalid"),
    Case("B06.2", "Host: u@a⏎", "host_invalid"),
    Case("B06.5", "Host: a:99999⏎", "host_invalid"),
    Case("list", "Host: a, b⏎", "host_invalid"),
    Case("space inside", "Host: a b⏎", "host_invalid"),
    Case("no port", "Host: a:⏎", "host_invalid"),
    Case("two ports", "Host: a:1:2⏎", "host_invalid"),
    Case("signed port", "Host: a:+1⏎", "host_invalid"),
    Case("65536", "Host: a:65536⏎", "host_invalid"),
    Case("65535", "Host: a:65535⏎", "complete"),
    Case("only a port", "Host: :80⏎", "host_invalid"),
    Case("encoded", "Host: %61⏎", "host_invalid"),
    Case("high byte", "Host: \u{e4}⏎", "host_invalid"),
    Case("empty label", "Host: a..b⏎", "host_invalid"),
    Case("leading dot", "Host: .a⏎", "host_invalid"),
    Case("query", "Host: a?b⏎", "host_invalid"),
    Case("backslash", "Host: a\\b⏎", "host_invalid"),
    Case("name", "Host: my_svc.Example-1.org.:8080⏎", "complete"),
    Case("IPv4", "Host: 127.0.0.1:80⏎", "complete"),
    Case("IPv6", "Host: [::1]:80⏎", "complete"),
    Case("IPv6 without port", "Host: [2001:db8::1]⏎", "complete"),
    Case("IPv6 without brackets", "Host: ::1⏎", "host_invalid"),
    Case("IPv6 with zone", "Host: [fe80::1%25eth0]⏎", "host_invalid"),
    Case("IPv6 open", "Host: [::1⏎", "host_invalid"),
    Case("IPv6 with tail", "Host: [::1]a⏎", "host_invalid"),
    Case("IPv6 wrong", "Host: [1:2]⏎", "host_invalid"),
    Case("longer than DNS", "Host: \(String(repeating: "a", count: 256))⏎", "host_invalid"),
  ]

  /// Routing by one host and forwarding to another is how virtual hosts are broken into.
  @Test(arguments: hosts) func host(_ c: Case) {
    #expect(parseRequest("GET / HTTP/1.1⏎\(c.input)⏎").label == c.label)
  }

  /// B08: a backend never gets HTTP/1.1 without Host.
  @Test func oldClientWithoutHost() {
    let parsed = parseRequest("GET / HTTP/1.0⏎⏎")
    #expect(parsed.result == .complete)
    #expect(parsed.authority == "")
    #expect(!parsed.keepAlive)
    #expect(
      parsed.upstream
        == "GET / HTTP/1.1⏎Host: fallback⏎X-Forwarded-For: 10.1.2.3⏎X-Forwarded-Proto: http⏎⏎")
  }

  static let lines: [Case] = [
    Case("C01", "Foo : x⏎", "space_before_colon"),
    Case("C01 tab", "Foo\t: x⏎", "space_before_colon"),
    Case("C02", "Foo: a⏎ b⏎", "line_folding"),
    Case("C02 tab", "Foo: a⏎\tb⏎", "line_folding"),
    Case("C02 empty", "Foo: a⏎ ⏎", "line_folding"),
    Case("C04.1", ": x⏎", "field_name_empty"),
    Case("C05.1", "NoColonHere⏎", "missing_colon"),
    Case("C06", "Foo: a\nBar: b⏎", "bare_lf"),
    Case("C09", "Foo: a\0b⏎", "control_byte"),
    Case("C13.1", "Transfer-Encoding: \u{85}chunked⏎", "transfer_encoding_unknown"),
    Case("C13.3", "Content-Length: \u{a0}5⏎", "content_length_invalid"),
    Case("C14.1", "Transfer_Encoding: chunked⏎", "underscore_name"),
    Case("C14.3", "X_Forwarded_For: 1.2.3.4⏎", "underscore_name"),
    Case("C14 length", "content_length: 4⏎", "underscore_name"),
    Case("C14 mixed", "X-Forwarded_Host: b⏎", "underscore_name"),
    Case("C14 unknown kin", "X_Forwarded_Anything_At_All_However_Long: b⏎", "underscore_name"),
    Case("control bytes that resemble a name", "Content\rLength: 5⏎", "bare_cr"),
    Case("control byte in a digit's place", "http\u{12}-settings: 5⏎", "control_byte"),
    Case("space in a forwarding name", "X-Forwarded-F r: 5⏎", "space_before_colon"),
    Case("high byte in a forwarding name", "X-Forwarded-F\u{80}r: 5⏎", "field_name_invalid"),
    Case("C14 harmless", "my_field: x⏎", "complete"),
    Case("value of tabs", "Foo: \t a\tb \t⏎", "complete"),
    Case("empty value", "Foo:⏎", "complete"),
    Case("E10.1", "Transfer-Encoding : chunked⏎", "space_before_colon"),
    Case("E10.4", "Transf\u{82}r-Encoding: chunked⏎", "field_name_invalid"),
    Case("E11.1", "Transfer-Encoding:⏎ chunked⏎", "line_folding"),
    Case("E12.1", "X: y\rTransfer-Encoding: chunked⏎", "bare_cr"),
    Case("H08", "Expect: banana⏎", "expectation_unknown"),
    Case("H08 in a list", "Expect: 100-continue, banana⏎", "expectation_unknown"),
    Case("connection of no tokens", "Connection: \"close\"⏎", "connection_invalid"),
    Case("connection with a space", "Connection: close now⏎", "connection_invalid"),
    Case(
      "connection without end", "Connection: \((0..<17).map { "x\($0)" }.joined(separator: ","))⏎",
      "connection_invalid"),
  ]

  /// What two parsers could read differently is refused.
  @Test(arguments: lines) func line(_ c: Case) {
    #expect(parseRequest("GET / HTTP/1.1⏎Host: a⏎\(c.input)⏎").label == c.label)
  }

  /// C03: white space before the first field hides it from some servers.
  @Test func spaceBeforeTheFirstField() {
    #expect(parseRequest("GET / HTTP/1.1⏎ Host: a⏎⏎").label == "space_before_fields")
    #expect(parseRequest("GET / HTTP/1.1⏎\tX: y⏎Host: a⏎⏎").label == "space_before_fields")
  }

  /// C10, C11, C12, E14: every single byte in a name, in a value, and around the colon.
  @Test func everyByte() {
    for byte in UInt8.min...UInt8.max {
      func field(_ text: String) -> ParsedRequest {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        return parseRequest(
          wire("GET / HTTP/1.1⏎Host: a⏎" + parts[0]) + [byte] + wire(parts[1] + "⏎⏎"))
      }
      let isControl = byte < 0x20 && byte != 0x09 || byte == 0x7f
      let isToken =
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte)
        || (0x61...0x7a).contains(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
      #expect((field("Foo: a@b").result == .complete) == !isControl, "value with \(byte)")
      #expect((field("Foo: @").result == .complete) == !isControl, "value of \(byte)")
      if byte != 0x3a {
        #expect((field("F@o: a").result == .complete) == isToken, "name with \(byte)")
        #expect((field("@: a").result == .complete) == isToken, "name of \(byte)")
        // A token byte before the colon makes another name, and with it a request without a body.
        let before = field("Transfer-Encoding@: chunked")
        #expect(isToken ? before.framing == .none : before.status == 400, "\(byte) before")
      }
      let after = field("Transfer-Encoding:@chunked")
      if byte == 0x20 || byte == 0x09 {
        #expect(after.framing == .chunked)
      } else {
        #expect([400, 501].contains(after.status), "\(byte) behind the colon")
      }
    }
  }

  /// C12.1: bytes over 0x7f pass unchanged.
  @Test func highBytes() {
    let value = spelled(UInt8(0x80)...0xff)
    let parsed = parseRequest("GET / HTTP/1.1⏎Host: a⏎Foo: \(value)⏎⏎")
    #expect(parsed.upstream.contains("⏎Foo: \(value)⏎"))
  }

  /// C15, C16: limits are exact, and do not wait for the end of the head.
  @Test func limits() {
    func request(fields: Int) -> String {
      "GET / HTTP/1.1⏎Host: a⏎" + (1..<fields).map { "F\($0): x⏎" }.joined()
    }
    #expect(parseRequest(request(fields: 101) + "⏎").label == "complete")
    #expect(parseRequest(request(fields: 128) + "⏎").label == "complete")
    #expect(parseRequest(request(fields: 129)).label == "too_many_fields")
    #expect(
      parseRequest(request(fields: 10_000), limits: HeadLimits(headBytes: 1 << 20)).label
        == "too_many_fields")
    let long = "GET / HTTP/1.1⏎Host: a⏎Foo: " + String(repeating: "x", count: 100_000)
    #expect(parseRequest(long).label == "head_too_large")
    let short = "GET / HTTP/1.1⏎Host: a⏎⏎"
    let exact = HeadLimits(headBytes: wire(short).count)
    let less = HeadLimits(headBytes: wire(short).count - 1)
    #expect(parseRequest(short, limits: exact).label == "complete")
    #expect(parseRequest(short + "more", limits: exact).label == "complete")
    #expect(parseRequest(short, limits: less).label == "head_too_large")
  }

  /// Every known name is found in any case, and nothing else is.
  @Test func knownFields() {
    let names: [(String, KnownField)] = [
      ("host", .host), ("content-length", .contentLength),
      ("transfer-encoding", .transferEncoding), ("connection", .connection),
      ("keep-alive", .keepAlive), ("proxy-connection", .proxyConnection), ("te", .te),
      ("trailer", .trailer), ("upgrade", .upgrade), ("expect", .expect),
      ("http2-settings", .http2Settings), ("proxy-authenticate", .proxyAuthenticate),
      ("proxy-authorization", .proxyAuthorization), ("proxy", .proxy),
      ("x-forwarded-for", .xForwardedFor), ("x-forwarded-host", .xForwardedHost),
      ("x-forwarded-proto", .xForwardedProto), ("x-forwarded-port", .xForwardedPort),
      ("x-forwarded-prefix", .xForwardedOther), ("x-real-ip", .xRealIP),
      ("forwarded", .forwarded), ("x-request-id", .xRequestID),
      ("idempotency-key", .idempotencyKey), ("retry-after", .retryAfter),
      ("content-type", .contentType), ("content-encoding", .contentEncoding),
      ("content-range", .contentRange), ("sec-websocket-key", .secWebSocketKey),
      ("sec-websocket-version", .secWebSocketVersion), ("authorization", .authorization),
      ("www-authenticate", .wwwAuthenticate), ("cookie", .cookie), ("set-cookie", .setCookie),
      ("cache-control", .cacheControl), ("location", .location), ("server", .server),
      ("date", .date), ("user-agent", .userAgent), ("accept", .accept),
      ("x-api-key", .xAPIKey), ("api-key", .apiKey), ("origin", .origin),
    ]
    #expect(Set(names.map(\.1)).count == KnownField.allCases.count - 1)
    func find(_ name: String) -> KnownField {
      withExactBytes(Array(name.utf8)) { KnownField.find($0.baseAddress!, $0.count) }
    }
    for (name, known) in names {
      #expect(find(name) == known)
      #expect(find(name.uppercased()) == known)
      #expect(find("x" + name) == .other)
      if name.hasPrefix("x-forwarded-") {
        #expect(find(name + "x") == .xForwardedOther)
      } else {
        #expect(find(name + "x") == .other)
        #expect(find(String(name.dropLast()) + "_") == .other)
      }
    }
  }
}
