/// A JSON text as a value that keeps the order of members and the digits of numbers.
///
/// `JSONValue` keeps neither, which nobody minds but a prompt: a model was trained on tools whose
/// members stand as the client wrote them. Reads what Python's `json.loads` reads of RFC 8259.
package indirect enum OrderedJSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case int(Int)
  /// A whole number beyond 64 bits, as it was written.
  case bigInt(String)
  case float(Double)
  /// UTF-8.
  case string([UInt8])
  case array([OrderedJSON])
  case object([Member])

  package struct Member: Sendable, Equatable {
    package let name: [UInt8]
    package var value: OrderedJSON

    package init(_ name: String, _ value: OrderedJSON) {
      self.name = Array(name.utf8)
      self.value = value
    }

    init(bytes: [UInt8], _ value: OrderedJSON) {
      name = bytes
      self.value = value
    }
  }

  package static func string(_ text: String) -> OrderedJSON { .string(Array(text.utf8)) }

  /// Tolerant as `JSONValue.Reading.tolerant`: of equal names the last counts (at the place of the
  /// first, as in Python), and what is no character becomes U+FFFD. The complaint's kind is
  /// `.input`.
  package init(_ bytes: [UInt8]) throws(TemplateComplaint) {
    var reader = OrderedJSONReader(bytes)
    self = try reader.wholeText()
  }

  /// The member of that name; nil also where this is no object.
  package subscript(_ name: String) -> OrderedJSON? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.name.elementsEqual(name.utf8) }?.value
  }

  /// As a value of the template's language. Texts are the client's unless said otherwise.
  func value(isTrusted: Bool = false) -> Value {
    switch self {
    case .null: return .none
    case .bool(let flag): return .bool(flag)
    case .int(let number): return .int(number)
    case .bigInt(let digits): return .bigInt(digits)
    case .float(let number): return .float(number)
    case .string(let bytes): return .text(MarkedText(bytes, trusted: isTrusted))
    case .array(let elements):
      return .list(Items(elements.map { $0.value(isTrusted: isTrusted) }))
    case .object(let members):
      var dict = Dict()
      for member in members {
        dict.set(
          .text(member.name), .text(MarkedText(member.name, trusted: isTrusted)),
          to: member.value.value(isTrusted: isTrusted))
      }
      return .dict(dict)
    }
  }
}

struct OrderedJSONReader {
  /// Arrays and objects within each other, as in `JSONValue.depthLimit`.
  private static let depthLimit = 100

  private let bytes: [UInt8]
  private var place = 0
  private var depth = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func wholeText() throws(TemplateComplaint) -> OrderedJSON {
    let value = try value()
    skipSpace()
    if place < bytes.count { throw complaint("text after the value") }
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

  private func complaint(_ problem: String) -> TemplateComplaint {
    TemplateComplaint(.input, "not JSON at byte \(place): \(problem)")
  }

  private mutating func value() throws(TemplateComplaint) -> OrderedJSON {
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

  private mutating func descend() throws(TemplateComplaint) {
    if depth == Self.depthLimit { throw complaint("nested more than \(Self.depthLimit) deep") }
    depth += 1
    place += 1
  }

  private mutating func object() throws(TemplateComplaint) -> OrderedJSON {
    try descend()
    defer { depth -= 1 }
    var members: [OrderedJSON.Member] = []
    // Only a long object needs an index to find a name that stands twice.
    var places: [[UInt8]: Int] = [:]
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object(members) }
    repeat {
      skipSpace()
      guard peek == UInt8(ascii: "\"") else { throw complaint("expected a name in quotes") }
      let name = try string()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw complaint("expected ':'") }
      let value = try value()
      if members.count == 8 {
        for (place, member) in members.enumerated() { places[member.name] = place }
      }
      let known =
        members.count < 8 ? members.firstIndex { $0.name == name } : places[name]
      if let known {
        members[known].value = value
      } else {
        members.append(OrderedJSON.Member(bytes: name, value))
        if members.count > 8 { places[name] = members.count - 1 }
      }
      skipSpace()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "}")) else { throw complaint("expected ',' or '}'") }
    return .object(members)
  }

  private mutating func array() throws(TemplateComplaint) -> OrderedJSON {
    try descend()
    defer { depth -= 1 }
    var elements: [OrderedJSON] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    repeat {
      elements.append(try value())
      skipSpace()
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "]")) else { throw complaint("expected ',' or ']'") }
    return .array(elements)
  }

  private mutating func word(
    _ word: StaticString, _ value: OrderedJSON
  ) throws(TemplateComplaint) -> OrderedJSON {
    let letters = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    guard bytes[place...].starts(with: letters) else {
      throw complaint("a value cannot begin like this")
    }
    place += letters.count
    return value
  }

  private mutating func number() throws(TemplateComplaint) -> OrderedJSON {
    let start = place
    _ = take(UInt8(ascii: "-"))
    if take(UInt8(ascii: "0")) {
      if case .some(0x30...0x39) = peek { throw complaint("a number may not begin with 0") }
    } else {
      try digits()
    }
    var isWhole = true
    if take(UInt8(ascii: ".")) {
      try digits()
      isWhole = false
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
      isWhole = false
    }
    let text = String(decoding: bytes[start..<place], as: UTF8.self)
    if isWhole { return Int(text).map { .int($0) } ?? .bigInt(text) }
    guard let number = Double(text), number.isFinite else {
      throw complaint("the number is out of range")
    }
    return .float(number)
  }

  private mutating func digits() throws(TemplateComplaint) {
    let start = place
    while case .some(0x30...0x39) = peek { place += 1 }
    if place == start { throw complaint("expected a digit") }
  }

  private mutating func string() throws(TemplateComplaint) -> [UInt8] {
    place += 1
    var text: [UInt8] = []
    var plainStart = place
    var isASCII = true
    while true {
      guard let byte = peek else { throw complaint("the text ends within a string") }
      switch byte {
      case UInt8(ascii: "\""):
        text += bytes[plainStart..<place]
        place += 1
        // Escapes are characters; what stood for itself may be no UTF-8.
        return isASCII ? text : Array(String(decoding: text, as: UTF8.self).utf8)
      case UInt8(ascii: "\\"):
        text += bytes[plainStart..<place]
        place += 1
        try escape(into: &text)
        plainStart = place
      case 0..<0x20: throw complaint("a control character within a string")
      default:
        if byte >= 0x80 { isASCII = false }
        place += 1
      }
    }
  }

  private mutating func escape(into text: inout [UInt8]) throws(TemplateComplaint) {
    guard let letter = peek else { throw complaint("the text ends within a string") }
    place += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(letter)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0c)
    case UInt8(ascii: "n"): text.append(0x0a)
    case UInt8(ascii: "r"): text.append(0x0d)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"): text += String(try scalar()).utf8
    default:
      place -= 1
      throw complaint("unknown escape")
    }
  }

  /// The four digits after `\u`, and those of a second escape when the first is half of a pair.
  private mutating func scalar() throws(TemplateComplaint) -> Unicode.Scalar {
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
    place = afterFirst
    return "\u{fffd}"
  }

  private mutating func fourDigits() throws(TemplateComplaint) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = peek?.hexValue else {
        throw complaint("expected four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      place += 1
    }
    return value
  }
}
