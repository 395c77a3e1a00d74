import HTTP
import HTTP1
import Primitives
import Testing

@Suite struct BodyTests {
  static let refused: [Case] = [
    Case("G02", "5;⏎hello⏎0⏎⏎", "chunk_extension_invalid"),
    Case("G03.1", "5;a\rX⏎hello⏎0⏎⏎", "bare_cr"),
    Case("G05.1", "5\nhello⏎0⏎⏎", "bare_lf"),
    Case("G06.1", "5⏎hello\n0⏎⏎", "bare_lf"),
    Case("G06.3", "5⏎helloXX0⏎⏎", "chunk_end_invalid"),
    Case("G06 half", "5⏎hello\rX0⏎⏎", "bare_cr"),
    Case("G07.1", "5⏎hello0⏎⏎", "chunk_end_invalid"),
    Case("G08.1", "+5⏎hello⏎0⏎⏎", "chunk_size_invalid"),
    Case("G08.3", "0x5⏎hello⏎0⏎⏎", "chunk_size_invalid"),
    Case("G08.5", "5 ⏎hello⏎0⏎⏎", "chunk_size_invalid"),
    Case("G08 in front", " 5⏎hello⏎0⏎⏎", "chunk_size_invalid"),
    Case("G08 tab", "5\t⏎hello⏎0⏎⏎", "chunk_size_invalid"),
    Case("G08.7", "5z⏎hello⏎0⏎⏎", "chunk_size_invalid"),
    Case("G08.8", "⏎hello⏎0⏎⏎", "chunk_size_invalid"),
    Case("G08 minus", "-5⏎hello⏎0⏎⏎", "chunk_size_invalid"),
    Case("G08 high", "5\u{85}⏎hello⏎0⏎⏎", "chunk_size_invalid"),
    Case("G09.1", "FFFFFFFFFFFFFFFF", "chunk_size_too_large"),
    Case("G10", String(repeating: "0", count: 40) + "5⏎hello⏎0⏎⏎", "chunk_size_too_large"),
    Case("G11.1", "5;a=" + String(repeating: "x", count: 65_536), "chunk_extension_too_long"),
    Case("G11 many", "5" + String(repeating: ";a", count: 200), "chunk_extension_too_long"),
    Case("G12.1", "5⏎hello⏎0\n⏎", "bare_lf"),
    Case("G12 at the end", "5⏎hello⏎0⏎\n", "bare_lf"),
    Case("G12 half", "0⏎\rX", "bare_cr"),
    Case("G13.5", "0⏎:path: /evil⏎⏎", "trailer_invalid"),
    Case("G14.1", "0⏎A: b\n⏎", "bare_lf"),
    Case("G14 name", "0⏎A\n⏎", "bare_lf"),
    Case("G14 half", "0⏎A: b\rX⏎⏎", "bare_cr"),
    Case("G16", "5z⏎hello⏎0⏎⏎GET /evil HTTP/1.1⏎Host: a⏎⏎", "chunk_size_invalid"),
    Case("trailer without colon", "0⏎Ab⏎⏎", "trailer_invalid"),
    Case("trailer with space", "0⏎A : b⏎⏎", "trailer_invalid"),
    Case("trailer folded", "0⏎A: b⏎ c⏎⏎", "trailer_invalid"),
    Case("trailer with NUL", "0⏎A: \0⏎⏎", "trailer_invalid"),
    Case("trailers too long", "0⏎A: " + String(repeating: "x", count: 9_000), "trailers_too_large"),
    Case("trailers too many", "0⏎" + String(repeating: "A:⏎", count: 65), "too_many_trailers"),
    Case("extension without name", "5;=x⏎", "chunk_extension_invalid"),
    Case("extension without value", "5;a=⏎", "chunk_extension_invalid"),
    Case("extension with space", "5; a⏎", "chunk_extension_invalid"),
    Case("extension with LF", "5;a\nhello", "bare_lf"),
    Case("extension quoted LF", "5;a=\"\n\"⏎", "chunk_extension_invalid"),
    Case("extension behind quotes", "5;a=\"x\"y⏎", "chunk_extension_invalid"),
  ]

  /// A chunk that two servers read differently ends a body at two places. However it is cut.
  @Test(arguments: refused) func refuses(_ c: Case) {
    for piece in [Int.max, 1, 2, 7] {
      for out in [Framing.chunked, .length(5), .untilClose] {
        let body = decode(wire(c.input), .chunked, to: out, piece: piece)
        #expect(body.rejected.map { "\($0.label)" } == c.label, "pieces of \(piece)")
        #expect(!body.finished)
        #expect(body.repeated == body.rejected)
        #expect(!spelled(body.out).hasSuffix("0⏎⏎"))
        #expect(!spelled(body.out).contains("evil"))
      }
    }
  }

  /// Input, and what goes on in chunks: as it came, or in canonical form.
  static let good: [(String, String, Int)] = [
    ("5⏎hello⏎0⏎⏎", "5⏎hello⏎0⏎⏎", 5),
    ("A⏎0123456789⏎a⏎0123456789⏎0⏎⏎", "A⏎0123456789⏎a⏎0123456789⏎0⏎⏎", 20),
    ("5;n=v⏎hello⏎0⏎⏎", "5⏎hello⏎0⏎⏎", 5),
    ("5;n;m=\"a\\\"b; c\";o=p⏎hello⏎0;last⏎⏎", "5⏎hello⏎0⏎⏎", 5),
    ("005⏎hello⏎000⏎⏎", "5⏎hello⏎0⏎⏎", 5),
    ("0⏎⏎", "0⏎⏎", 0),
    ("5⏎hello⏎0⏎X-Sum: 1\t2 ⏎Y:⏎⏎", "5⏎hello⏎0⏎X-Sum: 1\t2 ⏎Y:⏎⏎", 5),
    ("0⏎Content-Length: 7⏎A: b⏎Host: evil⏎⏎", "0⏎A: b⏎⏎", 0),
    ("0⏎content_length: 7⏎Authorization: x⏎Connection: close⏎⏎", "0⏎⏎", 0),
    (
      "0⏎abcdefghijklmnopqrstuvwx: 24⏎abcdefghijklmnopqrstuvwxy: 25⏎B: c⏎⏎",
      "0⏎abcdefghijklmnopqrstuvwx: 24⏎B: c⏎⏎", 0
    ),
    ("6⏎0⏎⏎0⏎0⏎⏎", "6⏎0⏎⏎0⏎0⏎⏎", 6),
  ]

  /// G01, G13, G17: whatever the cut, the same bytes go on, and nothing after the end is taken.
  @Test(arguments: good) func chunkedToChunked(_ input: String, _ output: String, _ payload: Int) {
    // A size in upper case may stay so when it came whole.
    let bytes = wire(input) + wire("GET /next")
    for piece in [Int.max] + Array(1...40) {
      let body = decode(bytes, .chunked, to: .chunked, piece: piece)
      #expect(body.rejected == nil)
      #expect(body.finished)
      let out = spelled(body.out)
      #expect(
        out == output || out == output.replacing("A⏎", with: "a⏎"), "pieces of \(piece)")
      #expect(body.payloadBytes == payload)
      #expect(body.consumed == wire(input).count)
    }
  }

  /// Every cut in two gives the same, too.
  @Test(arguments: good) func everyCut(_ input: String, _ output: String, _ payload: Int) {
    let bytes = wire(input)
    for cut in 1..<bytes.count {
      var decoder = BodyDecoder(.chunked)
      var out: [UInt8] = []
      for part in [bytes[..<cut], bytes[cut...]] {
        withExactBytes(Array(part)) { input in
          var gather = Gather()
          let result = decoder.decode(
            input, outFraming: .chunked, limits: BodyLimits(), into: &gather)
          #expect(result.consumed == input.count)
          out += gather.contents
        }
      }
      #expect(decoder.isFinished)
      #expect(
        spelled(out) == output || spelled(out) == output.replacing("A⏎", with: "a⏎"),
        "cut at \(cut)")
    }
  }

  /// A relayed body costs no copy: however many chunks, one segment.
  @Test func manyChunksAreOneSegment() {
    let chunks = wire(String(repeating: "5⏎hello⏎", count: 1_000))
    let body = decode(chunks, .chunked, to: .chunked)
    #expect(body.segments == 1)
    #expect(body.out == chunks)
    #expect(!body.finished)
  }

  /// Between framings.
  @Test func otherFramings() {
    let chunks = wire("5⏎hello⏎6;x⏎ world⏎0⏎A: b⏎⏎")
    for piece in [Int.max, 1, 3] {
      for out in [Framing.length(11), .untilClose] {
        let body = decode(chunks, .chunked, to: out, piece: piece)
        #expect(spelled(body.out) == "hello world")
        #expect(body.finished)
      }
    }
    let plain = wire("hello")
    #expect(spelled(decode(plain, .length(5), to: .length(5)).out) == "hello")
    #expect(spelled(decode(plain, .length(5), to: .chunked).out) == "5⏎hello⏎0⏎⏎")
    #expect(
      spelled(decode(plain, .length(5), to: .chunked, piece: 2).out)
        == "2⏎he⏎2⏎ll⏎1⏎o⏎0⏎⏎")
    #expect(
      spelled(decode(plain, .untilClose, to: .chunked, closes: true).out) == "5⏎hello⏎0⏎⏎")
    #expect(spelled(decode(plain, .untilClose, to: .untilClose, closes: true).out) == "hello")
    #expect(decode(plain, .untilClose, to: .untilClose, closes: true).finished)
    #expect(!decode(plain, .untilClose, to: .untilClose).finished)
  }

  /// M02: bytes behind a body of known length belong to nobody here.
  @Test func lengthTakesNoMore() {
    let body = decode(wire("hello, world"), .length(5), to: .length(5))
    #expect(body.consumed == 5)
    #expect(body.finished)
    #expect(spelled(body.out) == "hello")
  }

  /// D17, G15, M04: an end before the end is told apart from a clean one.
  @Test func truncation() {
    #expect(!decode(wire("hel"), .length(5), to: .length(5), closes: true).finished)
    #expect(!decode(wire("5⏎hello⏎"), .chunked, to: .chunked, closes: true).finished)
    #expect(!decode(wire("5⏎hello⏎0⏎"), .chunked, to: .chunked, closes: true).finished)
    #expect(
      !spelled(decode(wire("5⏎hello⏎0"), .chunked, to: .chunked, closes: true).out)
        .hasSuffix("0⏎⏎"))
  }

  /// Bodies without bytes are whole at once.
  @Test func empty() {
    #expect(BodyDecoder(.none).isFinished)
    #expect(BodyDecoder(.length(0)).isFinished)
    #expect(!BodyDecoder(.length(1)).isFinished)
    #expect(!BodyDecoder(.chunked).isFinished)
    #expect(MemoryLayout<BodyDecoder>.size <= 40)
  }

  /// The largest chunk that is accepted, and that its size survives a cut.
  @Test func largeChunk() {
    let line = wire("fffffffffffffff⏎")
    for piece in [Int.max, 1, 9] {
      let body = decode(line + wire("x"), .chunked, to: .chunked, piece: piece)
      #expect(!body.finished)
      #expect(body.payloadBytes == 1)
      #expect(body.out == line + wire("x"))
    }
  }
}
