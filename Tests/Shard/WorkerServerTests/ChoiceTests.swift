import Generation
import Primitives
import Testing

@testable import WorkerServer

/// Stop strings against a search that looks at everything again with every byte.
@Suite struct StopScannerTests {
  /// What may be shown of a text that has come so far, and whether a stop string was found in it.
  private static func shown(
    _ text: [UInt8], _ stops: [[UInt8]], includesStop: Bool
  ) -> (text: [UInt8], isStopped: Bool) {
    for end in 0...text.count {
      let found = stops.filter { text[..<end].reversed().starts(with: $0.reversed()) }
      guard let longest = found.map(\.count).max() else { continue }
      return (Array(text[..<(end - (includesStop ? 0 : longest))]), true)
    }
    // The longest end of the text that a stop string begins with.
    for start in 0...text.count where stops.contains(where: { $0.starts(with: text[start...]) }) {
      return (Array(text[..<start]), false)
    }
    return (text, false)
  }

  // What could break: overlaps, strings within strings, borders of tokens anywhere, letters of
  // several bytes; text that is shown too early or held for too long.
  @Test(arguments: UInt64(1)...8) func whateverComesInWhateverPieces(seed: UInt64) {
    var random = SplitMix(state: seed)
    let letters: [Unicode.Scalar] = ["a", "b", "é", "ê", "🙂"]
    func text(_ length: ClosedRange<Int>) -> String {
      var text = String.UnicodeScalarView()
      for _ in 0..<Int.random(in: length, using: &random) {
        text.append(letters[Int.random(in: 0..<letters.count, using: &random)])
      }
      return String(text)
    }
    for _ in 0..<150 {
      let stops = (0..<Int.random(in: 1...3, using: &random)).map { _ in text(1...4) }
      let whole = text(0...12)
      let includesStop = Bool.random(using: &random)
      var scanner = StopScanner(stops, includesStop: includesStop)
      let bytes = stops.map { Array($0.utf8) }
      var come: [UInt8] = []
      var shown: [UInt8] = []
      var rest = whole.unicodeScalars[...]
      while !rest.isEmpty {
        let piece = String(rest.prefix(Int.random(in: 1...4, using: &random)))
        rest = rest.dropFirst(piece.unicodeScalars.count)
        come += piece.utf8
        shown += scanner.append(piece).utf8
        let right = Self.shown(come, bytes, includesStop: includesStop)
        #expect(
          shown == right.text && scanner.isStopped == right.isStopped,
          "\(stops) in \(whole): \(String(decoding: shown, as: UTF8.self))")
      }
      shown += scanner.finish().utf8
      let right = Self.shown(come, bytes, includesStop: includesStop)
      #expect(shown == (right.isStopped ? right.text : come))
    }
  }

  // Every cut into three of texts that were chosen to be hard.
  @Test(arguments: [
    ("aaab", ["aab"], "a"), ("ababac", ["abac"], "ab"), ("xEND", ["END", "D"], "x"),
    ("xEND", ["ND", "xEND"], ""), ("one two", ["three"], "one two"),
    ("wei\u{df}e", ["\u{df}"], "wei"),
    ("🙂🙃", ["🙃"], "🙂"), ("abab", ["abc", "bab"], "a"),
  ]) func everyCut(text: String, stops: [String], shown: String) {
    let scalars = Array(text.unicodeScalars)
    func part(_ range: Range<Int>) -> String {
      scalars[range].reduce(into: "") { $0.unicodeScalars.append($1) }
    }
    for first in 0...scalars.count {
      for second in first...scalars.count {
        var scanner = StopScanner(stops)
        let said =
          scanner.append(part(0..<first)) + scanner.append(part(first..<second))
          + scanner.append(part(second..<scalars.count)) + scanner.finish()
        #expect(said == shown, "\(first) \(second)")
        #expect(scanner.isStopped == (shown != text))
        #expect(scanner.append("more") == (scanner.isStopped ? "" : "more"))
      }
    }
  }
}

/// One text, token by token.
@Suite struct ChoiceTests {
  /// Tokens stand for words.
  private struct Words: TextStream {
    let words: [String]
    var last = ""
    mutating func append(_ token: Int32) -> String { words[Int(token)] }
    mutating func finish() -> String { last }
  }

  private static func choice(
    _ words: [String], last: String = "", echo: String = "",
    _ change: (inout TextRequest) -> Void = { _ in }
  ) -> Choice {
    var request = TextRequest(kind: .completion, model: "m")
    change(&request)
    return Choice(
      index: 0, prompt: 0, id: 1, request: request, stream: Words(words: words, last: last),
      echo: echo)
  }

  private static func token(_ token: Int32, cached: Int = 0) -> GeneratedToken {
    GeneratedToken(
      id: 1, token: token, cachedTokens: cached, logprobs: TokenLogprobs(drawn: -1, top: []))
  }

  // It is paid for, and has a log probability, but is no text.
  @Test func theTokenThatEndsATextIsNoPartOfIt() {
    var choice = Self.choice(["a", "</s>"]) { $0.endTokens = [1] }
    #expect(choice.append(Self.token(0, cached: 5)) == "a")
    #expect(choice.append(Self.token(1, cached: 9)) == "")
    #expect(!choice.isOver)
    #expect(choice.end("stop") == "")
    #expect(choice.finish == "stop" && choice.tokens == 2 && choice.logprobs.count == 2)
    #expect(choice.cachedTokens == 5)
  }

  // Half a character and half a stop string come out at the end.
  @Test func whatWasHeldBackComesLast() {
    var choice = Self.choice(["xE"], last: "\u{fffd}") { $0.stops = ["END"] }
    #expect(choice.append(Self.token(0)) == "x")
    #expect(choice.end("length") == "E\u{fffd}")
    #expect(choice.finish == "length")
  }

  @Test func theLastPieceMayCompleteAStopString() {
    var choice = Self.choice(["xEN"], last: "D") { $0.stops = ["END"] }
    #expect(choice.append(Self.token(0)) == "x")
    #expect(choice.end("length") == "")
    #expect(choice.finish == "stop")
  }

  // Tokens that were under way when the text was over are not paid for, nor shown.
  @Test func nothingComesAfterTheEnd() {
    var choice = Self.choice(["a", "b"]) { $0.stops = ["b"] }
    #expect(choice.append(Self.token(0)) == "a")
    #expect(choice.append(Self.token(1)) == "")
    #expect(choice.finish == "stop" && choice.tokens == 2)
    #expect(choice.append(Self.token(0)) == "")
    #expect(choice.end("length") == "")
    #expect(choice.finish == "stop" && choice.tokens == 2 && choice.logprobs.count == 2)
  }

  // A stop string that begins within the tokens that must be made does not count.
  @Test func stopStringsWaitForTheFewestTokens() {
    var choice = Self.choice(["b", "c", "bc"]) {
      $0.stops = ["bc"]
      $0.minTokens = 1
    }
    #expect(choice.append(Self.token(0)) == "b")
    #expect(choice.append(Self.token(1)) == "c")
    #expect(choice.append(Self.token(2)) == "" && choice.finish == "stop")
  }

  // Offsets count characters, of what is echoed too and of what is held back.
  @Test func offsetsCountCharacters() {
    var choice = Self.choice(["é", "🙂🙂", "E", "x"], echo: "ab") { $0.stops = ["END"] }
    for token in 0..<4 { _ = choice.append(Self.token(Int32(token))) }
    #expect(choice.logprobs.map(\.offset) == [2, 3, 5, 6])
    #expect(choice.text == "ab")
  }
}

/// Sebastiano Vigna's splitmix64, so that a seed names a story.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
