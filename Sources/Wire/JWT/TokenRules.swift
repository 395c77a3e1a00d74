import Primitives

/// Signature algorithms (RFC 7518, 8037) that are verified; no other is.
package enum TokenAlgorithm: String, CaseIterable, Sendable {
  /// RSASSA-PKCS1-v1_5 with SHA-256, 2,048 bits at least.
  case rs256 = "RS256"
  /// ECDSA on P-256 with SHA-256.
  case es256 = "ES256"
  /// Ed25519.
  case edDSA = "EdDSA"

  /// The algorithm as a token or key names it. `Ed25519` is RFC 9864's name for the last one.
  init?(name: String) {
    if name == "Ed25519" {
      self = .edDSA
    } else {
      self.init(rawValue: name)
    }
  }
}

/// What a token must say.
package struct TokenRules: Sendable, Equatable {
  /// `iss` must be one of these; empty: not checked.
  package var issuers: [String]
  /// `aud` must hold one of these; empty: not checked.
  package var audiences: [String]
  package var algorithms: Set<TokenAlgorithm>
  /// Claims that must stand there and not be null.
  package var requiredClaims: [String]
  /// Difference of clocks that `exp`, `nbf` and `iat` are forgiven. Default one minute.
  package var leeway: TimeAmount
  /// A token without `exp` is refused. Default yes: what never expires cannot be taken back.
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
