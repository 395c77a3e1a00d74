/// Why a token is refused. One reason, one metric label, one sentence; all are 401.
package enum TokenRefusal: UInt8, Error, CaseIterable, Sendable {
  case tooLong
  case malformed
  case encoding
  case header
  case algorithmNone
  case algorithmUnknown
  case algorithmNotAllowed
  case criticalHeader
  case keyInToken
  case encrypted
  case typeUnknown
  case keyUnknown
  case kidMissing
  case keyMismatch
  case signatureLength
  case signature
  case claims
  case claimTwice
  case claimKind
  case expired
  case expiryMissing
  case notYetValid
  case issuedInFuture
  case issuer
  case audience
  case requiredClaim

  /// For metrics and logs.
  package var label: StaticString {
    switch self {
    case .tooLong: "token_too_long"
    case .malformed: "token_malformed"
    case .encoding: "token_encoding"
    case .header: "token_header"
    case .algorithmNone: "token_algorithm_none"
    case .algorithmUnknown: "token_algorithm_unknown"
    case .algorithmNotAllowed: "token_algorithm_not_allowed"
    case .criticalHeader: "token_critical_header"
    case .keyInToken: "token_key_in_token"
    case .encrypted: "token_encrypted"
    case .typeUnknown: "token_type_unknown"
    case .keyUnknown: "token_key_unknown"
    case .kidMissing: "token_kid_missing"
    case .keyMismatch: "token_key_mismatch"
    case .signatureLength: "token_signature_length"
    case .signature: "token_signature"
    case .claims: "token_claims"
    case .claimTwice: "token_claim_twice"
    case .claimKind: "token_claim_kind"
    case .expired: "token_expired"
    case .expiryMissing: "token_expiry_missing"
    case .notYetValid: "token_not_yet_valid"
    case .issuedInFuture: "token_issued_in_future"
    case .issuer: "token_issuer"
    case .audience: "token_audience"
    case .requiredClaim: "token_required_claim"
    }
  }

  /// What is wrong and what to do. Goes into JSON as it stands: no quotes, no backslashes.
  package var text: StaticString {
    switch self {
    case .tooLong: "The token is longer than 8192 bytes; ask for one with fewer claims."
    case .malformed: "The token is not three parts with dots between; send a signed JWT."
    case .encoding: "A part of the token is not canonical base64url; send it as it was issued."
    case .header: "The header of the token is not a JSON object with an alg; send a signed JWT."
    case .algorithmNone: "The token is not signed; send one signed with RS256, ES256 or EdDSA."
    case .algorithmUnknown:
      "The algorithm of the token is not supported; sign it with RS256, ES256 or EdDSA."
    case .algorithmNotAllowed: "The algorithm of the token is not allowed here; use another one."
    case .criticalHeader: "The token names critical header fields, and none is supported."
    case .keyInToken:
      "The token brings or names its own key (jwk, jku, x5u, x5c); sign it with a configured key."
    case .encrypted: "The token is encrypted or holds another one; send a signed JWT."
    case .typeUnknown: "The token is of a type for another purpose; send an access token."
    case .kidMissing: "The token names no kid and too many keys fit; name one in its header."
    case .keyUnknown: "No configured key has the kid or the type that the token names."
    case .keyMismatch: "The key that the token names is of another type than its algorithm."
    case .signatureLength: "The signature has not the length of its algorithm."
    case .signature: "The signature of the token is wrong."
    case .claims: "The claims of the token are not a JSON object."
    case .claimTwice: "A name stands twice in the token; servers disagree on which counts."
    case .claimKind: "A claim (iss, sub, aud, exp, nbf or iat) is of the wrong kind."
    case .expired: "The token has expired; get a new one."
    case .expiryMissing: "The token has no exp; ask for one that expires."
    case .notYetValid: "The token is not valid yet; wait, or correct the clock of its issuer."
    case .issuedInFuture: "The token was issued in the future; correct the clock of its issuer."
    case .issuer: "The issuer of the token is not accepted here."
    case .audience: "The token is meant for another audience."
    case .requiredClaim: "The token lacks a claim that is required here."
    }
  }
}
