/// Byte classes and scans that all parsers of this room share.
///
/// The tables are string literals on purpose: they stand in the read-only part of the program, so
/// that using one costs a load and no check whether a global has been initialised.
enum ByteScan {
  static let tab: UInt8 = 0x09
  static let lf: UInt8 = 0x0a
  static let cr: UInt8 = 0x0d
  static let space: UInt8 = 0x20
  static let colon: UInt8 = 0x3a

  /// Token bytes (RFC 9110, 5.6.2): bit 0 says token, bit 1 underscore.
  @inline(__always) static var tokens: UnsafePointer<UInt8> {
    let table: StaticString = """
      0000000000000000\
      0000000000000000\
      0101111100110110\
      1111111111000000\
      0111111111111111\
      1111111111100013\
      1111111111111111\
      1111111111101010\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000
      """
    return table.utf8Start
  }

  /// Bytes of a request target: 0 ends or spoils it, 1 is plain, 3 needs a look in a path (slash,
  /// percent, backslash), 5 is the question mark.
  ///
  /// RFC 3986 has no raw `^`, backtick, `{`, `|` and `}`, but browsers send them so (WHATWG URL),
  /// and no server reads them as anything else. Quotes and angle brackets nobody sends raw.
  @inline(__always) static var targets: UnsafePointer<UInt8> {
    let table: StaticString = """
      0000000000000000\
      0000000000000000\
      0100131111111113\
      1111111111110105\
      1111111111111111\
      1111111111113111\
      1111111111111111\
      1111111111111110\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000\
      0000000000000000
      """
    return table.utf8Start
  }

  @inline(__always) static func isToken(_ byte: UInt8) -> Bool { tokens[Int(byte)] & 1 != 0 }

  @inline(__always) static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

  @inline(__always) static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }

  /// Value of a hexadecimal digit; above 15 for any other byte.
  @inline(__always) static func hexValue(_ byte: UInt8) -> UInt8 {
    let digit = byte &- 0x30
    if digit < 10 { return digit }
    let letter = (byte | 0x20) &- 0x61
    return letter < 6 ? letter &+ 10 : 255
  }

  /// Place of the first byte below 0x20, or 0x7f, in `from..<end`; `end` when there is none.
  ///
  /// Eight bytes at a time: subtracting 0x20 from each byte borrows into its top bit where it was
  /// smaller, and the same with 1 after an exclusive or finds 0x7f. The lowest hit is exact.
  @inline(__always)
  static func firstControl(_ base: UnsafeRawPointer, from: Int, to end: Int) -> Int {
    var position = from
    while position &+ 8 <= end {
      let word = base.loadUnaligned(fromByteOffset: position, as: UInt64.self).littleEndian
      let low = (word &- 0x2020_2020_2020_2020) & ~word
      let delete = word ^ 0x7f7f_7f7f_7f7f_7f7f
      let hits =
        (low | ((delete &- 0x0101_0101_0101_0101) & ~delete)) & 0x8080_8080_8080_8080
      if hits != 0 { return position &+ (hits.trailingZeroBitCount >> 3) }
      position &+= 8
    }
    while position < end {
      let byte = base[position]
      if byte < 0x20 || byte == 0x7f { return position }
      position &+= 1
    }
    return end
  }

  /// Place of the first colon or byte below 0x20 in `from..<end`; `end` when there is none.
  @inline(__always)
  static func firstColonOrControl(_ base: UnsafeRawPointer, from: Int, to end: Int) -> Int {
    var position = from
    while position &+ 8 <= end {
      let word = base.loadUnaligned(fromByteOffset: position, as: UInt64.self).littleEndian
      let low = (word &- 0x2020_2020_2020_2020) & ~word
      let other = word ^ 0x3a3a_3a3a_3a3a_3a3a
      let hits = (low | ((other &- 0x0101_0101_0101_0101) & ~other)) & 0x8080_8080_8080_8080
      if hits != 0 { return position &+ (hits.trailingZeroBitCount >> 3) }
      position &+= 8
    }
    while position < end {
      let byte = base[position]
      if byte < 0x20 || byte == colon { return position }
      position &+= 1
    }
    return end
  }

  /// The bytes, none of which is a control byte, equal the text in any case. The text consists of
  /// lower-case letters, digits and hyphens (others only where the caller looks at them again): of
  /// the bytes that differ from those in 0x20 alone, all but upper-case letters are control bytes.
  @inline(__always)
  static func equal(_ bytes: UnsafeRawPointer, _ count: Int, _ text: StaticString) -> Bool {
    guard count == text.utf8CodeUnitCount else { return false }
    let other = UnsafeRawPointer(text.utf8Start)
    if count >= 8 {
      var offset = 0
      while offset &+ 8 < count {
        if word(bytes, offset) != word(other, offset) { return false }
        offset &+= 8
      }
      return word(bytes, count &- 8) == word(other, count &- 8)
    }
    for offset in 0..<count where bytes[offset] | 0x20 != other[offset] { return false }
    return true
  }

  /// Eight bytes with letters in lower case.
  @inline(__always) private static func word(_ bytes: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) | 0x2020_2020_2020_2020
  }
}

extension UnsafeRawPointer {
  @inline(__always) subscript(offset: Int) -> UInt8 {
    load(fromByteOffset: offset, as: UInt8.self)
  }
}
