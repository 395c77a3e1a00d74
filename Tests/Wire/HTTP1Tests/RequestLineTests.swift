import HTTP
import HTTP1
import Testing

/// A case of a table: its name there, the input, and the label of the verdict.
struct Case: CustomTestStringConvertible, Sendable {
  let id: String
  let input: String
  let label: String
  init(_ id: String, _ input: String, _ label: String) {
    self.id = id
    self.input = input
    self.label = label
  }
  var testDescription: String { id }
}

private let tail = "Host: a⏎⏎"

@Suite struct RequestLineTests {
  static let lines: [Case] = [
    Case("A01", "GET / HTTP/1.1\nHost: a\n\n", "bare_lf"),
    Case("A01 in the fields", "GET / HTTP/1.1⏎Host: a\n\n", "bare_lf"),
    Case("A01 at the end", "GET / HTTP/1.1⏎Host: a⏎\n", "bare_lf"),
    Case("A02.1", "⏎GET / HTTP/1.1⏎\(tail)", "complete"),
    Case("A02 twice", "⏎⏎GET / HTTP/1.1⏎\(tail)", "request_line_malformed"),
    Case("A02 with LF", "\nGET / HTTP/1.1⏎\(tail)", "bare_lf"),
    Case("A02 with CR", "\rGET / HTTP/1.1⏎\(tail)", "bare_cr"),
    Case("A03", "GET  / HTTP/1.1⏎\(tail)", "request_line_malformed"),
    Case("A03 behind the target", "GET /  HTTP/1.1⏎\(tail)", "version_malformed"),
    Case("A03 behind the version", "GET / HTTP/1.1 ⏎\(tail)", "version_malformed"),
    Case("A03 in front", " GET / HTTP/1.1⏎\(tail)", "request_line_malformed"),
    Case("A03 tab", "GET\t/ HTTP/1.1⏎\(tail)", "control_byte"),
    Case("A05", "GET /\0 HTTP/1.1⏎\(tail)", "control_byte"),
    Case("A06.1", "GET /\u{ff} HTTP/1.1⏎\(tail)", "target_invalid"),
    Case("A06 DEL", "GET /\u{7f} HTTP/1.1⏎\(tail)", "control_byte"),
    Case("A07", "GET /#f HTTP/1.1⏎\(tail)", "target_invalid"),
    Case("A07 in the query", "GET /?a#f HTTP/1.1⏎\(tail)", "target_invalid"),
    Case("A08", "GET /a b HTTP/1.1⏎\(tail)", "version_malformed"),
    Case("A09", "GET /⏎⏎", "request_line_malformed"),
    Case("A09 with LF", "GET /\n", "bare_lf"),
    Case("A10.1", "GET / HTTP/2.0⏎\(tail)", "version_unsupported"),
    Case("A10.2", "GET / HTTP/9.9⏎\(tail)", "version_unsupported"),
    Case("A10 minor", "GET / HTTP/1.2⏎\(tail)", "version_unsupported"),
    Case("A10 old", "GET / HTTP/0.9⏎\(tail)", "version_unsupported"),
    Case("A10.4", "GET / HTTP/01.1⏎\(tail)", "version_malformed"),
    Case("A10 long", "GET / HTTP/1.10⏎\(tail)", "version_malformed"),
    Case("A10.6", "GET / http/1.1⏎\(tail)", "version_malformed"),
    Case("A10 other", "GET / HTTQ/1.1⏎\(tail)", "version_malformed"),
    Case("A10 preface of HTTP/2", "PRI * HTTP/2.0⏎⏎SM⏎⏎", "version_unsupported"),
    Case("A12", "GET HTTP/1.1⏎\(tail)", "request_line_malformed"),
    Case("A13.1", "GET * HTTP/1.1⏎\(tail)", "target_form_invalid"),
    Case("A13 longer", "OPTIONS ** HTTP/1.1⏎\(tail)", "target_form_invalid"),
    Case("A14", "OPTIONS * HTTP/1.1⏎\(tail)", "complete"),
    Case("A15.1", "GET admin HTTP/1.1⏎\(tail)", "target_form_invalid"),
    Case("A15 scheme", "GET ftp://a/ HTTP/1.1⏎\(tail)", "target_form_invalid"),
    Case("A15 authority", "GET a:80 HTTP/1.1⏎\(tail)", "target_form_invalid"),
    Case("A15 no host", "GET http:/// HTTP/1.1⏎\(tail)", "host_invalid"),
    Case("A15 user", "GET http://u@a/ HTTP/1.1⏎\(tail)", "host_invalid"),
    Case("A15 short", "GET http:/ HTTP/1.1⏎\(tail)", "target_form_invalid"),
    Case("A18", "CONNECT a:443 HTTP/1.1⏎\(tail)", "connect_refused"),
    Case("A19.1", "CONNECT / HTTP/1.1⏎\(tail)", "connect_refused"),
    Case("A20", "TRACE / HTTP/1.1⏎\(tail)", "trace_refused"),
    Case("A21.1", "G:E(T / HTTP/1.1⏎\(tail)", "method_invalid"),
    Case("A21 high", "G\u{80}T / HTTP/1.1⏎\(tail)", "method_invalid"),
    Case("A21 empty", ": / HTTP/1.1⏎\(tail)", "method_invalid"),
    Case("A21 TLS", "\u{16}\u{3}\u{1}\u{2}\0", "control_byte"),
    Case("A21 long", String(repeating: "A", count: 33), "method_too_long"),
    Case("A22", "get / HTTP/1.1⏎\(tail)", "complete"),
    Case("C08", "GET / HTTP/1.1\rHost: a\r\r", "bare_cr"),
    Case("quotes", "GET /\" HTTP/1.1⏎\(tail)", "target_invalid"),
    Case("angle brackets", "GET /<script> HTTP/1.1⏎\(tail)", "target_invalid"),
    Case("what browsers leave raw", "GET /a|b?x={1}|^`[]\\ HTTP/1.1⏎\(tail)", "complete"),
  ]

  /// A parser that is lenient in the request line lets two servers see two requests.
  @Test(arguments: lines) func requestLine(_ c: Case) {
    #expect(parseRequest(c.input).label == c.label)
  }

  static let paths: [Case] = [
    Case("A25.1", "/a/../admin", "ambiguous_path"),
    Case("A25.2", "/%2e%2e/admin", "ambiguous_path"),
    Case("A25.3", "//admin", "ambiguous_path"),
    Case("A25.6", "/a\\..\\admin", "ambiguous_path"),
    Case("A25.6 in front", "\\admin", "target_form_invalid"),
    Case("single dot", "/./admin", "ambiguous_path"),
    Case("dot at the end", "/a/.", "ambiguous_path"),
    Case("dots at the end", "/a/..", "ambiguous_path"),
    Case("dots before the query", "/a/..?x", "ambiguous_path"),
    Case("dots before a parameter", "/a/..;x/admin", "ambiguous_path"),
    Case("half encoded dots", "/.%2e/admin", "ambiguous_path"),
    Case("encoded in upper case", "/%2E%2E/admin", "ambiguous_path"),
    Case("dots before an encoded slash", "/a/..%2fadmin", "ambiguous_path"),
    Case("dots behind an encoded slash", "/a%2f../admin", "ambiguous_path"),
    Case("dots before an encoded backslash", "/a/..%5cadmin", "ambiguous_path"),
    Case("encoded backslash", "/a%5Cadmin", "ambiguous_path"),
    Case("encoded NUL", "/admin%00", "ambiguous_path"),
    Case("encoded letter", "/%61dmin", "ambiguous_path"),
    Case("encoded digit", "/v%31", "ambiguous_path"),
    Case("encoded slash in front", "/%2fadmin", "ambiguous_path"),
    Case("empty segment", "/a//admin", "ambiguous_path"),
    Case("not hexadecimal", "/%zz", "target_invalid"),
    Case("cut short", "/%2", "target_invalid"),
    Case("lone percent", "/%", "target_invalid"),
    Case("absolute form too", "http://b/a/../admin", "ambiguous_path"),
    Case("A26.1", "/%0d%0aX:%20y", "complete"),
    Case("three dots", "/.../x", "complete"),
    Case("hidden file", "/.well-known/x", "complete"),
    Case("dots within a name", "/a..b/c.", "complete"),
    Case("model name", "/v1/models/meta%2FLlama-3.1", "complete"),
    Case("model name with a path", "/v1/models/%2Fdata%2Fllama", "complete"),
    Case("dots in the query", "/a?b=/../c//d%zz", "complete"),
    Case("other encoded bytes", "/%E4%b8%ad%20", "complete"),
  ]

  /// Rules decide on the path as it is; a backend must not read another one.
  @Test(arguments: paths) func path(_ c: Case) {
    let parsed = parseRequest("GET \(c.input) HTTP/1.1⏎\(tail)")
    #expect(parsed.label == c.label)
    if c.label == "complete" {
      #expect(parsed.upstream.hasPrefix("GET \(c.input) HTTP/1.1⏎Host: a⏎"))
    }
  }

  /// A24: the target's limit speaks before the head's, and does not wait for the end.
  @Test func longTarget() {
    #expect(
      parseRequest("GET /" + String(repeating: "a", count: 100_000)).label == "target_too_long")
    let limits = HeadLimits(headBytes: 200, targetBytes: 10, fields: 8)
    #expect(parseRequest("GET /123456789 HTTP/1.1⏎\(tail)", limits: limits).label == "complete")
    #expect(
      parseRequest("GET /1234567890 HTTP/1.1⏎\(tail)", limits: limits).label == "target_too_long")
    #expect(parseRequest("GET /123456789", limits: limits).label == "incomplete")
    #expect(parseRequest("GET /1234567890", limits: limits).label == "target_too_long")
    #expect(parseRequest("GET /?23456789012", limits: limits).label == "target_too_long")
  }

  /// A14, A16: forms other than a path. Routing and the backend see the same host and path.
  @Test func otherForms() {
    let absolute = parseRequest("GET http://B:81/x?y=1 HTTP/1.1⏎X: 1⏎Host: a⏎⏎")
    #expect(absolute.authority == "B:81")
    #expect(absolute.path == "/x")
    #expect(absolute.query == "y=1")
    #expect(
      absolute.upstream
        == "GET /x?y=1 HTTP/1.1⏎Host: B:81⏎X: 1⏎X-Forwarded-For: 10.1.2.3⏎X-Forwarded-Proto: http⏎⏎"
    )
    func line(_ request: String) -> String {
      String(parseRequest(request).upstream.prefix { $0 != "⏎" })
    }
    #expect(line("GET HTTPS://b HTTP/1.1⏎\(tail)") == "GET / HTTP/1.1")
    #expect(line("GET http://b?q HTTP/1.1⏎\(tail)") == "GET /?q HTTP/1.1")
    #expect(line("OPTIONS http://b HTTP/1.1⏎\(tail)") == "OPTIONS * HTTP/1.1")
    #expect(line("OPTIONS * HTTP/1.1⏎\(tail)") == "OPTIONS * HTTP/1.1")
    #expect(line("get / HTTP/1.0⏎\(tail)") == "get / HTTP/1.1")
    #expect(parseRequest("OPTIONS * HTTP/1.1⏎\(tail)").path == "*")
    #expect(parseRequest("GET /p?q HTTP/1.1⏎\(tail)").query == "q")
    #expect(parseRequest("GET /p? HTTP/1.1⏎\(tail)").path == "/p")
  }

  /// What is wrong is said with the first byte that shows it, not when the head is whole.
  @Test(arguments: [
    ("GET / HTTP/1.1\r", "incomplete"), ("GET / HTTP/1.1\rH", "bare_cr"),
    ("GET / HTTP/1.1\n", "bare_lf"), ("GET / HX", "version_malformed"),
    ("GET / HTTP/1.", "incomplete"), ("GET / HTTP/1.1⏎A: \0", "control_byte"),
    ("GET / HTTP/1.1⏎A: x\r", "incomplete"), ("GET / HTTP/1.1⏎A: x\ry", "bare_cr"),
    ("GET /\u{1}", "control_byte"), ("\r", "incomplete"), ("\r\r", "bare_cr"), ("G", "incomplete"),
    ("", "incomplete"), ("GET / HTTP/1.1⏎ ", "space_before_fields"),
    ("GET / HTTP/1.1⏎A: x⏎ ", "line_folding"), ("GET / HTTP/1.1⏎A: x⏎\rX", "bare_cr"),
  ]) func atOnce(_ input: String, _ label: String) {
    #expect(parseRequest(input).label == label)
  }

  /// Methods are told apart exactly: a wrong one would be retried, or framed as another.
  @Test func methods() {
    for method in Method.allCases where ![.connect, .trace, .other].contains(method) {
      withExactBytes(wire("\(method.name) / HTTP/1.1⏎\(tail)")) { input in
        var head = RequestHead(fieldCapacity: 4)
        #expect(head.parse(input, limits: HeadLimits()) == .complete)
        #expect(head.method == method)
      }
    }
    withExactBytes(wire("Get / HTTP/1.1⏎\(tail)")) { input in
      var head = RequestHead(fieldCapacity: 4)
      #expect(head.parse(input, limits: HeadLimits()) == .complete)
      #expect(head.method == .other)
    }
  }
}
