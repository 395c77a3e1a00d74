import JSON

/// What is wrong with one key of a JWKS file, for the operator.
package struct KeyComplaint: Error, Equatable, Sendable, CustomStringConvertible {
  /// Place in `keys`, from 0; nil when the file itself is meant.
  package let index: Int?
  package let kid: String?
  /// What is wrong and what to do.
  package let problem: String

  package var description: String {
    guard let index else { return "jwks: \(problem)" }
    return "jwks: key \(index)" + (kid.map { " (kid \(quoted($0)))" } ?? "") + ": \(problem)"
  }
}

/// The public keys of a JWKS file (RFC 7517). Immutable; shared by all loops.
package struct KeySet: Sendable {
  /// Largest file. Bytes. A key with its certificate chain has about 8 KiB.
  package static let fileBytesLimit = 256 * 1024
  /// Keys of a file. Count; issuers publish two or three.
  package static let keysLimit = 64
  /// Longest kid. Bytes; thumbprints have 43.
  static let kidBytesLimit = 256

  let keys: [VerificationKey]

  package var count: Int { keys.count }

  /// Reads a file. Keys that cannot be used are left out, each with a complaint; nil when none is
  /// left, with a complaint in any case.
  package init?(jwks bytes: UnsafeRawBufferPointer, complaints: inout [KeyComplaint]) {
    func complain(_ problem: String) {
      complaints.append(KeyComplaint(index: nil, kid: nil, problem: problem))
    }
    guard bytes.count <= Self.fileBytesLimit else {
      complain("the file has more than \(Self.fileBytesLimit) bytes; remove keys")
      return nil
    }
    let file: JSONValue
    do {
      file = try JSONValue(bytes)
    } catch {
      complain(error.description)
      return nil
    }
    guard let entries = file["keys"]?.elements else {
      complain("there is no list 'keys'; write {\"keys\": [...]} as in RFC 7517")
      return nil
    }
    guard entries.count <= Self.keysLimit else {
      complain("there are more than \(Self.keysLimit) keys; remove those that sign nothing")
      return nil
    }
    var keys: [VerificationKey] = []
    for (index, entry) in entries.enumerated() {
      do throws(KeyFault) {
        let key = try Self.key(entry)
        if let kid = key.kid,
          keys.contains(where: { $0.kid.map { same($0, kid) } == true })
        {
          throw KeyFault("another key has the same kid; give each its own")
        }
        keys.append(key)
      } catch {
        complaints.append(
          KeyComplaint(index: index, kid: entry["kid"]?.text, problem: error.problem))
      }
    }
    guard !keys.isEmpty else {
      complain("no key can be used; add an RSA, EC P-256 or Ed25519 public key")
      return nil
    }
    self.keys = keys
  }

  // MARK: One key

  private struct KeyFault: Error {
    let problem: String
    init(_ problem: String) { self.problem = problem }
  }

  private static func key(_ entry: JSONValue) throws(KeyFault) -> VerificationKey {
    guard case .object(let members) = entry else { throw KeyFault("is not an object") }
    guard let kty = members["kty"]?.text else { throw KeyFault("has no kty; write \"RSA\", say") }
    if kty == "oct" {
      throw KeyFault("is a shared secret (kty oct); only public keys are supported")
    }
    // RFC 7518, 6: `d` is in every private key.
    if members["d"] != nil {
      throw KeyFault("holds a private key (d); replace it and publish its public members only")
    }
    let kid = try kid(members)
    try checkUse(members)
    let key: VerificationKey?
    switch kty {
    case "RSA": key = try rsa(members, kid)
    case "EC":
      try checkCurve(members, "P-256")
      key = VerificationKey(
        p256: try number(members, "x", bytes: 32), try number(members, "y", bytes: 32), kid: kid)
    case "OKP":
      try checkCurve(members, "Ed25519")
      key = VerificationKey(ed25519: try number(members, "x", bytes: 32), kid: kid)
    default: throw KeyFault("has kty \(quoted(kty)); supported are RSA, EC and OKP")
    }
    guard let key else { throw KeyFault("is no valid public key; export it again") }
    if let alg = members["alg"] {
      guard let name = alg.text, TokenAlgorithm(name: name) == key.algorithm else {
        throw KeyFault(
          "has alg \(quoted(alg.text ?? "?")); a key of this type verifies \(key.algorithm.rawValue)"
        )
      }
    }
    return key
  }

  private static func kid(_ members: [String: JSONValue]) throws(KeyFault) -> String? {
    guard let member = members["kid"] else { return nil }
    guard let kid = member.text else { throw KeyFault("has a kid that is no string") }
    guard kid.utf8.count <= kidBytesLimit else {
      throw KeyFault("has a kid longer than \(kidBytesLimit) bytes; shorten it")
    }
    return kid
  }

  private static func checkUse(_ members: [String: JSONValue]) throws(KeyFault) {
    if let use = members["use"], use.text != "sig" {
      throw KeyFault("has use \(quoted(use.text ?? "?")); only keys with use 'sig' verify")
    }
    if let operations = members["key_ops"] {
      guard operations.elements?.contains(where: { $0.text == "verify" }) == true else {
        throw KeyFault("has key_ops without 'verify'")
      }
    }
  }

  private static func checkCurve(
    _ members: [String: JSONValue], _ curve: String
  ) throws(KeyFault) {
    guard members["crv"]?.text == curve else {
      throw KeyFault("has crv \(quoted(members["crv"]?.text ?? "?")); supported is \(curve)")
    }
  }

  /// Moduli of 2,048 bits at least (RFC 7518, 3.3), and of 8,192 at most: a verification with that
  /// takes half a millisecond of the loop.
  private static func rsa(
    _ members: [String: JSONValue], _ kid: String?
  ) throws(KeyFault) -> VerificationKey? {
    let modulus = Array(try number(members, "n").drop { $0 == 0 })
    let exponent = Array(try number(members, "e").drop { $0 == 0 })
    let bits = modulus.count * 8 - (modulus.first?.leadingZeroBitCount ?? 0)
    guard (2_048...8_192).contains(bits) else {
      throw KeyFault("has \(bits) bits; RSA keys need 2048 to 8192")
    }
    guard exponent.count <= 8, let last = exponent.last, last & 1 == 1, exponent != [1],
      modulus.last.map({ $0 & 1 == 1 }) == true
    else { throw KeyFault("is no valid public key; export it again") }
    return VerificationKey(rsa: modulus, exponent, kid: kid)
  }

  private static func number(
    _ members: [String: JSONValue], _ name: String, bytes count: Int? = nil
  ) throws(KeyFault) -> [UInt8] {
    guard let text = members[name]?.text else { throw KeyFault("lacks '\(name)'") }
    guard let bytes = Base64URL.decode(text.utf8) else {
      throw KeyFault("'\(name)' is not canonical base64url without padding")
    }
    if let count, bytes.count != count {
      throw KeyFault("'\(name)' has \(bytes.count) bytes instead of \(count)")
    }
    return bytes
  }
}

/// Equal byte for byte. `==` of strings takes different spellings of one character as equal.
func same(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }

/// A text of the file as it may stand in a line of a log: quoted, at most 64 characters, and none
/// that a terminal would obey.
private func quoted(_ text: String) -> String {
  var shown = String.UnicodeScalarView()
  for scalar in text.unicodeScalars.prefix(64) {
    let isPlain = scalar.value >= 0x20 && !(0x7f...0x9f).contains(scalar.value)
    shown.append(isPlain ? scalar : "\u{fffd}")
  }
  return "'\(shown)\(text.unicodeScalars.count > 64 ? "…" : "")'"
}
