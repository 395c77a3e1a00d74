/// Reads one JSON text from beginning to end; what is nested, it calls itself for.
struct JSONReader {
  private let bytes: UnsafeRawBufferPointer
  private let reading: JSONValue.Reading
  private var place = 0
  private var depth = 0

  init(_ bytes: UnsafeRawBufferPointer, _ reading: JSONValue.Reading) {
    self.bytes = bytes
    self.reading = reading
  }

  mutating func wholeText() throws(JSONComplaint) -> JSONValue {
    let value = try value()
    skipSpace()
    if place < bytes.count { throw complaint("text after the value") }
    return value
  }

  private mutating func value() throws(JSONComplaint) -> JSONValue {
    skipSpace()
    switch peek {
    case UInt8(ascii: "{"): return try object()
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), .some(0x30...0x39): return try number()
    case nil: throw complaint("the text ends where a value should begin")
    case .some: throw complaint("a value cannot begin like this")
    }
  }

  private mutating func object() throws(JSONComplaint) -> JSONValue {
    try descend()
    defer { depth -= 1 }
    var members: [String: JSONValue] = [:]
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object(members) }
    repeat {
      skipSpace()
      let start = place
      guard peek == UInt8(ascii: "\"") else { throw complaint("expected a name in quotes") }
      let name = try string()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw complaint("expected ':'") }
      if members.updateValue(try value(), forKey: name) != nil, reading == .strict {
        throw JSONComplaint(offset: start, problem: "the name stands twice in one object")
      }
      skipSpace()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "}")) else { throw complaint("expected ',' or '}'") }
    return .object(members)
  }

  private mutating func array() throws(JSONComplaint) -> JSONValue {
    try descend()
    defer { depth -= 1 }
    var elements: [JSONValue] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    repeat {
      elements.append(try value())
      skipSpace()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "]")) else { throw complaint("expected ',' or ']'") }
    return .array(elements)
  }

  /// Over the opening bracket, one level down.
  private mutating func descend() throws(JSONComplaint) {
    guard depth < JSONValue.depthLimit else {
      throw complaint("nested more than \(JSONValue.depthLimit) deep")
    }
    depth += 1
    place += 1
  }

  private mutating func word(
    _ word: StaticString, _ value: JSONValue
  ) throws(JSONComplaint) -> JSONValue {
    let letters = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    guard bytes[place...].starts(with: letters) else {
      throw complaint("a value cannot begin like this")
    }
    place += letters.count
    return value
  }

  private mutating func number() throws(JSONComplaint) -> JSONValue {
    let start = place
    _ = take(UInt8(ascii: "-"))
    if take(UInt8(ascii: "0")) {
      if case .some(0x30...0x39) = peek { throw complaint("a number may not begin with 0") }
    } else {
      try digits()
    }
    if take(UInt8(ascii: ".")) { try digits() }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    guard let number = Double(String(decoding: bytes[start..<place], as: UTF8.self)),
      number.isFinite
    else { throw JSONComplaint(offset: start, problem: "the number is out of range") }
    return .number(number)
  }

  /// One or more.
  private mutating func digits() throws(JSONComplaint) {
    let start = place
    while case .some(0x30...0x39) = peek { place += 1 }
    if place == start { throw complaint("expected a digit") }
  }

  private mutating func string() throws(JSONComplaint) -> String {
    let start = place
    place += 1
    skipPlain()
    // Most strings have no escape and are taken as they stand.
    if take(UInt8(ascii: "\"")) {
      return try text(
        UnsafeRawBufferPointer(rebasing: bytes[(start + 1)..<(place - 1)]), from: start)
    }
    var unescaped = Array(bytes[(start + 1)..<place])
    while true {
      switch peek {
      case UInt8(ascii: "\""):
        place += 1
        return try unescaped.withUnsafeBufferPointer { bytes throws(JSONComplaint) in
          try text(UnsafeRawBufferPointer(bytes), from: start)
        }
      case UInt8(ascii: "\\"):
        place += 1
        try escape(into: &unescaped)
      case nil: throw complaint("the text ends within a string")
      case .some(0..<0x20): throw complaint("a control character within a string")
      case .some:
        let plain = place
        skipPlain()
        unescaped += bytes[plain..<place]
      }
    }
  }

  /// Over everything that stands for itself within a string.
  private mutating func skipPlain() {
    while let byte = peek, byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
      place += 1
    }
  }

  private func text(
    _ bytes: UnsafeRawBufferPointer, from start: Int
  ) throws(JSONComplaint) -> String {
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    guard reading == .tolerant else {
      throw JSONComplaint(offset: start, problem: "the string is not UTF-8")
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// What follows a backslash.
  private mutating func escape(into text: inout [UInt8]) throws(JSONComplaint) {
    guard let letter = peek else { throw complaint("the text ends within a string") }
    place += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(letter)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0c)
    case UInt8(ascii: "n"): text.append(0x0a)
    case UInt8(ascii: "r"): text.append(0x0d)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"): text += String(Character(try scalar())).utf8
    default:
      place -= 1
      throw complaint("unknown escape")
    }
  }

  /// The four digits after `\u`, and those of a second escape when the first is half of a pair.
  private mutating func scalar() throws(JSONComplaint) -> Unicode.Scalar {
    let start = place - 2
    let first = try fourDigits()
    if let scalar = Unicode.Scalar(first) { return scalar }
    let afterFirst = place
    if (0xd800...0xdbff).contains(first), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
      let second = try fourDigits()
      if (0xdc00...0xdfff).contains(second),
        let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
      {
        return scalar
      }
    }
    guard reading == .tolerant else {
      throw JSONComplaint(offset: start, problem: "half of a surrogate pair")
    }
    // What followed the half is read again, for itself.
    place = afterFirst
    return "\u{fffd}"
  }

  private mutating func fourDigits() throws(JSONComplaint) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      switch peek {
      case .some(let byte) where (0x30...0x39).contains(byte):
        value = value << 4 | UInt32(byte - 0x30)
      case .some(let byte) where (0x61...0x66).contains(byte | 0x20):
        value = value << 4 | UInt32((byte | 0x20) - 0x57)
      default: throw complaint("expected four hexadecimal digits")
      }
      place += 1
    }
    return value
  }

  private var peek: UInt8? { place < bytes.count ? bytes[place] : nil }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard peek == byte else { return false }
    place += 1
    return true
  }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      place += 1
    }
  }

  private func complaint(_ problem: String) -> JSONComplaint {
    JSONComplaint(offset: place, problem: problem)
  }
}
