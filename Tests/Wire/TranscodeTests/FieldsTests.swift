import HTTP
import HTTP1
import Primitives
import Testing

@testable import HTTP2
@testable import Transcode

/// Heads on their way up to HTTP/2, seen by the session that gets them. What could break: a field of
/// one connection goes over to another, where it is forbidden, or an end-to-end field is lost.
@Suite struct FieldsTests {
  /// Two sessions over which one head travels; what arrives, as lines.
  private func travel(request text: String, isSecure: Bool = false) -> String? {
    var fields = HTTP2Fields()
    var head = RequestHead(fieldCapacity: 64)
    let wire = Wire()
    return Array(text.utf8).withUnsafeBytes { bytes -> String? in
      guard fields.take(request: &head, in: bytes, isSecure: isSecure) else { return nil }
      guard wire.client.submitRequest(fields, ends: true, owner: .none) != nil else { return nil }
      wire.toServer()
      return wire.text
    }
  }

  private func travel(answer text: String, to method: Method = .get) -> String? {
    let wire = Wire()
    var fields = HTTP2Fields()
    var asked = RequestHead(fieldCapacity: 8)
    Array("\(method == .head ? "HEAD" : "GET") / HTTP/1.1\r\nhost: a\r\n\r\n".utf8).withUnsafeBytes
    {
      _ = fields.take(request: &asked, in: $0, isSecure: false)
      _ = wire.client.submitRequest(fields, ends: true, owner: .none)
    }
    wire.toServer()
    wire.text = ""
    var head = ResponseHead(fieldCapacity: 64)
    return Array(text.utf8).withUnsafeBytes { bytes -> String? in
      guard fields.take(answer: &head, in: bytes, to: method) else { return nil }
      if head.isInterim {
        wire.server.submitInterim(0, fields)
      } else {
        wire.server.submitAnswer(0, fields, ends: true)
      }
      wire.toClient()
      return wire.text
    }
  }

  @Test func aRequestKeepsWhatIsEndToEnd() {
    let text = travel(
      request: """
        POST /a?b HTTP/1.1\r
        Host: a.example\r
        X-Request-Id: 7\r
        Accept: a\r
        Accept: b\r
        Content-Length: 0\r
        \r\n
        """)
    #expect(
      text == """
        POST http a.example /a?b
        x-request-id: 7\r
        accept: a\r
        accept: b\r
        content-length: 0\r\n
        """)
  }

  // RFC 9113, 8.2.2.
  @Test func whatConcernsTheConnectionStays() {
    let text = travel(
      request: """
        POST / HTTP/1.1\r
        Host: a\r
        Connection: keep-alive, X-Own, TE\r
        Keep-Alive: timeout=5\r
        X-Own: 1\r
        TE: trailers\r
        Transfer-Encoding: chunked\r
        Upgrade: foo\r
        Proxy-Connection: close\r
        X: y\r
        \r\n
        """, isSecure: true)
    #expect(text == "POST https a /\nte: trailers\r\nx: y\r\n")
  }

  @Test func anAnswerKeepsWhatIsEndToEnd() {
    let text = travel(
      answer: """
        HTTP/1.1 200 OK\r
        Connection: keep-alive, X-Own\r
        Keep-Alive: timeout=5\r
        X-Own: 1\r
        Transfer-Encoding: chunked\r
        Set-Cookie: a=1\r
        Set-Cookie: b=2\r
        Server: x\r
        \r\n
        """)
    #expect(text == "200\nset-cookie: a=1\r\nset-cookie: b=2\r\nserver: x\r\n")
  }

  @Test func interimAnswersTravelToo() {
    #expect(
      travel(answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") == "103\nlink: </a>\r\n")
    #expect(travel(answer: "HTTP/1.1 100 Continue\r\n\r\n") == "100\n")
  }

  @Test func anAnswerToHeadKeepsItsLength() {
    #expect(
      travel(answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", to: .head)
        == "200\ncontent-length: 9\r\n")
  }

  @Test func whatIsNoHeadIsNotTaken() {
    #expect(travel(request: "GET / HTTP/1.1\r\nHost: a\r\n") == nil)
    #expect(travel(request: "nonsense\r\n\r\n") == nil)
    #expect(travel(answer: "HTTP/1.1 200 OK\r\n") == nil)
  }

  // There and back again: what was one request is the same one.
  @Test(arguments: ["GET", "DELETE"]) func bothWaysAreOneWay(method: String) {
    let text = "\(method) /p?q=1 HTTP/1.1\r\nhost: a.example\r\nx: y\r\n\r\n"
    let wire = Wire()
    var fields = HTTP2Fields()
    var head = RequestHead(fieldCapacity: 64)
    let back = Array(text.utf8).withUnsafeBytes { bytes -> String in
      _ = fields.take(request: &head, in: bytes, isSecure: false)
      _ = wire.client.submitRequest(fields, ends: true, owner: .none)
      wire.toServer()
      var gather = Gather()
      return wire.lastText.withUnsafeBytes { text in
        guard
          case .text(let bytes) = RequestText.write(
            wire.lastHead, text, .whole(0), room: 0, into: &gather, body: { _ in 0 })
        else { return "refused" }
        return String(decoding: bytes, as: UTF8.self)
      }
    }
    #expect(back == text)
  }
}

/// A client's and a server's session.
private final class Wire {
  let inbox = HTTP2Inbox()
  let client: HTTP2Session
  let server: HTTP2Session
  var text = ""
  private(set) var lastHead = HTTP2Head()
  private(set) var lastText: [UInt8] = []
  private let now = Instant(nanoseconds: 1)
  private var gather = Gather()

  init() {
    client = HTTP2Session(.client, HTTP2Settings(), inbox: inbox, at: now)
    server = HTTP2Session(.server, HTTP2Settings(), inbox: inbox, at: now)
  }

  deinit {
    client.free()
    server.free()
    inbox.free()
  }

  func toServer() { move(client, server) }
  func toClient() { move(server, client) }

  private func move(_ from: HTTP2Session, _ to: HTTP2Session) {
    from.flush(into: &gather, at: now)
    var bytes: [UInt8] = []
    for segment in gather.segments[gather.cut()] {
      bytes += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
    }
    gather.reset()
    inbox.clear()
    bytes.withUnsafeBytes { _ = to.receive($0, at: now) }
    for index in 0..<inbox.count {
      guard case .head(_, let head)? = inbox[index] else { continue }
      lastHead = head
      lastText = Array(inbox.text)
      let start = [head.method, head.scheme, head.authority, head.path, head.status]
      text += start.map(read).filter { !$0.isEmpty }.joined(separator: " ") + "\n"
      text += read(head.lines)
    }
    inbox.clear()
  }

  private func read(_ range: ByteRange) -> String {
    String(decoding: range.bytes(in: inbox.text), as: UTF8.self)
  }
}
