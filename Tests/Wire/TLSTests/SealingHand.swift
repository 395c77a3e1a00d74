import COpenSSL
import Synchronization
import Testing

@testable import TLS

/// What a hostile client may put into a record.
enum Sealed: CaseIterable {
  case nothing
  case warning
  case lateHello
  case ticket
  case unknownType

  var type: UInt8 {
    switch self {
    case .nothing: 23
    case .warning: 21
    case .lateHello, .ticket: 22
    case .unknownType: 99
    }
  }

  var content: [UInt8] {
    switch self {
    case .nothing: []
    // user_canceled, which TLS 1.3 lets pass.
    case .warning: [1, 90]
    case .lateHello: [1, 0, 0, 40, 3, 3] + [UInt8](repeating: 0, count: 38)
    case .ticket: [4, 0, 0, 1, 0]
    case .unknownType: [1, 2, 3]
    }
  }

  /// What it leads to.
  var reason: TLSFailure.Reason {
    switch self {
    case .nothing, .warning: .misuse
    case .lateHello, .ticket, .unknownType: .protocolError
    }
  }
}

/// Seals TLS 1.3 records in a client's place, with the secret that OpenSSL lets be logged
/// (RFC 8446, section 5.2 and 7.3).
final class SealingHand {
  /// The secrets of all clients that are listened to, by context.
  private static let secrets = Mutex<[UInt: [UInt8]]>([:])

  private let context: TLSClientContext
  private var sequence: UInt64 = 0

  init(_ context: TLSClientContext) throws {
    self.context = context
    SSL_CTX_set_keylog_callback(context.pointer) { ssl, line in
      guard let line else { return }
      let words = String(cString: line).split(separator: " ")
      guard words.count == 3, words[0] == "CLIENT_TRAFFIC_SECRET_0" else { return }
      let digits = Array(words[2])
      let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
        UInt8(String(digits[$0...($0 + 1)]), radix: 16)
      }
      let key = UInt(bitPattern: SSL_get_SSL_CTX(ssl))
      SealingHand.secrets.withLock { $0[key] = bytes }
    }
  }

  private func expand(_ label: String, _ count: Int) throws -> [UInt8] {
    let secret = try #require(
      Self.secrets.withLock { $0[UInt(bitPattern: context.pointer)] }, "no secret was logged")
    let full = Array("tls13 \(label)".utf8)
    let info = [UInt8(count >> 8), UInt8(count & 255), UInt8(full.count)] + full + [0]
    var bytes = [UInt8](repeating: 0, count: count)
    #expect(
      portico_hkdf_expand(secret, secret.count, info, info.count, &bytes, count) == 1)
    return bytes
  }

  /// The next record of the connection, which must be of AES-128-GCM.
  func seal(_ content: [UInt8], type: UInt8) throws -> [UInt8] {
    let key = try expand("key", 16)
    var nonce = try expand("iv", 12)
    withUnsafeBytes(of: sequence.bigEndian) {
      for (i, byte) in $0.enumerated() { nonce[4 + i] ^= byte }
    }
    sequence += 1
    let inner = content + [type]
    let header: [UInt8] = [
      23, 3, 3, UInt8((inner.count + 16) >> 8), UInt8((inner.count + 16) & 255),
    ]
    let cipher = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(cipher) }
    var count: Int32 = 0
    var sealed = [UInt8](repeating: 0, count: inner.count)
    var tag = [UInt8](repeating: 0, count: 16)
    EVP_EncryptInit_ex(cipher, EVP_aes_128_gcm(), nil, key, nonce)
    EVP_EncryptUpdate(cipher, nil, &count, header, 5)
    EVP_EncryptUpdate(cipher, &sealed, &count, inner, Int32(inner.count))
    EVP_EncryptFinal_ex(cipher, nil, &count)
    EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, 16, &tag)
    return header + sealed + tag
  }
}
