import COpenSSL
import Glibc

/// Reads certificates and keys, and says in words what is wrong with them.
///
/// OpenSSL's question for a password is answered with none: else it would ask the terminal.
enum PEM {
  /// Of one file. Bytes: the system's whole bundle of authorities has 220 KB.
  private static let fileLimitBytes = 4 << 20

  /// A certificate, freed with the last reference.
  final class Certificate {
    let pointer: OpaquePointer
    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { X509_free(pointer) }
  }

  /// A private key, freed with the last reference.
  final class Key {
    let pointer: OpaquePointer
    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { EVP_PKEY_free(pointer) }
  }

  /// - Parameter role: what the file is for, as "certificate chain".
  static func bytes(of path: String, _ role: String) throws(TLSComplaint) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw unreadable(path, role, code: errno) }
    defer { Glibc.close(descriptor) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = read(descriptor, &piece, piece.count)
      if count < 0 {
        let code = errno
        if code == EINTR { continue }
        throw unreadable(path, role, code: code)
      }
      if count == 0 { return bytes }
      bytes += piece[..<count]
      if bytes.count > fileLimitBytes {
        throw TLSComplaint(
          file: path,
          "\(role) '\(path)' is larger than \(fileLimitBytes >> 20) MB; is it the "
            + "right file?")
      }
    }
  }

  private static func unreadable(_ path: String, _ role: String, code: Int32) -> TLSComplaint {
    let hint =
      switch code {
      case ENOENT: "; check the path"
      case EACCES: "; let the user of this process read it"
      default: ""
      }
    return TLSComplaint(
      file: path, "\(role) '\(path)' cannot be read: \(String(cString: strerror(code)))\(hint)")
  }

  /// Every certificate of a text, in order; at least one.
  static func certificates(
    _ bytes: [UInt8], path: String, _ role: String
  ) throws(TLSComplaint) -> [Certificate] {
    let bio = BIO_new_mem_buf(bytes, Int32(bytes.count))
    defer { BIO_free(bio) }
    var found: [Certificate] = []
    ERR_clear_error()
    while let next = PEM_read_bio_X509(bio, nil, { _, _, _, _ in 0 }, nil) {
      found.append(.init(next))
    }
    let code = ERR_peek_last_error()
    ERR_clear_error()
    if portico_err_library(code) != Int32(ERR_LIB_PEM)
      || portico_err_reason(code) != PEM_R_NO_START_LINE
    {
      throw TLSComplaint(
        file: path,
        "\(role) '\(path)': certificate number \(found.count + 1) cannot be read: "
          + "\(OpenSSLError.text(code)); copy it again, whole")
    }
    guard found.isEmpty else { return found }
    if bytes.first == 0x30 {
      throw TLSComplaint(
        file: path,
        "\(role) '\(path)' is DER, not PEM; convert it with "
          + "'openssl x509 -inform DER -in \(path) -out \(path).pem'")
    }
    throw TLSComplaint(
      file: path,
      "\(role) '\(path)' holds no certificate: it has no line "
        + "'-----BEGIN CERTIFICATE-----'")
  }

  static func key(_ bytes: [UInt8], path: String) throws(TLSComplaint) -> Key {
    let bio = BIO_new_mem_buf(bytes, Int32(bytes.count))
    defer { BIO_free(bio) }
    ERR_clear_error()
    if let key = PEM_read_bio_PrivateKey(bio, nil, { _, _, _, _ in 0 }, nil) { return Key(key) }
    let code = ERR_peek_last_error()
    ERR_clear_error()
    let text = String(decoding: bytes, as: UTF8.self)
    if text.contains("ENCRYPTED") {
      throw TLSComplaint(
        file: path,
        "key '\(path)' is encrypted, and nobody is there to type its password; decrypt it with "
          + "'openssl pkey -in \(path) -out plain.pem'")
    }
    if !text.contains("PRIVATE KEY-----") {
      throw TLSComplaint(
        file: path,
        "key '\(path)' holds no private key: it has no line "
          + "'-----BEGIN PRIVATE KEY-----'")
    }
    throw TLSComplaint(
      file: path,
      "key '\(path)' cannot be read: \(OpenSSLError.text(code)); copy it again, whole")
  }
}

/// OpenSSL's packed error codes in words.
enum OpenSSLError {
  static func text(_ code: UInt) -> String {
    guard code != 0, let text = ERR_reason_error_string(code) else {
      return "OpenSSL error \(code)"
    }
    return String(cString: text)
  }

  /// The first error of the queue, which is then empty.
  static func take() -> String {
    let code = ERR_peek_error()
    ERR_clear_error()
    return text(code)
  }
}
