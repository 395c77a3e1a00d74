import COpenSSL

/// The secret that seals session tickets: AES-256-CBC and then HMAC-SHA256 (RFC 5077, section 4).
package struct TicketKey: Sendable, Hashable {
  /// Bytes of a key: 16 that name it, 32 for AES, 32 for HMAC. The layout of nginx's and HAProxy's
  /// 80-byte ticket key files.
  package static let byteCount = 80

  let bytes: [UInt8]

  /// Nil unless there are `byteCount` bytes.
  package init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  /// A fresh one from OpenSSL's generator.
  package static func random() -> TicketKey {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    let got = RAND_bytes(&bytes, Int32(byteCount))
    precondition(got == 1, "OpenSSL's random generator has failed: no session can be safe")
    return TicketKey(bytes)!
  }

  var name: ArraySlice<UInt8> { bytes[0..<16] }
}

/// The keys of every loop: the current one seals, the others still open.
///
/// They come from outside, so that all loops share them, and so that a reload or a restart with the
/// same keys loses no session. Rotation is a new value:
/// `keys = keys.rotated(to: .random())`.
package struct TicketKeys: Sendable, Hashable {
  /// Earlier keys that are kept. Count. With a rotation each `ticketLifetime`, one is enough; two
  /// allow for rotations at twice that pace.
  package static let previousLimit = 2

  package let current: TicketKey
  /// Newest first; at most `previousLimit`.
  package let previous: [TicketKey]

  package init(current: TicketKey, previous: [TicketKey] = []) {
    self.current = current
    self.previous = Array(previous.prefix(Self.previousLimit))
  }

  package static func random() -> TicketKeys { TicketKeys(current: .random()) }

  package func rotated(to next: TicketKey) -> TicketKeys {
    TicketKeys(current: next, previous: [current] + previous)
  }
}
