import COpenSSL
import JWT

/// A private key that OpenSSL made for this run, to sign what an issuer would sign, and what it
/// would not. `@unchecked Sendable`: never changed after `init`, and OpenSSL locks what it shares.
final class Signer: @unchecked Sendable {
  let algorithm: TokenAlgorithm
  private let key: OpaquePointer

  static let rsa = Signer(.rs256, bits: 2_048)
  static let smallRSA = Signer(.rs256, bits: 1_024)
  static let ec = Signer(.es256)
  static let otherEC = Signer(.es256)
  static let ed = Signer(.edDSA)

  static func of(_ algorithm: TokenAlgorithm) -> Signer {
    switch algorithm {
    case .rs256: rsa
    case .es256: ec
    case .edDSA: ed
    }
  }

  init(_ algorithm: TokenAlgorithm, bits: Int32 = 0) {
    self.algorithm = algorithm
    let name = [TokenAlgorithm.rs256: "RSA", .es256: "EC", .edDSA: "ED25519"][algorithm]!
    let context = EVP_PKEY_CTX_new_from_name(nil, name, nil)
    defer { EVP_PKEY_CTX_free(context) }
    precondition(EVP_PKEY_keygen_init(context) == 1)
    if algorithm == .rs256 { precondition(EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits) == 1) }
    if algorithm == .es256 { precondition(EVP_PKEY_CTX_set_group_name(context, "P-256") == 1) }
    var key: OpaquePointer?
    precondition(EVP_PKEY_generate(context, &key) == 1)
    self.key = key!
  }

  deinit { EVP_PKEY_free(key) }

  // MARK: The public half

  private func number(_ name: String, bytes: Int? = nil) -> [UInt8] {
    var number: OpaquePointer?
    precondition(EVP_PKEY_get_bn_param(key, name, &number) == 1)
    defer { BN_free(number) }
    let count = bytes ?? (Int(BN_num_bits(number)) + 7) / 8
    var result = [UInt8](repeating: 0, count: count)
    BN_bn2binpad(number, &result, Int32(count))
    return result
  }

  var modulus: [UInt8] { number("n") }

  /// Members of the JSON web key, the kid among them when there is one.
  func jwk(kid: String? = nil, more: String = "") -> String {
    let kid = kid.map { #""kid":"\#($0)","# } ?? ""
    switch algorithm {
    case .rs256:
      return
        #"{\#(kid)"kty":"RSA","n":"\#(base64(modulus))","e":"\#(base64(number("e")))"\#(more)}"#
    case .es256:
      let x = base64(number("qx", bytes: 32))
      let y = base64(number("qy", bytes: 32))
      return #"{\#(kid)"kty":"EC","crv":"P-256","x":"\#(x)","y":"\#(y)"\#(more)}"#
    case .edDSA:
      var x = [UInt8](repeating: 0, count: 32)
      var count = 32
      precondition(EVP_PKEY_get_raw_public_key(key, &x, &count) == 1)
      return #"{\#(kid)"kty":"OKP","crv":"Ed25519","x":"\#(base64(x))"\#(more)}"#
    }
  }

  // MARK: Signatures

  func signature(_ text: String) -> [UInt8] {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    let digest = algorithm == .edDSA ? nil : EVP_sha256()
    precondition(EVP_DigestSignInit(context, nil, digest, nil, key) == 1)
    let text = Array(text.utf8)
    var count = 1_024
    var bytes = [UInt8](repeating: 0, count: count)
    precondition(EVP_DigestSign(context, &bytes, &count, text, text.count) == 1)
    let signature = Array(bytes[..<count])
    return algorithm == .es256 ? Self.raw(signature) : signature
  }

  /// What RSA makes of a block of the modulus's length, whatever stands in it.
  func rawRSA(_ block: [UInt8]) -> [UInt8] {
    let context = EVP_PKEY_CTX_new(key, nil)
    defer { EVP_PKEY_CTX_free(context) }
    precondition(EVP_PKEY_sign_init(context) == 1)
    precondition(EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) == 1)
    var count = block.count
    var bytes = [UInt8](repeating: 0, count: count)
    precondition(EVP_PKEY_sign(context, &bytes, &count, block, block.count) == 1)
    return bytes
  }

  /// `r` and `s` of a DER signature, 32 bytes each.
  private static func raw(_ der: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var place = 2
    for _ in 0..<2 {
      let count = Int(der[place + 1])
      let value = der[(place + 2)..<(place + 2 + count)].drop { $0 == 0 }
      result += [UInt8](repeating: 0, count: 32 - value.count) + value
      place += 2 + count
    }
    return result
  }

  func token(_ claims: String, header: String? = nil) -> String {
    let header = header ?? #"{"alg":"\#(algorithm.rawValue)"}"#
    let text = base64(Array(header.utf8)) + "." + base64(Array(claims.utf8))
    return text + "." + base64(signature(text))
  }
}

func base64(_ bytes: [UInt8]) -> String {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
  var text: [UInt8] = []
  for start in stride(from: 0, to: bytes.count, by: 3) {
    let group = Array(bytes[start..<min(start + 3, bytes.count)])
    let bits = group.enumerated().reduce(0) { $0 | Int($1.element) << (16 - 8 * $1.offset) }
    for index in 0...group.count { text.append(alphabet[bits >> (18 - 6 * index) & 63]) }
  }
  return String(decoding: text, as: UTF8.self)
}

func keySet(_ keys: [String]) -> (keys: KeySet?, complaints: [String]) {
  readKeys("{\"keys\":[\(keys.joined(separator: ","))]}")
}

func readKeys(_ text: String) -> (keys: KeySet?, complaints: [String]) {
  var complaints: [KeyComplaint] = []
  let keys = Array(text.utf8).withUnsafeBytes { KeySet(jwks: $0, complaints: &complaints) }
  return (keys, complaints.map(\.description))
}

/// All three kinds of key without a kid.
let everyKey = keySet([Signer.rsa.jwk(), Signer.ec.jwk(), Signer.ed.jwk()]).keys!

/// Why the token is refused; nil when it is not.
func refusal(
  _ token: String, keys: KeySet = everyKey, rules: TokenRules = TokenRules(requiresExpiry: false),
  at seconds: Int64 = 1_000
) -> TokenRefusal? {
  do throws(TokenRefusal) {
    _ = try verified(token, keys: keys, rules: rules, at: seconds)
    return nil
  } catch {
    return error
  }
}

func verified(
  _ token: String, keys: KeySet = everyKey, rules: TokenRules = TokenRules(requiresExpiry: false),
  at seconds: Int64 = 1_000
) throws(TokenRefusal) -> VerifiedToken {
  let bytes = Array(token.utf8)
  let verifier = TokenVerifier(keys: keys, rules: rules)
  return try bytes.withUnsafeBufferPointer { bytes throws(TokenRefusal) in
    try verifier.verify(UnsafeRawBufferPointer(bytes), at: seconds)
  }
}
