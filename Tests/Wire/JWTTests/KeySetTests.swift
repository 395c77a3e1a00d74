import JWT
import Testing

/// A JWKS file is written by hand or copied from an issuer; what cannot be used must be named, not
/// dropped in silence.
struct KeySetTests {
  @Test func everyKindOfKey() {
    let (keys, complaints) = keySet([
      Signer.rsa.jwk(kid: "a", more: #","alg":"RS256","use":"sig","x5c":["x"]"#),
      Signer.ec.jwk(kid: "b", more: #","alg":"ES256","key_ops":["verify"]"#),
      Signer.ed.jwk(kid: "c", more: #","alg":"EdDSA""#),
    ])
    #expect(keys?.count == 3)
    #expect(complaints == [])
  }

  @Test(arguments: [
    ("", "jwks: not JSON at byte 0: the text ends where a value should begin"),
    ("[]", "jwks: there is no list 'keys'; write {\"keys\": [...]} as in RFC 7517"),
    (#"{"keys":{}}"#, "jwks: there is no list 'keys'; write {\"keys\": [...]} as in RFC 7517"),
    (#"{"keys":[]}"#, "jwks: no key can be used; add an RSA, EC P-256 or Ed25519 public key"),
    (#"{"keys":[],"keys":[]}"#, "jwks: not JSON at byte 11: the name stands twice in one object"),
    (
      #"{"keys":["# + String(repeating: "1,", count: 64) + "1]}",
      "jwks: there are more than 64 keys; remove those that sign nothing"
    ),
    (
      String(repeating: " ", count: 262_145),
      "jwks: the file has more than 262144 bytes; remove keys"
    ),
  ])
  func files(text: String, complaint: String) {
    let (keys, complaints) = readKeys(text)
    #expect(keys == nil)
    #expect(complaints == [complaint])
  }

  static let x = String(repeating: "A", count: 43)

  @Test(arguments: [
    ("5", "key 0: is not an object"), ("{}", "key 0: has no kty; write \"RSA\", say"),
    (
      #"{"kid":"k","kty":"oct","k":"AAAA"}"#,
      "key 0 (kid 'k'): is a shared secret (kty oct); only public keys are supported"
    ),
    // A name that would forge a line of the log.
    (
      #"{"kid":"a\n\u001bb","kty":"\u0085"}"#,
      "key 0 (kid 'a\u{fffd}\u{fffd}b'): has kty '\u{fffd}'; supported are RSA, EC and OKP"
    ),
    (#"{"kty":"X"}"#, "key 0: has kty 'X'; supported are RSA, EC and OKP"),
    (
      #"{"kty":"EC","d":"AAAA"}"#,
      "key 0: holds a private key (d); replace it and publish its public members only"
    ),
    (#"{"kty":"RSA","kid":5}"#, "key 0: has a kid that is no string"),
    (
      #"{"kty":"RSA","use":"enc"}"#, "key 0: has use 'enc'; only keys with use 'sig' verify"
    ),
    (#"{"kty":"RSA","key_ops":["sign"]}"#, "key 0: has key_ops without 'verify'"),
    (#"{"kty":"RSA"}"#, "key 0: lacks 'n'"), (#"{"kty":"RSA","n":"AQAB"}"#, "key 0: lacks 'e'"),
    (
      #"{"kty":"RSA","n":"AQ==","e":"AQAB"}"#,
      "key 0: 'n' is not canonical base64url without padding"
    ),
    (#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, "key 0: has 17 bits; RSA keys need 2048 to 8192"),
    (#"{"kty":"RSA","n":"","e":""}"#, "key 0: has 0 bits; RSA keys need 2048 to 8192"),
    (#"{"kty":"EC","crv":"P-384"}"#, "key 0: has crv 'P-384'; supported is P-256"),
    (#"{"kty":"OKP","crv":"X25519"}"#, "key 0: has crv 'X25519'; supported is Ed25519"),
    (#"{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}"#, "key 0: 'x' has 3 bytes instead of 32"),
    (
      #"{"kty":"EC","crv":"P-256","x":"\#(x)","y":"\#(x)"}"#,
      "key 0: is no valid public key; export it again"
    ),
  ])
  func keys(key: String, complaint: String) {
    let (keys, complaints) = keySet([key, Signer.ed.jwk()])
    #expect(keys?.count == 1)
    #expect(complaints == ["jwks: " + complaint])
  }

  @Test func rsaKeysThatAreWeak() {
    let even = base64([0x80] + [UInt8](repeating: 0, count: 255))
    let odd = base64([0x80] + [UInt8](repeating: 0, count: 254) + [1])
    let (keys, complaints) = keySet([
      Signer.smallRSA.jwk(), #"{"kty":"RSA","n":"\#(even)","e":"AQAB"}"#,
      #"{"kty":"RSA","n":"\#(odd)","e":"AQ"}"#, #"{"kty":"RSA","n":"\#(odd)","e":"Ag"}"#,
      Signer.rsa.jwk(more: #","alg":"RS512""#), Signer.ec.jwk(more: #","alg":"RS256""#),
    ])
    #expect(keys == nil)
    #expect(
      complaints == [
        "jwks: key 0: has 1024 bits; RSA keys need 2048 to 8192",
        "jwks: key 1: is no valid public key; export it again",
        "jwks: key 2: is no valid public key; export it again",
        "jwks: key 3: is no valid public key; export it again",
        "jwks: key 4: has alg 'RS512'; a key of this type verifies RS256",
        "jwks: key 5: has alg 'RS256'; a key of this type verifies ES256",
        "jwks: no key can be used; add an RSA, EC P-256 or Ed25519 public key",
      ])
  }

  @Test func kidsAreUnique() {
    let (keys, complaints) = keySet([
      Signer.ec.jwk(kid: "k"), Signer.ed.jwk(kid: "k"), Signer.otherEC.jwk(), Signer.ed.jwk(),
      Signer.rsa.jwk(kid: String(repeating: "k", count: 257)),
    ])
    #expect(keys?.count == 3)
    #expect(
      complaints.first == "jwks: key 1 (kid 'k'): another key has the same kid; give each its own")
    #expect(complaints.last?.hasSuffix("has a kid longer than 256 bytes; shorten it") == true)
  }
}
