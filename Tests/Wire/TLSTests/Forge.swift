import COpenSSL
import Glibc

/// Makes certificates at run time, so that no key stands in the tree.
final class Forged {
  enum Kind {
    case p256
    case rsa2048
    case rsa1024
  }

  let certificate: OpaquePointer
  let key: OpaquePointer

  private init(certificate: OpaquePointer, key: OpaquePointer) {
    self.certificate = certificate
    self.key = key
  }

  deinit {
    X509_free(certificate)
    EVP_PKEY_free(key)
  }

  /// Seconds from now.
  struct Validity {
    var from = -3_600
    var to = 90 * 86_400
    static let expired = Validity(from: -7_200, to: -3_600)
    static let future = Validity(from: 86_400, to: 2 * 86_400)
  }

  /// - Parameter alternatives: as `DNS:a.example,URI:spiffe://x`, empty for none.
  static func make(
    _ commonName: String, _ kind: Kind = .p256, alternatives: String = "", by issuer: Forged? = nil,
    isAuthority: Bool = false, validity: Validity = Validity(), knowsIssuer: Bool = false
  ) -> Forged {
    let key = makeKey(kind)
    let certificate = X509_new()!
    X509_set_version(certificate, 2)
    var serial = [UInt8](repeating: 0, count: 8)
    RAND_bytes(&serial, 8)
    let number = BN_bin2bn(serial, 8, nil)
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate))
    BN_free(number)
    X509_gmtime_adj(X509_getm_notBefore(certificate), validity.from)
    X509_gmtime_adj(X509_getm_notAfter(certificate), validity.to)
    X509_set_pubkey(certificate, key)
    let name = X509_get_subject_name(certificate)
    if !commonName.isEmpty {
      X509_NAME_add_entry_by_txt(
        name, "CN", MBSTRING_FLAG | 1, commonName, Int32(commonName.utf8.count), -1, 0)
    }
    X509_set_issuer_name(
      certificate, issuer.map { X509_get_subject_name($0.certificate) } ?? name)
    func extend(_ kind: Int32, _ value: String) {
      var context = X509V3_CTX()
      X509V3_set_ctx(&context, issuer?.certificate ?? certificate, certificate, nil, nil, 0)
      let made = X509V3_EXT_conf_nid(nil, &context, kind, value)
      precondition(made != nil, "no extension can be made from '\(value)'")
      X509_add_ext(certificate, made, -1)
      X509_EXTENSION_free(made)
    }
    extend(NID_basic_constraints, isAuthority ? "critical,CA:TRUE" : "critical,CA:FALSE")
    if isAuthority { extend(NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature") }
    if !alternatives.isEmpty { extend(NID_subject_alt_name, alternatives) }
    if knowsIssuer { extend(NID_info_access, "caIssuers;URI:http://ca.example/ca.der") }
    X509_sign(certificate, issuer?.key ?? key, EVP_sha256())
    ERR_clear_error()
    return Forged(certificate: certificate, key: key)
  }

  private static func makeKey(_ kind: Kind) -> OpaquePointer {
    let context = EVP_PKEY_CTX_new_id(kind == .p256 ? EVP_PKEY_EC : EVP_PKEY_RSA, nil)
    defer { EVP_PKEY_CTX_free(context) }
    EVP_PKEY_keygen_init(context)
    switch kind {
    case .p256: EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1)
    case .rsa2048: EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2_048)
    case .rsa1024: EVP_PKEY_CTX_set_rsa_keygen_bits(context, 1_024)
    }
    var key: OpaquePointer?
    EVP_PKEY_keygen(context, &key)
    return key!
  }

  // MARK: Texts

  var pem: String {
    Self.text { PEM_write_bio_X509($0, certificate) }
  }

  var keyPEM: String {
    Self.text { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) }
  }

  var encryptedKeyPEM: String {
    Self.text { PEM_write_bio_PKCS8PrivateKey($0, key, EVP_aes_128_cbc(), "pw", 2, nil, nil) }
  }

  var der: [UInt8] {
    var bytes: UnsafeMutablePointer<UInt8>?
    let count = i2d_X509(certificate, &bytes)
    defer { portico_free_bytes(bytes!) }
    return Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
  }

  private static func text(_ write: (OpaquePointer?) -> Int32) -> String {
    let bio = BIO_new(BIO_s_mem())
    defer { BIO_free(bio) }
    _ = write(bio)
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = BIO_read(bio, &bytes, Int32(bytes.count))
    return String(decoding: bytes[..<Int(max(count, 0))], as: UTF8.self)
  }

  /// What an OCSP responder says of this certificate, DER.
  func ocspResponse(by issuer: Forged, lasting seconds: Int = 86_400, revoked: Bool = false)
    -> [UInt8]
  {
    let basic = OCSP_BASICRESP_new()
    defer { OCSP_BASICRESP_free(basic) }
    let id = OCSP_cert_to_id(nil, certificate, issuer.certificate)
    defer { OCSP_CERTID_free(id) }
    let now = X509_gmtime_adj(nil, -60)
    let next = X509_gmtime_adj(nil, seconds)
    defer {
      ASN1_STRING_free(now)
      ASN1_STRING_free(next)
    }
    OCSP_basic_add1_status(
      basic, id, revoked ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD, 0,
      revoked ? now : nil, now, next)
    OCSP_basic_sign(basic, issuer.certificate, issuer.key, EVP_sha256(), nil, 0)
    let response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic)
    defer { OCSP_RESPONSE_free(response) }
    var bytes: UnsafeMutablePointer<UInt8>?
    let count = i2d_OCSP_RESPONSE(response, &bytes)
    defer { portico_free_bytes(bytes!) }
    return Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
  }
}

/// A directory for one test's files, removed with it.
final class Folder {
  let path: String

  init() {
    var template = Array("/tmp/portico-tls-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "no temporary directory")
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    if let directory = opendir(path) {
      while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        unlink(path + "/" + name)
      }
      closedir(directory)
    }
    rmdir(path)
  }

  func file(_ name: String, _ bytes: [UInt8]) -> String {
    let full = path + "/" + name
    let descriptor = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    precondition(descriptor >= 0, "\(full) cannot be written")
    var place = 0
    while place < bytes.count {
      let count = bytes[place...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      precondition(count > 0, "\(full) cannot be written")
      place += count
    }
    close(descriptor)
    return full
  }

  func file(_ name: String, _ text: String) -> String { file(name, Array(text.utf8)) }
}
