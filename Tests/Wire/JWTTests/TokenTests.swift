import JWT
import Primitives
import Testing

/// Whoever gets a token past this room has every key of the house.
struct TokenTests {
  // MARK: The public examples

  static let rfcClaims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

  // RFC 7515, A.2 and A.3: another implementation's keys and signatures.
  @Test(arguments: [
    (
      #"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
      "eyJhbGciOiJSUzI1NiJ9.\(rfcClaims).cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    ),
    (
      #"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
      "eyJhbGciOiJFUzI1NiJ9.\(rfcClaims).DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    ),
  ])
  func examplesOfRFC7515(key: String, token: String) throws {
    let keys = try #require(keySet([key]).keys)
    let verified = try verified(token, keys: keys, at: 1_300_819_379)
    #expect(verified.issuer == "joe")
    #expect(verified.expires == 1_300_819_380)
    #expect(verified.claims["http://example.com/is_root"]?.flag == true)
    #expect(verified.subject == nil)
    #expect(refusal(token, keys: keys, at: 1_300_819_439) == nil)
    #expect(refusal(token, keys: keys, at: 1_300_819_440) == .expired)
    #expect(refusal(token, keys: everyKey, at: 1_300_819_379) == .signature)
  }

  // RFC 8037, A.4: its payload is no JSON, so that the signature holds and the claims do not.
  @Test func exampleOfRFC8037() throws {
    let key = #"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
    let keys = try #require(keySet([key]).keys)
    let text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    let signature =
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    #expect(refusal(text + signature, keys: keys) == .claims)
    #expect(refusal(text + "i" + signature.dropFirst(), keys: keys) == .signature)
  }

  // RFC 7515, A.1 (HS256) and RFC 7519, 6.1 (no signature).
  @Test func examplesThatAreRefused() {
    #expect(
      refusal(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\(Self.rfcClaims).dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
      ) == .algorithmUnknown)
    #expect(refusal("eyJhbGciOiJub25lIn0.\(Self.rfcClaims).") == .algorithmNone)
  }

  // MARK: Every algorithm

  @Test(arguments: TokenAlgorithm.allCases) func issuedAndVerified(algorithm: TokenAlgorithm) throws
  {
    let token = Signer.of(algorithm).token(
      #"{"sub":"é","iss":"https://issuer","aud":["a","b"],"exp":2000.5,"scope":["x",1,"y"],"nbf":1060,"iat":1060}"#,
      header: #"{"typ":"at+JWT","alg":"\#(algorithm.rawValue)"}"#)
    let verified = try verified(
      token,
      rules: TokenRules(
        issuers: ["x", "https://issuer"], audiences: ["b"], algorithms: [algorithm],
        requiredClaims: ["sub", "scope"]))
    #expect(verified.subject == "é")
    #expect(verified.issuer == "https://issuer")
    #expect(verified.audiences == ["a", "b"])
    #expect(verified.expires == 2_000)
    #expect(verified.texts("scope") == ["x", "y"])
    #expect(verified.texts("sub") == ["é"])
    #expect(verified.texts("none") == [])
    var others = TokenRules(requiresExpiry: false)
    others.algorithms.remove(algorithm)
    #expect(refusal(token, rules: others) == .algorithmNotAllowed)
  }

  // MARK: Headers

  // Each of these has let somebody in, somewhere.
  @Test(arguments: [
    (#"{"alg":"none"}"#, TokenRefusal.algorithmNone), (#"{"alg":"nOnE"}"#, .algorithmNone),
    (#"{"alg":"HS256"}"#, .algorithmUnknown), (#"{"alg":"es256"}"#, .algorithmUnknown),
    (#"{"alg":"ES384"}"#, .algorithmUnknown), (#"{"alg":"PS256"}"#, .algorithmUnknown),
    (#"{"alg":""}"#, .algorithmUnknown), (#"{"alg":1}"#, .header), (#"{"alg":null}"#, .header),
    ("{}", .header), ("[]", .header), ("\"ES256\"", .header), ("", .header), ("{", .header),
    (#"{"alg":"ES256"}x"#, .header), (#"{"alg":"ES256","alg":"ES256"}"#, .claimTwice),
    (#"{"alg":"none","\u0061lg":"ES256"}"#, .claimTwice),
    (#"{"alg":"ES256","crit":["exp"]}"#, .criticalHeader),
    (#"{"alg":"ES256","crit":[]}"#, .criticalHeader),
    (#"{"alg":"ES256","b64":false}"#, .criticalHeader),
    (#"{"alg":"ES256","jwk":{}}"#, .keyInToken), (#"{"alg":"ES256","jku":"x"}"#, .keyInToken),
    (#"{"alg":"ES256","x5u":"x"}"#, .keyInToken), (#"{"alg":"ES256","x5c":[]}"#, .keyInToken),
    (#"{"alg":"ES256","enc":"A128GCM"}"#, .encrypted),
    (#"{"alg":"ES256","cty":"JWT"}"#, .encrypted),
    (#"{"alg":"ES256","zip":"DEF"}"#, .encrypted), (#"{"alg":"ES256","kid":5}"#, .header),
    (#"{"alg":"ES256","kid":"x"}"#, .keyUnknown), (#"{"alg":"ES256","kid":""}"#, .keyUnknown),
    (#"{"alg":"ES256","typ":"logout+jwt"}"#, .typeUnknown), (#"{"alg":"ES256","typ":1}"#, .header),
    (#"{"alg":"EdDSA"}"#, .signature), (#"{"alg":"RS256"}"#, .signatureLength),
    (#"{"alg":"ES256","x5t":"x","typ":"application/jwt"}"#, nil),
  ])
  func headers(header: String, expected: TokenRefusal?) {
    #expect(refusal(Signer.ec.token("{}", header: header)) == expected)
  }

  // The kid chooses the key; the key, not the token, says which algorithm is run.
  @Test func keysAreChosenByKidThenByType() throws {
    let keys = try #require(
      keySet([
        Signer.rsa.jwk(kid: "r"), Signer.ec.jwk(kid: "e"), Signer.otherEC.jwk(kid: "\\u00e9"),
      ]).keys)
    func refused(_ signer: Signer, _ alg: String, _ kid: String) -> TokenRefusal? {
      refusal(signer.token("{}", header: #"{"alg":"\#(alg)","kid":"\#(kid)"}"#), keys: keys)
    }
    #expect(refused(.ec, "ES256", "e") == nil)
    #expect(refused(.otherEC, "ES256", "é") == nil)
    #expect(refused(.otherEC, "ES256", "e") == .signature)
    #expect(refused(.ec, "ES256", "r") == .keyMismatch)
    #expect(refused(.rsa, "RS256", "e") == .keyMismatch)
    #expect(refused(.ed, "EdDSA", "e") == .keyMismatch)
    #expect(refused(.ed, "EdDSA", "d") == .keyUnknown)
    // Another spelling of the same character is another kid.
    #expect(refused(.otherEC, "ES256", "e\\u0301") == .keyUnknown)
    // Without a kid every key of the type is tried.
    #expect(refusal(Signer.otherEC.token("{}"), keys: keys) == nil)
    #expect(refusal(Signer.ed.token("{}"), keys: keys) == .keyUnknown)
    let many = (0..<5).map { Signer(.es256).jwk(kid: "\($0)") }
    #expect(refusal(Signer.ec.token("{}"), keys: try #require(keySet(many).keys)) == .kidMissing)
  }

  // RFC 9864's name of EdDSA with Ed25519.
  @Test func ed25519ByItsNewName() throws {
    let keys = try #require(keySet([Signer.ed.jwk(more: #","alg":"Ed25519""#)]).keys)
    #expect(refusal(Signer.ed.token("{}", header: #"{"alg":"Ed25519"}"#), keys: keys) == nil)
    #expect(refusal(Signer.ed.token("{}"), keys: keys) == nil)
  }

  // MARK: Claims

  // At second 1,000, with a minute of leeway.
  @Test(arguments: [
    (#"{"exp":940}"#, TokenRefusal.expired), (#"{"exp":941}"#, nil), (#"{"exp":940.5}"#, nil),
    (#"{"exp":-1}"#, .expired), (#"{"exp":1e300}"#, nil), (#"{"exp":"2000"}"#, .claimKind),
    (#"{"exp":null}"#, .claimKind), ("{}", .expiryMissing),
    (#"{"exp":2e3,"nbf":1060}"#, nil), (#"{"exp":2e3,"nbf":1061}"#, .notYetValid),
    (#"{"exp":2e3,"nbf":true}"#, .claimKind), (#"{"exp":2e3,"iat":1061}"#, .issuedInFuture),
    (#"{"exp":2e3,"iat":-1e300}"#, nil), (#"{"exp":2e3,"sub":1}"#, .claimKind),
    (#"{"exp":2e3,"iss":["a"]}"#, .claimKind), (#"{"exp":2e3,"aud":1}"#, .claimKind),
    (#"{"exp":2e3,"aud":["a",1]}"#, .claimKind), (#"{"exp":2e3,"exp":2e3}"#, .claimTwice),
    (#"{"exp":2e3,"a":{"b":1,"b":2}}"#, .claimTwice), ("[]", .claims), ("", .claims),
    (#"{"exp":1e999}"#, .claims), (#"{"exp":2e3} "#, nil), (#"{"exp":2e3}{}"#, .claims),
  ])
  func times(claims: String, expected: TokenRefusal?) {
    #expect(refusal(Signer.ed.token(claims), rules: TokenRules()) == expected)
  }

  @Test(arguments: [
    (#"{"iss":"a","aud":"b","tenant":"t"}"#, nil),
    (#"{"iss":"a","aud":["x","b"],"tenant":0}"#, nil),
    (#"{"aud":"b","tenant":"t"}"#, TokenRefusal.issuer),
    (#"{"iss":"A","aud":"b","tenant":"t"}"#, .issuer),
    (#"{"iss":"a","tenant":"t"}"#, .audience), (#"{"iss":"a","aud":[],"tenant":"t"}"#, .audience),
    (#"{"iss":"a","aud":"bb","tenant":"t"}"#, .audience),
    (#"{"iss":"a","aud":"b"}"#, .requiredClaim),
    (#"{"iss":"a","aud":"b","tenant":null}"#, .requiredClaim),
  ])
  func rules(claims: String, expected: TokenRefusal?) {
    let rules = TokenRules(
      issuers: ["a", "e\u{301}"], audiences: ["b"], requiredClaims: ["tenant"],
      requiresExpiry: false)
    #expect(refusal(Signer.ed.token(claims), rules: rules) == expected)
  }

  // Strings that look alike are not equal.
  @Test func issuersAreComparedByteForByte() {
    let rules = TokenRules(issuers: ["e\u{301}"], requiresExpiry: false)
    #expect(refusal(Signer.ed.token(#"{"iss":"e\u0301"}"#), rules: rules) == nil)
    #expect(refusal(Signer.ed.token(#"{"iss":"\u00e9"}"#), rules: rules) == .issuer)
  }

  // MARK: Encoding

  // One token has one spelling: a second would be a second token to whoever remembers the first.
  @Test func encodingIsCanonical() {
    let token = Signer.ec.token("{}")
    let parts = token.split(separator: ".").map(String.init)
    #expect(refusal(token) == nil)
    for other in [
      "\(parts[0])=.\(parts[1]).\(parts[2])", "\(parts[0]).\(parts[1]).\(parts[2])==",
      "\(parts[0]).\(parts[1])=.\(parts[2])", "\(token)\n", " \(token)", "\(parts[0]).e30+.x",
      "\(parts[0]).e30/.x", "\(parts[0]).e.x",
      // "{}" is e30; its last letter holds two bits that say nothing.
      "\(parts[0]).e31.\(parts[2])", "é.e30.x", "\(parts[0]).e30.\0",
    ] {
      #expect(refusal(other) == .encoding, "\(other)")
    }
    // The last letter of 64 bytes holds four bits that say nothing.
    let last = parts[2].utf8.last!
    let next = String(decoding: [last + 1], as: UTF8.self)
    #expect(refusal(String(token.dropLast()) + next) == .encoding)
    for other in ["", ".", "a", "a.b", "a.b.c.d", "....."] {
      #expect(refusal(other) == .malformed)
    }
    #expect(refusal("a.b.c.d.e") == .encrypted)
    #expect(refusal("..") == .header)
    #expect(refusal("\(parts[0]).\(parts[1]).") == .signatureLength)
  }

  @Test func tokensAreBounded() {
    #expect(refusal(String(repeating: "a", count: 8_193)) == .tooLong)
    #expect(refusal(String(repeating: "a", count: 8_192)) == .malformed)
    let deep = String(repeating: "[", count: 3_000)
    #expect(refusal(Signer.ed.token("{\"a\":\(deep)")) == .claims)
  }

  // Any byte of a token changed to any of these: never accepted, never a crash.
  @Test(arguments: TokenAlgorithm.allCases) func changedBytes(algorithm: TokenAlgorithm) {
    let bytes = Array(Signer.of(algorithm).token(#"{"sub":"a"}"#).utf8)
    for place in bytes.indices {
      for byte in [UInt8(ascii: "A"), UInt8(ascii: ".")]
      where bytes[place] != byte {
        var changed = bytes
        changed[place] = byte
        #expect(refusal(String(decoding: changed, as: UTF8.self)) != nil)
      }
    }
  }

  @Test func refusalsSayWhatToDo() {
    for refusal in TokenRefusal.allCases {
      #expect("\(refusal.text)".hasSuffix("."))
      #expect(!"\(refusal.text)".contains("\"") && !"\(refusal.text)".contains("\\"))
    }
    #expect(Set(TokenRefusal.allCases.map { "\($0.label)" }).count == TokenRefusal.allCases.count)
    #expect("\(TokenRefusal.expired.text)" == "The token has expired; get a new one.")
  }
}
