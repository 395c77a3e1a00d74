import Primitives
import Testing

@testable import TLS

@Suite struct TransferTests {
  /// Repeats after 251 bytes, which no record and no power of two is a multiple of.
  private static let pattern = (0..<70_251).map { UInt8($0 % 251) }

  /// Both directions at once, in pieces of all sizes, cut anywhere: not a byte is lost, doubled or
  /// swapped.
  @Test(arguments: [TLSVersion.tls12, .tls13], UInt64(0)..<4)
  func bothWaysAtOnce(version: TLSVersion, seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var settings = village.clientSettings
    settings.maximumVersion = version
    let pair = Pair(try clientContext(settings), try serverContext())
    pair.carry()
    var sent: [[UInt8]] = [[], []]
    for round in 0..<30 {
      for (side, end) in [pair.client, pair.server].enumerated() {
        let scale = [10, 300, 5_000, 70_000][random.below(4)]
        var pieces: [[UInt8]] = []
        for _ in 0..<(1 + random.below(6)) {
          let count = random.below(scale)
          let first = (round * 7 + count) % 251
          pieces.append(Array(Self.pattern[first..<(first + count)]))
        }
        #expect(end.send(pieces))
        for piece in pieces { sent[side] += piece }
      }
      pair.carry { random.below($0) + 1 }
    }
    #expect(pair.server.received == sent[0])
    #expect(pair.client.received == sent[1])
    #expect(pair.client.session.state == .established)
  }

  /// What one turn writes in small pieces leaves as one record: a token event costs 22 bytes, not 22
  /// for each of head, size line and text.
  @Test func smallPiecesShareARecord() throws {
    let pair = Pair(try clientContext(), try serverContext())
    pair.carry()
    pair.server.send([
      [UInt8](repeating: 1, count: 100), [2, 3], [UInt8](repeating: 4, count: 500),
    ])
    // Header 5, type 1, tag 16 (RFC 8446, section 5.2).
    #expect(pair.server.takeOutput().count == 602 + 22)
    // A large one goes out in records of 16 KiB, the small piece before it inside the first.
    pair.server.send([[1, 2, 3], [UInt8](repeating: 5, count: 40_000)])
    #expect(pair.server.takeOutput().count == 40_003 + 3 * 22)
    pair.server.send([[UInt8](repeating: 5, count: 32_768)])
    #expect(pair.server.takeOutput().count == 32_768 + 2 * 22)
    #expect(pair.server.send([[], []]))
    #expect(pair.server.takeOutput() == [])
  }
}
