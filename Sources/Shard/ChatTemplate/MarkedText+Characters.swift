/// Code points of a text: what Python counts and cuts by.
extension MarkedText {
  var isASCII: Bool { bytes.allSatisfy { $0 < 0x80 } }

  /// `len` of Python.
  var scalarCount: Int {
    var count = 0
    for byte in bytes where byte & 0xc0 != 0x80 { count += 1 }
    return count
  }

  /// The code point that begins at this byte, and where the next one begins.
  func scalar(at byte: Int) -> (scalar: Unicode.Scalar, next: Int) {
    let first = bytes[byte]
    if first < 0x80 { return (Unicode.Scalar(first), byte + 1) }
    let length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
    let next = min(byte + length, bytes.count)
    var value = UInt32(first) & (0x7f >> UInt32(length))
    for place in (byte + 1)..<next { value = value << 6 | UInt32(bytes[place] & 0x3f) }
    return (Unicode.Scalar(value) ?? "\u{fffd}", next)
  }

  /// The code point that ends before this byte, and where it begins.
  func scalar(before byte: Int) -> (scalar: Unicode.Scalar, start: Int) {
    var start = byte - 1
    while start > 0, bytes[start] & 0xc0 == 0x80 { start -= 1 }
    return (scalar(at: start).scalar, start)
  }

  /// Where each code point begins, and the end.
  var scalarStarts: [Int] {
    var starts: [Int] = []
    starts.reserveCapacity(bytes.count + 1)
    for (place, byte) in bytes.enumerated() where byte & 0xc0 != 0x80 { starts.append(place) }
    starts.append(bytes.count)
    return starts
  }

  /// The byte where this code point begins; the end for one past the last.
  func byte(ofScalar index: Int) -> Int {
    var left = index
    for (place, byte) in bytes.enumerated() where byte & 0xc0 != 0x80 {
      if left == 0 { return place }
      left -= 1
    }
    return bytes.count
  }

  /// How many code points lie before this byte.
  func scalarIndex(ofByte end: Int) -> Int {
    var count = 0
    for byte in bytes[..<end] where byte & 0xc0 != 0x80 { count += 1 }
    return count
  }

  /// A text of one code point each.
  var characters: [MarkedText] {
    let starts = scalarStarts
    var characters: [MarkedText] = []
    characters.reserveCapacity(starts.count - 1)
    for index in 0..<(starts.count - 1) {
      characters.append(part(starts[index]..<starts[index + 1]))
    }
    return characters
  }

  /// Every code point replaced; what replaces it is trusted as it was.
  func mapScalars(_ transform: (Unicode.Scalar) -> String) -> MarkedText {
    mapPlaces { scalar, _, _ in transform(scalar) }
  }

  /// The same, with the bytes where each begins and ends.
  func mapPlaces(_ transform: (Unicode.Scalar, _ from: Int, _ to: Int) -> String) -> MarkedText {
    var mapped = MarkedText()
    mapped.reserve(bytes.count)
    var place = 0
    while place < bytes.count {
      let (scalar, next) = scalar(at: place)
      mapped.append(transform(scalar, place, next).utf8, trusted: marks.isTrusted(at: place))
      place = next
    }
    mapped.isMarkup = isMarkup
    return mapped
  }
}

extension Unicode.Scalar {
  /// `str.isspace` of Python, which `strip`, `split` and `\s` share. Not quite White_Space: the
  /// four separators of ASCII count too.
  var isPythonSpace: Bool {
    switch value {
    case 0x09...0x0d, 0x1c...0x20, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f,
      0x205f, 0x3000:
      true
    default: false
    }
  }

  /// Where `str.splitlines` of Python cuts.
  var isPythonLineEnd: Bool {
    switch value {
    case 0x0a...0x0d, 0x1c...0x1e, 0x85, 0x2028, 0x2029: true
    default: false
    }
  }

  /// Shown as it is by `repr`, or as an escape.
  var isPythonPrintable: Bool {
    switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator:
      false
    case .spaceSeparator: value == 0x20
    default: true
    }
  }
}
