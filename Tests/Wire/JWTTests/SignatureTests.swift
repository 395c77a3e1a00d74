import COpenSSL
import JWT
import Testing

/// Signatures that are nearly right, after the classes of Wycheproof: each was accepted by some
/// library.
struct SignatureTests {
  static let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
  static let text = base64(Array(#"{"alg":"ES256"}"#.utf8)) + ".e30"

  static func hex(_ text: String) -> [UInt8] {
    stride(from: 0, to: text.utf8.count, by: 2).map { place in
      UInt8(text.dropFirst(place).prefix(2), radix: 16)!
    }
  }

  private func number(_ value: UInt8) -> [UInt8] { [UInt8](repeating: 0, count: 31) + [value] }

  private func refused(_ signature: [UInt8]) -> TokenRefusal? {
    refusal(Self.text + "." + base64(signature))
  }

  // Zero for r and s passes a verifier that does not check its range ("psychic signatures").
  @Test func ecdsaOutOfRange() {
    let right = Signer.ec.signature(Self.text)
    let r = Array(right[..<32])
    let s = Array(right[32...])
    #expect(refused(right) == nil)
    let edges = [
      number(0), number(1), Self.order, [UInt8](repeating: 0xff, count: 32),
      Array(Self.order.dropLast()) + [Self.order.last! + 1],
      Array(Self.order.dropLast()) + [Self.order.last! - 1],
    ]
    for first in edges + [r] {
      for second in edges + [s] where (first, second) != (r, s) {
        #expect(refused(first + second) == .signature)
      }
    }
    #expect(refused(s + r) == .signature)
  }

  @Test func ecdsaInOtherForms() {
    let right = Signer.ec.signature(Self.text)
    let der = [0x30, 0x44, 0x02, 0x20] + right[..<32] + [0x02, 0x20] + right[32...]
    #expect(refused(der) == .signatureLength)
    #expect(refused([0] + right) == .signatureLength)
    #expect(refused(right + [0]) == .signatureLength)
    #expect(refused(Array(right.dropLast())) == .signatureLength)
    #expect(refused([]) == .signatureLength)
  }

  // With s, n - s is right as well: ECDSA is like that, and no token may be remembered by its
  // signature alone.
  @Test func ecdsaHasTwoSignatures() {
    let right = Signer.ec.signature(Self.text)
    var other = Array(right[..<32])
    var borrow = 0
    var difference: [UInt8] = []
    for place in (0..<32).reversed() {
      let digit = Int(Self.order[place]) - Int(right[32 + place]) - borrow
      borrow = digit < 0 ? 1 : 0
      difference.insert(UInt8(digit & 255), at: 0)
    }
    other += difference
    #expect(refused(other) == nil)
  }

  // Small r and s: the DER that OpenSSL gets must be minimal, and positive.
  @Test func rawToDER() {
    // Signatures of this run have short halves one time of 128: some runs meet them.
    for _ in 0..<100 {
      #expect(refused(Signer.ec.signature(Self.text)) == nil)
    }
  }

  // Paddings that only look like PKCS #1 v1.5 (Bleichenbacher's forgery and its relatives).
  @Test func rsaPaddings() throws {
    let text = base64(Array(#"{"alg":"RS256"}"#.utf8)) + ".e30"
    func refused(_ block: [UInt8]) -> TokenRefusal? {
      refusal(text + "." + base64(Signer.rsa.rawRSA(block)))
    }
    let info = Self.hex("3031300d060960864801650304020105000420")
    var digest = [UInt8](repeating: 0, count: 32)
    SHA256(Array(text.utf8), text.utf8.count, &digest)
    func block(_ tail: [UInt8], type: UInt8 = 1, fill: UInt8 = 0xff, after: [UInt8] = []) -> [UInt8]
    {
      let filling = 256 - 3 - tail.count - after.count
      return [0, type] + [UInt8](repeating: fill, count: filling) + [0] + tail + after
    }
    #expect(refused(block(info + digest)) == nil)
    // Without the NULL of the parameters, with bytes behind, short filling, other filling and type.
    let withoutNull = Self.hex("302f300b0609608648016503040201") + [0x04, 0x20]
    #expect(refused(block(withoutNull + digest)) == .signature)
    #expect(refused(block(info + digest, after: [0])) == .signature)
    #expect(
      refused(block(info + digest, after: [UInt8](repeating: 0, count: 190))) == .signature)
    #expect(refused(block(info + digest, fill: 0xfe)) == .signature)
    #expect(refused(block(info + digest, type: 2)) == .signature)
    #expect(refused(block(info + digest, type: 0)) == .signature)
    #expect(refused(block(digest)) == .signature)
    // SHA-1's identifier, before the same digest; and indefinite lengths.
    #expect(refused(block(Self.hex("3021300906052b0e03021a05000414") + digest)) == .signature)
    #expect(
      refused(block(Self.hex("3080300d060960864801650304020105000420") + digest)) == .signature)
    var changed = digest
    changed[31] ^= 1
    #expect(refused(block(info + changed)) == .signature)
  }

  @Test func rsaOutOfRange() {
    let text = base64(Array(#"{"alg":"RS256"}"#.utf8)) + ".e30"
    let right = Signer.rsa.signature(text)
    func refused(_ signature: [UInt8]) -> TokenRefusal? {
      refusal(text + "." + base64(signature))
    }
    #expect(refused(right) == nil)
    #expect(refused([0] + right) == .signatureLength)
    #expect(refused(Array(right.dropFirst())) == .signatureLength)
    #expect(refused([UInt8](repeating: 0, count: 256)) == .signature)
    #expect(refused([UInt8](repeating: 0, count: 255) + [1]) == .signature)
    #expect(refused([UInt8](repeating: 0xff, count: 256)) == .signature)
    #expect(refused(Signer.rsa.modulus) == .signature)
  }

  // The group's order added to S: the same signature in another form (RFC 8032, 8.4).
  @Test func ed25519() {
    let text = base64(Array(#"{"alg":"EdDSA"}"#.utf8)) + ".e30"
    let right = Signer.ed.signature(text)
    func refused(_ signature: [UInt8]) -> TokenRefusal? {
      refusal(text + "." + base64(signature))
    }
    #expect(refused(right) == nil)
    let order = Array(
      Self.hex("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed").reversed())
    var other = right
    var carry = 0
    for place in 0..<32 {
      let sum = Int(other[32 + place]) + Int(order[place]) + carry
      other[32 + place] = UInt8(sum & 255)
      carry = sum >> 8
    }
    #expect(refused(other) == .signature)
    #expect(refused([UInt8](repeating: 0, count: 64)) == .signature)
    #expect(refused([1] + [UInt8](repeating: 0, count: 63)) == .signature)
    #expect(refused(Array(right[32...] + right[..<32])) == .signature)
    #expect(refused(Array(right.dropLast())) == .signatureLength)
  }

  // Every bit of every signature counts.
  @Test(arguments: TokenAlgorithm.allCases) func changedBits(algorithm: TokenAlgorithm) {
    let text = base64(Array(#"{"alg":"\#(algorithm.rawValue)"}"#.utf8)) + ".e30"
    let right = Signer.of(algorithm).signature(text)
    for place in right.indices {
      var changed = right
      changed[place] ^= 1 << UInt8(place % 8)
      #expect(refusal(text + "." + base64(changed)) == .signature)
    }
  }
}
