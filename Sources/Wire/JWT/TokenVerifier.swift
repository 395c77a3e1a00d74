import COpenSSL
import JSON
import Primitives

/// Signature algorithms (RFC 7518, 8037) that are verified; no other is.
package enum TokenAlgorithm: String, CaseIterable, Sendable {
  /// RSASSA-PKCS1-v1_5 with SHA-256, 2,048 bits at least.
  case rs256 = "RS256"
  /// ECDSA on P-256 with SHA-256.
  case es256 = "ES256"
  /// Ed25519.
  case edDSA = "EdDSA"
}

/// What a token must say.
package struct TokenRules: Sendable, Equatable {
  /// `iss` must be one of these; empty: anything, or nothing.
  package var issuers: [String]
  /// `aud` must hold one of these; empty: a token may not be meant for anybody in particular.
  package var audiences: [String]
  package var algorithms: Set<TokenAlgorithm>
  /// Claims that must stand there and not be null.
  package var requiredClaims: [String]
  /// Difference of clocks that `exp`, `nbf` and `iat` are forgiven. Default one minute.
  package var leeway: TimeAmount
  /// A token without `exp` is refused.
  package var requiresExpiry: Bool

  package init(
    issuers: [String] = [], audiences: [String] = [],
    algorithms: Set<TokenAlgorithm> = Set(TokenAlgorithm.allCases), requiredClaims: [String] = [],
    leeway: TimeAmount = .seconds(60), requiresExpiry: Bool = true
  ) {
    self.issuers = issuers
    self.audiences = audiences
    self.algorithms = algorithms
    self.requiredClaims = requiredClaims
    self.leeway = leeway
    self.requiresExpiry = requiresExpiry
  }
}

/// What a token says whose signature and rules hold.
package struct VerifiedToken: Sendable {
  package let subject: String?
  package let issuer: String?
  package let audiences: [String]
  /// Seconds since 1970; nil: never, where the rules allow it.
  package let expires: Int64?
  /// All claims.
  package let claims: JSONValue

  /// A claim that is a text, as `claims["x"]?.text`; or the members of a list of texts (`aud`).
  package func texts(_ claim: String) -> [String] { [] }
}

/// Verifies JSON web tokens in compact serialisation (RFC 7515, 7519) with local keys.
package struct TokenVerifier: Sendable {
  /// Longest token. Bytes; heads end at 16 KiB anyway, real ones at about 2.
  package static let tokenBytesLimit = 8 * 1024

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
    throw .malformed
  }
}
