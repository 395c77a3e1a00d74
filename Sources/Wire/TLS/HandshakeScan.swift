/// Looks over a client's first bytes before OpenSSL gets them.
///
/// ```
/// first ─ 0x16 ─> header ─ 5 bytes ─> message header ─ 4 bytes ─> message body ─> ...
///   │                └── change cipher spec or data: what follows is sealed ──> sealed
///   └─ A...Z ─> word ─ space ─> plaintext HTTP
/// ```
/// Two things OpenSSL does not do for us. It takes plain HTTP for a record of a strange version. And
/// it allocates what a ClientHello says it is going to be, up to 131 KB, on the strength of nine
/// bytes: a thousand of those connections would be 170 MB.
package struct HandshakeScan {
  package enum Verdict: Hashable, Sendable {
    /// Nothing wrong: OpenSSL may have the bytes.
    case passes
    /// Letters that may become an HTTP method; not for OpenSSL.
    case waits
    case plaintextHTTP
    case notTLS
    case tooLarge
  }

  /// A ClientHello. Bytes: one with a post-quantum key share, a ticket that holds a certificate and
  /// a long list of protocols has 4 KB; a single record can hold 16 KB.
  static let helloLimitBytes = 16_384
  /// Letters of a method. Count: the longest registered one, UPDATEREDIRECTREF, has 17.
  static let methodLimit = 20

  private enum Place {
    case first
    case word(Int)
    /// Inside a record's header, `have` bytes of it read.
    case header(have: Int, type: UInt8, length: Int)
    case messageHeader(have: Int, type: UInt8, length: Int)
    case message
    case sealed
  }

  private var place = Place.first
  /// Of the record that is being read, still to come.
  private var recordLeft = 0
  /// Of the message that is being read, still to come; it may go on in the next record.
  private var messageLeft = 0
  /// A message header that was cut by the end of a record.
  private var cutHeader: Place?

  package init() {}

  private static let changeCipherSpec: UInt8 = 20
  private static let handshake: UInt8 = 22
  private static let applicationData: UInt8 = 23
  private static let clientHello: UInt8 = 1

  /// Nothing left to look at: the rest of the connection is sealed.
  var isOver: Bool {
    if case .sealed = place { return true }
    return false
  }

  package mutating func scan(_ bytes: UnsafeRawBufferPointer) -> Verdict {
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      switch place {
      case .first:
        if byte == Self.handshake {
          place = .header(have: 1, type: byte, length: 0)
        } else if Self.isLetter(byte) {
          place = .word(1)
        } else {
          return .notTLS
        }
        index += 1
      case .word(let count):
        if byte == UInt8(ascii: " "), count >= 3 { return .plaintextHTTP }
        guard Self.isLetter(byte), count < Self.methodLimit else { return .notTLS }
        place = .word(count + 1)
        index += 1
      case .header(let have, let type, let length):
        header(byte, have, type, length)
        index += 1
      case .messageHeader(let have, let type, let length):
        index += 1
        recordLeft -= 1
        let longer = have == 0 ? 0 : length << 8 | Int(byte)
        let type = have == 0 ? byte : type
        if have < 3 {
          place = .messageHeader(have: have + 1, type: type, length: longer)
        } else {
          if type == Self.clientHello, longer > Self.helloLimitBytes { return .tooLarge }
          messageLeft = longer
          place = .message
        }
        endRecordIfDone()
      case .message:
        let step = min(bytes.count - index, recordLeft, messageLeft)
        index += step
        recordLeft -= step
        messageLeft -= step
        if messageLeft == 0 { place = .messageHeader(have: 0, type: 0, length: 0) }
        endRecordIfDone()
      case .sealed:
        return .passes
      }
    }
    if case .word = place { return .waits }
    return .passes
  }

  private mutating func header(_ byte: UInt8, _ have: Int, _ type: UInt8, _ length: Int) {
    let type = have == 0 ? byte : type
    let longer = have < 3 ? 0 : length << 8 | Int(byte)
    guard have == 4 else {
      place = .header(have: have + 1, type: type, length: longer)
      return
    }
    guard type == Self.handshake else {
      // In TLS 1.2 everything behind a change of cipher is sealed. An alert ends the handshake.
      place = .sealed
      return
    }
    recordLeft = longer
    place = cutHeader ?? (messageLeft > 0 ? .message : .messageHeader(have: 0, type: 0, length: 0))
    cutHeader = nil
    endRecordIfDone()
  }

  private mutating func endRecordIfDone() {
    guard recordLeft == 0 else { return }
    if case .messageHeader = place { cutHeader = place }
    place = .header(have: 0, type: 0, length: 0)
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
  }
}
