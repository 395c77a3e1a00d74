import HTTP
import HTTP1
import Primitives

/// Small ones, so that inputs of a fuzzer's size reach them.
private let limits = HeadLimits(headBytes: 2_048, targetBytes: 256, fields: 24)

/// A request head, however it comes, and what we would send upstream for it.
func checkRequest(_ bytes: UnsafeRawBufferPointer) throws {
  var random = SeededRandom(seed: bytes.seed)
  let whole = try parse(bytes)
  try comesInPieces(bytes, whole, &random)
  guard whole == .complete else { return }
  try bytes.withExactCopy(count: bytes.count) { input in
    var head = RequestHead(fieldCapacity: 1)
    _ = head.parse(input, limits: limits)
    let start = Int(head.methodRange.start)
    let plain = try PlainHead(input[start..<head.headBytes])
    try meansOneThing(head, plain, input)

    // What comes behind a head is no part of it.
    try input.withExactCopy(count: head.headBytes) { alone in
      var again = RequestHead(fieldCapacity: 32)
      try require(same: again.parse(alone, limits: limits), .complete, "the head alone")
      try require(same: again.headBytes, head.headBytes, "bytes of the head alone")
    }

    for way in Way.some(&random, head) {
      let sent = write(head, input, way)
      try staysTheSame(sent, head, input, way)
    }
  }
}

private func parse(_ bytes: UnsafeRawBufferPointer, count: Int? = nil) throws -> HeadResult {
  try bytes.withExactCopy(count: count ?? bytes.count) { input in
    var head = RequestHead(fieldCapacity: 1)
    return head.parse(input, limits: limits)
  }
}

/// However the input is cut, the verdict is the same: no piece too few is refused or complete, and
/// the caller's way, which parses only when that may change something, misses nothing.
private func comesInPieces(
  _ bytes: UnsafeRawBufferPointer, _ whole: HeadResult, _ random: inout SeededRandom
) throws {
  for _ in 0..<4 where bytes.count > 0 {
    let early = try parse(bytes, count: random.below(bytes.count))
    try require(
      early == .incomplete || early == whole, "a part of the input is \(early), all is \(whole)")
  }
  var seen = 0
  var verdict = HeadResult.incomplete
  while seen < bytes.count, verdict == .incomplete {
    let count = min(bytes.count - seen, 1 + random.below(random.below(4) == 0 ? 200 : 12))
    let isWorth = RequestHead.worthParsing(
      newBytes: UnsafeRawBufferPointer(rebasing: bytes[seen..<(seen + count)]), seen: seen,
      limits: limits)
    seen += count
    if isWorth { verdict = try parse(bytes, count: seen) }
  }
  if whole == .complete || verdict != .incomplete {
    try require(same: verdict, whole, "in pieces and at once")
  }
}

/// What an independent reading of the same lines says too.
private func meansOneThing(
  _ head: borrowing RequestHead, _ plain: PlainHead, _ input: UnsafeRawBufferPointer
) throws {
  let words = plain.startLine.split(separator: 0x20, omittingEmptySubsequences: false)
  try require(same: words.count, 3, "words of the request line")
  try require(same: Array(words[0]), head.methodRange.array(in: input), "the method")
  try require(same: Array(words[1]), head.target.array(in: input), "the target")
  try require(
    same: spelled(words[2]), head.isHTTP11 ? "HTTP/1.1" : "HTTP/1.0", "the version")
  try require(same: head.fields.count, plain.fields.count, "fields")
  for index in 0..<head.fields.count {
    try require(
      same: head.fields[index].value.array(in: input), plain.fields[index].value, "a value")
  }
  let hosts = plain["host"]
  try require(hosts.count == 1 || hosts.isEmpty && !head.isHTTP11, "\(hosts.count) hosts")
  switch try plain.framing() {
  case .nothing: try require(same: head.framing, .none, "the framing")
  case .length(let bytes): try require(same: head.framing, .length(bytes), "the framing")
  case .chunked:
    try require(same: head.framing, .chunked, "the framing")
    try require(head.isHTTP11, "a chunked body by HTTP/1.0")
  }
}

/// How a request is forwarded.
private struct Way {
  var client: [UInt8]
  var isTrusted: Bool
  var isSecure: Bool
  var id: [UInt8]
  var framing: Framing
  var forwardsExpect: Bool

  static func some(_ random: inout SeededRandom, _ head: borrowing RequestHead) -> [Way] {
    var ways: [Way] = []
    for _ in 0..<2 {
      let clients = ["", "10.1.2.3", "2001:db8::1"]
      var way = Way(
        client: Array(clients[random.below(3)].utf8), isTrusted: random.below(2) == 0,
        isSecure: random.below(2) == 0, id: Array((random.below(2) == 0 ? "" : "id-1").utf8),
        framing: head.framing, forwardsExpect: random.below(2) == 0)
      // An upgrade has no body to be framed anew, and who waits for a 100 has one.
      if head.upgrade == .none, !head.expectContinue, random.below(3) == 0 {
        let others: [Framing] = [.none, .length(0), .length(17), .chunked]
        way.framing = others[random.below(4)]
      }
      ways.append(way)
    }
    return ways
  }
}

private func write(
  _ head: borrowing RequestHead, _ input: UnsafeRawBufferPointer, _ way: Way
) -> [UInt8] {
  var gather = Gather()
  way.client.withUnsafeBytes { client in
    way.id.withUnsafeBytes { id in
      Array("fallback".utf8).withUnsafeBytes { host in
        let forwarding = Forwarding(
          clientAddress: client, keepForwarded: way.isTrusted, isSecure: way.isSecure,
          requestID: id, fallbackHost: host, upgrade: head.upgrade != .none,
          framing: way.framing, forwardExpect: way.forwardsExpect)
        writeRequest(head, from: input, forwarding, into: &gather)
      }
    }
  }
  return gather.contents
}

private let hopByHop = [
  "keep-alive", "proxy-connection", "trailer", "http2-settings", "proxy-authenticate",
  "proxy-authorization", "proxy",
]

/// What goes upstream is a request that we would accept, with the same meaning and the framing that
/// was asked for, and it goes on from there byte for byte.
private func staysTheSame(
  _ sent: [UInt8], _ first: borrowing RequestHead, _ input: UnsafeRawBufferPointer, _ way: Way
) throws {
  let note = "sent: \(spelled(sent))"
  let plain = try PlainHead(sent)
  for name in hopByHop { try require(plain[name].isEmpty, "\(name) goes upstream; \(note)") }
  if !way.isTrusted {
    try require(
      same: plain["x-forwarded-for"], way.client.isEmpty ? [] : [way.client],
      "X-Forwarded-For; \(note)")
    try require(plain["forwarded"].isEmpty && plain["x-real-ip"].isEmpty, "a claim goes upstream")
  }
  // What it says of itself grows a little, and another hop adds nothing.
  let roomy = HeadLimits(headBytes: 16 << 10, targetBytes: 512, fields: 64)
  let second = try sent.withExact { text in
    var head = RequestHead(fieldCapacity: 1)
    try require(same: head.parse(text, limits: roomy), .complete, note)
    try require(same: head.headBytes, sent.count, "bytes of the head; \(note)")
    try require(
      same: head.methodRange.array(in: text), first.methodRange.array(in: input),
      "the method; \(note)")
    try require(
      same: head.query.array(in: text), first.query.array(in: input), "the query; \(note)")
    let path = first.path.array(in: input)
    let isServerWide = path.isEmpty && first.query.isEmpty && first.method == .options
    // A question mark with nothing behind it stays one.
    let plainPath = path.isEmpty ? Array("/".utf8) : path
    let target = head.path.array(in: text)
    try require(
      target == plainPath || isServerWide && target == Array("*".utf8), "the path; \(note)")
    let host = first.authority.array(in: input)
    try require(
      same: head.authority.array(in: text), host.isEmpty ? Array("fallback".utf8) : host,
      "the authority; \(note)")
    try require(same: head.framing, way.framing, "the framing; \(note)")
    try require(head.isHTTP11, "HTTP/1.0 goes upstream; \(note)")
    try require(same: head.upgrade == .none, first.upgrade == .none, "the upgrade; \(note)")
    return write(head, text, way)
  }
  let third = try second.withExact { text in
    var head = RequestHead(fieldCapacity: 1)
    try require(same: head.parse(text, limits: roomy), .complete, note)
    return write(head, text, way)
  }
  // With a trusted peer each hop adds itself; otherwise nothing changes any more but the order of
  // fields, once: what we add stands behind.
  guard way.client.isEmpty || !way.isTrusted else { return }
  try require(same: try PlainHead(second).sorted, plain.sorted, "fields at the second hop")
  try require(same: spelled(third), spelled(second), "bytes at the third hop")
}
