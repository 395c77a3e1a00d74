import COpenSSL
import JSON
import JWT

/// A token as it comes: only those that the keys' owners signed are taken, in their one spelling.
func checkToken(_ bytes: UnsafeRawBufferPointer) throws {
  let verified = try Issuers.verify(bytes)
  switch verified {
  case .failure(let refusal): try isOneLine("\(refusal.text)")
  case .success(let token):
    try require(token.issuer == "joe", "another issuer")
    try require(
      Issuers.tokens.contains { bytes.elementsEqual($0.utf8) }, "takes a token that is not theirs")
  }
}

/// Header and claims, each on a line, signed by the right key: what lies behind the signature.
func checkClaims(_ bytes: UnsafeRawBufferPointer) throws {
  let end = bytes.firstIndex(of: 0x0a) ?? bytes.count
  let header = Array(bytes[..<end])
  let payload = Array(bytes[end...].dropFirst())
  let text = Array((base64(header) + "." + base64(payload)).utf8)
  let token = text + Array(".\(base64(Issuers.signature(text)))".utf8)
  guard case .success(let verified) = try token.withExact({ try Issuers.verify($0) }) else {
    return
  }
  let members = try JSONValue(header)
  try require(["EdDSA", "Ed25519"].contains(members["alg"]?.text), "algorithm")
  for name in ["crit", "b64", "jwk", "jku", "x5u", "x5c", "enc", "zip", "cty"] {
    try require(members[name] == nil, "takes a header with \(name)")
  }
  try require(members["kid"] == nil || members["kid"]?.text == "ed", "another key")
  let claims = try JSONValue(payload)
  let now = Double(Issuers.now)
  try require(claims == verified.claims, "other claims")
  try require((claims["exp"]?.number).map { $0 > now - 60 } == true, "expired")
  try require(claims["nbf"] == nil || claims["nbf"]!.number.map { $0 <= now + 60 } == true, "nbf")
  try require(claims["iat"] == nil || claims["iat"]!.number.map { $0 <= now + 60 } == true, "iat")
  try require(claims["iss"]?.text == "joe", "another issuer")
}

/// A JWKS file: what is left out is complained of, in lines that a person can read.
func checkKeySet(_ bytes: UnsafeRawBufferPointer) throws {
  var complaints: [KeyComplaint] = []
  let keys = KeySet(jwks: bytes, complaints: &complaints)
  for complaint in complaints { try isOneLine(complaint.description) }
  guard let keys else {
    try require(!complaints.isEmpty, "refused without a word")
    return
  }
  let entries = try JSONValue(bytes)["keys"]?.elements?.count
  try require(same: entries, keys.count + complaints.count, "keys and complaints")
}

/// Keys whose tokens the targets know: the examples of RFC 7515, and one that signs here.
private enum Issuers {
  /// Within the minute before the examples expire.
  static let now: Int64 = 1_300_819_380

  static func verify(
    _ bytes: UnsafeRawBufferPointer
  ) throws -> Result<VerifiedToken, TokenRefusal> {
    try bytes.withExactCopy(count: bytes.count) { bytes in
      Result { () throws(TokenRefusal) in try verifier.verify(bytes, at: now) }
    }
  }

  static let tokens = [
    "eyJhbGciOiJSUzI1NiJ9.\(claims).cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    "eyJhbGciOiJFUzI1NiJ9.\(claims).DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
  ]

  private static let claims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

  private static let verifier: TokenVerifier = {
    var x = [UInt8](repeating: 0, count: 32)
    var count = x.count
    precondition(EVP_PKEY_get_raw_public_key(key.raw, &x, &count) == 1)
    let file = """
      {"keys":[{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
      {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
      {"kid":"ed","kty":"OKP","crv":"Ed25519","x":"\(base64(x))"}]}
      """
    var complaints: [KeyComplaint] = []
    let keys = Array(file.utf8).withUnsafeBytes { KeySet(jwks: $0, complaints: &complaints) }
    return TokenVerifier(keys: keys!, rules: TokenRules(issuers: ["joe"]))
  }()

  /// Never changed, and OpenSSL locks what it shares.
  private struct SharedKey: @unchecked Sendable {
    let raw: OpaquePointer
  }

  private static let key = SharedKey(
    raw: EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, (0..<32).map { UInt8($0) }, 32))

  static func signature(_ text: [UInt8]) -> [UInt8] {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    var bytes = [UInt8](repeating: 0, count: 64)
    var count = bytes.count
    precondition(EVP_DigestSignInit(context, nil, nil, nil, key.raw) == 1)
    precondition(EVP_DigestSign(context, &bytes, &count, text, text.count) == 1)
    return bytes
  }
}

private func base64(_ bytes: [UInt8]) -> String {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
  var text: [UInt8] = []
  for start in stride(from: 0, to: bytes.count, by: 3) {
    let group = bytes[start..<min(start + 3, bytes.count)]
    var bits = 0
    for place in 0..<3 { bits = bits << 8 | (place < group.count ? Int(group[start + place]) : 0) }
    for index in 0...group.count { text.append(alphabet[bits >> (18 - 6 * index) & 63]) }
  }
  return String(decoding: text, as: UTF8.self)
}
