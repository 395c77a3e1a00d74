import HTTP
import HTTP1
import Testing

@Suite struct RequestFramingTests {
  static let lengths: [Case] = [
    Case("D01", "+5", "content_length_invalid"),
    Case("D04", "0x5", "content_length_invalid"),
    Case("D07", "abc", "content_length_invalid"),
    Case("D08", "", "content_length_invalid"),
    Case("D09", "5, 5", "content_length_invalid"),
    Case("D10", "5, 6", "content_length_invalid"),
    Case("D11", "5⏎Content-Length: 5", "content_length_conflict"),
    Case("D12.1", "5⏎Content-Length: 6", "content_length_conflict"),
    Case("D13.1", "99999999999999999999", "content_length_invalid"),
    Case("one over a signed word", "9223372036854775808", "content_length_invalid"),
    Case("D14.1", "05", "content_length_invalid"),
    Case("D14 long", "0000000000000000005", "content_length_invalid"),
    Case("two zeros", "00", "content_length_invalid"),
    Case("minus", "-5", "content_length_invalid"),
    Case("fraction", "5.0", "content_length_invalid"),
    Case("exponent", "5e1", "content_length_invalid"),
    Case("space inside", "5 5", "content_length_invalid"),
    Case("in an other case", "5⏎cOnTeNt-lEnGtH: 5", "content_length_conflict"),
    Case("F01", "6⏎Transfer-Encoding: chunked", "length_and_chunked"),
    Case("F02", "4⏎transfer-encoding: chunked", "length_and_chunked"),
    Case("F with an unknown coding", "4⏎transfer-encoding: x", "length_and_chunked"),
    Case("F with a bad length", "x⏎transfer-encoding: chunked", "length_and_chunked"),
  ]

  /// A length that two servers read differently splits one request into two.
  @Test(arguments: lengths) func contentLength(_ c: Case) {
    for start in ["POST / HTTP/1.1", "GET / HTTP/1.1", "POST / HTTP/1.0"] {
      #expect(parseRequest("\(start)⏎Host: a⏎Content-Length: \(c.input)⏎⏎").label == c.label)
    }
  }

  /// Good lengths, and how they leave: D15 and D19.
  @Test(arguments: [
    ("0", 0), ("5", 5), ("5 \t", 5), ("\t 17", 17), ("4611686018427387904", 1 << 62),
    ("9223372036854775807", UInt64(Int64.max)), ("999999999999999999", 999_999_999_999_999_999),
  ]) func goodLength(_ text: String, _ bytes: UInt64) {
    let parsed = parseRequest("POST / HTTP/1.1⏎Host: a⏎Content-Length:\(text)⏎⏎")
    #expect(parsed.framing == .length(bytes))
    let lines = parsed.upstream.split(separator: "⏎").filter { $0.hasPrefix("Content-Length") }
    #expect(lines.count == 1)
    #expect(lines.first?.drop { !$0.isNumber } == "\(bytes)")
    #expect(lines.first?.last?.isNumber == true)
  }

  static let codings: [Case] = [
    Case("E02.1", "identity", "transfer_encoding_unknown"),
    Case("E02.2", "xchunked", "transfer_encoding_unknown"),
    Case("E02.4", "cow", "transfer_encoding_unknown"),
    Case("E03", "gzip, chunked", "transfer_encoding_unknown"),
    Case("E04.1", "chunked, gzip", "transfer_encoding_unknown"),
    Case("E04.2", "chunked, chunked", "transfer_encoding_unknown"),
    Case("E05.1", "chunked⏎Transfer-Encoding: chunked", "transfer_encoding_invalid"),
    Case("E05 other", "chunked⏎Transfer-Encoding: cow", "transfer_encoding_invalid"),
    Case("E06.1", ",chunked", "transfer_encoding_unknown"),
    Case("E06.3", ", chunked", "transfer_encoding_unknown"),
    Case("E06.5", "chunked,⏎Content-Length: 5", "length_and_chunked"),
    Case("E06 alone", "chunked,", "transfer_encoding_unknown"),
    Case("E07.1", "\"chunked\"", "transfer_encoding_unknown"),
    Case("E07.3", "chunked;q=1", "transfer_encoding_unknown"),
    Case("E08.1", "\u{b}chunked", "control_byte"),
    Case("E08.3", "chunked\0", "control_byte"),
    Case("E09", "", "transfer_encoding_invalid"),
  ]

  /// A coding that only one side knows hides the end of the body from the other.
  @Test(arguments: codings) func transferEncoding(_ c: Case) {
    let parsed = parseRequest("POST / HTTP/1.1⏎Host: a⏎Transfer-Encoding: \(c.input)⏎⏎0⏎⏎")
    #expect(parsed.label == c.label)
    #expect([400, 501].contains(parsed.status))
  }

  /// E01, F05: HTTP/1.0 has no chunked coding.
  @Test func oldClient() {
    let start = "POST / HTTP/1.0⏎Host: a⏎Transfer-Encoding: chunked⏎"
    #expect(parseRequest(start + "⏎").label == "chunked_by_http10")
    #expect(parseRequest(start + "Content-Length: 5⏎⏎").label == "length_and_chunked")
  }

  /// E13: framed once, and in lower case, which every backend knows.
  @Test(arguments: ["ChUnKeD", "chunked", "\tchunked\t", "CHUNKED "])
  func chunkedInAnyCase(_ coding: String) {
    let parsed = parseRequest("POST / HTTP/1.1⏎Host: a⏎Transfer-Encoding:\(coding)⏎⏎")
    #expect(parsed.framing == .chunked)
    #expect(
      parsed.upstream.replacing("encoding:chunked", with: "")
        == "POST / HTTP/1.1⏎Host: a⏎"
        + (coding == "chunked"
          ? "Transfer-Encoding:chunked⏎X-Forwarded-For: 10.1.2.3⏎X-Forwarded-Proto: http⏎⏎"
          : "X-Forwarded-For: 10.1.2.3⏎X-Forwarded-Proto: http⏎Transfer-Encoding: chunked⏎⏎"))
  }

  /// The caller may choose another framing than the client's.
  @Test func otherFraming() {
    var choice = ForwardingChoice()
    choice.framing = .length(12)
    let parsed = parseRequest(
      "POST / HTTP/1.1⏎Host: a⏎Transfer-Encoding: chunked⏎A: b⏎⏎", choice)
    #expect(
      parsed.upstream
        == "POST / HTTP/1.1⏎Host: a⏎A: b⏎X-Forwarded-For: 10.1.2.3⏎X-Forwarded-Proto: http⏎Content-Length: 12⏎⏎"
    )
  }

  /// Whether a connection serves again.
  @Test(arguments: [
    ("1.1", "", true), ("1.1", "Connection: close⏎", false), ("1.0", "", false),
    ("1.0", "Connection: Keep-Alive⏎", true), ("1.1", "Connection: keep-alive, close⏎", false),
    ("1.1", "Connection: x⏎Connection: , ,CLOSE⏎", false), ("1.1", "Connection: closed⏎", true),
    ("1.1", "Proxy-Connection: close⏎", true),
  ]) func keepAlive(_ version: String, _ fields: String, _ keepAlive: Bool) {
    #expect(
      parseRequest("GET / HTTP/\(version)⏎Host: a⏎\(fields)⏎").keepAlive == keepAlive)
  }

  /// H06: only a client that has a body and knows the 100 waits for it.
  @Test func expectContinue() {
    func waits(_ version: String, _ fields: String) -> Bool {
      parseRequest("POST / HTTP/\(version)⏎Host: a⏎Expect: 100-Continue⏎\(fields)⏎").expectContinue
    }
    #expect(waits("1.1", "Content-Length: 5⏎"))
    #expect(waits("1.1", "Transfer-Encoding: chunked⏎"))
    #expect(!waits("1.1", "Content-Length: 0⏎"))
    #expect(!waits("1.1", ""))
    #expect(!waits("1.0", "Content-Length: 5⏎"))
    var choice = ForwardingChoice()
    let request = "POST / HTTP/1.1⏎Host: a⏎Content-Length: 5⏎Expect: 100-continue⏎⏎"
    #expect(!parseRequest(request, choice).upstream.contains("Expect"))
    choice.forwardExpect = true
    #expect(parseRequest(request, choice).upstream.contains("⏎Expect: 100-continue⏎"))
  }
}
