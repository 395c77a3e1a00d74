import Primitives

/// The settings by name: one list for flags, `X-Mock`, the query string and `POST /mock`.
enum MockParameters {
  /// May come with a request.
  static let ofRequest = [
    "ttft", "gap", "tokens", "slowdown", "gap_slowdown", "jitter", "head", "status", "retry_after",
    "reset", "stall", "truncate", "drip", "garbage",
  ]
  /// Belong to an engine.
  static let ofEngine = ofRequest + ["name", "model", "slots", "fault", "health"]

  /// Changes one setting. The name must be one of the lists above.
  static func set(
    _ name: String, to text: String, in settings: inout MockSettings
  ) throws(MockComplaint) {
    switch name {
    case "ttft": settings.firstToken = try time(text)
    case "gap": settings.gap = try time(text)
    case "tokens": settings.tokens = try count(text, 0...1_000_000)
    case "slots": settings.slots = try count(text, 0...1_000_000)
    case "slowdown": settings.slowdown = try number(text, upTo: 1_000)
    case "gap_slowdown": settings.gapSlowdown = try number(text, upTo: 1_000)
    case "jitter": settings.jitter = try number(text, upTo: 1)
    case "head":
      guard let head = MockSettings.HeadTime(rawValue: text) else {
        throw MockComplaint("'\(text)' is neither 'late' nor 'early'")
      }
      settings.head = head
    case "health": settings.health = try count(text, 200...599)
    case "retry_after": settings.retryAfterSeconds = try count(text, 0...86_400)
    case "name": settings.name = try word(text)
    case "model": settings.models = try text.split(separator: ",").map(String.init).map(word)
    case "fault": settings.chances = try chance(text, after: settings.chances)
    default: settings.fault = try fault(name, text)
    }
  }

  /// A fault by its name and value: `status` with `503`, `reset` with `head` or `3`.
  private static func fault(_ name: String, _ text: String) throws(MockComplaint) -> MockFault {
    switch name {
    case "status": return .status(try count(text, 200...599))
    case "reset": return .reset(afterTokens: try place(text))
    case "stall": return .stall(afterTokens: try place(text))
    case "truncate":
      return .truncate(afterTokens: text.isEmpty ? 1 : try count(text, 0...1_000_000))
    case "drip": return .drip(text.isEmpty ? .milliseconds(10) : try time(text))
    case "garbage": return .garbage
    default:
      let faults = ["status", "reset", "stall", "truncate", "drip", "garbage"]
      throw MockComplaint("unknown fault '\(name)'" + Spelling.hint(name, among: faults))
    }
  }

  /// Where in an answer: `head` or nothing means before it, a number after so many tokens.
  private static func place(_ text: String) throws(MockComplaint) -> Int? {
    if text.isEmpty || text == "head" { return nil }
    return try count(text, 0...1_000_000)
  }

  /// `none`, or one more of `status=503@0.05`.
  private static func chance(
    _ text: String, after chances: [MockSettings.FaultChance]
  ) throws(MockComplaint) -> [MockSettings.FaultChance] {
    if text == "none" { return [] }
    guard let at = text.lastIndex(of: "@") else {
      throw MockComplaint("'\(text)' has no probability; write it like status=503@0.05")
    }
    let parts = text[..<at].split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let fault = try fault(String(parts[0]), parts.count == 2 ? String(parts[1]) : "")
    let probability = try number(String(text[text.index(after: at)...]), upTo: 1)
    let sum = chances.reduce(probability) { $0 + $1.probability }
    guard sum <= 1 else { throw MockComplaint("the probabilities of all faults exceed 1") }
    return chances + [.init(fault: fault, probability: probability)]
  }

  // MARK: Values

  private static func count(
    _ text: String, _ range: ClosedRange<Int>
  ) throws(MockComplaint) -> Int {
    guard let value = Int(text), range.contains(value) else {
      throw MockComplaint(
        "'\(text)' is not a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  private static func number(_ text: String, upTo limit: Double) throws(MockComplaint) -> Double {
    guard let value = Double(text), value >= 0, value <= limit else {
      throw MockComplaint("'\(text)' is not a number from 0 to \(Int(limit))")
    }
    return value
  }

  /// Goes into a header field as it is, so it holds nothing that could end one.
  private static func word(_ text: String) throws(MockComplaint) -> String {
    guard !text.isEmpty, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
      throw MockComplaint("'\(text)' is not a name: use letters, digits and signs without spaces")
    }
    return text
  }

  /// `0`, `250us`, `200ms`, `1.5s`, `2m`.
  static func time(_ text: String) throws(MockComplaint) -> TimeAmount {
    let units: [(String, Double)] = [("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9)]
    if text == "0" { return .zero }
    for (unit, nanoseconds) in units where text.hasSuffix(unit) {
      guard let value = Double(text.dropLast(unit.count)), value >= 0, value <= 1e6 else {
        continue
      }
      return .nanoseconds(Int64(value * nanoseconds))
    }
    throw MockComplaint("'\(text)' is not a time; write it like 200ms, 1.5s or 0")
  }

  // MARK: Lists of them

  /// Applies `ttft=200ms&gap=20ms&garbage` to the settings. With `strict`, an unknown name is an
  /// error: a query string may hold other people's parameters, `X-Mock` may not.
  static func apply(
    _ list: String, of names: [String], strict: Bool, to settings: inout MockSettings
  ) throws(MockComplaint) {
    for part in list.split(separator: "&") {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(pair[0])
      guard names.contains(name) else {
        guard strict else { continue }
        throw MockComplaint("unknown mock parameter '\(name)'" + Spelling.hint(name, among: names))
      }
      do throws(MockComplaint) {
        try set(name, to: pair.count == 2 ? String(pair[1]) : "", in: &settings)
      } catch {
        throw MockComplaint("\(name): \(error)")
      }
    }
  }
}

/// The nearest known word, for a person who slipped.
enum Spelling {
  /// `; did you mean 'ttft'?`, or nothing when no name is near.
  static func hint(_ word: String, among names: [String]) -> String {
    let near = names.map { (name: $0, distance: distance(Array(word.utf8), Array($0.utf8))) }
      .min { $0.distance < $1.distance }
    guard let near, near.distance <= max(1, near.name.utf8.count / 3) else { return "" }
    return "; did you mean '\(near.name)'?"
  }

  /// Insertions, removals and replacements that lead from one word to the other.
  private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, y) in b.enumerated() {
        let above = row[j + 1]
        row[j + 1] = min(diagonal + (x == y ? 0 : 1), above + 1, row[j] + 1)
        diagonal = above
      }
    }
    return row[b.count]
  }
}
