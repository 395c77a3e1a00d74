import HTTP
import HTTP1
import Primitives
import Testing

@testable import Transcode

/// Chunks of our own, taken apart again. What could break: a cut between two writes hides or doubles a
/// byte, an end that is not one, trailers that get lost.
@Suite struct ChunkReaderTests {
  private func read(_ text: [UInt8], cuts: [Int]) -> (data: String, trailers: String, ends: Int) {
    var reader = ChunkReader()
    var data: [UInt8] = []
    var trailers: [UInt8] = []
    var ends = 0
    var start = 0
    for end in cuts + [text.count] {
      Array(text[start..<end]).withUnsafeBytes { piece in
        var rest = piece
        while true {
          switch reader.next(&rest) {
          case .data(let bytes): data += bytes
          case .trailers(let bytes): trailers += bytes
          case .end: ends += 1
          case .more:
            #expect(rest.isEmpty)
            return
          }
          if ends > 0, rest.isEmpty { return }
        }
      }
      start = end
    }
    #expect(reader.hasEnded == (ends == 1))
    return (
      String(decoding: data, as: UTF8.self), String(decoding: trailers, as: UTF8.self), ends
    )
  }

  /// What the decoder makes of a body that came in pieces.
  private func decoded(
    _ body: [UInt8], _ framing: Framing, pieces: [Int], endsAtClose: Bool = false
  ) -> [UInt8] {
    var decoder = BodyDecoder(framing)
    var gather = Gather()
    var out: [UInt8] = []
    func take() {
      for segment in gather.segments[gather.cut()] {
        out += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
      }
      gather.reset()
    }
    var start = 0
    for end in pieces + [body.count] {
      Array(body[start..<end]).withUnsafeBytes { bytes in
        let result = decoder.decode(
          bytes, outFraming: .chunked, limits: BodyLimits(), into: &gather)
        #expect(result.rejected == nil)
        take()
      }
      start = end
    }
    if endsAtClose {
      #expect(decoder.finishAtClose(outFraming: .chunked, into: &gather))
      take()
    }
    return out
  }

  @Test func everyCutGivesTheSame() {
    let sent = Array(
      "5\r\nhello\r\n1;x=y\r\n,\r\nA\r\n0123456789\r\n0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n".utf8)
    for inner in 0...sent.count {
      let text = decoded(sent, .chunked, pieces: [inner])
      for cut in 0...text.count {
        let (data, trailers, ends) = read(text, cuts: [cut])
        #expect(data == "hello,0123456789")
        #expect(trailers == "X-One: 1\r\nX-Two: 2\r\n")
        #expect(ends == 1)
      }
    }
  }

  @Test func everyByteAlone() {
    let text = decoded(
      Array("3\r\nabc\r\n0\r\nX: y\r\n\r\n".utf8), .chunked, pieces: [])
    let (data, trailers, ends) = read(text, cuts: Array(1..<text.count))
    #expect(data == "abc")
    #expect(trailers == "X: y\r\n")
    #expect(ends == 1)
  }

  // A body without framing of its own becomes chunks when it passes the decoder.
  @Test(arguments: [[], [1], [2, 4]]) func aBodyThatEndsWithItsStream(pieces: [Int]) {
    let text = decoded(Array("hello".utf8), .untilClose, pieces: pieces, endsAtClose: true)
    let (data, trailers, ends) = read(text, cuts: [])
    #expect(data == "hello")
    #expect(trailers.isEmpty)
    #expect(ends == 1)
    // Nothing at all is a body too.
    #expect(read(decoded([], .untilClose, pieces: [], endsAtClose: true), cuts: []).ends == 1)
  }

  @Test func largeChunksKeepTheirSize() {
    let body = [UInt8](repeating: 0x61, count: 70_000)
    let text = decoded(body, .untilClose, pieces: [1, 65_537], endsAtClose: true)
    #expect(read(text, cuts: [3, 9, 60_000]).data.utf8.count == body.count)
    let upper = Array("1f\r\n\(String(repeating: "x", count: 31))\r\n0\r\n\r\n".utf8)
    #expect(read(upper, cuts: [1]).data.count == 31)
  }

  @Test func nothingIsReadBehindTheEnd() {
    var reader = ChunkReader()
    Array("0\r\n\r\nmore".utf8).withUnsafeBytes { bytes in
      var rest = bytes
      guard case .end = reader.next(&rest) else {
        Issue.record("no end")
        return
      }
      #expect(reader.hasEnded)
      guard case .more = reader.next(&rest) else {
        Issue.record("something behind the end")
        return
      }
    }
  }
}
