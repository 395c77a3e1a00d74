import HTTP1
import Primitives

/// Who a request comes from, behind the proxies that the operator trusts. IPv4 stands in its mapped
/// form.
package struct ClientAddress: Sendable, Hashable {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  package init?(text: UnsafeRawBufferPointer) {
    guard let address = IPAddress.parse(text) else { return nil }
    self.init(high: address.high, low: address.low)
  }

  /// The address that rules apply to. `X-Forwarded-For` is walked from its right end, where the
  /// nearest proxy wrote, and only over trusted hops: the first address that is not trusted is the
  /// client, for whatever stands left of it the client may have written itself. An element that is
  /// no address ends the walk too, at the hop that passed it on.
  ///
  /// - Parameters:
  ///   - peer: as text; nil when the peer has no address, as on a Unix socket.
  ///   - forwardedFor: the values of all `X-Forwarded-For` fields, last one first.
  package static func find(
    peer: UnsafeRawBufferPointer, isTrusted: Bool, trusted: [AddressBlock],
    forwardedFor: (inout (UnsafeRawBufferPointer) -> Bool) -> Void
  ) -> ClientAddress? {
    var address = ClientAddress(text: peer)
    guard isTrusted else { return address }
    var walk: (UnsafeRawBufferPointer) -> Bool = { value in
      var end = value.count
      while end > 0 {
        var start = end
        while start > 0, value[start - 1] != 0x2c { start -= 1 }
        guard
          let hop = ClientAddress(
            text: trimmed(UnsafeRawBufferPointer(rebasing: value[start..<end])))
        else { return false }
        address = hop
        if !hop.isIn(trusted) { return false }
        end = start - 1
      }
      return true
    }
    forwardedFor(&walk)
    return address
  }

  package func isIn(_ blocks: [AddressBlock]) -> Bool {
    for block in blocks where block.contains(high: high, low: low) { return true }
    return false
  }

  /// What a bucket is kept for: an IPv4 address, or the /64 of an IPv6 one, since each customer of a
  /// provider has at least that many addresses.
  package var bucket: UInt64 {
    high == 0 && low >> 32 == 0xffff ? low : high
  }

  private static func trimmed(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    var start = 0
    var end = text.count
    while start < end, text[start] == 0x20 || text[start] == 0x09 { start += 1 }
    while end > start, text[end - 1] == 0x20 || text[end - 1] == 0x09 { end -= 1 }
    return UnsafeRawBufferPointer(rebasing: text[start..<end])
  }
}

/// Which addresses may come.
package struct AddressRules: Sendable, Equatable {
  /// Empty: all that are not denied.
  package var allow: [AddressBlock]
  /// Wins over `allow`.
  package var deny: [AddressBlock]

  package init(allow: [AddressBlock] = [], deny: [AddressBlock] = []) {
    self.allow = allow
    self.deny = deny
  }

  package var isEmpty: Bool { allow.isEmpty && deny.isEmpty }

  /// A peer without an address (a Unix socket, or a header that cannot be read) is on no list: it may
  /// come only where nobody must be on one.
  package func admits(_ client: ClientAddress?) -> Bool {
    guard let client else { return allow.isEmpty }
    return !client.isIn(deny) && (allow.isEmpty || client.isIn(allow))
  }
}
