import JSON
import JSONScan
import Primitives
import Testing

/// The scan beside the reader of the JSON room, which builds the whole value: what one reads as the
/// model, the other must have found; what one refuses as no JSON, the other must refuse.
struct DifferentialTests {
  static let bodies = [
    #"{"model":"meta-llama/Llama-3.1-8B","messages":[{"role":"user","content":"Hello,\n\"you\""}]}"#,
    #"{"prompt":["a","b\u00e9"],"max_tokens":16,"stream":true,"n":2,"model":"\u0061b"}"#,
    #"{ "metadata" : {"model":"x","a":[1,2.5e-3,-0,{"stream":false}]}, "model" : "é\ud83d\ude00" }"#,
    #"{"input":[[1,2],[3]],"model":null,"stop":["\\","\/"],"stream":false,"x":[[],{},[{}]]}"#,
    #"{"Model":"a","mod\u0065l":"b","max_completion_tokens":0,"tools":[{"type":"function"}]}"#,
    "{\"model\":\"\(String(repeating: "m", count: 70))\",\"prompt\":\"\(String(repeating: "p", count: 90))\\\\\"}",
    #"{"messages":[{"content":[{"image_url":{"url":"data:image/png;base64,AAAA"}}]}],"n":1}"#,
  ]

  /// Bytes that mean something to one state or another.
  static let alphabet = Array(
    "{}[]:,\"\\/ \n\t0123456789.eE+-truefalsn\u{0}\u{1f}\u{7f}mdoMODé😀".utf8)

  private func judge(_ bytes: [UInt8], _ random: inout SeededRandom) {
    let whole = scan(bytes)
    let shown = String(decoding: bytes, as: UTF8.self)
    #expect(scan(bytes, cuts: cuts(bytes.count, most: 5, &random)) == whole, "\(shown)")
    let value: JSONValue
    do {
      value = try JSONValue(bytes, .tolerant)
    } catch {
      // Engines read a number beyond the range of Double as infinite; it is JSON.
      if error.problem == "the number is out of range" { return }
      #expect(whole.progress != .ended, "\(shown) is \(error)")
      return
    }
    guard case .object = value else {
      guard case .refused(let refusal) = whole.progress else {
        Issue.record("no object: \(shown)")
        return
      }
      #expect(refusal.reason == .notAnObject)
      return
    }
    if case .refused(let refusal) = whole.progress {
      #expect(
        [.nameTwice, .nameCase, .nameUnsafe, .modelNotText, .modelTooLong, .modelUnsafe]
          .contains(refusal.reason), "\(shown)")
      return
    }
    #expect(whole.progress == .ended, "\(shown)")
    #expect(whole.model.map { Array($0.utf8) } == value["model"]?.text.map { Array($0.utf8) })
    #expect(whole.stream == value["stream"]?.flag, "\(shown)")
    let limits = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
      .compactMap { value[$0]?.integer }
    if whole.oddKinds.isDisjoint(with: .numbers) {
      #expect(whole.outputLimit == limits.max().map { min($0, 1_000_000_000_000) }, "\(shown)")
    }
  }

  @Test(arguments: UInt64(0)..<12) func changedBytes(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for body in Self.bodies {
      let bytes = Array(body.utf8)
      judge(bytes, &random)
      for _ in 0..<60 {
        var changed = bytes
        for _ in 0...random.below(3) {
          let place = random.below(changed.count)
          let byte = Self.alphabet[random.below(Self.alphabet.count)]
          switch random.below(4) {
          case 0: changed.remove(at: place)
          case 1: changed.insert(byte, at: place)
          case 2: changed[place] = byte
          default:
            let end = min(changed.count, place + random.below(20))
            changed.insert(contentsOf: changed[place..<end], at: random.below(changed.count))
          }
        }
        judge(changed, &random)
      }
    }
  }

  @Test(arguments: UInt64(0)..<12) func grownTexts(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<150 { judge(object(depth: 0, &random), &random) }
  }

  // Every place to cut, in every body.
  @Test(arguments: bodies) func everyCut(body: String) {
    let bytes = Array(body.utf8)
    let whole = scan(bytes)
    for cut in 0...bytes.count { #expect(scan(bytes, cuts: [cut]) == whole) }
    #expect(scan(bytes, cuts: Array(1..<bytes.count)) == whole)
  }

  // MARK: Growing

  private func space(_ random: inout SeededRandom) -> [UInt8] {
    random.below(4) == 0 ? Array([" ", "\n", "\t\r ", "  "][random.below(4)].utf8) : []
  }

  private func object(depth: Int, _ random: inout SeededRandom) -> [UInt8] {
    let names = [
      "model", "stream", "max_tokens", "max_completion_tokens", "max_output_tokens", "n",
      "best_of", "prompt", "messages", "input", "system", "instructions", "user", "metadata",
      "tools", "Model", "mod\\u0065l", "stre\\u0061m", "content", "",
    ]
    var bytes = space(&random) + Array("{".utf8)
    for index in 0..<random.below(7) {
      if index > 0 { bytes += Array(",".utf8) }
      // Names of the end of the list are rare, or nearly all would be refused for their case.
      let name = names[random.below(random.below(6) == 0 ? names.count : 15)]
      bytes += space(&random) + Array("\"\(name)\"".utf8) + space(&random) + Array(":".utf8)
      if name == "model", random.below(4) > 0 {
        bytes += text(&random)
      } else {
        bytes += value(depth: depth + 1, &random)
      }
    }
    return bytes + space(&random) + Array("}".utf8) + space(&random)
  }

  private func value(depth: Int, _ random: inout SeededRandom) -> [UInt8] {
    var bytes = space(&random)
    switch random.below(depth > 4 ? 5 : 7) {
    case 0: bytes += Array(["true", "false", "null"][random.below(3)].utf8)
    case 1: bytes += Array(["0", "-0.5", "16", "1e3", "12.25E-2", "77"][random.below(6)].utf8)
    case 2, 3, 4: bytes += text(&random)
    case 5: bytes += object(depth: depth, &random)
    default:
      bytes += Array("[".utf8)
      for index in 0..<random.below(4) {
        if index > 0 { bytes += Array(",".utf8) }
        bytes += value(depth: depth + 1, &random)
      }
      bytes += Array("]".utf8)
    }
    return bytes + space(&random)
  }

  private func text(_ random: inout SeededRandom) -> [UInt8] {
    let parts = [
      "a", "lorem ipsum dolor sit amet", "\\n", "\\\"", "\\\\", "\\u00e9", "\\ud83d\\ude00", "é",
      "漢字", "😀", "data:", "\\/", "model", "{", "]", ":",
    ]
    var bytes = Array("\"".utf8)
    for _ in 0..<random.below(5) { bytes += Array(parts[random.below(parts.count)].utf8) }
    return bytes + Array("\"".utf8)
  }
}
