import CLinux
import EventLoop
import Glibc
import Primitives
import Testing

/// What breaks here: an address that is written wrongly for the kernel connects somewhere else.
@Suite struct SocketsTests {
  private func temporaryPath() -> String {
    "/tmp/portico-test-\(getpid())-\(UInt32.random(in: 0...(.max))).sock"
  }

  private func speaks(_ address: SocketAddress) -> Bool {
    guard let listener = try? Sockets.listen(address) else { return false }
    close(listener)
    return true
  }

  /// The address goes to the kernel and comes back; both sides agree on who is who.
  @Test(arguments: ["127.0.0.1:0", "127.8.9.10:0", "[::1]:0"])
  func anAddressSurvivesTheKernel(text: String) throws {
    let wanted = try #require(SocketAddress(text))
    // A machine without IPv6 has nothing to say about it.
    guard text.hasPrefix("127") || speaks(wanted) else { return }
    let listener = try Sockets.listen(wanted)
    defer { close(listener) }
    let bound = try #require(Sockets.localAddress(of: listener))
    #expect(bound.host == wanted.host)
    #expect(bound.port != 0)
    let client = Sockets.connect(bound)
    #expect(client >= 0)
    defer { close(client) }
    let (server, peer) = Sockets.accept(listener)
    #expect(server >= 0)
    defer { close(server) }
    #expect(peer == Sockets.localAddress(of: client))
    #expect(Sockets.accept(listener).fd == -EAGAIN)
  }

  /// A Unix socket's peer has no name of its own, and the listener keeps its path.
  @Test func unixSockets() throws {
    let path = temporaryPath()
    defer { unlink(path) }
    let listener = try Sockets.listen(.unix(path: path))
    defer { close(listener) }
    #expect(Sockets.localAddress(of: listener) == .unix(path: path))
    let client = Sockets.connect(.unix(path: path))
    #expect(client >= 0)
    defer { close(client) }
    let (server, peer) = Sockets.accept(listener)
    #expect(server >= 0)
    defer { close(server) }
    #expect(peer == .unix(path: ""))
  }

  /// A process that was killed leaves its socket file; the next one must start all the same.
  @Test func aStaleSocketFileIsReplaced() throws {
    let path = temporaryPath()
    defer { unlink(path) }
    close(try Sockets.listen(.unix(path: path)))
    let listener = try Sockets.listen(.unix(path: path))
    close(listener)
  }

  /// A second process must not steal the socket of a living one, nor remove a file that is none.
  @Test func whatIsInUseIsLeftAlone() throws {
    let path = temporaryPath()
    defer { unlink(path) }
    let listener = try Sockets.listen(.unix(path: path))
    defer { close(listener) }
    #expect(throws: SystemError(code: EADDRINUSE, action: "listen on unix:\(path)")) {
      try Sockets.listen(.unix(path: path))
    }
    let file = path + ".txt"
    defer { unlink(file) }
    close(open(file, O_CREAT | O_WRONLY, 0o600))
    #expect(throws: SystemError(code: EADDRINUSE, action: "listen on unix:\(file)")) {
      try Sockets.listen(.unix(path: file))
    }
    #expect(access(file, F_OK) == 0)
  }

  @Test func aPortInUseIsNamed() throws {
    let first = try Sockets.listen(SocketAddress("127.0.0.1:0")!)
    defer { close(first) }
    let bound = try #require(Sockets.localAddress(of: first))
    do {
      close(try Sockets.listen(bound))
      Issue.record("a port was given away twice")
    } catch {
      #expect("\(error)" == "cannot listen on \(bound): Address already in use")
    }
  }

  @Test func aPathThatIsTooLongIsRefused() {
    let path = "/" + String(repeating: "x", count: 200)
    #expect(Sockets.connect(.unix(path: path)) == -ENAMETOOLONG)
    #expect(throws: SystemError(code: ENAMETOOLONG, action: "listen on unix:\(path)")) {
      try Sockets.listen(.unix(path: path))
    }
  }
}
