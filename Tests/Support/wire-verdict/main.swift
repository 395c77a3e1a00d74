import Glibc
import HTTP
import HTTP1
import Primitives

// What our parsers make of messages, for a comparison with other parsers: `Tests/Fuzz/against_h11.py`
// sends inputs and reads verdicts.
//
//   in    kind (Q request, A answer to GET, H answer to HEAD), length as four bytes, the message
//   out   length as four bytes, lines of words; bytes are in hexadecimal
//
// A message is what came on a connection up to its end: the peer has closed behind it.

/// One verdict, line by line.
struct Verdict {
  private(set) var text: [UInt8] = []

  mutating func line(_ words: String...) { text += (words.joined(separator: " ") + "\n").utf8 }
}

func hex(_ bytes: some Sequence<UInt8>) -> String {
  var text = "."
  for byte in bytes {
    for digit in [byte >> 4, byte & 15] {
      text.unicodeScalars.append(Unicode.Scalar(digit + (digit < 10 ? 0x30 : 0x57)))
    }
  }
  return text
}

extension Gather {
  var contents: [UInt8] {
    segments.flatMap { Array(UnsafeRawBufferPointer(start: $0.base, count: $0.count)) }
  }
}

func judge(_ result: HeadResult, _ verdict: inout Verdict) -> Bool {
  switch result {
  case .complete: return true
  case .incomplete: verdict.line("incomplete")
  case .rejected(let rejection): verdict.line("refused", "\(rejection.label)")
  }
  return false
}

func putFields(
  _ fields: borrowing FieldList, _ input: UnsafeRawBufferPointer, _ verdict: inout Verdict
) {
  for index in 0..<fields.count {
    verdict.line(
      "field", hex(fields[index].name.bytes(in: input)), hex(fields[index].value.bytes(in: input)))
  }
}

/// The body behind a head, and what is left over behind it.
func putBody(
  _ framing: Framing, _ rest: UnsafeRawBufferPointer, _ verdict: inout Verdict
) -> Bool {
  var decoder = BodyDecoder(framing)
  var gather = Gather()
  let result = decoder.decode(rest, outFraming: .untilClose, limits: BodyLimits(), into: &gather)
  if let rejection = result.rejected {
    verdict.line("refused", "\(rejection.label)")
    return false
  }
  guard decoder.finishAtClose(outFraming: .untilClose, into: &gather) else {
    verdict.line("incomplete")
    return false
  }
  verdict.line("body", hex(gather.contents))
  verdict.line("rest", hex(rest[result.consumed...]))
  return true
}

func request(_ input: UnsafeRawBufferPointer) -> Verdict {
  var head = RequestHead(fieldCapacity: 32)
  var verdict = Verdict()
  guard judge(head.parse(input, limits: HeadLimits()), &verdict) else { return verdict }
  verdict.line("method", hex(head.methodRange.bytes(in: input)))
  verdict.line("target", hex(head.target.bytes(in: input)))
  verdict.line("version", head.isHTTP11 ? "1.1" : "1.0")
  putFields(head.fields, input, &verdict)
  let rest = UnsafeRawBufferPointer(rebasing: input[head.headBytes...])
  guard putBody(head.framing, rest, &verdict) else { return lastLine(of: verdict) }
  var gather = Gather()
  let forwarding = Forwarding(
    clientAddress: UnsafeRawBufferPointer(start: nil, count: 0), keepForwarded: true,
    upgrade: head.upgrade != .none, framing: head.framing, forwardExpect: true)
  writeRequest(head, from: input, forwarding, into: &gather)
  verdict.line("printed", hex(gather.contents))
  return verdict
}

func answer(_ input: UnsafeRawBufferPointer, to method: Method) -> Verdict {
  var head = ResponseHead(fieldCapacity: 32)
  var verdict = Verdict()
  let result = head.parse(input, limits: HeadLimits(), requestMethod: method)
  guard judge(result, &verdict) else { return verdict }
  verdict.line("status", "\(head.status)")
  verdict.line("version", head.isHTTP11 ? "1.1" : "1.0")
  putFields(head.fields, input, &verdict)
  let rest = UnsafeRawBufferPointer(rebasing: input[head.headBytes...])
  guard putBody(head.framing, rest, &verdict) else { return lastLine(of: verdict) }
  var gather = Gather()
  if head.isInterim {
    writeInterim(head, from: input, into: &gather)
  } else {
    writeResponse(
      head, from: input, framing: head.framing, close: !head.keepAlive, clientIsHTTP11: true,
      into: &gather)
  }
  verdict.line("printed", hex(gather.contents))
  return verdict
}

/// A refusal in the body: the head does not count.
func lastLine(of verdict: Verdict) -> Verdict {
  let lines = verdict.text.dropLast().split(separator: 0x0a)
  var last = Verdict()
  last.line(String(decoding: lines[lines.count - 1], as: UTF8.self))
  return last
}

func readAll(_ count: Int) -> [UInt8]? {
  var bytes: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: max(1, count))
  while bytes.count < count {
    let came = read(0, &piece, count - bytes.count)
    guard came > 0 else { return nil }
    bytes += piece[..<came]
  }
  return bytes
}

func writeAll(_ bytes: [UInt8]) {
  var rest = bytes[...]
  while !rest.isEmpty {
    let went = rest.withUnsafeBytes { write(1, $0.baseAddress!, $0.count) }
    guard went > 0 else { exit(1) }
    rest = rest.dropFirst(went)
  }
}

while let prefix = readAll(5) {
  let count = prefix[1...].reduce(0) { $0 << 8 | Int($1) }
  guard let message = readAll(count) else { break }
  let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count), alignment: 1)
  copy.copyBytes(from: message)
  let input = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<count])
  let verdict: Verdict
  switch prefix[0] {
  case UInt8(ascii: "A"): verdict = answer(input, to: .get)
  case UInt8(ascii: "H"): verdict = answer(input, to: .head)
  default: verdict = request(input)
  }
  copy.deallocate()
  let size = verdict.text.count
  let out = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: size >> $0) } + verdict.text
  writeAll(out)
}
