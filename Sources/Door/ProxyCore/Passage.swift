import Guard
import HTTP1
import JSONScan
import Primitives

/// What the guards keep of an exchange until it ends. Only for exchanges that have something to keep:
/// a caller, a body to be read, or an answer to be changed.
struct Passage {
  let route: Int
  var admission = Admission()
  var caller = Caller.nobody
  /// Who the token says the caller is, for the log; borrowed only when the log is on.
  var subject = Block()
  /// The page's origin, when it may read the answer.
  var origin = Block()

  // The request's body.
  /// Reads the model and the numbers of tokens; nil when nobody needs them, or not any more.
  var scan: RequestScan?
  /// Follows the body in front of `Exchange.requestBody`, which decodes it when it leaves.
  var decoder = BodyDecoder(.none)
  /// Bytes of the body as it came that `decoder` has seen, and that have left.
  var seenBytes = 0
  var sentBytes = 0
  var needsModel = false
  var needsTokens = false
  /// The model has been judged: what still comes is only looked at for a second one.
  var isJudged = false

  // The answer's body.
  var usage: UsageScan?
  var answerDecoder = BodyDecoder(.none)

  /// Tokens of the prompt as they were estimated. Count.
  var promptEstimate = 0
}

/// Field lines under construction. Keeps its memory, and grows to what the longest took: bounded by
/// what the operator wrote and by one head.
struct FieldLines: ~Copyable {
  /// CORS, eight numbers of limits, and a few edits.
  private static let capacity = 4 * 1024

  private var memory = UnsafeMutableRawBufferPointer.allocate(
    byteCount: Self.capacity, alignment: 16)
  private var count = 0

  deinit { memory.deallocate() }

  /// Good until the next change.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

  mutating func clear() { count = 0 }

  mutating func put(_ text: UnsafeRawBufferPointer) {
    guard text.count > 0 else { return }
    if text.count > memory.count - count {
      let larger = UnsafeMutableRawBufferPointer.allocate(
        byteCount: 2 * (count + text.count), alignment: 16)
      larger.copyMemory(from: bytes)
      memory.deallocate()
      memory = larger
    }
    UnsafeMutableRawBufferPointer(rebasing: memory[count..<(count + text.count)])
      .copyMemory(from: text)
    count += text.count
  }

  mutating func put(_ text: StaticString) {
    put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  mutating func put(decimal number: Int) {
    var digits: InlineArray<20, UInt8> = .init(repeating: 0)
    var rest = UInt64(max(0, number))
    var place = 20
    repeat {
      place -= 1
      digits[place] = UInt8(truncatingIfNeeded: rest % 10) + 0x30
      rest /= 10
    } while rest > 0
    withUnsafeBytes(of: digits) { put(UnsafeRawBufferPointer(rebasing: $0[place...])) }
  }

  mutating func endLine() { put("\r\n") }

  /// Whole lines, made before.
  mutating func put(lines: [UInt8]) { lines.withUnsafeBytes { put($0) } }
}
