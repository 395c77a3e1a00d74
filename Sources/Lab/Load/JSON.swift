/// A JSON text as a value: what a client of the mock sent. Built for small answers of our own, not
/// for the data path.
package enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSON])
  /// In the order of the text; of equal names the last counts.
  case object([Member])

  package struct Member: Equatable, Sendable {
    package let name: String
    package let value: JSON
  }

  /// Where and why a text is not JSON.
  package struct Complaint: Error, Equatable, CustomStringConvertible {
    package let offset: Int
    package let problem: String
    package var description: String { "not JSON at byte \(offset): \(problem)" }
  }

  /// Values inside values. Count; tool schemas reach about 20, and a loop's stack is short.
  package static let depthLimit = 100

  package init(_ bytes: UnsafeRawBufferPointer) throws(Complaint) {
    var reader = JSONReader(bytes: bytes)
    self = try reader.whole()
  }

  package init(_ text: String) throws(Complaint) {
    var reader = Array(text.utf8)
    let result = reader.withUnsafeMutableBytes { bytes in
      Result { () throws(Complaint) in try JSON(UnsafeRawBufferPointer(bytes)) }
    }
    self = try result.get()
  }

  /// The member of that name; nil also where this is no object.
  package subscript(_ name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.name == name }?.value
  }

  package var text: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  package var flag: Bool? {
    guard case .bool(let flag) = self else { return nil }
    return flag
  }

  /// A number without fraction.
  package var integer: Int? {
    guard case .number(let number) = self else { return nil }
    return Int(exactly: number)
  }

  package var elements: [JSON]? {
    guard case .array(let elements) = self else { return nil }
    return elements
  }
}

/// Reads one JSON text, RFC 8259 and nothing beyond it.
private struct JSONReader {
  let bytes: UnsafeRawBufferPointer
  var place = 0
  var depth = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func whole() throws(JSON.Complaint) -> JSON {
    let value = try value()
    skipSpace()
    guard place == bytes.count else { throw complaint("something follows the value") }
    return value
  }

  private func complaint(_ problem: String) -> JSON.Complaint {
    JSON.Complaint(offset: place, problem: problem)
  }

  private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      place += 1
    }
  }

  private mutating func value() throws(JSON.Complaint) -> JSON {
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object()
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case nil: throw complaint("the text ends where a value is expected")
    case .some(let byte) where byte == UInt8(ascii: "-") || isDigit(byte): return try number()
    case .some: throw complaint("no value begins like this")
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSON) throws(JSON.Complaint) -> JSON {
    let count = word.utf8CodeUnitCount
    let expected = UnsafeRawBufferPointer(start: word.utf8Start, count: count)
    guard bytes.count - place >= count, bytes[place..<(place + count)].elementsEqual(expected)
    else { throw complaint("no value begins like this") }
    place += count
    return value
  }

  private mutating func enter() throws(JSON.Complaint) {
    place += 1
    depth += 1
    guard depth <= JSON.depthLimit else {
      throw complaint("values are nested deeper than \(JSON.depthLimit)")
    }
  }

  private mutating func array() throws(JSON.Complaint) -> JSON {
    try enter()
    defer { depth -= 1 }
    var elements: [JSON] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      elements.append(try value())
      skipSpace()
      if take(UInt8(ascii: ",")) { continue }
      guard take(UInt8(ascii: "]")) else { throw complaint("expected ',' or ']'") }
      return .array(elements)
    }
  }

  private mutating func object() throws(JSON.Complaint) -> JSON {
    try enter()
    defer { depth -= 1 }
    var members: [JSON.Member] = []
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object(members) }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw complaint("expected a name in quotes") }
      let name = try string()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw complaint("expected ':'") }
      members.append(JSON.Member(name: name, value: try value()))
      skipSpace()
      if take(UInt8(ascii: ",")) { continue }
      guard take(UInt8(ascii: "}")) else { throw complaint("expected ',' or '}'") }
      return .object(members)
    }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    place += 1
    return true
  }

  private mutating func digits() throws(JSON.Complaint) {
    guard let first = next, isDigit(first) else { throw complaint("expected a digit") }
    while let byte = next, isDigit(byte) { place += 1 }
  }

  private func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  private mutating func number() throws(JSON.Complaint) -> JSON {
    let start = place
    _ = take(UInt8(ascii: "-"))
    if take(UInt8(ascii: "0")) {
      if let byte = next, isDigit(byte) { throw complaint("a number may not begin with 0") }
    } else {
      try digits()
    }
    if take(UInt8(ascii: ".")) { try digits() }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    let text = String(decoding: bytes[start..<place], as: UTF8.self)
    guard let number = Double(text), number.isFinite else {
      throw complaint("the number does not fit")
    }
    return .number(number)
  }

  private mutating func string() throws(JSON.Complaint) -> String {
    place += 1
    let start = place
    while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      place += 1
    }
    // Most strings have no escape and are taken as they stand.
    if next == UInt8(ascii: "\"") {
      place += 1
      return String(decoding: bytes[start..<(place - 1)], as: UTF8.self)
    }
    var unescaped = Array(bytes[start..<place])
    while true {
      switch next {
      case nil: throw complaint("the text ends inside a string")
      case UInt8(ascii: "\""):
        place += 1
        return String(decoding: unescaped, as: UTF8.self)
      case UInt8(ascii: "\\"): try escape(into: &unescaped)
      case .some(let byte) where byte < 0x20:
        throw complaint("a control character must be escaped")
      case .some(let byte):
        unescaped.append(byte)
        place += 1
      }
    }
  }

  private mutating func escape(into text: inout [UInt8]) throws(JSON.Complaint) {
    place += 1
    switch next {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(bytes[place])
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0c)
    case UInt8(ascii: "n"): text.append(0x0a)
    case UInt8(ascii: "r"): text.append(0x0d)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      place += 1
      var code = try hexadecimal()
      // A high surrogate and the low one that must follow stand for one character.
      if (0xd800..<0xdc00).contains(code), bytes.count - place >= 2,
        bytes[place] == UInt8(ascii: "\\"), bytes[place + 1] == UInt8(ascii: "u")
      {
        let mark = place
        place += 2
        let low = try hexadecimal()
        if (0xdc00..<0xe000).contains(low) {
          code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
        } else {
          place = mark
        }
      }
      // A surrogate alone is legal JSON and no character: it becomes the replacement character.
      let scalar = Unicode.Scalar(code) ?? "\u{fffd}"
      text.append(contentsOf: UTF8.encode(scalar)!)
      return
    default: throw complaint("unknown escape")
    }
    place += 1
  }

  private mutating func hexadecimal() throws(JSON.Complaint) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      switch next {
      case .some(let byte) where isDigit(byte): value = value << 4 | UInt32(byte - 0x30)
      case .some(let byte) where (0x61...0x66).contains(byte | 0x20):
        value = value << 4 | UInt32((byte | 0x20) - 0x61 + 10)
      default: throw complaint("expected four hexadecimal digits")
      }
      place += 1
    }
    return value
  }
}

/// JSON out: text inside quotes.
package enum JSONText {
  /// The text as a JSON string, with its quotes.
  package static func quoted(_ text: String) -> String {
    var bytes: [UInt8] = [UInt8(ascii: "\"")]
    escape(text, into: &bytes)
    bytes.append(UInt8(ascii: "\""))
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Appends the text as it stands between the quotes of a JSON string.
  package static func escape(_ text: String, into bytes: inout [UInt8]) {
    let digits = Array("0123456789abcdef".utf8)
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
      case 0x0a: bytes += "\\n".utf8
      case 0x0d: bytes += "\\r".utf8
      case 0x09: bytes += "\\t".utf8
      case 0..<0x20:
        bytes += [0x5c, 0x75, 0x30, 0x30, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      default: bytes.append(byte)
      }
    }
  }
}
