import Configuration
import HTTP2
import Primitives
import ProxyCore
import Testing

/// HTTP/2 towards clients, told by events. What could break: a stream that is not served as a
/// connection of its own would be, or that harms its neighbours.
@Suite struct ClientSessionTests {
  /// A client of HTTP/2 over backends that speak HTTP/1.1.
  private func story(
    backends: Int = 2, _ change: (inout Settings) -> Void = { _ in }
  ) -> (Story, SessionPeer) {
    let story = Story(backends: backends) {
      $0.pools[0].wireProtocol = .h1
      change(&$0)
    }
    return (story, story.acceptHTTP2())
  }

  @Test func aPrefaceMayComeInPieces() {
    let story = Story()
    _ = story.accept()
    let peer = story.attach("c1", .client)
    peer.ask()
    let bytes = peer.output()
    for byte in bytes.dropLast() { #expect(story.receive("c1", bytes: [byte]).isEmpty) }
    #expect(story.receive("c1", bytes: [bytes.last!]) == ["connect u1 b1"])
  }

  // PROPFIND begins like the preface.
  @Test func whatOnlyBeginsLikeAPrefaceIsHTTP11() {
    let story = Story()
    _ = story.accept()
    #expect(story.receive("c1", "PR") == [])
    #expect(story.receive("c1", "OPFIND /x HTTP/1.1\r\nHost: a\r\n\r\n") == ["connect u1 b1"])
    #expect(story.connected("u1")[0].hasPrefix("write u1 PROPFIND /x HTTP/1.1\r\n"))
  }

  @Test func aPrefaceThatStopsHasTheHeadsDeadline() {
    let story = Story { $0.listeners[0].requestHeadTimeout = .seconds(5) }
    _ = story.accept()
    _ = story.receive("c1", "PRI * HTTP/2.0\r\n")
    #expect(story.wait(.seconds(4)) == [])
    #expect(story.wait(.seconds(2)).first?.hasPrefix("write c1 HTTP/1.1 408") == true)
  }

  // Both come in one read from a balancer, which is the usual case.
  @Test(arguments: [0, 5, 24]) func aPrefaceBehindAProxyHeaderBeginsASession(kept: Int) {
    let story = Story { $0.listeners[0].proxyProtocol = true }
    _ = story.accept()
    let peer = story.attach("c1", .client)
    peer.ask()
    let bytes = peer.output()
    let header = Array("PROXY TCP4 9.8.7.6 10.0.0.2 1000 80\r\n".utf8)
    _ = story.receive("c1", bytes: header + bytes[..<kept])
    #expect(story.receive("c1", bytes: Array(bytes[kept...])) == ["connect u1 b1"])
    #expect(story.connected("u1")[0].contains("X-Forwarded-For: 9.8.7.6\r\n"))
  }

  @Test func streamsAreBalancedOneByOne() {
    let (story, peer) = story()
    for _ in 0..<4 { peer.ask() }
    #expect(
      story.deliver("c1")
        == ["connect u1 b1", "connect u2 b0", "connect u3 b1", "connect u4 b0"])
    for name in ["u1", "u2", "u3", "u4"] { _ = story.connected(name) }
    // In whatever order they come.
    #expect(
      story.receive("u3", answer("three")) == ["c1: 5 200", "c1: 5 data three", "c1: 5 ended"])
    #expect(story.receive("u1", answer("one")) == ["c1: 1 200", "c1: 1 data one", "c1: 1 ended"])
    #expect(story.openExchanges == 2)
  }

  @Test func whatABackendHoldsBackIsHeldBackFromTheClient() {
    let (story, peer) = story(backends: 1)
    peer.ask("POST", body: String(repeating: "x", count: 300_000), ends: false)
    _ = story.settle("c1")
    _ = story.connected("u1")
    _ = story.settle("c1")
    _ = story.blocked("u1")
    // So much is let in by the window, and nothing more.
    peer.say(1, String(repeating: "y", count: 700_000))
    var taken = 0
    while true {
      let bytes = peer.output()
      if bytes.isEmpty { break }
      taken += bytes.count
      _ = story.receive("c1", bytes: bytes)
    }
    #expect(taken > 200_000 && taken < 300_000)
    #expect(story.largestInput == 0)
    _ = story.drained("u1")
    #expect(peer.output().count > 200_000)
  }

  // RFC 9113, 8.1: the end of the request may come before there is anywhere to send it to.
  @Test func aRequestThatEndsBeforeItsConnectionStands() {
    let (story, peer) = story(backends: 1)
    peer.ask("POST", ends: false)
    #expect(story.deliver("c1") == ["connect u1 b0"])
    peer.say(1, "hello")
    #expect(story.deliver("c1") == [])
    peer.say(1, " world", trailers: "x-check: 7\r\n")
    #expect(story.deliver("c1") == [])
    let sent = story.connected("u1")
    #expect(sent[0].contains("\r\ntransfer-encoding: chunked\r\n"))
    #expect(
      sent.joined().hasSuffix("write u1 b\r\nhello world\r\nwrite u1 0\r\nx-check: 7\r\n\r\n"))
  }

  @Test func aBodyInOnePieceHasItsLength() {
    let (story, peer) = story(backends: 1)
    peer.ask("POST", body: "hello")
    _ = story.deliver("c1")
    let sent = story.connected("u1")
    #expect(sent.count == 1)
    #expect(sent[0].contains("\r\ncontent-length: 5\r\n"))
    #expect(sent[0].hasSuffix("\r\n\r\nhello"))
  }

  @Test func trailersOfAnAnswerArrive() {
    let (story, peer) = story(backends: 1)
    peer.ask()
    _ = story.deliver("c1")
    _ = story.connected("u1")
    let text =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
    #expect(
      story.receive("u1", text)
        == ["c1: 1 200", "c1: 1 data ok", "c1: 1 trailers x-sum: 7\r\n", "c1: 1 ended"])
  }

  @Test func aStreamThatIsGivenUpAbortsItsRequestAlone() {
    let (story, peer) = story()
    peer.ask()
    peer.ask()
    _ = story.deliver("c1")
    _ = story.connected("u1")
    _ = story.connected("u2")
    peer.reset(1)
    #expect(story.deliver("c1") == ["reset u1"])
    #expect(story.receive("u2", answer("two")).last == "c1: 3 ended")
  }

  // An answer that breaks off looks like one: RST_STREAM with an error, at once.
  @Test func aCutAnswerIsReset() {
    let (story, peer) = story(backends: 1)
    peer.ask()
    _ = story.deliver("c1")
    _ = story.connected("u1")
    _ = story.receive("u1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    #expect(story.ended("u1") == ["reset u1", "c1: 1 reset 2"])
  }

  @Test func aCutAnswerToARequestThatGoesOnIsResetToo() {
    let (story, peer) = story(backends: 1)
    peer.ask("POST", body: "more follows", ends: false)
    _ = story.deliver("c1")
    _ = story.connected("u1")
    _ = story.receive("u1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    #expect(story.ended("u1") == ["reset u1", "c1: 1 reset 2"])
  }

  @Test func anEarlyAnswerEndsTheRequestWithoutAnError() {
    let (story, peer) = story(backends: 1)
    peer.ask("POST", body: "more follows", ends: false)
    _ = story.deliver("c1")
    _ = story.connected("u1")
    let effects = story.receive("u1", answer("no", status: "413 Content Too Large"))
    #expect(effects == ["close u1", "c1: 1 413", "c1: 1 data no", "c1: 1 ended"])
    // By RST_STREAM without an error.
    #expect(!peer.isOpen(1))
  }

  @Test func aSessionThatBlocksIsNotRead() {
    let (story, peer) = story(backends: 1)
    peer.ask()
    _ = story.deliver("c1")
    _ = story.connected("u1")
    #expect(story.blocked("c1") == ["pause c1"])
    #expect(
      story.receive("u1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") == ["pause u1"])
    #expect(
      story.drained("c1") == ["resume c1", "c1: 1 200", "c1: 1 data half", "resume u1"])
  }

  // One that takes no frames at all does not stay for ever.
  @Test func aSessionThatStaysBlockedIsCut() {
    let (story, peer) = story(backends: 1) { $0.listeners[0].sendTimeout = .seconds(20) }
    peer.ask()
    _ = story.deliver("c1")
    _ = story.connected("u1")
    _ = story.blocked("c1")
    #expect(story.wait(.seconds(19)) == [])
    #expect(story.wait(.seconds(2)) == ["reset c1", "reset u1"])
  }

  // Its answers are over for us, and it takes none of them. What could break: the loop wakes for it
  // again and again, or it stays.
  @Test(.timeLimit(.minutes(1))) func anIdleSessionThatTakesNothingGoes() {
    let (story, peer) = story(backends: 1) {
      $0.listeners[0].idleTimeout = .seconds(30)
      $0.listeners[0].sendTimeout = .seconds(20)
    }
    peer.consumes = false
    peer.ask()
    _ = story.settle("c1")
    _ = story.connected("u1")
    _ = story.receive("u1", answer(String(repeating: "x", count: 100_000)))
    #expect(story.openExchanges == 0)
    #expect(story.wait(.seconds(31)).filter { $0.hasPrefix("c1") } == ["c1: goaway 1 0"])
    #expect(story.wait(.seconds(18)).filter { $0.hasSuffix("c1") } == [])
    #expect(story.wait(.seconds(2)).filter { $0.hasSuffix("c1") } == ["reset c1"])
    #expect(story.openSessions == 0)
  }

  // MARK: The end

  @Test func anIdleSessionSaysGoodbye() {
    let (story, _) = story { $0.listeners[0].idleTimeout = .seconds(30) }
    _ = story.settle("c1")
    #expect(story.wait(.seconds(29)) == [])
    #expect(story.wait(.seconds(2)) == ["c1: goaway 0 0", "close c1"])
  }

  @Test func settingsMustBeAcknowledged() {
    let story = Story()
    _ = story.accept()
    // A preface and settings, and then silence.
    let hello = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
    _ = story.attach("c1", .client)
    _ = story.receive("c1", bytes: hello)
    #expect(story.wait(.seconds(9)) == [])
    #expect(story.wait(.seconds(2)) == ["c1: goaway 0 4", "close c1"])
  }

  // RFC 9113, 6.8: first no new ones, then which was the last; what is under way is served.
  @Test func drainingTakesTwoSteps() {
    let (story, peer) = story()
    peer.ask()
    _ = story.settle("c1")
    _ = story.connected("u1")
    // It was on its way before the client knew.
    peer.ask()
    let underWay = peer.output()
    #expect(story.drain() == ["c1: goaway 2147483647 0"])
    #expect(story.receive("c1", bytes: underWay) == ["connect u2 b0"])
    #expect(story.settle("c1") == ["c1: goaway 3 0"])
    #expect(story.receive("u1", answer("one")).contains("c1: 1 ended"))
    _ = story.connected("u2")
    #expect(story.receive("u2", answer("two")).suffix(2) == ["c1: 3 ended", "close c1"])
  }

  @Test func aClientThatAnswersNoPingIsDrainedAllTheSame() {
    let (story, peer) = story(backends: 1)
    peer.ask()
    _ = story.settle("c1")
    _ = story.connected("u1")
    _ = story.drain()
    #expect(story.wait(.milliseconds(900)) == [])
    #expect(story.wait(.milliseconds(200)) == ["c1: goaway 1 0"])
    #expect(story.receive("u1", answer("one")).contains("close c1"))
  }

  // Held output is output: the last words before the cut arrive.
  @Test(arguments: [false, true]) func aCutTellsEveryStream(holds: Bool) {
    let (story, peer) = story()
    peer.ask()
    _ = story.settle("c1")
    _ = story.connected("u1")
    if holds { story.holdOutput() }
    let effects = story.cut()
    #expect(effects.contains("c1: 1 503"))
    #expect(effects.last == "close c1")
  }

  // Answers that come in one turn for one client take one write.
  @Test func whatIsHeldGoesOutWhenTheTurnEnds() {
    let (story, peer) = story()
    story.holdOutput()
    peer.ask()
    peer.ask()
    _ = story.deliver("c1")
    _ = story.endTurn()
    _ = story.connected("u1")
    _ = story.connected("u2")
    #expect(story.receive("u1", answer("one")) == [])
    #expect(story.receive("u2", answer("two")) == [])
    #expect(
      story.endTurn()
        == [
          "c1: 1 200", "c1: 1 data one", "c1: 1 ended", "c1: 3 200", "c1: 3 data two",
          "c1: 3 ended",
        ])
    #expect(!story.hasHeldOutput)
  }

  // MARK: TLS

  @Test func alpnBeginsASession() {
    let story = Story { settings in
      var tls = ListenerTLSSettings()
      tls.hosts = []
      settings.listeners[0].tls = tls
      settings.pools[0].wireProtocol = .h1
    }
    _ = story.accept()
    let peer = story.attach("c1", .client)
    #expect(
      story.secured("c1", Security(version: .tls13, isResumed: false, isHTTP2: true)) == [])
    peer.ask()
    #expect(story.deliver("c1") == ["connect u1 b1"])
    #expect(story.connected("u1")[0].contains("X-Forwarded-Proto: https\r\n"))
  }
}
