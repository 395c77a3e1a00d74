import JSON
import Primitives

/// What a token says whose signature and rules hold.
package struct VerifiedToken: Sendable {
  package let subject: String?
  package let issuer: String?
  package let audiences: [String]
  /// Seconds since 1970; nil: never, where the rules allow it.
  package let expires: Int64?
  /// All claims.
  package let claims: JSONValue

  /// The texts of a claim: one, or those of a list; none where it is missing or of another kind.
  package func texts(_ claim: String) -> [String] {
    guard let value = claims[claim] else { return [] }
    return value.text.map { [$0] } ?? value.elements?.compactMap(\.text) ?? []
  }
}

/// Verifies JSON web tokens in compact serialisation (RFC 7515, 7519) with local keys.
///
/// The key decides which algorithm is run, never the token: the token's `alg` only has to agree
/// (RFC 8725, 3.1). A token cannot bring, name by address, or extend anything.
package struct TokenVerifier: Sendable {
  /// Longest token. Bytes; real ones have up to 2 KiB.
  package static let tokenBytesLimit = 8 * 1024
  /// Keys that are tried for a token without kid. Count; each costs up to 0.2 ms of the loop.
  package static let keysTriedLimit = 4

  package let keys: KeySet
  package let rules: TokenRules

  package init(keys: KeySet, rules: TokenRules) {
    self.keys = keys
    self.rules = rules
  }

  /// The claims, when the signature and all rules hold at that time (seconds since 1970).
  package func verify(
    _ token: UnsafeRawBufferPointer, at unixSeconds: Int64
  ) throws(TokenRefusal) -> VerifiedToken {
    guard token.count <= Self.tokenBytesLimit else { throw .tooLong }
    let dots = token.indices.filter { token[$0] == UInt8(ascii: ".") }
    // Five parts are an encrypted token (RFC 7516).
    if dots.count == 4 { throw .encrypted }
    guard dots.count == 2 else { throw .malformed }
    guard let header = Base64URL.decode(token[..<dots[0]]),
      let payload = Base64URL.decode(token[(dots[0] + 1)..<dots[1]]),
      let signature = Base64URL.decode(token[(dots[1] + 1)...])
    else { throw .encoding }
    let candidates = try candidates(try Self.object(header, or: .header))
    let text = UnsafeRawBufferPointer(rebasing: token[..<dots[1]])
    guard candidates.contains(where: { $0.signatureBytes == signature.count }) else {
      throw .signatureLength
    }
    guard candidates.contains(where: { $0.verifies(signature, over: text) }) else {
      throw .signature
    }
    return try check(try Self.object(payload, or: .claims), at: unixSeconds)
  }

  private static func object(
    _ bytes: [UInt8], or refusal: TokenRefusal
  ) throws(TokenRefusal) -> [String: JSONValue] {
    do {
      guard case .object(let members) = try JSONValue(bytes) else { throw refusal }
      return members
    } catch let complaint as JSONComplaint {
      throw complaint.problem == "the name stands twice in one object" ? .claimTwice : refusal
    } catch {
      throw refusal
    }
  }

  // MARK: Header

  /// The keys that may have signed a token with this header.
  private func candidates(
    _ header: [String: JSONValue]
  ) throws(TokenRefusal) -> [VerificationKey] {
    guard let name = header["alg"]?.text else { throw .header }
    if name.lowercased() == "none" { throw .algorithmNone }
    // RFC 7797's unencoded payload must be critical as well; who forgets that is no better.
    if header["crit"] != nil || header["b64"] != nil { throw .criticalHeader }
    if header["enc"] != nil || header["zip"] != nil || header["cty"] != nil { throw .encrypted }
    if ["jwk", "jku", "x5u", "x5c"].contains(where: { header[$0] != nil }) { throw .keyInToken }
    guard let algorithm = TokenAlgorithm(name: name) else { throw .algorithmUnknown }
    guard rules.algorithms.contains(algorithm) else { throw .algorithmNotAllowed }
    try checkType(header["typ"])
    guard let kid = header["kid"] else {
      let fitting = keys.keys.filter { $0.algorithm == algorithm }
      if fitting.isEmpty { throw .keyUnknown }
      guard fitting.count <= Self.keysTriedLimit else { throw .kidMissing }
      return fitting
    }
    guard let kid = kid.text else { throw .header }
    guard let key = keys.keys.first(where: { $0.kid.map { same($0, kid) } == true }) else {
      throw .keyUnknown
    }
    guard key.algorithm == algorithm else { throw .keyMismatch }
    return [key]
  }

  /// A token that was issued to say something else (a logout, a security event) is signed by the
  /// same key (RFC 8725, 3.11).
  private func checkType(_ type: JSONValue?) throws(TokenRefusal) {
    guard let type else { return }
    guard let name = type.text?.lowercased() else { throw .header }
    let known = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"]
    guard known.contains(name) else { throw .typeUnknown }
  }

  // MARK: Claims

  private func check(
    _ claims: [String: JSONValue], at unixSeconds: Int64
  ) throws(TokenRefusal) -> VerifiedToken {
    let now = Double(unixSeconds)
    let leeway = rules.leeway.seconds
    let expires = try time(claims["exp"])
    if let expires, now - leeway >= expires { throw .expired }
    if expires == nil, rules.requiresExpiry { throw .expiryMissing }
    if let start = try time(claims["nbf"]), now + leeway < start { throw .notYetValid }
    if let issued = try time(claims["iat"]), now + leeway < issued { throw .issuedInFuture }
    let issuer = try text(claims["iss"])
    if !rules.issuers.isEmpty {
      guard let issuer, rules.issuers.contains(where: { same($0, issuer) }) else { throw .issuer }
    }
    let audiences = try audiences(claims["aud"])
    if !rules.audiences.isEmpty {
      guard rules.audiences.contains(where: { one in audiences.contains { same(one, $0) } }) else {
        throw .audience
      }
    }
    let subject = try text(claims["sub"])
    for name in rules.requiredClaims where (claims[name] ?? .null) == .null {
      throw .requiredClaim
    }
    return VerifiedToken(
      subject: subject, issuer: issuer, audiences: audiences,
      // What is beyond any date is a date beyond all others.
      expires: expires.map { Int64(exactly: $0.rounded(.down)) ?? ($0 < 0 ? .min : .max) },
      claims: .object(claims))
  }

  /// Seconds since 1970, fractions allowed (RFC 7519, 2).
  private func time(_ claim: JSONValue?) throws(TokenRefusal) -> Double? {
    guard let claim else { return nil }
    guard let seconds = claim.number else { throw .claimKind }
    return seconds
  }

  private func text(_ claim: JSONValue?) throws(TokenRefusal) -> String? {
    guard let claim else { return nil }
    guard let text = claim.text else { throw .claimKind }
    return text
  }

  private func audiences(_ claim: JSONValue?) throws(TokenRefusal) -> [String] {
    guard let claim else { return [] }
    if let text = claim.text { return [text] }
    guard let elements = claim.elements else { throw .claimKind }
    let texts = elements.compactMap(\.text)
    guard texts.count == elements.count else { throw .claimKind }
    return texts
  }
}
