import HTTP
import Primitives

extension UnsafeRawBufferPointer {
  /// The first `count` bytes in memory of exactly their size: a read behind them is a crash under
  /// the address sanitizer.
  func withExactCopy<R>(
    from start: Int = 0, count: Int, _ body: (UnsafeRawBufferPointer) throws -> R
  ) throws -> R {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: Swift.max(count, 1), alignment: 1)
    defer { copy.deallocate() }
    if count > 0 {
      copy.copyMemory(from: UnsafeRawBufferPointer(rebasing: self[start..<(start + count)]))
    }
    return try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<count]))
  }

  /// A seed that is the input's own: what is drawn with it is the same each time, and inputs stay
  /// plain messages that a person can read.
  var seed: UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in self { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
  }
}

extension [UInt8] {
  /// Calls with the bytes in memory of exactly their size.
  func withExact<R>(
    _ body: (UnsafeRawBufferPointer) throws -> R
  ) throws -> R {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: Swift.max(count, 1), alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: self)
    return try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<count]))
  }
}

extension Gather {
  /// Everything that was appended.
  var contents: [UInt8] {
    var bytes: [UInt8] = []
    for segment in segments {
      bytes += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
    }
    return bytes
  }
}

extension ByteRange {
  func array(in bytes: UnsafeRawBufferPointer) -> [UInt8] { Array(self.bytes(in: bytes)) }
}

/// Bytes for a person: printable ones as they are, line ends and all others as escapes.
package func spelled(_ bytes: some Sequence<UInt8>) -> String {
  var text = ""
  for byte in bytes {
    switch byte {
    case 0x5c: text += "\\\\"
    case 0x0d: text += "\\r"
    case 0x0a: text += "\\n"
    case 0x09: text += "\\t"
    case 0x20..<0x7f: text.unicodeScalars.append(Unicode.Scalar(byte))
    default:
      let digits = String(byte, radix: 16)
      text += "\\x" + (digits.count < 2 ? "0" : "") + digits
    }
  }
  return text
}

/// The reverse of `spelled`. nil when there is a backslash that begins nothing known.
package func unspelled(_ text: some StringProtocol) -> [UInt8]? {
  var bytes: [UInt8] = []
  var rest = text.utf8[...]
  while let byte = rest.popFirst() {
    guard byte == 0x5c else {
      bytes.append(byte)
      continue
    }
    switch rest.popFirst() {
    case UInt8(ascii: "\\"): bytes.append(0x5c)
    case UInt8(ascii: "r"): bytes.append(0x0d)
    case UInt8(ascii: "n"): bytes.append(0x0a)
    case UInt8(ascii: "t"): bytes.append(0x09)
    case UInt8(ascii: "x"):
      guard let byte = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
        return nil
      }
      bytes.append(byte)
      rest = rest.dropFirst(2)
    default: return nil
    }
  }
  return bytes
}
