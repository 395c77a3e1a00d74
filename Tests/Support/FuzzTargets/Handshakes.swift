import Primitives
import TLS

/// A client's first bytes on a TLS port, before OpenSSL gets them: one verdict however they are cut.
func checkHandshake(_ bytes: UnsafeRawBufferPointer) throws {
  let whole = verdict(bytes, cutBy: nil)
  let cut = verdict(bytes, cutBy: SeededRandom(seed: bytes.seed))
  try require(same: cut, whole, "in pieces and at once")
  if whole == .plaintextHTTP {
    try require(
      bytes.prefix(21).contains(0x20), "taken for plain HTTP: \(spelled(bytes.prefix(30)))")
  }
}

private func verdict(
  _ bytes: UnsafeRawBufferPointer, cutBy random: SeededRandom?
) -> HandshakeScan.Verdict {
  var random = random
  var scan = HandshakeScan()
  var verdict = HandshakeScan.Verdict.passes
  var position = 0
  while position < bytes.count, verdict == .passes || verdict == .waits {
    var count = bytes.count - position
    if random != nil { count = min(count, 1 + random!.below(9)) }
    verdict = scan.scan(UnsafeRawBufferPointer(rebasing: bytes[position..<(position + count)]))
    position += count
  }
  return verdict
}
