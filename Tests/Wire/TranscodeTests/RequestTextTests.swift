import HTTP
import HTTP1
import HTTP2
import Primitives
import Testing

@testable import Transcode

/// Requests on their way down to HTTP/1.1. What could break: a byte that HTTP/1.1 reads as the end of
/// a word, a line or a message gets through, and the backend sees another request than was judged.
@Suite struct RequestTextTests {
  @Test(arguments: [
    ("CONNECT", "/", Rejection.connectRefused),
    ("", "/", .methodInvalid), ("G T", "/", .methodInvalid), ("GET\r\n", "/", .methodInvalid),
    ("GET /x HTTP/1.1\r\nHost: x\r\n\r\nGET", "/", .methodInvalid),
    ("G\u{7f}", "/", .methodInvalid),
    ("GET", "", .targetFormInvalid), ("GET", "x", .targetFormInvalid),
    ("GET", "http://b/", .targetFormInvalid), ("GET", "/a b", .targetFormInvalid),
    ("GET", "/ HTTP/1.1\r\nX: y", .targetFormInvalid), ("GET", "/\0", .targetFormInvalid),
    ("GET", "/\u{7f}", .targetFormInvalid), ("GET", "**", .targetFormInvalid),
  ])
  func whatWouldEndAWordIsRefused(method: String, path: String, rejection: Rejection) {
    #expect(requestText(sample(method, path)) == "refused: \(rejection)")
  }

  @Test(arguments: ["a b", "a\r\nX: y", "a\0", "\u{7f}"])
  func anAuthorityThatWouldEndALineIsRefused(authority: String) {
    let head = SampleHead([
      (":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", "/"),
    ])
    #expect(requestText(head) == "refused: \(Rejection.hostInvalid)")
  }

  @Test func aListOverItsLimitIsRefused() {
    var head = sample()
    head.head.isTooLarge = true
    #expect(requestText(head) == "refused: \(Rejection.headTooLarge)")
  }

  // RFC 9113, 8.3.1: they must not differ, and HTTP/1.1 has room for one only.
  @Test(arguments: [
    ("a.example", true), ("A.EXAMPLE", true), ("b.example", false), ("a.example:80", false),
    ("a.exampl", false), ("", false),
  ])
  func hostBesideAuthorityMustBeTheSame(host: String, isTaken: Bool) {
    let text = requestText(sample("GET", "/", [("x", "1"), ("host", host), ("y", "2")]))
    #expect(
      text
        == (isTaken
          ? "GET / HTTP/1.1\r\nhost: a.example\r\nx: 1\r\ny: 2\r\n\r\n"
          : "refused: \(Rejection.duplicateHost)"))
  }

  // Two that agree with the authority are still one on the other side.
  @Test func hostAloneStands() {
    let alone = SampleHead([
      (":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "b.example"), ("x", "1"),
    ])
    #expect(requestText(alone) == "GET / HTTP/1.1\r\nhost: b.example\r\nx: 1\r\n\r\n")
    let twice = sample("GET", "/", [("host", "a.example"), ("host", "a.example")])
    #expect(requestText(twice) == "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n")
  }

  // Without either the strict parser has the last word.
  @Test func noHostAtAllIsTheParsersBusiness() {
    let none = SampleHead([(":method", "GET"), (":scheme", "http"), (":path", "/")])
    #expect(judge(requestText(none)) == "\(Rejection.missingHost)")
    let twice = SampleHead([
      (":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "b"), ("host", "b"),
    ])
    #expect(judge(requestText(twice)) == "\(Rejection.duplicateHost)")
  }

  // RFC 9113, 8.2.3: browsers send one field for each; HTTP/1.1 allows one field.
  @Test func cookiesAreJoined() {
    let one = sample("GET", "/", [("cookie", "a=1"), ("x", "1")])
    #expect(
      requestText(one) == "GET / HTTP/1.1\r\nhost: a.example\r\ncookie: a=1\r\nx: 1\r\n\r\n")
    let three = sample(
      "GET", "/", [("cookie", "a=1"), ("x", "1"), ("cookie", "b=2"), ("cookie", "c=3; d=4")])
    #expect(
      requestText(three)
        == "GET / HTTP/1.1\r\nhost: a.example\r\nx: 1\r\ncookie: a=1; b=2; c=3; d=4\r\n\r\n")
    let both = sample(
      "GET", "/", [("cookie", "a=1"), ("host", "a.example"), ("cookie", "b=2"), ("cookies", "c")])
    #expect(
      requestText(both)
        == "GET / HTTP/1.1\r\nhost: a.example\r\ncookies: c\r\ncookie: a=1; b=2\r\n\r\n")
  }

  // What could break: a body that HTTP/1.1 does not see the end of, or sees where there is none.
  @Test func lengthsAreSaidWhereTheyAreKnown() {
    func framing(_ text: String) -> [String] {
      text.split(separator: "\r\n").map(String.init).filter {
        $0.hasPrefix("content-length") || $0.hasPrefix("transfer-encoding")
      }
    }
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
      #expect(framing(requestText(sample(method))) == [])
    }
    for method in ["POST", "PUT", "PATCH"] {
      #expect(framing(requestText(sample(method))) == ["content-length: 0"])
    }
    #expect(
      requestText(sample("POST"), .whole(5), body: "hello")
        == "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5\r\n\r\nhello")
    // What goes on has the chunks that the core puts there; what has come of it stands plain.
    #expect(
      requestText(sample("POST"), .open, body: "he")
        == "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\nhe")
    // Said by the client itself, it is said once.
    let said = sample("POST", "/", [("content-length", "5")])
    #expect(framing(requestText(said, .open)) == ["content-length: 5"])
    #expect(framing(requestText(said, .whole(5), body: "hello")) == ["content-length: 5"])
    #expect(framing(requestText(sample("GET"), .whole(1_048_576))) == ["content-length: 1048576"])
  }

  // What nghttp2 lets through the strict parser judges: nothing that frames a message twice.
  @Test(arguments: [
    ([("content-length", "+5")], Rejection.contentLengthInvalid),
    ([("content-length", "5"), ("content-length", "5")], .contentLengthConflict),
    ([("content-length", "5"), ("transfer-encoding", "chunked")], .lengthAndChunked),
    ([("content_length", "5")], .underscoreName),
  ])
  func theParserRefusesTheRest(fields: [(String, String)], rejection: Rejection) {
    #expect(judge(requestText(sample("POST", "/", fields), .open)) == "\(rejection)")
  }

  @Test func anAsteriskIsForOptions() {
    #expect(judge(requestText(sample("OPTIONS", "*"))) == "complete")
    #expect(judge(requestText(sample("GET", "*"))) == "\(Rejection.targetFormInvalid)")
  }

  /// What the parser of HTTP/1.1 says of a text.
  private func judge(_ text: String) -> String {
    var head = RequestHead(fieldCapacity: 64)
    return Array(text.utf8).withUnsafeBytes { bytes in
      switch head.parse(
        bytes, limits: HeadLimits(headBytes: 32_768, targetBytes: 8_192, fields: 64))
      {
      case .complete: "complete"
      case .incomplete: "incomplete"
      case .rejected(let rejection): "\(rejection)"
      }
    }
  }
}

/// Answers on their way down.
@Suite struct AnswerTextTests {
  private func head(_ status: String, _ fields: [(String, String)] = []) -> SampleHead {
    SampleHead([(":status", status)] + fields)
  }

  @Test func anAnswerReadsAsOneOfHTTP11() {
    #expect(
      answerText(head("200", [("x", "1")]), length: 2, body: "ok")
        == "HTTP/1.1 200 \r\nx: 1\r\ncontent-length: 2\r\n\r\nok")
    // It goes on: then it ends where the stream does.
    #expect(answerText(head("200"), body: "ok") == "HTTP/1.1 200 \r\n\r\nok")
    #expect(
      answerText(head("200", [("content-length", "2")]), length: 2, body: "ok")
        == "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok")
  }

  // What could break: a length where no body may be, which the next reader takes for one.
  @Test(arguments: ["103", "204", "304"]) func someHaveNoBody(status: String) {
    #expect(answerText(head(status), length: 0) == "HTTP/1.1 \(status) \r\n\r\n")
  }

  @Test func anAnswerToHeadHasNoBody() {
    #expect(
      answerText(head("200", [("content-length", "9")]), length: 0, answersHead: true)
        == "HTTP/1.1 200 \r\ncontent-length: 9\r\n\r\n")
    #expect(answerText(head("200"), length: 0, answersHead: true) == "HTTP/1.1 200 \r\n\r\n")
  }

  @Test(arguments: ["", "20", "2000"]) func aStatusOfAnotherLengthIsNone(status: String) {
    #expect(answerText(head(status)) == nil)
  }

  @Test func aListOverItsLimitIsNone() {
    var large = head("200")
    large.head.isTooLarge = true
    #expect(answerText(large) == nil)
  }
}
