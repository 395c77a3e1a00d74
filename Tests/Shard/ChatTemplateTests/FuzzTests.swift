import Testing

@testable import ChatTemplate

/// Templates that nobody would write: whatever they are, they are refused or rendered, and soon.
@Suite struct FuzzTests {
  /// SplitMix64.
  private struct Dice {
    var state: UInt64

    mutating func roll(_ sides: Int) -> Int {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
      mixed ^= mixed >> 31
      return Int(mixed % UInt64(max(sides, 1)))
    }
  }

  private static let words = [
    "{%", "%}", "{{", "}}", "{#", "#}", "-", "+", "(", ")", "[", "]", "{", "}", ":", ",", ".", "|",
    "~", "'", "\"", "\\", "\n", " ", " is ", " in ", " not ", " if ", " else ", "loop", "messages",
    "9223372036854775807", "-1", "0", "1e308", "[::-1]", "[:0]", "range(9)", "namespace()", "none",
    "*", "**", "//", "%", "é", "\u{0}", "{% endfor %}", "{% endif %}", "{% for x in y %}",
    "|tojson",
    "|list", "|map('e')", "|sort", ".split()", ".get", "|indent", "%s", "{}", ".format(",
    "|groupby",
  ]

  private func mutated(_ source: [UInt8], _ dice: inout Dice) -> String {
    var bytes = source
    for _ in 0...dice.roll(4) {
      let start = dice.roll(bytes.count)
      let end = min(start + dice.roll(30), bytes.count)
      let place = dice.roll(bytes.count)
      switch dice.roll(4) {
      case 0: bytes.removeSubrange(start..<end)
      case 1: bytes.insert(contentsOf: bytes[start..<end], at: place)
      case 2: bytes.insert(contentsOf: Self.words[dice.roll(Self.words.count)].utf8, at: place)
      default: if !bytes.isEmpty { bytes[place] = UInt8(dice.roll(256)) }
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  // A trap in the lexer, an index out of range, an overflow: the worker would be gone.
  @Test(arguments: UInt64(0)..<16) func mutatedTemplatesNeverCrash(seed: UInt64) throws {
    let golden = try OrderedJSON(contents(of: goldens + "/snippets.json"))
    let snippets = golden["snippets"]?.elements ?? []
    let requests = try OrderedJSON(contents(of: goldens + "/templates.json"))["requests"]
    var limits = TemplateLimits()
    limits.fuel = 5_000
    limits.textBytes = 50_000
    limits.totalBytes = 500_000
    var dice = Dice(state: seed)
    for _ in 0..<120 {
      let snippet = snippets[dice.roll(snippets.count)]
      let source = mutated(Array((snippet["template"]?.text ?? "").utf8), &dice)
      let members = requests?.members ?? []
      let request = members[dice.roll(members.count)].value
      var input = try ChatInput(
        messages: try #require(request["messages"]), tools: request["tools"], now: now)
      input.extra = golden["variables"]?.members ?? []
      // The same again is the same: nothing depends on where things lie in memory.
      #expect(
        outcome(source, input, limits: limits) == outcome(source, input, limits: limits),
        "\(source.debugDescription)")
    }
  }
}
