import HTTP
import HTTPServer
import Primitives
import TestClient
import Testing

/// What breaks here: a request that is understood differently from how it was meant, or a refusal
/// that the client never gets to read.
@Suite struct RequestTests {
  @Test(arguments: [
    ("Content-Length: 5\r\n\r\nhello", "hello"),
    ("Content-Length: 0\r\n\r\n", ""),
    ("\r\n", ""),
    ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n", "hello!"),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n", ""),
  ])
  func bodiesAreCollected(rest: String, body: String) throws {
    let server = try TestServer()
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\n" + rest
    let client = try server.client()
    // Whole, then a byte per write: what is found must not depend on how it comes.
    client.send(request)
    #expect(client.readResponse().body == body)
    for byte in request.utf8 { client.send([byte]) }
    #expect(client.readResponse().body == body)
    // And with the next one right behind it.
    client.send(request + request)
    #expect(client.readResponse().body == body)
    #expect(client.readResponse().body == body)
  }

  @Test func aLargeBodyArrivesWhole() throws {
    let server = try TestServer()
    let client = try server.client()
    let body = String(repeating: "0123456789abcdef", count: 60_000)
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n")
    client.send(body)
    #expect(client.readResponse().body == body)
  }

  @Test func theClientIsToldToGoOn() throws {
    let server = try TestServer()
    let client = try server.client()
    client.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    #expect(client.readResponse().status == 100)
    client.send("hello")
    #expect(client.readResponse().body == "hello")
    // Whoever does not wait is not told.
    client.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    #expect(client.readResponse().status == 200)
  }

  /// A refusal says why, is delivered whole though the client goes on sending, and ends with FIN.
  /// What follows it is not taken for a request.
  @Test(arguments: [
    ("GET /hello HTTP/1.1\nHost: a\n\n", 400),
    ("GET /hello HTTP/1.1\r\n\r\n", 400),
    ("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      400
    ),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5z\r\n", 400),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: banana\r\n\r\n", 417),
    ("GET /* HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: *\r\n\r\n", 431),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n", 413),
    ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1E8480\r\n", 413),
  ])
  func refusals(request: String, status: Int) throws {
    let server = try TestServer()
    let client = try server.client()
    // The star stands for much.
    let much = String(repeating: "x", count: 40_000)
    client.send(
      request.split(separator: "*", omittingEmptySubsequences: false).joined(separator: much))
    client.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
    client.send(String(repeating: "y", count: 2_000_000))
    let response = client.readResponse()
    #expect(response.status == status)
    #expect(response["Connection"] == "close")
    #expect(response.body.hasSuffix(".\n"))
    #expect(client.readToEnd() == "")
    #expect(client.end == .fin)
    #expect(server.notes.isEmpty)
  }

  @Test func halfARequestIsNothing() throws {
    let server = try TestServer()
    let head = try server.client()
    head.send("GET /hello HTTP/1.1\r\nHo")
    head.finishSending()
    #expect(head.readToEnd() == "")
    #expect(head.end == .fin)
    let body = try server.client()
    body.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    body.finishSending()
    #expect(body.readResponse().status == 400)
    #expect(server.notes.isEmpty)
  }

  /// Deadlines: too slow is 408, idle is a silent FIN.
  @Test func slowClients() throws {
    let server = try TestServer {
      $0.headTimeout = .milliseconds(5)
      $0.bodyTimeout = .milliseconds(5)
      $0.idleTimeout = .milliseconds(5)
    }
    let idle = try server.client()
    #expect(idle.readToEnd() == "")
    #expect(idle.end == .fin)
    let again = try TestServer { $0.headTimeout = .milliseconds(5) }
    let head = try again.client()
    head.send("GET / HT")
    #expect(head.readResponse().status == 408)
    let slow = try TestServer { $0.bodyTimeout = .milliseconds(5) }
    let body = try slow.client()
    body.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    #expect(body.readResponse().status == 408)
    #expect(body.readToEnd() == "")
    #expect(body.end == .fin)
  }

  @Test func aClientThatReadsNothingIsGivenUp() throws {
    let server = try TestServer { $0.sendTimeout = .milliseconds(5) }
    let client = try server.client()
    client.send("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
    // The client is there and takes nothing: every buffer on the way fills up.
    var note = "waits"
    while note == "waits" { note = server.notes.next() }
    #expect(note == "left")
  }
}
