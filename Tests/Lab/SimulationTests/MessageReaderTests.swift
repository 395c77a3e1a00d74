import Testing

@testable import Simulation

/// The second opinion must be strict, or it agrees with everything.
struct MessageReaderTests {
  private func read(
    _ text: String, _ kind: MessageReader.Kind, pieces: Int = 1, answersHead: Bool = false
  ) throws(ParseFault) -> [String] {
    var reader = MessageReader(kind)
    var story: [String] = []
    let bytes = Array(text.utf8)
    let size = (bytes.count + pieces - 1) / pieces
    for start in stride(from: 0, to: bytes.count, by: size) {
      let piece = Array(bytes[start..<min(bytes.count, start + size)])
      let result: Result<[String], ParseFault> = piece.withUnsafeBytes { bytes in
        var input = bytes
        var found: [String] = []
        do throws(ParseFault) {
          while let token = try reader.next(&input, answersHead: answersHead) {
            switch token {
            case .head(let head): found.append("head \(head.start.1)")
            case .body(let body): found.append("\(body.count)")
            case .trailer(let name, let value): found.append("\(name): \(value)")
            case .end: found.append("end")
            }
          }
        } catch { return .failure(error) }
        return .success(found)
      }
      story += try result.get()
    }
    return story
  }

  // What could break: framing. A body that ends a byte early or late would hide a lost byte.
  @Test func framingIsFollowed() throws {
    #expect(
      try read("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n", .request)
        == ["head /a", "3", "end", "head /b", "end"])
    #expect(
      try read(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n",
        .answer) == ["head 200", "2", "10", "end"])
    #expect(
      try read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", .answer)
        == ["head 100", "head 204", "end"])
    #expect(
      try read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", .answer, answersHead: true)
        == ["head 200", "end"])
    #expect(try read("HTTP/1.1 200 OK\r\n\r\nabc", .answer) == ["head 200", "3"])
  }

  // What could break: a cut between two reads, at any byte.
  @Test(arguments: 1..<90) func cutsMakeNoDifference(pieces: Int) throws {
    let text =
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"
    let story = try read(text, .request, pieces: pieces)
    #expect(story.first == "head /a")
    #expect(story.last == "end")
    #expect(story.compactMap { Int($0) }.reduce(0, +) == 3)
  }

  // What could break: it forgives what the front door may never write.
  @Test(arguments: [
    ("GET /a HTTP/1.1\n\n", "a bare line feed"),
    ("\r\nGET /a HTTP/1.1\r\n\r\n", "an empty line before a head"),
    ("GET /a HTTP/1.0\r\n\r\n", "request version 'HTTP/1.0'"),
    ("GET /a HTTP/1.1\r\nA : b\r\n\r\n", "field line 'A : b'"),
    ("GET /a HTTP/1.1\r\n b\r\n\r\n", "field line ' b'"),
    (
      "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "both a length and a coding"
    ),
    ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "framing said twice"),
    ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", "length '+1'"),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "chunk size 'x'"),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "'b' behind a chunk"),
  ])
  func whatMayNotBeWrittenIsAFault(text: String, fault: String) {
    do throws(ParseFault) {
      let story = try read(text, .request)
      Issue.record("read as \(story)")
    } catch {
      #expect(error.text == fault)
    }
  }
}
