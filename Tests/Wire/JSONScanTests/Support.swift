import JSON
import JSONScan
import Primitives

/// What a scan of a whole body, fed in pieces, came to.
struct Outcome: Equatable {
  var progress: ScanProgress
  var model: String?
  var stream: Bool?
  var outputLimit: Int?
  var choices: Int?
  var promptBytes: Int
  var dataURLBytes: Int
  var promptNumbers: Int
  var seen: RequestNames
  var oddKinds: RequestNames

  init(_ scan: RequestScan, _ progress: ScanProgress) {
    self.progress = progress
    model = scan.model
    stream = scan.stream
    outputLimit = scan.outputLimit
    choices = scan.choices
    promptBytes = scan.promptBytes
    dataURLBytes = scan.dataURLBytes
    promptNumbers = scan.promptNumbers
    seen = scan.seen
    oddKinds = scan.oddKinds
  }
}

/// Copies each piece to memory of its own size, so that a sanitizer sees every byte read beyond it.
func withPieces(_ bytes: [UInt8], cuts: [Int], _ body: (UnsafeRawBufferPointer) -> Void) {
  var start = 0
  for end in cuts + [bytes.count] {
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: end - start, alignment: 1)
    defer { piece.deallocate() }
    piece.copyBytes(from: bytes[start..<end])
    body(UnsafeRawBufferPointer(piece))
    start = end
  }
}

func scan(
  _ bytes: [UInt8], cuts: [Int] = [], awaiting: RequestNames = .model,
  limits: ScanLimits = ScanLimits()
) -> Outcome {
  var scan = RequestScan(awaiting: awaiting, limits: limits)
  withPieces(bytes, cuts: cuts) { _ = scan.scan($0) }
  let progress = scan.finish()
  return Outcome(scan, progress)
}

func scan(_ text: String, limits: ScanLimits = ScanLimits()) -> Outcome {
  scan(Array(text.utf8), limits: limits)
}

func usage(
  _ text: String, _ format: UsageScan.Format, cuts: [Int] = []
) -> (usage: TokenUsage?, events: Int) {
  var scan = UsageScan(format)
  withPieces(Array(text.utf8), cuts: cuts) { scan.scan($0) }
  scan.finish()
  return (scan.usage, scan.events)
}

/// Up to `most` places to cut, in order; equal ones make empty pieces.
func cuts(_ count: Int, most: Int, _ random: inout SeededRandom) -> [Int] {
  (0..<random.below(most + 1)).map { _ in random.below(count + 1) }.sorted()
}
