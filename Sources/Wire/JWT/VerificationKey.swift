import COpenSSL

/// A public key as OpenSSL holds it.
///
/// `@unchecked Sendable`: the key is never changed after `init`, and OpenSSL counts its references
/// and locks its caches itself, so loops verify with one key at the same time.
final class VerificationKey: @unchecked Sendable {
  let algorithm: TokenAlgorithm
  let kid: String?
  /// Bytes of a signature.
  let signatureBytes: Int
  private let key: OpaquePointer

  /// Takes the key over.
  private init(_ key: OpaquePointer, _ algorithm: TokenAlgorithm, kid: String?) {
    self.key = key
    self.algorithm = algorithm
    self.kid = kid
    signatureBytes = algorithm == .rs256 ? Int(EVP_PKEY_get_size(key)) : 64
  }

  deinit { EVP_PKEY_free(key) }

  /// Modulus and exponent, big-endian; nil when OpenSSL does not take them.
  convenience init?(rsa modulus: [UInt8], _ exponent: [UInt8], kid: String?) {
    let n = BN_bin2bn(modulus, Int32(modulus.count), nil)
    defer { BN_free(n) }
    let e = BN_bin2bn(exponent, Int32(exponent.count), nil)
    defer { BN_free(e) }
    guard n != nil, e != nil,
      let key = Self.make(
        "RSA",
        {
          OSSL_PARAM_BLD_push_BN($0, lasting("n"), n) == 1
            && OSSL_PARAM_BLD_push_BN($0, lasting("e"), e) == 1
        })
    else { return nil }
    self.init(key, .rs256, kid: kid)
  }

  /// A point of P-256, 32 bytes each; nil when it is not on the curve.
  convenience init?(p256 x: [UInt8], _ y: [UInt8], kid: String?) {
    let point = [0x04] + x + y
    let made = point.withUnsafeBufferPointer { point in
      Self.make(
        "EC",
        {
          OSSL_PARAM_BLD_push_utf8_string($0, lasting("group"), lasting("prime256v1"), 0) == 1
            && OSSL_PARAM_BLD_push_octet_string(
              $0, lasting("pub"), point.baseAddress, point.count) == 1
        })
    }
    guard let key = made else { return nil }
    self.init(key, .es256, kid: kid)
  }

  convenience init?(ed25519 x: [UInt8], kid: String?) {
    guard let key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, x, x.count) else {
      ERR_clear_error()
      return nil
    }
    self.init(key, .edDSA, kid: kid)
  }

  /// A key from the parameters that the closure pushes. The builder keeps the pointers that it is
  /// given until then, those of names too.
  private static func make(
    _ kind: String, _ push: (OpaquePointer) -> Bool
  ) -> OpaquePointer? {
    // A thread's queue of errors is shared with TLS: nothing of ours may stay there.
    defer { ERR_clear_error() }
    guard let builder = OSSL_PARAM_BLD_new() else { return nil }
    defer { OSSL_PARAM_BLD_free(builder) }
    guard push(builder), let parameters = OSSL_PARAM_BLD_to_param(builder) else { return nil }
    defer { OSSL_PARAM_free(parameters) }
    guard let context = EVP_PKEY_CTX_new_from_name(nil, kind, nil) else { return nil }
    defer { EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    guard EVP_PKEY_fromdata_init(context) == 1,
      EVP_PKEY_fromdata(context, &key, portico_evp_pkey_public_key(), parameters) == 1, let key
    else { return nil }
    guard let check = EVP_PKEY_CTX_new_from_pkey(nil, key, nil) else {
      EVP_PKEY_free(key)
      return nil
    }
    defer { EVP_PKEY_CTX_free(check) }
    guard EVP_PKEY_public_check(check) == 1 else {
      EVP_PKEY_free(key)
      return nil
    }
    return key
  }

  /// The signature, as JWS writes it, is this key's over the text.
  func verifies(_ signature: [UInt8], over text: UnsafeRawBufferPointer) -> Bool {
    guard signature.count == signatureBytes, let context = EVP_MD_CTX_new() else { return false }
    defer {
      EVP_MD_CTX_free(context)
      ERR_clear_error()
    }
    let signature = algorithm == .es256 ? Self.der(signature) : signature
    let digest = algorithm == .edDSA ? nil : EVP_sha256()
    guard EVP_DigestVerifyInit(context, nil, digest, nil, key) == 1 else { return false }
    return EVP_DigestVerify(
      context, signature, signature.count, text.bindMemory(to: UInt8.self).baseAddress, text.count)
      == 1
  }

  /// `r` and `s`, 32 bytes each, as the DER sequence of two integers that OpenSSL wants. At most
  /// 72 bytes, so that every length is one byte.
  static func der(_ signature: [UInt8]) -> [UInt8] {
    func integer(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
      var value = Array(bytes.drop { $0 == 0 })
      // An integer has a digit, and one with its top bit set would be negative.
      if value.first.map({ $0 >= 0x80 }) ?? true { value.insert(0, at: 0) }
      return [0x02, UInt8(value.count)] + value
    }
    let content = integer(signature[..<32]) + integer(signature[32...])
    return [0x30, UInt8(content.count)] + content
  }
}

/// A text of the program as C sees it, for good: the pointer that Swift makes of a string ends with
/// the call that it is made for.
private func lasting(_ text: StaticString) -> UnsafePointer<CChar> {
  UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}
