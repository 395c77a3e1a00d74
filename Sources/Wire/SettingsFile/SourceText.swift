import Glibc

/// The bytes of one configuration file, known to be text that YAML allows.
package struct SourceText {
  /// Bytes of one file. Ten thousand backends with every key written out need about two megabytes.
  package static let limitBytes = 4 * 1024 * 1024

  package let file: String
  package let bytes: [UInt8]

  package enum Outcome<Value> {
    case value(Value)
    case complaint(Complaint)
  }

  package enum Contents {
    case bytes([UInt8])
    /// A sentence without the file's name.
    case failure(String)
  }

  /// The whole file, at most `limitBytes` of it. Pipes work too, so that `/dev/stdin` does.
  package static func contents(_ path: String) -> Contents {
    if path.utf8.contains(0) { return .failure("cannot open: the path contains a NUL byte") }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return .failure("cannot open: \(lastError())") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    while bytes.count <= limitBytes {
      var count = 0
      let chunk = [UInt8](unsafeUninitializedCapacity: 64 * 1024) { buffer, initialized in
        repeat {
          count = Glibc.read(descriptor, buffer.baseAddress!, buffer.count)
        } while count < 0 && errno == EINTR
        initialized = max(0, count)
      }
      if count < 0 { return .failure("cannot read: \(lastError())") }
      if count == 0 { return .bytes(bytes) }
      bytes += chunk
    }
    return .failure("is larger than \(sizeText(limitBytes)); split it with 'include'")
  }

  package static func lastError() -> String { String(cString: strerror(errno)) }

  /// Refuses what is no text, so that the YAML reader below only meets characters that it knows.
  package static func check(_ bytes: [UInt8], file: String) -> Outcome<SourceText> {
    if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) {
      return .complaint(
        Complaint(
          file: file, line: 1, column: 1, message: "this file is UTF-16; save it as UTF-8"))
    }
    var line = 1
    var column = 1
    var index = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0
    func complaint(_ message: String) -> Outcome<SourceText> {
      .complaint(Complaint(file: file, line: line, column: column, message: message))
    }
    while index < bytes.count {
      let byte = bytes[index]
      if byte < 0x80 {
        switch byte {
        case 0x0a:
          line += 1
          column = 0
        case 0x0d where index + 1 == bytes.count || bytes[index + 1] != 0x0a:
          line += 1
          column = 0
        case 0x0d, 0x09, 0x20..<0x7f: break
        case 0:
          return complaint("a NUL byte: this is not a text file, or it was cut by a crash")
        default:
          return complaint("the control character \(hexadecimal(byte)); remove it")
        }
        index += 1
      } else {
        guard let (scalar, length) = decode(bytes, at: index) else {
          return complaint("the byte \(hexadecimal(byte)) is not UTF-8; save the file as UTF-8")
        }
        switch scalar {
        case 0x80...0x9f, 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff:
          return complaint(
            "the invisible character U+\(hexadecimalDigits(scalar, width: 4)); remove it")
        default: break
        }
        index += length
      }
      column += 1
    }
    return .value(SourceText(file: file, bytes: bytes))
  }

  /// The scalar that begins at an index: well-formed UTF-8 only, no surrogates, nothing overlong.
  private static func decode(_ bytes: [UInt8], at index: Int) -> (UInt32, Int)? {
    let first = UInt32(bytes[index])
    let length: Int
    var value: UInt32
    let least: UInt32
    switch first {
    case 0xc2...0xdf: (length, value, least) = (2, first & 0x1f, 0x80)
    case 0xe0...0xef: (length, value, least) = (3, first & 0x0f, 0x800)
    case 0xf0...0xf4: (length, value, least) = (4, first & 0x07, 0x10000)
    default: return nil
    }
    guard index + length <= bytes.count else { return nil }
    for next in bytes[(index + 1)..<(index + length)] {
      guard next & 0xc0 == 0x80 else { return nil }
      value = value << 6 | UInt32(next & 0x3f)
    }
    guard value >= least, value <= 0x10ffff, !(0xd800...0xdfff).contains(value) else { return nil }
    return (value, length)
  }

  /// The text of a line, counted from 1, without its end.
  package func line(_ number: Int) -> String {
    var start = 0
    var left = number - 1
    while left > 0, start < bytes.count {
      if bytes[start] == 0x0a || (bytes[start] == 0x0d && !follows(start, 0x0a)) { left -= 1 }
      start += 1
    }
    let end = bytes[start...].firstIndex { $0 == 0x0a || $0 == 0x0d } ?? bytes.count
    return String(decoding: bytes[start..<end], as: UTF8.self)
  }

  private func follows(_ index: Int, _ byte: UInt8) -> Bool {
    index + 1 < bytes.count && bytes[index + 1] == byte
  }
}

private func hexadecimal(_ byte: UInt8) -> String {
  "0x" + hexadecimalDigits(UInt32(byte), width: 2)
}

package func hexadecimalDigits(_ value: UInt32, width: Int) -> String {
  let digits = String(value, radix: 16, uppercase: true)
  return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
