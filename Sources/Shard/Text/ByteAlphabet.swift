/// GPT-2's alphabet: vocabularies of byte-level BPE write every byte as a visible character, those
/// of printable ASCII and Latin-1 as themselves and the other 68 as U+0100 and up.
enum ByteAlphabet {
  /// The scalar of each byte.
  static let scalars: [UInt32] = {
    var scalars: [UInt32] = []
    var next: UInt32 = 256
    for byte in 0..<UInt32(256) {
      switch byte {
      case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: scalars.append(byte)
      default:
        scalars.append(next)
        next += 1
      }
    }
    return scalars
  }()

  /// The byte of each scalar below 324, 0xffff where there is none.
  private static let bytes: [UInt16] = {
    var bytes = [UInt16](repeating: 0xffff, count: 324)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = UInt16(byte) }
    return bytes
  }()

  /// Appends the bytes that a text of the vocabulary stands for. false, with nothing appended,
  /// where a character is not of the alphabet. `text` is valid UTF-8.
  static func appendBytes(of text: Bytes, to result: inout [UInt8]) -> Bool {
    let start = result.count
    let bytes = bytes
    var place = 0
    while place < text.count {
      let (scalar, next) = text.scalar(at: place)
      guard scalar < 324, bytes[Int(scalar)] < 256 else {
        result.removeSubrange(start...)
        return false
      }
      result.append(UInt8(bytes[Int(scalar)]))
      place = next
    }
    return true
  }

  /// Bytes as the vocabulary writes them.
  static func text(of bytes: some Sequence<UInt8>) -> String {
    var text: [UInt8] = []
    for byte in bytes { text.append(scalar: scalars[Int(byte)]) }
    return String(decoding: text, as: UTF8.self)
  }
}
