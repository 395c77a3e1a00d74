import CLinux
import EventLoop
import HTTPServer
import JSON
import Primitives
import Testing

@testable import Admin

/// The handler behind its real server, asked by the real client over loopback: that fields, bodies
/// and the token find their way.
struct AdminOverTheWireTests {
  /// A loop with an admin server, for one test.
  private final class House: @unchecked Sendable {
    // Touched on the loop, and before it starts.
    private let source = FakeSource()
    private let handler: AdminHandler
    private let server: HTTPServer
    private let loop: EventLoop
    let address: SocketAddress

    init(token: String?) throws {
      source.readiness.pools = [.init(name: "chat", usable: 1)]
      handler = AdminHandler(source: source, token: token)
      loop = try EventLoop(index: 0, label: "admin-test")
      server = HTTPServer(loop: loop, handler: handler)
      address = try server.listen(on: .ipv4(0x7f00_0001, port: 0))
      server.start()
    }

    func stop() {
      loop.post { [self] in server.close() }
      loop.stop()
    }
  }

  @Test func askedAndAnswered() throws {
    let house = try House(token: "t")
    defer { house.stop() }
    let client = AdminClient(address: house.address, token: "t")
    #expect(try client.ask("GET", "/healthz") == .init(status: 200, body: Array("ok\n".utf8)))
    #expect(try client.ask("GET", "/").text.hasSuffix("</script>\n"))
    let fleet = try client.ask("GET", "/fleet")
    #expect(fleet.status == 200)
    #expect(try FleetView(JSONValue(fleet.body)).version == "0.1.0")
    #expect(try client.ask("POST", "/pools/chat/backends/gpu-a/drain").status == 200)
    #expect(try client.ask("GET", "/reload").status == 405)
    let stranger = AdminClient(address: house.address, token: nil)
    #expect(try stranger.ask("GET", "/fleet").status == 401)
    #expect(try stranger.ask("GET", "/readyz").text == "ready\npool chat: 1 of 1 backend usable\n")
  }

  // What the person sees who asks while Portico is not running.
  @Test func nobodyThereIsSaidPlainly() throws {
    let house = try House(token: nil)
    let address = house.address
    let listener = try Sockets.listen(.ipv4(0x7f00_0001, port: 0))
    let free = try #require(Sockets.localAddress(of: listener))
    _ = portico_close(listener)
    house.stop()
    #expect(address != free)
    do {
      _ = try AdminClient(address: free, token: nil).ask("GET", "/fleet")
      Issue.record("something listens on \(free)")
    } catch {
      #expect(
        error.description == "cannot reach the admin listener at \(free): Connection refused"
          + "; is Portico running, and is this its admin.address?")
    }
  }

  // A listener whose program never answers must not hang the command.
  @Test func silenceEndsAtTheTimeout() throws {
    let listener = try Sockets.listen(.ipv4(0x7f00_0001, port: 0))
    defer { _ = portico_close(listener) }
    let address = try #require(Sockets.localAddress(of: listener))
    let client = AdminClient(address: address, token: nil, timeout: .milliseconds(30))
    #expect(throws: AdminClient.Failure.timedOut(address, after: .milliseconds(30))) {
      try client.ask("GET", "/fleet")
    }
    #expect(
      AdminClient.Failure.timedOut(address, after: .milliseconds(30)).description
        == "\(address) did not answer within 30ms; is this Portico's admin.address?")
  }

  @Test(
    arguments: [
      ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, 3, true),
      ("HTTP/1.0 404\r\ncontent-length:  12\r\n\r\n", 404, 12, true),
      ("HTTP/1.1 200 OK\r\n\r\n", 200, nil, true),
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, nil, false),
      ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 200, -1, false),
      ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 200, nil, false),
      ("HTTP/1.1 99 OK\r\n\r\n", 99, nil, false),
      ("SSH-2.0-OpenSSH\r\n\r\n", 0, nil, false),
    ] as [(String, Int, Int?, Bool)])
  func headsAreRead(text: String, status: Int, length: Int?, isUnderstood: Bool) throws {
    let head = try #require(ReplyHead(Array(text.utf8)))
    #expect(head.status == status)
    #expect(head.length == length)
    #expect(head.isUnderstood == isUnderstood)
    #expect(ReplyHead(Array("HTTP/1.1 200 OK\r\nContent-Le".utf8)) == nil)
  }

  @Test func anEndlessHeadIsRefused() throws {
    let head = try #require(ReplyHead(Array(repeating: 0x41, count: 70_000)))
    #expect(!head.isUnderstood)
  }
}
