import HTTP1
import Primitives

/// The header of a load balancer in front.
func checkProxyProtocol(_ bytes: UnsafeRawBufferPointer) throws {
  var random = SeededRandom(seed: bytes.seed)
  let whole = try bytes.withExactCopy(count: bytes.count) { ProxyProtocol.parse($0) }
  for _ in 0..<6 where bytes.count > 0 {
    let early = try bytes.withExactCopy(count: random.below(bytes.count)) {
      ProxyProtocol.parse($0)
    }
    try require(early == .incomplete || early == whole, "a part is \(early), all is \(whole)")
  }
  guard case .complete(let consumed, let source) = whole else {
    // No header is longer than this, so a connection cannot be held with one that never ends.
    try require(whole == .invalid || bytes.count < 4_096, "waits for more after 4,096 bytes")
    return
  }
  try require(consumed > 0 && consumed <= bytes.count, "consumed \(consumed)")
  try bytes.withExactCopy(count: consumed) {
    try require(same: ProxyProtocol.parse($0), whole, "the header alone")
  }
  guard let source else { return }
  // The canonical text names the same address.
  let text = source.withText { String(decoding: $0, as: UTF8.self) }
  let family = text.utf8.contains(0x3a) ? "TCP6" : "TCP4"
  let line = Array("PROXY \(family) \(text) \(text) \(source.port) 1\r\n".utf8)
  try line.withExact {
    try require(
      same: ProxyProtocol.parse($0), .complete(consumed: line.count, source: source),
      "written as \(text)")
  }
}
