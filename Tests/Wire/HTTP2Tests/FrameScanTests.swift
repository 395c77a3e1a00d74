import HTTP2
import Primitives
import Testing

/// What nghttp2 lets pass and RFC 9113 does not: a client whose idea of its streams is not ours would be
/// left in its error. Each fault is told in every cut of the bytes, and never one that a client of good
/// faith can cause.
@Suite struct FrameScanTests {
  private func headers(_ stream: UInt32, flags: UInt8 = 5) -> [UInt8] {
    frame(1, flags: flags, stream: stream, getRequest)
  }

  /// The code of the GOAWAY that these frames cause; nil when the session goes on.
  private func fault(_ frames: [UInt8], cut: Int) -> UInt8? {
    let pair = Pair()
    let bytes = greeting + frames
    var start = 0
    while start < bytes.count {
      let end = min(start + cut, bytes.count)
      guard pair.receive(Array(bytes[start..<end])) else {
        let sent = pair.drain(pair.server)
        let goAway = sent.indices.first { place in
          place + 17 <= sent.count && sent[place...].starts(with: [0, 0, 8, 7, 0, 0, 0, 0, 0])
        }
        return goAway.map { sent[$0 + 16] }
      }
      start = end
    }
    return nil
  }

  @Test(arguments: [1, 2, 7, 9, 10_000]) func faultsAreTold(cut: Int) {
    let reset = frame(3, stream: 1, [0, 0, 0, 8])
    let data = frame(0, stream: 1, [1, 2, 3])
    // Behind END_STREAM, and behind a reset of the client's own.
    #expect(fault(headers(1) + headers(1), cut: cut) == 5)
    #expect(fault(headers(1, flags: 4) + reset + data, cut: cut) == 5)
    #expect(fault(headers(1, flags: 4) + reset + headers(1), cut: cut) == 5)
    // A stream that was skipped may not be opened any more.
    #expect(fault(headers(5) + headers(3), cut: cut) == 1)
    #expect(fault(headers(3) + headers(1), cut: cut) == 1)
    // PRIORITY for the connection, and one that depends on itself.
    #expect(fault(frame(2, stream: 0, [0, 0, 0, 1, 15]), cut: cut) == 1)
    #expect(fault(frame(2, stream: 7, [0x80, 0, 0, 7, 15]), cut: cut) == 1)
  }

  @Test(arguments: [1, 2, 7, 9, 10_000]) func whatGoodClientsDoIsNone(cut: Int) {
    let body = headers(1, flags: 4) + frame(0, stream: 1, [1]) + frame(0, flags: 1, stream: 1, [2])
    let late = frame(8, stream: 1, [0, 0, 0, 1]) + frame(3, stream: 1, [0, 0, 0, 8])
    #expect(fault(body + late + headers(3) + headers(9) + headers(11), cut: cut) == nil)
    #expect(fault(frame(2, stream: 9, [0, 0, 0, 7, 15]) + headers(1), cut: cut) == nil)
  }

  /// Frames before a faulty one have been understood; it and those behind it have not.
  @Test func whatStandsBeforeAFaultCounts() {
    let pair = Pair()
    #expect(pair.receive(greeting))
    #expect(!pair.receive(headers(1) + headers(5) + headers(3) + headers(7)))
    #expect(pair.serverLog == ["1 GET /", "1 ended", "5 GET /", "5 ended"])
  }
}
