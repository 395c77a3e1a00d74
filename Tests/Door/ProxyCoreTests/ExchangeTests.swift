import Configuration
import Primitives
import ProxyCore
import Testing

/// The life of a request, told by events. What could break: a byte sent twice or to the wrong side,
/// a request repeated that must not be, a connection used again that must not be.
@Suite struct ExchangeTests {
  /// A story in which `c1` has asked and `u1` has been connected and written to.
  private func asked(
    _ text: String, backends: Int = 2, _ change: (inout Settings) -> Void = { _ in }
  ) -> (Story, [String]) {
    let story = Story(backends: backends, change)
    _ = story.accept()
    #expect(story.receive("c1", text).first?.hasPrefix("connect u1") == true)
    let effects = story.connected("u1")
    return (story, effects)
  }

  @Test func aRequestGoesUpstreamWholeAndItsAnswerComesBack() {
    let (story, sent) = asked(request("POST", "hello"))
    #expect(sent.count == 1)
    #expect(sent[0].hasPrefix("write u1 POST /x HTTP/1.1\r\nHost: a\r\n"))
    #expect(sent[0].contains("X-Forwarded-For: 10.0.0.1\r\n"))
    #expect(sent[0].hasSuffix("\r\n\r\nhello"))
    #expect(
      story.receive("u1", answer("world"))
        == ["write c1 HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld"])
    #expect(story.core.openExchanges == 0)
  }

  @Test func theNextRequestUsesTheSameConnectionInOneWrite() {
    let (story, _) = asked(request("GET"), backends: 1)
    _ = story.receive("u1", answer("one"))
    let effects = story.receive("c1", request("POST", "two"))
    #expect(effects.count == 1)
    #expect(effects[0].hasPrefix("write u1 POST"))
    #expect(effects[0].hasSuffix("two"))
  }

  @Test func aConnectionThatDiedUnnoticedIsNotUsed() {
    let (story, _) = asked(request("GET"), backends: 1)
    _ = story.receive("u1", answer("one"))
    _ = story.wait(.milliseconds(30))
    story.diesSilently("u1")
    #expect(story.receive("c1", request("POST", "two")).prefix(2) == ["drop u1", "connect u2 b0"])
    #expect(story.connected("u2").last?.hasSuffix("two") == true)
  }

  @Test func aRefusedConnectionIsTriedElsewhereEvenForAPOST() {
    let story = Story()
    _ = story.accept()
    _ = story.receive("c1", request("POST", "hello"))
    #expect(story.refused("u1") == ["drop u1", "connect u2 b0"])
    #expect(story.connected("u2").last?.hasSuffix("hello") == true)
  }

  @Test func aPOSTThatWasSentIsNeverRepeated() {
    let (story, _) = asked(request("POST", "hello"))
    let effects = story.ended("u1")
    #expect(effects[0] == "reset u1")
    #expect(effects[1].hasPrefix("write c1 HTTP/1.1 502 Bad Gateway\r\n"))
    #expect(effects[1].contains("\"code\":\"upstream_closed_early\""))
    #expect(effects.count == 2)
  }

  @Test(arguments: ["GET", "PUT"]) func anIdempotentRequestIsRepeatedElsewhereOnce(method: String) {
    let (story, _) = asked(request(method, method == "PUT" ? "hello" : nil))
    #expect(story.ended("u1") == ["reset u1", "connect u2 b0"])
    _ = story.connected("u2")
    #expect(story.broken("u2").last?.contains("502") == true)
  }

  @Test func anIdempotencyKeyMakesAPOSTRepeatable() {
    let (story, _) = asked(request("POST", "hello", fields: "Idempotency-Key: k\r\n"))
    #expect(story.ended("u1") == ["reset u1", "connect u2 b0"])
    #expect(story.connected("u2").last?.hasSuffix("hello") == true)
  }

  @Test func nothingIsRepeatedAfterTheFirstByteOfAnAnswer() {
    let (story, _) = asked(request("GET"))
    _ = story.receive("u1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    #expect(story.ended("u1") == ["reset u1", "close c1"])
  }

  @Test func aClientThatLeavesHasItsRequestAborted() {
    let (story, _) = asked(request("GET"))
    #expect(story.ended("c1") == ["reset u1", "drop c1"])
    #expect(story.core.openExchanges == 0)
    #expect(story.core.openConnections == 0)
  }

  @Test func aSlowReaderPausesTheBackend() {
    let (story, _) = asked(request("GET"))
    _ = story.receive("u1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    #expect(story.blocked("c1") == ["pause u1"])
    #expect(story.drained("c1") == ["resume u1"])
  }

  @Test func aSlowBackendPausesTheClient() {
    let (story, _) = asked("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
    #expect(story.blocked("u1") == ["pause c1"])
    #expect(story.drained("u1") == ["resume c1"])
    #expect(story.receive("c1", "halfhalf".prefix(6).description) == ["write u1 halfha"])
  }

  @Test func pipelinedRequestsAreAnsweredInOrder() {
    let (story, _) = asked(request("GET") + request("POST", "two"), backends: 1)
    let effects = story.receive("u1", answer("one"))
    #expect(effects[0].hasSuffix("one"))
    #expect(effects[1].hasPrefix("write u1 POST"))
    #expect(effects[1].hasSuffix("two"))
  }

  @Test func anEarlyAnswerEndsBothConnections() {
    let (story, _) = asked("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    let effects = story.receive("u1", answer("no", status: "413 Content Too Large"))
    #expect(effects[0].hasPrefix("write c1 HTTP/1.1 413"))
    #expect(effects[0].contains("Connection: close\r\n"))
    #expect(effects[1...] == ["close u1", "finish c1"])
    #expect(story.wait(.seconds(3)) == ["close c1"])
  }

  @Test func moreThanWasAnnouncedReachesNobody() {
    let (story, _) = asked(request("GET"))
    #expect(
      story.receive("u1", answer("five!") + "evil")
        == ["write c1 HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfive!", "close u1"])
  }

  @Test func bytesOnAnIdleConnectionEndIt() {
    let (story, _) = asked(request("GET"))
    _ = story.receive("u1", answer("one"))
    #expect(story.receive("u1", answer("poison")) == ["reset u1"])
  }

  @Test func aMalformedAnswerIsA502AndItsConnectionEnds() {
    let (story, _) = asked(request("POST", "x"))
    let effects = story.receive("u1", "HTTP/1.1 OK\r\n\r\n")
    #expect(effects[0] == "reset u1")
    #expect(effects[1].hasPrefix("write c1 HTTP/1.1 502"))
  }

  @Test func aMemberThatMovedIsNotReachedAtItsOldAddress() {
    let (story, _) = asked(request("GET"), backends: 1)
    story.reload { $0.pools[0].backends[0].address = .ipv4(0x7f00_0002, port: 9000) }
    // The exchange ends on the connection it has; the next request goes to the new address.
    #expect(story.receive("u1", answer("old")).last == "close u1")
    #expect(story.receive("c1", request("GET")) == ["connect u2 b0"])
  }

  @Test func aRemovedMemberFinishesWhatItHas() {
    let (story, _) = asked(request("GET"))
    story.reload { $0.pools[0].backends.removeLast() }
    #expect(story.receive("u1", answer("done")).first?.hasSuffix("done") == true)
    #expect(story.receive("c1", request("GET")) == ["connect u2 b0"])
  }

  /// EMFILE is ours and opens no breaker; ECONNREFUSED is the member's and does.
  @Test(arguments: [(Int32(24), false), (111, true)])
  func ourOwnShortageIsNotTheMembersFault(code: Int32, opens: Bool) {
    let story = Story {
      $0.pools[0].breaker.failures = 1
      $0.pools[0].breaker.maxEjected = 1
      $0.pools[0].retry.attempts = 1
    }
    _ = story.accept()
    _ = story.receive("c1", request("GET"))
    let effects = story.refused("u1", code: code)
    #expect(effects.contains { $0.contains(opens ? "connect_refused" : "connect_no_resources") })
    #expect(effects.contains { $0.hasPrefix("announce b1 opened") } == opens)
  }

  @Test func aSmallBodyGoesWithItsHeadAndALargeOneWaits() {
    let story = Story { $0.pools[0].retry.bodyLimit = 1_000 }
    _ = story.accept()
    let head = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n"
    #expect(story.receive("c1", head + "little") == ["connect u1 b1", "pause c1"])
    let sent = story.connected("u1")
    #expect(sent[0].hasSuffix("\r\n\r\nlittle"))
    #expect(sent[1...] == ["resume c1"])

    _ = story.accept()
    let large = String(repeating: "x", count: 1_500)
    #expect(story.receive("c2", head + large) == ["connect u2 b0", "pause c2"])
    let later = story.connected("u2")
    #expect(later[0].hasSuffix("\r\n\r\n"))
    #expect(later[1...] == ["write u2 \(large)", "resume c2"])
  }
}

/// Deadlines, each with its own end. What could break: a deadline that fires for another state, or
/// one that never does.
@Suite struct DeadlineTests {
  @Test func aBackendThatDoesNotAcceptIsLeftForAnother() {
    let story = Story()
    _ = story.accept()
    _ = story.receive("c1", request("POST", "x"))
    #expect(story.wait(.milliseconds(1_900)).isEmpty)
    #expect(story.wait(.milliseconds(200)) == ["reset u1", "connect u2 b0"])
  }

  @Test func silenceBeforeTheFirstByteIsA504() {
    let story = Story(backends: 1) { $0.pools[0].timeouts.firstByte = .seconds(30) }
    _ = story.accept()
    _ = story.receive("c1", request("GET"))
    _ = story.connected("u1")
    #expect(story.wait(.seconds(29)).isEmpty)
    let effects = story.wait(.seconds(2))
    #expect(effects[0] == "reset u1")
    #expect(effects[1].hasPrefix("write c1 HTTP/1.1 504"))
    #expect(effects[1].contains("first_byte_timeout"))
  }

  @Test func aStreamThatFallsSilentIsCut() {
    let story = Story { $0.pools[0].timeouts.betweenChunks = .seconds(20) }
    _ = story.accept()
    _ = story.receive("c1", request("GET"))
    _ = story.connected("u1")
    _ = story.receive("u1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    #expect(story.wait(.seconds(15)).isEmpty)
    _ = story.receive("u1", "3\r\ndef\r\n")
    #expect(story.wait(.seconds(15)).isEmpty)
    #expect(story.wait(.seconds(6)) == ["reset u1", "close c1"])
  }

  @Test func aSlowReaderIsNotTheBackendsSilence() {
    let story = Story {
      $0.pools[0].timeouts.betweenChunks = .seconds(20)
      $0.listeners[0].sendTimeout = .seconds(60)
    }
    _ = story.accept()
    _ = story.receive("c1", request("GET"))
    _ = story.connected("u1")
    _ = story.receive("u1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    _ = story.blocked("c1")
    #expect(story.wait(.seconds(50)).isEmpty)
    #expect(story.wait(.seconds(11)) == ["reset u1", "reset c1"])
  }

  @Test func aHeadThatNeverEndsIsA408() {
    let story = Story()
    _ = story.accept()
    _ = story.receive("c1", "GET / HTTP/1.1\r\nHo")
    _ = story.wait(.seconds(9))
    _ = story.receive("c1", "st: a\r\n")
    let effects = story.wait(.seconds(2))
    #expect(effects[0].hasPrefix("write c1 HTTP/1.1 408"))
    #expect(effects[1] == "finish c1")
  }

  @Test func aBodyBelowItsRateIsA408() {
    let story = Story()
    _ = story.accept()
    _ = story.receive("c1", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    _ = story.connected("u1")
    var effects: [String] = []
    for _ in 0..<11 {
      effects += story.wait(.seconds(1))
      if !effects.isEmpty { break }
      effects += story.receive("c1", "x").filter { !$0.hasPrefix("write u1") }
    }
    #expect(effects.first == "reset u1")
    #expect(effects.dropFirst().first?.hasPrefix("write c1 HTTP/1.1 408") == true)
  }

  @Test func idleConnectionsEndByThemselves() {
    let story = Story()
    _ = story.accept()
    _ = story.receive("c1", request("GET"))
    _ = story.connected("u1")
    _ = story.receive("u1", answer("x"))
    #expect(story.wait(.seconds(5)) == ["close u1"])
    #expect(story.wait(.seconds(75)) == ["close c1"])
    #expect(story.core.openConnections == 0)
    #expect(story.core.lentBlocks == 0)
  }

  @Test func aShorterKeepAliveOfTheBackendIsLearnt() {
    let story = Story(backends: 1)
    _ = story.accept()
    _ = story.receive("c1", request("GET"))
    _ = story.connected("u1")
    _ = story.receive("u1", answer("x", fields: "Keep-Alive: timeout=2\r\n"))
    #expect(story.wait(.milliseconds(1_100)) == ["close u1"])
  }
}
