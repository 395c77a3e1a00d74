import HTTP
import HTTP1
import Primitives

/// What a decoder made of a body.
private struct Decoded: Equatable {
  var consumed = 0
  var payloadBytes = 0
  var finished = false
  var rejected: Rejection?
  /// What goes to the other side.
  var out: [UInt8] = []
}

/// Feeds a body in the pieces that are drawn, or at once.
private func decode(
  _ bytes: UnsafeRawBufferPointer, _ framing: Framing, to outFraming: Framing,
  cutBy random: SeededRandom?, closes: Bool = false
) throws -> Decoded {
  var random = random
  var decoder = BodyDecoder(framing)
  var body = Decoded()
  var gather = Gather()
  while body.consumed < bytes.count, !decoder.isFinished, body.rejected == nil {
    var count = bytes.count - body.consumed
    if random != nil {
      let limit = random!.below(3) == 0 ? 40 : 4
      count = min(count, 1 + random!.below(limit))
    }
    let result = try bytes.withExactCopy(from: body.consumed, count: count) { input in
      let result = decoder.decode(
        input, outFraming: outFraming, limits: BodyLimits(), into: &gather)
      body.out += gather.contents
      gather.reset()
      return result
    }
    body.consumed += result.consumed
    body.payloadBytes += result.payloadBytes
    body.rejected = result.rejected
    try require(same: result.finished, decoder.isFinished, "finished")
    try require(
      result.finished || result.rejected != nil || result.consumed == count,
      "bytes were left although the body goes on")
  }
  if body.rejected != nil {
    // A refusal is for ever.
    let end = Array("0\r\n\r\n".utf8)
    let again = end.withUnsafeBytes {
      decoder.decode($0, outFraming: outFraming, limits: BodyLimits(), into: &gather)
    }
    try require(again.rejected == body.rejected && gather.contents.isEmpty, "forgot a refusal")
  }
  if closes {
    let isWhole = decoder.finishAtClose(outFraming: outFraming, into: &gather)
    try require(same: isWhole, decoder.isFinished, "whole at the end of the connection")
  }
  body.out += gather.contents
  body.finished = decoder.isFinished
  return body
}

/// Trailers that must not go on, whoever sends them.
private let forbiddenTrailers: Set<String> = [
  "content-length", "transfer-encoding", "host", "connection", "trailer", "te", "upgrade",
  "keep-alive", "expect", "x-forwarded-for", "forwarded", "authorization", "cookie", "set-cookie",
  "content-type", "content-encoding", "content_length", "transfer_encoding", "x_forwarded_for",
]

/// A chunked body. However it is cut, one verdict and one payload come of it, which are those of a
/// plain reading; what goes on, chunked again or not, holds that payload and nothing else.
func checkChunks(_ bytes: UnsafeRawBufferPointer) throws {
  let random = SeededRandom(seed: bytes.seed)
  let whole = try decode(bytes, .chunked, to: .chunked, cutBy: nil)
  let cut = try decode(bytes, .chunked, to: .chunked, cutBy: random)
  try require(same: cut.rejected, whole.rejected, "the refusal in pieces and at once")
  try require(same: cut.finished, whole.finished, "finished in pieces and at once")
  try require(same: cut.payloadBytes, whole.payloadBytes, "payload in pieces and at once")
  try require(same: cut.consumed, whole.consumed, "consumed in pieces and at once")

  let plain = PlainChunks(Array(bytes))
  guard whole.finished else {
    if plain != nil, !isLimit(whole.rejected) {
      throw BrokenRule("a good body came to \(whole.rejected.map { "\($0)" } ?? "no end")")
    }
    try neverEnds(whole.out)
    try neverEnds(cut.out)
    return
  }
  guard let plain else { throw BrokenRule("accepted what is no chunked body") }
  try require(same: whole.consumed, plain.count, "bytes of the body")
  try require(same: whole.payloadBytes, plain.payload.count, "bytes of the payload")
  for out in [whole.out, cut.out] { try carries(out, plain) }
  try require(same: lowercase(cut.out), lowercase(whole.out), "bytes that go on")

  for framing in [Framing.untilClose, .length(UInt64(plain.payload.count))] {
    for way in [nil, random] {
      let bare = try decode(bytes, .chunked, to: framing, cutBy: way)
      try require(bare.finished && bare.out == plain.payload, "the payload to \(framing)")
    }
  }
}

/// A limit of ours, which the plain reading does not know.
private func isLimit(_ rejection: Rejection?) -> Bool {
  switch rejection {
  case .chunkSizeTooLarge, .chunkExtensionTooLong, .trailersTooLarge, .tooManyTrailers: true
  default: false
  }
}

/// What goes on of a body that is refused, or has not ended, does not end either.
private func neverEnds(_ out: [UInt8]) throws {
  try require(PlainChunks(out) == nil, "a body that has no end goes on with one: \(spelled(out))")
}

private func carries(_ out: [UInt8], _ plain: PlainChunks) throws {
  let note = "goes on as \(spelled(out))"
  guard let again = PlainChunks(out) else { throw BrokenRule("no chunked body; \(note)") }
  try require(same: again.count, out.count, "bytes behind the end; \(note)")
  try require(again.payload == plain.payload, "another payload; \(note)")
  var left = plain.trailers[...]
  for trailer in again.trailers {
    try require(!forbiddenTrailers.contains(trailer.name), "\(trailer.name) goes on; \(note)")
    while let next = left.first, next.name != trailer.name || next.value != trailer.value {
      left.removeFirst()
    }
    try require(left.popFirst() != nil, "a trailer that did not come: \(trailer.name); \(note)")
  }
  let next = try out.withExact { try decode($0, .chunked, to: .chunked, cutBy: nil) }
  try require(next.finished && next.out == out, "another body at the next hop; \(note)")
}

private func lowercase(_ bytes: [UInt8]) -> [UInt8] {
  bytes.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }
}

/// A body in any framing to any other. The first byte of the input says which, the second how long.
func checkBody(_ bytes: UnsafeRawBufferPointer) throws {
  guard bytes.count >= 2 else { return }
  let length = UInt64(bytes[1])
  let framings: [Framing] = [.length(length), .untilClose, .chunked, .none]
  let framing = framings[Int(bytes[0] & 3)]
  let body = UnsafeRawBufferPointer(rebasing: bytes[2...])
  let random = SeededRandom(seed: bytes.seed)

  let payload: [UInt8]?
  switch framing {
  case .none: payload = []
  case .length: payload = body.count >= length ? Array(body[..<Int(length)]) : nil
  case .untilClose: payload = Array(body)
  case .chunked:
    let decoded = try decode(body, .chunked, to: .untilClose, cutBy: nil)
    payload = decoded.finished ? decoded.out : nil
  }
  for outFraming in [Framing.chunked, .untilClose, .length(length)] {
    for way in [nil, random] {
      let out = try decode(body, framing, to: outFraming, cutBy: way, closes: true)
      try require(same: out.finished, payload != nil, "\(framing) to \(outFraming): finished")
      guard let payload else {
        if outFraming == .chunked { try neverEnds(out.out) }
        continue
      }
      guard outFraming == .chunked, framing != .none else {
        try require(out.out == payload, "\(framing) to \(outFraming): another payload")
        continue
      }
      // A body of no bytes is finished before it begins: who writes the head says so there.
      if framing == .length(0) { continue }
      guard let chunks = PlainChunks(out.out) else {
        throw BrokenRule("\(framing) goes on as \(spelled(out.out)), which is no chunked body")
      }
      try require(
        chunks.payload == payload && chunks.count == out.out.count,
        "\(framing) goes on as \(spelled(out.out))")
    }
  }
}
