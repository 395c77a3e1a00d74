import Primitives
import Testing

@testable import Guard

private func address(_ text: String) -> ClientAddress? { bytes(text) { ClientAddress(text: $0) } }

private func find(
  peer: String, trusted: [String], _ forwardedFor: [String]
) -> ClientAddress? {
  let blocks = trusted.compactMap { AddressBlock($0) }
  let isTrusted = address(peer)?.isIn(blocks) ?? false
  return bytes(peer) { peer in
    ClientAddress.find(peer: peer, isTrusted: isTrusted, trusted: blocks) { walk in
      for value in forwardedFor.reversed() {
        if !bytes(value, { walk($0) }) { return }
      }
    }
  }
}

/// Whose request it is. What could break: a client that names its own address, or one that is taken
/// for its proxy.
@Suite struct ClientAddressTests {
  @Test(arguments: [
    // Nobody is trusted: what the client says does not count.
    ("203.0.113.9", [], ["10.0.0.1"], "203.0.113.9"),
    // One proxy: the last address is the client's.
    ("10.0.0.1", ["10.0.0.0/8"], ["198.51.100.7"], "198.51.100.7"),
    // The client has written an address before it came to the proxy.
    ("10.0.0.1", ["10.0.0.0/8"], ["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
    // Two proxies of ours, and white space.
    ("10.0.0.1", ["10.0.0.0/8"], ["1.2.3.4,  198.51.100.7 ,\t10.2.2.2"], "198.51.100.7"),
    // On several lines, as one list.
    ("10.0.0.1", ["10.0.0.0/8"], ["1.2.3.4", "198.51.100.7", "10.2.2.2"], "198.51.100.7"),
    // All of them are ours.
    ("10.0.0.1", ["10.0.0.0/8"], ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
    // No address: the hop that passed it on stands for it.
    ("10.0.0.1", ["10.0.0.0/8"], ["unknown, 10.2.2.2"], "10.2.2.2"),
    ("10.0.0.1", ["10.0.0.0/8"], [""], "10.0.0.1"),
    ("10.0.0.1", ["10.0.0.0/8"], ["198.51.100.7,"], "10.0.0.1"),
    ("10.0.0.1", ["10.0.0.0/8"], ["198.51.100.7:80"], "10.0.0.1"),
    ("10.0.0.1", ["10.0.0.0/8"], [], "10.0.0.1"),
    ("fd00::1", ["fd00::/8"], ["2001:db8::5"], "2001:db8::5"),
    ("fd00::1", ["fd00::/8"], ["::ffff:1.2.3.4"], "1.2.3.4"),
  ])
  func isFoundOverTrustedHopsOnly(
    peer: String, trusted: [String], forwardedFor: [String], expected: String
  ) {
    #expect(find(peer: peer, trusted: trusted, forwardedFor) == address(expected))
  }

  @Test func anAddressSharesItsBucketWithItsNetwork() throws {
    func bucket(_ text: String) throws -> UInt64 { try #require(address(text)).bucket }
    #expect(try bucket("2001:db8::1") == bucket("2001:db8::ffff:2"))
    #expect(try bucket("2001:db8::1") != bucket("2001:db8:0:1::1"))
    #expect(try bucket("1.2.3.4") != bucket("1.2.3.5"))
  }
}

/// Allow and deny lists. What could break: an address that is on both, or on neither.
@Suite struct AddressRulesTests {
  private func rules(allow: [String] = [], deny: [String] = []) -> AddressRules {
    AddressRules(
      allow: allow.compactMap { AddressBlock($0) }, deny: deny.compactMap { AddressBlock($0) })
  }

  @Test(arguments: [
    ("10.1.2.3", true), ("10.9.9.9", false), ("11.0.0.1", false), ("fd00::1", true),
    ("fe80::1", false), ("::ffff:10.1.2.3", true),
  ])
  func denyWins(text: String, passes: Bool) {
    let rules = rules(allow: ["10.0.0.0/8", "fd00::/8"], deny: ["10.9.0.0/16"])
    #expect(rules.admits(address(text)) == passes)
  }

  @Test func withoutAnAddressOnlyWhereNobodyMustBeListed() {
    #expect(rules().admits(nil))
    #expect(rules(deny: ["10.0.0.0/8"]).admits(nil))
    #expect(!rules(allow: ["10.0.0.0/8"]).admits(nil))
  }
}
