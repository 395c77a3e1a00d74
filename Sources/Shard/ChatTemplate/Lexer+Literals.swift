/// Numbers and strings, as Python writes them.
extension Lexer {
  /// Integers in four bases and floats; `_` may stand between digits.
  mutating func number() throws(TemplateComplaint) {
    // `1.5` after a dot is two indices, not a float.
    let isAfterDot = place > 0 && bytes[place - 1] == UInt8(ascii: ".")
    if !isAfterDot, let (text, end) = floatText() {
      guard let number = Double(text) else { throw complaint("'\(text)' is no number") }
      add(.float(number))
      place = end
      return
    }
    var end = place
    var radix = 10
    var digits = ""
    if peek() == UInt8(ascii: "0"), let letter = peek(1) {
      switch letter | 0x20 {
      case UInt8(ascii: "x"): radix = 16
      case UInt8(ascii: "o"): radix = 8
      case UInt8(ascii: "b"): radix = 2
      default: break
      }
      if radix != 10 {
        (digits, end) = digitsFrom(place + 2, radix: radix, mayBeginWithUnderscore: true)
        if digits.isEmpty { radix = 10 }
      }
    }
    if radix == 10 {
      (digits, end) = digitsFrom(place, radix: 10, mayBeginWithUnderscore: false)
      // A zero is followed by zeros only; what comes then is a word of its own.
      if digits.utf8.first == UInt8(ascii: "0"), digits.utf8.contains(where: { $0 != 0x30 }) {
        digits = "0"
        end = place + 1
      }
    }
    if let number = Int(digits, radix: radix) {
      add(.integer(number))
    } else if radix == 10 {
      add(.bigInteger(digits))
    } else {
      throw TemplateComplaint(
        .unsupported, line: line, "a number of more than 64 bits in base \(radix)")
    }
    place = end
  }

  private func digitsFrom(
    _ start: Int, radix: Int, mayBeginWithUnderscore: Bool
  ) -> (String, Int) {
    var digits: [UInt8] = []
    var at = start
    while at < bytes.count {
      var digit = at
      if bytes[at] == UInt8(ascii: "_"), !digits.isEmpty || mayBeginWithUnderscore { digit += 1 }
      guard digit < bytes.count, let value = bytes[digit].hexValue, value < radix else { break }
      digits.append(bytes[digit])
      at = digit + 1
    }
    return (String(decoding: digits, as: UTF8.self), at)
  }

  /// Digits with a fraction, an exponent, or both.
  private func floatText() -> (String, Int)? {
    var (text, end) = digitsFrom(place, radix: 10, mayBeginWithUnderscore: false)
    var isFloat = false
    if end + 1 < bytes.count, bytes[end] == UInt8(ascii: ".") {
      let (fraction, fractionEnd) = digitsFrom(end + 1, radix: 10, mayBeginWithUnderscore: false)
      if !fraction.isEmpty {
        text += "." + fraction
        end = fractionEnd
        isFloat = true
      }
    }
    if end + 1 < bytes.count, bytes[end] | 0x20 == UInt8(ascii: "e") {
      var at = end + 1
      var exponent = "e"
      if bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") {
        exponent += bytes[at] == UInt8(ascii: "-") ? "-" : ""
        at += 1
      }
      let (digits, exponentEnd) = digitsFrom(at, radix: 10, mayBeginWithUnderscore: false)
      if !digits.isEmpty {
        text += exponent + digits
        end = exponentEnd
        isFloat = true
      }
    }
    return isFloat ? (text, end) : nil
  }

  /// A string in either quotes, with the escapes of Python.
  mutating func string() throws(TemplateComplaint) {
    let quote = bytes[place]
    var text: [UInt8] = []
    var at = place + 1
    while at < bytes.count, bytes[at] != quote {
      if bytes[at] != UInt8(ascii: "\\") {
        text.append(bytes[at])
        at += 1
        continue
      }
      guard at + 1 < bytes.count else { break }
      try escape(at: &at, into: &text)
    }
    guard at < bytes.count else { throw complaint("a string is not closed") }
    add(.string(text))
    advance(to: at + 1)
  }

  private func escape(
    at place: inout Int, into text: inout [UInt8]
  ) throws(TemplateComplaint) {
    let letter = bytes[place + 1]
    place += 2
    switch letter {
    case UInt8(ascii: "\n"): break
    case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): text.append(letter)
    case UInt8(ascii: "a"): text.append(0x07)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0c)
    case UInt8(ascii: "n"): text.append(0x0a)
    case UInt8(ascii: "r"): text.append(0x0d)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "v"): text.append(0x0b)
    case UInt8(ascii: "0")...UInt8(ascii: "7"):
      var value = UInt32(letter & 7)
      var count = 1
      while count < 3, place < bytes.count, (0x30...0x37).contains(bytes[place]) {
        value = value << 3 | UInt32(bytes[place] & 7)
        place += 1
        count += 1
      }
      append(value, to: &text)
    case UInt8(ascii: "x"): append(try hex(2, at: &place), to: &text)
    case UInt8(ascii: "u"): append(try hex(4, at: &place), to: &text)
    case UInt8(ascii: "U"): append(try hex(8, at: &place), to: &text)
    case UInt8(ascii: "N"):
      throw TemplateComplaint(
        .unsupported, line: line, "characters by name (\\N) in strings; write the character")
    default:
      // As in Python, a backslash that escapes nothing stands for itself.
      text.append(UInt8(ascii: "\\"))
      place -= 1
    }
  }

  private func hex(_ count: Int, at place: inout Int) throws(TemplateComplaint) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard place < bytes.count, let digit = bytes[place].hexValue else {
        throw complaint("an escape in a string needs \(count) hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      place += 1
    }
    return value
  }

  /// What is no character (half of a surrogate pair) becomes U+FFFD.
  private func append(_ value: UInt32, to text: inout [UInt8]) {
    text += String(Unicode.Scalar(value) ?? "\u{fffd}").utf8
  }
}

extension UInt8 {
  var hexValue: Int? {
    switch self {
    case 0x30...0x39: Int(self) - 0x30
    case 0x41...0x46, 0x61...0x66: Int(self | 0x20) - 0x57
    default: nil
    }
  }
}
