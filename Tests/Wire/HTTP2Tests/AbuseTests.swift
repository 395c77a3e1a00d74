import HTTP2
import Primitives
import Testing

/// Peers that do what only attackers and broken programs do. Frames are made by hand: our own session
/// would not send them.
@Suite struct AbuseTests {
  private func headers(_ stream: UInt32, flags: UInt8 = 5, _ block: [UInt8] = getRequest) -> [UInt8]
  {
    frame(1, flags: flags, stream: stream, block)
  }

  /// One stream too many is refused by itself; those before it are served. nghttp2 alone would end the
  /// connection.
  @Test func aStreamOverTheLimitIsRefusedAlone() {
    let pair = Pair(server: HTTP2Settings(streamLimit: 2))
    #expect(pair.receive(greeting))
    let settings = pair.drain(pair.server)
    // SETTINGS_MAX_CONCURRENT_STREAMS says what is meant, not what nghttp2 was told.
    #expect(settings.indices.contains { settings[$0...].starts(with: [0, 3, 0, 0, 0, 2]) })
    #expect(pair.receive(frame(4, flags: 1, []) + headers(1) + headers(3) + headers(5)))
    let frames = pair.drain(pair.server)
    #expect(pair.serverLog == ["1 GET /", "1 ended", "3 GET /", "3 ended"])
    #expect(contains(frames, frame(3, stream: 5, [0, 0, 0, 7])))
  }

  /// CVE-2023-44487: streams that are opened and reset at once. A budget, and then the end.
  @Test func resetsWithoutEndEndTheConnection() {
    let pair = Pair(server: HTTP2Settings(resetBurst: 20, resetsPerSecond: 0))
    _ = pair.receive(greeting)
    var isGood = true
    var stream: UInt32 = 1
    while isGood, stream < 200 {
      isGood = pair.receive(headers(stream, flags: 4) + frame(3, stream: stream, [0, 0, 0, 8]))
      stream += 2
    }
    #expect(!isGood)
    #expect(stream == 43)
    #expect(pair.server.isFlooded)
    // GOAWAY with ENHANCE_YOUR_CALM.
    #expect(contains(pair.drain(pair.server), [0, 0, 0, 11]))
    #expect(pair.server.isOver)
  }

  /// CVE-2025-8671: the same, but it is we who reset, because the client makes us.
  @Test func resetsThatWeAreMadeToSendCountToo() {
    let pair = Pair(server: HTTP2Settings(resetBurst: 20, resetsPerSecond: 0))
    _ = pair.receive(greeting)
    var stream: UInt32 = 1
    while !pair.server.isFlooded, stream < 200 {
      // A window that would be over 2^31 is an error of the stream.
      _ = pair.receive(headers(stream) + frame(8, stream: stream, [0x7f, 0xff, 0xff, 0xff]))
      _ = pair.drain(pair.server)
      stream += 2
    }
    #expect(stream == 43)
  }

  /// The budget comes back with time: a client that cancels now and then is nobody's enemy.
  @Test func aBudgetComesBack() {
    let pair = Pair(server: HTTP2Settings(resetBurst: 5, resetsPerSecond: 1))
    _ = pair.receive(greeting)
    for round in 0..<50 {
      let stream = UInt32(2 * round + 1)
      #expect(pair.receive(headers(stream, flags: 4) + frame(3, stream: stream, [0, 0, 0, 8])))
      pair.now = pair.now + .seconds(1)
    }
  }

  /// Empty DATA frames cost us more than the peer.
  @Test func emptyFramesEndTheConnection() {
    let pair = Pair(server: HTTP2Settings(glitchBurst: 10, glitchesPerSecond: 0))
    _ = pair.receive(greeting + headers(1, flags: 4))
    var sent = 0
    while sent < 100, pair.receive(frame(0, stream: 1, [])) { sent += 1 }
    #expect(sent < 12)
  }

  /// A head over its limit is not kept, and the owner is told, so that it can answer 431.
  @Test func aHeadOverItsLimitIsNotKept() {
    let pair = Pair(server: HTTP2Settings(headBytes: 1_000))
    let field: [UInt8] =
      [0x00, 0x01, 0x78, 0x7f, 0x81, 0x01] + [UInt8](repeating: 0x61, count: 256)
    var block = getRequest
    for _ in 0..<8 { block += field }
    _ = pair.receive(greeting + headers(1, block))
    #expect(pair.serverLog.first == "1 GET / too large")
    #expect(pair.serverLog[1].utf8.count < 1_000)
  }

  /// One byte names a long field of the table again: the list grows where the frame does not.
  @Test func aListThatExplodesEndsTheConnection() {
    let pair = Pair(server: HTTP2Settings(headBytes: 4_096))
    _ = pair.receive(greeting)
    var block = getRequest + [0x40, 0x01, 0x78, 0x7f, 0x81, 0x0f]
    block += [UInt8](repeating: 0x61, count: 2_048)
    block += [UInt8](repeating: 0xbe, count: 10_000)
    #expect(!pair.receive(headers(1, block)))
    #expect(pair.server.isFlooded)
  }

  /// Fields that nghttp2 would leave out of the head are errors here: what the client sent is what is
  /// judged.
  @Test func aFieldThatIsNoneResetsTheStream() {
    let pair = Pair()
    let bad: [UInt8] = [0x00, 0x01, 0x78, 0x03, 0x61, 0x0d, 0x0a]
    _ = pair.receive(greeting + headers(1, getRequest + bad))
    #expect(pair.serverLog.isEmpty)
    _ = pair.drain(pair.server)
    #expect(pair.server.openStreams <= 1)
  }

  /// Continuations without end are what CVE-2024-27316 was about.
  @Test func continuationsWithoutEndEndTheConnection() {
    let pair = Pair()
    _ = pair.receive(greeting + headers(1, flags: 0))
    var sent = 0
    while sent < 100, pair.receive(frame(9, stream: 1, [0x00, 0x01, 0x78, 0x01, 0x79])) {
      sent += 1
    }
    #expect(sent < 20)
  }

  /// Acknowledgements pile up when the peer does not read them.
  @Test func pingsThatNobodyReadsEndTheConnection() {
    let pair = Pair()
    _ = pair.receive(greeting)
    var sent = 0
    while sent < 1_000, pair.receive(frame(6, [0, 0, 0, 0, 0, 0, 0, 0])) { sent += 1 }
    #expect(sent < 300)
  }

  private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
    bytes.indices.contains { bytes[$0...].starts(with: part) }
  }
}
