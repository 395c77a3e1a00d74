import HTTP2
import Primitives
import Testing

/// One session against another, in memory.
@Suite struct SessionTests {
  /// What a client says must come out as it went in, however the transport cut it: heads whose
  /// beginning came in an earlier input are put together again.
  @Test(arguments: [0, 1, 2, 3, 7, 64]) func aRequestIsUnderstoodHoweverItIsCut(cut: Int) {
    let pair = Pair()
    pair.cut = cut
    let stream = request(
      pair.client, [("x-one", "1"), ("cookie", "a=1"), ("cookie", "b=2")], method: "POST",
      ends: false)!
    withTexts(["hello", "x-sum: 5\r\n"]) { texts in
      pair.client.send(stream, texts[0])
      pair.client.end(stream, trailers: texts[1])
      pair.settle()
    }
    #expect(
      pair.serverLog == [
        "1 POST /", "x-one: 1\r\ncookie: a=1\r\ncookie: b=2\r\n", "1 data hello",
        "1 trailers x-sum: 5\r\n", "1 ended",
      ])
  }

  /// Head, body and trailers of an answer; both sides have ended, so the stream closes without error.
  @Test func anAnswerClosesTheStream() {
    let pair = Pair()
    _ = request(pair.client)
    pair.settle()
    withTexts(["body", "grpc-status: 0\r\n"]) { texts in
      answer(pair.server, 0, ends: false)
      pair.server.send(0, texts[0])
      pair.server.end(0, trailers: texts[1])
      pair.settle()
    }
    #expect(
      pair.clientLog == [
        "1 200", "1 data body", "1 trailers grpc-status: 0\r\n", "1 ended", "1 closed 0",
      ])
    #expect(pair.serverLog.last == "1 closed 0")
    #expect(pair.server.openStreams == 0)
  }

  /// Bytes that the owner has not used must not be replaced by others: the sender stops at the window,
  /// and what it wanted to send waits with it.
  @Test func bytesThatAreNotUsedStopTheSender() {
    let pair = Pair(server: HTTP2Settings(streamWindow: 70_000, connectionWindow: 1 << 20))
    pair.serverConsumes = false
    let stream = request(pair.client, method: "POST", ends: false)!
    pair.settle()
    let body = String(repeating: "x", count: 200_000)
    withTexts([body]) { texts in
      pair.client.send(stream, texts[0])
      pair.settle()
    }
    #expect(pair.client.waitingBytes(stream) == 130_000)
    #expect(pair.client.nextChange()?.isStuck == true)
    pair.server.consume(0, 70_000)
    pair.settle()
    #expect(pair.client.waitingBytes(stream) == 60_000)
    pair.serverConsumes = true
    pair.server.consume(0, 70_000)
    pair.settle()
    #expect(pair.client.waitingBytes(stream) == 0)
    #expect(pair.client.nextChange()?.isStuck == false)
  }

  /// An answer that comes before the request has ended asks the client to stop, without calling it an
  /// error: RFC 9113, 8.1.
  @Test func anEarlyAnswerSettlesTheStream() {
    let pair = Pair()
    let stream = request(pair.client, method: "POST", ends: false)!
    pair.settle()
    withTexts(["no"]) { texts in
      answer(pair.server, 0, ends: false)
      pair.server.send(0, texts[0])
      pair.server.end(0)
      pair.server.settle(0)
      pair.settle()
    }
    #expect(pair.clientLog == ["1 200", "1 data no", "1 ended", "1 closed 0"])
    #expect(pair.client.isClosed(stream))
  }

  /// The end is announced first, so that requests on their way are served; then the last one is named.
  @Test func theEndComesInTwoSteps() {
    let pair = Pair()
    _ = request(pair.client)
    pair.settle()
    pair.server.announceEnd()
    pair.settle()
    #expect(pair.clientLog == ["goaway 2147483647 0"])
    #expect(!pair.client.takesRequests)
    pair.server.sayGoodbye()
    pair.settle()
    #expect(pair.clientLog.last == "goaway 1 0")
    answer(pair.server, 0, ends: true)
    pair.settle()
    #expect(pair.clientLog.suffix(3) == ["1 200", "1 ended", "1 closed 0"])
  }
}
