import HTTP
import HTTP1
import Primitives

private let limits = HeadLimits(headBytes: 2_048, targetBytes: 256, fields: 24)

/// The head of a backend's answer, however it comes, and what the client would get of it.
func checkResponse(_ bytes: UnsafeRawBufferPointer) throws {
  var random = SeededRandom(seed: bytes.seed)
  for method in [Method.get, .head] {
    let whole = try parse(bytes, method)
    try comesInPieces(bytes, whole, method, &random)
    guard whole == .complete else { continue }
    try bytes.withExactCopy(count: bytes.count) { input in
      var head = ResponseHead(fieldCapacity: 1)
      _ = head.parse(input, limits: limits, requestMethod: method)
      let plain = try PlainHead(input[..<head.headBytes])
      try meansOneThing(head, plain, input, method)
      try input.withExactCopy(count: head.headBytes) { alone in
        var again = ResponseHead(fieldCapacity: 32)
        try require(
          same: again.parse(alone, limits: limits, requestMethod: method), .complete, "alone")
        try require(same: again.headBytes, head.headBytes, "bytes of the head alone")
      }
      for isHTTP11 in [true, false] {
        let way = Way(
          framing: framing(of: head, isHTTP11), closes: random.below(2) == 0, isHTTP11: isHTTP11,
          id: Array((random.below(2) == 0 ? "" : "id-1").utf8))
        try staysTheSame(write(head, input, way), head, method, way)
      }
    }
  }
}

private func parse(
  _ bytes: UnsafeRawBufferPointer, _ method: Method, count: Int? = nil
) throws -> HeadResult {
  try bytes.withExactCopy(count: count ?? bytes.count) { input in
    var head = ResponseHead(fieldCapacity: 1)
    return head.parse(input, limits: limits, requestMethod: method)
  }
}

private func comesInPieces(
  _ bytes: UnsafeRawBufferPointer, _ whole: HeadResult, _ method: Method,
  _ random: inout SeededRandom
) throws {
  for _ in 0..<4 where bytes.count > 0 {
    let early = try parse(bytes, method, count: random.below(bytes.count))
    try require(
      early == .incomplete || early == whole, "a part of the input is \(early), all is \(whole)")
  }
  var seen = 0
  var verdict = HeadResult.incomplete
  while seen < bytes.count, verdict == .incomplete {
    let count = min(bytes.count - seen, 1 + random.below(random.below(4) == 0 ? 200 : 12))
    let isWorth = ResponseHead.worthParsing(
      newBytes: UnsafeRawBufferPointer(rebasing: bytes[seen..<(seen + count)]), seen: seen,
      limits: limits)
    seen += count
    if isWorth { verdict = try parse(bytes, method, count: seen) }
  }
  if whole == .complete || verdict != .incomplete {
    try require(same: verdict, whole, "in pieces and at once")
  }
}

private func meansOneThing(
  _ head: borrowing ResponseHead, _ plain: PlainHead, _ input: UnsafeRawBufferPointer,
  _ method: Method
) throws {
  try require(
    plain.startLine.starts(
      with: "HTTP/1.\(head.isHTTP11 ? 1 : 0) \(head.status)".utf8), "the status line")
  try require((100...599).contains(head.status), "the status \(head.status)")
  try require(same: head.fields.count, plain.fields.count, "fields")
  let hasNoBody =
    method == .head || head.status < 200 || head.status == 204 || head.status == 304
  switch try plain.framing() {
  case _ where hasNoBody: try require(same: head.framing, .none, "the framing")
  case .nothing: try require(same: head.framing, .untilClose, "the framing")
  case .length(let bytes): try require(same: head.framing, .length(bytes), "the framing")
  case .chunked: try require(same: head.framing, .chunked, "the framing")
  }
  if head.framing == .untilClose { try require(!head.keepAlive, "kept although it must close") }
}

/// As ProxyCore chooses it.
private func framing(of head: borrowing ResponseHead, _ clientIsHTTP11: Bool) -> Framing {
  switch head.framing {
  case .none, .length: head.framing
  case .chunked, .untilClose: clientIsHTTP11 ? .chunked : .untilClose
  }
}

private struct Way {
  var framing: Framing
  var closes: Bool
  var isHTTP11: Bool
  var id: [UInt8]
}

private func write(
  _ head: borrowing ResponseHead, _ input: UnsafeRawBufferPointer, _ way: Way
) -> [UInt8] {
  var gather = Gather()
  if head.isInterim {
    writeInterim(head, from: input, into: &gather)
  } else {
    way.id.withUnsafeBytes { id in
      writeResponse(
        head, from: input, framing: way.framing, close: way.closes || way.framing == .untilClose,
        clientIsHTTP11: way.isHTTP11, requestID: id, into: &gather)
    }
  }
  return gather.contents
}

/// What the client gets is an answer that we would accept, framed as we said, and a second front
/// door would pass it on byte for byte.
private func staysTheSame(
  _ sent: [UInt8], _ first: borrowing ResponseHead, _ method: Method, _ way: Way
) throws {
  let note = "sent: \(spelled(sent))"
  let plain = try PlainHead(sent)
  for name in ["keep-alive", "proxy-connection", "trailer", "te", "proxy-authenticate"] {
    try require(plain[name].isEmpty, "\(name) goes to the client; \(note)")
  }
  let roomy = HeadLimits(headBytes: 16 << 10, targetBytes: 512, fields: 64)
  let second = try sent.withExact { text in
    var head = ResponseHead(fieldCapacity: 1)
    try require(same: head.parse(text, limits: roomy, requestMethod: method), .complete, note)
    try require(same: head.headBytes, sent.count, "bytes of the head; \(note)")
    try require(same: head.status, first.status, "the status; \(note)")
    try require(same: head.isInterim, first.isInterim, "interim; \(note)")
    try require(same: head.isEventStream, first.isEventStream, "event stream; \(note)")
    let hasBody = way.framing != .none
    try require(same: head.framing, hasBody ? way.framing : .none, "the framing; \(note)")
    if way.closes, !head.isInterim { try require(!head.keepAlive, "kept; \(note)") }
    return write(head, text, way)
  }
  let third = try second.withExact { text in
    var head = ResponseHead(fieldCapacity: 1)
    try require(same: head.parse(text, limits: roomy, requestMethod: method), .complete, note)
    return write(head, text, way)
  }
  try require(same: try PlainHead(second).sorted, plain.sorted, "fields at the second hop")
  try require(same: spelled(third), spelled(second), "bytes at the third hop")
}
