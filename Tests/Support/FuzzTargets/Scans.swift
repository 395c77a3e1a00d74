import JSON
import JSONScan
import Primitives

/// A body of a request: however it is cut the scan says the same, and that is what a reader of the
/// whole value says. A member that the two read differently would be a way around a limit.
func checkRequestScan(_ bytes: UnsafeRawBufferPointer) throws {
  let whole = try scanned(bytes, cuts: [])
  var random = SeededRandom(seed: bytes.seed)
  for _ in 0..<3 {
    let cuts = cuts(bytes.count, &random)
    try require(same: try scanned(bytes, cuts: cuts), whole, "cut at \(cuts)")
  }
  if case .refused(let refusal) = whole.progress {
    try require((0...bytes.count).contains(refusal.offset), "complains of byte \(refusal.offset)")
    try isOneLine(refusal.description)
  }
  let value: JSONValue
  do throws(JSONComplaint) {
    value = try JSONValue(bytes, .tolerant)
  } catch {
    // A number beyond the range of Double is JSON nevertheless.
    if error.problem != "the number is out of range" {
      try require(whole.progress != .ended, "takes what is \(error)")
    }
    return
  }
  switch whole.progress {
  case .ended: try compare(whole, value)
  case .refused(let refusal):
    var isObject = false
    if case .object = value { isObject = true }
    switch refusal.reason {
    case .notAnObject: try require(!isObject, "takes no object")
    case .notJSON, .byteOrderMark, .tooDeep, .truncated:
      throw BrokenRule("refuses JSON: \(refusal)")
    case .nameTwice, .nameCase, .nameUnsafe, .modelNotText, .modelTooLong, .modelUnsafe: break
    }
  case .needMore, .found, .limitReached: throw BrokenRule("\(whole.progress) at the end")
  }
}

private struct Scanned: Equatable {
  var progress: ScanProgress
  var model: [UInt8]?
  var stream: Bool?
  var outputLimit: Int?
  var choices: Int?
  var prompt: [Int]
  var oddKinds: RequestNames
}

private func scanned(_ bytes: UnsafeRawBufferPointer, cuts: [Int]) throws -> Scanned {
  var scan = RequestScan()
  var last = ScanProgress.needMore
  try forEachPiece(of: bytes, cuts: cuts) {
    let progress = scan.scan($0)
    // What was found stays found.
    if last == .found { try require(progress != .needMore, "found, and then not") }
    last = progress
  }
  let progress = scan.finish()
  return Scanned(
    progress: progress, model: scan.withModel { Array($0) }, stream: scan.stream,
    outputLimit: scan.outputLimit, choices: scan.choices,
    prompt: [scan.promptBytes, scan.dataURLBytes, scan.promptNumbers], oddKinds: scan.oddKinds)
}

private func compare(_ scanned: Scanned, _ value: JSONValue) throws {
  try require(same: scanned.model, value["model"]?.text.map { Array($0.utf8) }, "model")
  try require(same: scanned.stream, value["stream"]?.flag, "stream")
  guard scanned.oddKinds.isDisjoint(with: .numbers) else { return }
  let limits = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
    .compactMap { value[$0]?.number }
  try require(
    same: scanned.outputLimit.map(Double.init), limits.max().map { min($0, 1e12) }, "output limit")
  let choices = ["n", "best_of"].compactMap { value[$0]?.number }
  try require(
    same: scanned.choices.map(Double.init), choices.max().map { min($0, 1e12) }, "choices")
}

/// An answer: the usage does not depend on cuts, and of a JSON text it is the one that a reader of
/// the whole value finds.
func checkUsageScan(_ bytes: UnsafeRawBufferPointer) throws {
  var random = SeededRandom(seed: bytes.seed)
  for format in [UsageScan.Format.json, .eventStream] {
    let whole = try used(bytes, format, cuts: [])
    for _ in 0..<3 {
      let cuts = cuts(bytes.count, &random)
      try require(same: try used(bytes, format, cuts: cuts), whole, "\(format) cut at \(cuts)")
    }
    if format == .json { try compare(whole.usage, bytes) }
  }
}

private struct Used: Equatable {
  var usage: TokenUsage?
  var events: Int
}

private func used(
  _ bytes: UnsafeRawBufferPointer, _ format: UsageScan.Format, cuts: [Int]
) throws -> Used {
  var scan = UsageScan(format)
  try forEachPiece(of: bytes, cuts: cuts) { scan.scan($0) }
  scan.finish()
  return Used(usage: scan.usage, events: scan.events)
}

private func compare(_ usage: TokenUsage?, _ bytes: UnsafeRawBufferPointer) throws {
  // Names with escapes are no names to the scan, numbers that are not plain no counts.
  let odd = Array("\\.-eE".utf8)
  for (place, byte) in bytes.enumerated() where odd.contains(byte) {
    if byte | 0x20 != UInt8(ascii: "e") || place > 0 && bytes[place - 1] &- 0x30 < 10 { return }
  }
  guard let value = try? JSONValue(bytes, .strict) else { return }
  let counts = value["usage"]
  func count(_ names: [String]) -> Int? {
    names.compactMap { counts?[$0]?.number }.first.map { Int(min($0, 1e12)) }
  }
  for names in [["prompt_tokens", "input_tokens"], ["completion_tokens", "output_tokens"]] {
    // Which of two counts of one thing is last, the value does not know.
    if names.allSatisfy({ counts?[$0] != nil }) { return }
  }
  var expected = TokenUsage(
    input: count(["prompt_tokens", "input_tokens"]),
    output: count(["completion_tokens", "output_tokens"]), total: count(["total_tokens"]))
  if expected.total == nil, let input = expected.input, let output = expected.output {
    expected.total = input + output
  }
  try require(same: usage, expected == TokenUsage() ? nil : expected, "usage")
}

// MARK: Pieces

private func cuts(_ count: Int, _ random: inout SeededRandom) -> [Int] {
  (0...random.below(5)).map { _ in random.below(count + 1) }.sorted()
}

private func forEachPiece(
  of bytes: UnsafeRawBufferPointer, cuts: [Int], _ body: (UnsafeRawBufferPointer) throws -> Void
) throws {
  var start = 0
  for end in cuts + [bytes.count] {
    try bytes.withExactCopy(from: start, count: end - start, body)
    start = end
  }
}
