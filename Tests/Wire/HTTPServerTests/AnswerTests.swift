import TestClient
import Testing

@testable import HTTPServer

/// What breaks here: an answer that is framed wrongly, or given to another request, poisons
/// everything that follows on the connection.
@Suite struct AnswerTests {
  @Test func aConnectionServesManyRequests() throws {
    let server = try TestServer()
    let client = try server.client()
    for number in 0..<3 {
      client.send("GET /facts?n=\(number) HTTP/1.1\r\nHost: a\r\nX-Canary: c\(number)\r\n\r\n")
      let response = client.readResponse()
      #expect(response.status == 200)
      #expect(response.body == "GET n=\(number) c\(number) 7")
      #expect(response["Content-Type"] == "text/plain; charset=utf-8")
      #expect(response["Connection"] == nil)
      #expect(response["Date"]?.hasSuffix(" GMT") == true)
    }
  }

  /// Answers that come at different speeds must not overtake each other.
  @Test func pipelinedRequestsAreAnsweredInOrder() throws {
    let server = try TestServer()
    let client = try server.client()
    let paths = ["later", "hello", "later", "later", "hello"]
    client.send(paths.map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
    for path in paths { #expect(client.readResponse().body == path) }
  }

  @Test func theConnectionEndsWhenTheClientAsksForIt() throws {
    let server = try TestServer()
    let client = try server.client()
    client.send(
      "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        + "GET /facts HTTP/1.1\r\nHost: a\r\n\r\n")
    let response = client.readResponse()
    #expect(response.body == "hello")
    #expect(response["Connection"] == "close")
    #expect(client.readToEnd() == "")
    #expect(client.end == .fin)
  }

  @Test func answersWithoutBody() throws {
    let server = try TestServer()
    let client = try server.client()
    client.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    let head = client.readResponse(toHead: true)
    #expect(head["Content-Length"] == "5")
    client.send("GET /empty HTTP/1.1\r\nHost: a\r\n\r\n")
    let empty = client.readResponse()
    #expect(empty.status == 204)
    #expect(empty["Content-Length"] == nil)
    client.send("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(client.readResponse(toHead: true)["Transfer-Encoding"] == "chunked")
    client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(client.readResponse().body == "hello")
  }

  /// A value chosen by a client must not become a field of its own.
  @Test func aLineEndInAValueBecomesSpace() throws {
    let server = try TestServer()
    let client = try server.client()
    client.send("GET /split HTTP/1.1\r\nHost: a\r\n\r\n")
    let response = client.readResponse()
    #expect(response["X-Split"] == "a  X-Evil: b")
    #expect(response["X-Evil"] == nil)
  }

  @Test func aStreamIsChunked() throws {
    let server = try TestServer()
    let client = try server.client()
    client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    _ = client.read(through: "\r\n\r\n")
    #expect(client.read(through: "0\r\n\r\n") == "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(client.readResponse().body == "hello")
  }

  /// HTTP/1.0 knows neither chunks nor connections that stay, unless it asks.
  @Test func clientsOfHTTP10() throws {
    let server = try TestServer()
    let stream = try server.client()
    stream.send("GET /stream HTTP/1.0\r\n\r\n")
    let response = stream.readResponse()
    #expect(response["Transfer-Encoding"] == nil)
    #expect(response["Connection"] == "close")
    #expect(response.body == "onetwo")
    #expect(stream.end == .fin)
    let kept = try server.client()
    for _ in 0..<2 {
      kept.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
      #expect(kept.readResponse()["Connection"] == "keep-alive")
    }
  }

  @Test func anAnswerThatIsCutCanBeToldFromAWholeOne() throws {
    let server = try TestServer()
    let cut = try server.client()
    cut.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(cut.readToEnd().hasSuffix("\r\n\r\n4\r\nhalf\r\n"))
    #expect(cut.end == .fin)
    let reset = try server.client()
    reset.send("GET /reset HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(reset.readToEnd().hasSuffix("\r\n\r\n4\r\nhalf\r\n"))
    #expect(reset.end == .reset)
  }

  /// A client that does not read must cost a bounded amount of memory, and lose no byte.
  @Test func aStreamWaitsForASlowReader() throws {
    let server = try TestServer()
    let client = try server.client()
    client.send("GET /flood HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    #expect(server.notes.next() == "waits")
    let response = client.readResponse()
    #expect(response.body.utf8.count == 32 << 20)
    #expect(client.readToEnd() == "")
    while !server.notes.isEmpty { #expect(server.notes.next() == "waits") }
  }

  @Test(
    arguments: [
      (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
      (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
      (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
      (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
      (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
    ] as [(Int64, String)])
  func dates(seconds: Int64, text: String) {
    #expect(AnswerText.date(seconds) == text)
  }
}
