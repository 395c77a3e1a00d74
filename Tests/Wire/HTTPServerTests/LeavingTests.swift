import EventLoop
import HTTPServer
import Primitives
import TestClient
import Testing

/// What breaks here: an engine that goes on for a client that has left, or a client that is left
/// without its answer.
@Suite struct LeavingTests {
  @Test func theHandlerIsToldThatTheClientHasLeft() throws {
    let server = try TestServer()
    do {
      let client = try server.client()
      client.send("GET /open-stream HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(client.read(through: "first").hasSuffix("first"))
      // Bytes that were never read turn the close into a reset.
      client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    }
    let gone = try TestServer { $0.leavingAborts = true }
    do {
      let client = try gone.client()
      client.send("GET /open-stream HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(client.read(through: "first").hasSuffix("first"))
    }
    #expect(gone.notes.next() == "left")
  }

  /// Half a close is a question of taste; both tastes must be served to the end.
  @Test func aClientThatHasSentEverythingStillGetsItsAnswer() throws {
    let server = try TestServer()
    let client = try server.client()
    client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
    client.finishSending()
    #expect(server.notes.next() == "held")
    server.release()
    #expect(client.readResponse().body == "released")
    #expect(client.readToEnd() == "")
    #expect(client.end == .fin)
    #expect(server.notes.isEmpty)
  }

  @Test func orCountsAsGone() throws {
    let server = try TestServer { $0.leavingAborts = true }
    let client = try server.client()
    client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(server.notes.next() == "held")
    client.finishSending()
    #expect(server.notes.next() == "left")
    #expect(client.readToEnd() == "")
    // What was answered at once is delivered even so.
    let quick = try server.client()
    quick.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    quick.finishSending()
    #expect(quick.readResponse().body == "hello")
    // Also with so much pipelined that reading has stopped.
    let busy = try server.client()
    busy.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(server.notes.next() == "held")
    busy.send(String(repeating: "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", count: 4_000))
    busy.finishSending()
    #expect(server.notes.next() == "left")
  }

  @Test func bytesGoBothWaysAfterATakeOver() throws {
    let server = try TestServer()
    let client = try server.client()
    // The first bytes stand right behind the request.
    client.send("GET /tunnel HTTP/1.1\r\nHost: a\r\n\r\nearly")
    let response = client.readResponse()
    #expect(response.status == 101)
    #expect(response["Connection"] == "Upgrade")
    #expect(response["Content-Length"] == nil)
    #expect(client.read(5) == "early")
    let large = String(repeating: "0123456789", count: 100_000)
    client.send("GET / HTTP/9\0")
    #expect(client.read(13) == "GET / HTTP/9\0")
    client.send(large)
    #expect(client.read(large.utf8.count) == large)
    // The other side is told that nothing more comes, and may still answer.
    client.finishSending()
    #expect(client.readToEnd() == "bye")
    #expect(client.end == .fin)
  }

  @Test func drainingLetsAnswersFinish() throws {
    let server = try TestServer()
    let idle = try server.client()
    idle.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(idle.readResponse().body == "hello")
    let busy = try server.client()
    busy.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(server.notes.next() == "held")
    server.drain()
    #expect(idle.readToEnd() == "")
    server.release()
    let response = busy.readResponse()
    #expect(response.body == "released")
    #expect(busy.readToEnd() == "")
    // Whether the kernel says so at once or a moment later is its affair.
    let late = try? server.client()
    #expect(late == nil || late?.readToEnd() == "")
  }

  @Test func closingTellsTheHandler() throws {
    let server = try TestServer()
    let client = try server.client()
    client.send("GET /open-stream HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(client.read(through: "first").hasSuffix("first"))
    server.close()
    #expect(server.notes.next() == "left")
    _ = client.readToEnd()
    #expect(client.end != .none)
  }

  @Test func aPortInUseIsAnErrorThatNamesIt() throws {
    let server = try TestServer()
    let loop = try EventLoop(index: 0, label: "second")
    let handler = TestHandler(Notes())
    let second = HTTPServer(loop: loop, handler: handler)
    do {
      try second.listen(on: server.address)
      Issue.record("the port was given away twice")
    } catch {
      #expect("\(error)" == "cannot listen on \(server.address): Address already in use")
    }
  }
}
