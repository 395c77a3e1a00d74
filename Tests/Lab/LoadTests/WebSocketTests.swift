import Testing

@testable import Load

/// What breaks here: a WebSocket client of the mock is refused, or sees other bytes than it sent.
@Suite struct WebSocketTests {
  /// The values of RFC 3174, RFC 4648 and RFC 6455.
  @Test func encodings() {
    let digest = SHA1.digest(Array("abc".utf8)).map { String($0, radix: 16) }.joined(separator: " ")
    #expect(digest == "a9 99 3e 36 47 6 81 6a ba 3e 25 71 78 50 c2 6c 9c d0 d8 9d")
    let long = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
    #expect(SHA1.digest(Array(long.utf8)).prefix(4) == [0x84, 0x98, 0x3e, 0x44])
    for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
      #expect(Base64.encode(Array(text.utf8)) == encoded)
    }
    #expect(
      WebSocketHandshake.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
  }

  /// Frames as in RFC 6455, 5.7, cut anywhere; then a ping, a close and what nobody may send.
  @Test(arguments: 1...12) func webSocketFrames(piece: Int) {
    let hello: [UInt8] = [
      0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ]
    let zeroMask: [UInt8] = [0, 0, 0, 0]
    let long = [UInt8](repeating: 0x61, count: 300)
    let input =
      hello + [0x89, 0x80] + zeroMask + [0x02, 0xfe, 1, 44] + zeroMask + long
      + [0x88, 0x82] + zeroMask + [3, 232] + hello
    var echo = WebSocketEcho()
    var output: [UInt8] = []
    for start in stride(from: 0, to: input.count, by: piece) {
      let (answer, isOver) = input[start..<min(start + piece, input.count)]
        .withUnsafeBytes { echo.receive($0) }
      output += answer
      if isOver { break }
    }
    let expected = [0x81, 5] + Array("Hello".utf8) + [0x8a, 0, 0x02, 126, 1, 44] + long
    #expect(output == expected + [0x88, 2, 3, 232])
    for wrong: [UInt8] in [[0x81, 5], [0xc1, 0x85], [0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]] {
      var fresh = WebSocketEcho()
      #expect(wrong.withUnsafeBytes { fresh.receive($0) } == ([], true))
    }
  }
}
