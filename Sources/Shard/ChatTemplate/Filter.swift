/// The filters of jinja2 that chat templates could use, and those that Hugging Face adds.
///
/// Left out, as they make web pages or guess: filesizeformat, pprint, random, striptags, urlize,
/// urlencode, wordwrap, xmlattr.
enum Filter: String, Sendable, CaseIterable {
  case abs
  case attr
  case batch
  case capitalize
  case center
  case count
  case d
  case `default`
  case dictsort
  case e
  case escape
  case first
  case float
  case forceescape
  case format
  case fromJSON = "from_json"
  case groupby
  case indent
  case int
  case items
  case join
  case last
  case length
  case list
  case lower
  case map
  case max
  case min
  case reject
  case rejectattr
  case replace
  case reverse
  case round
  case safe
  case select
  case selectattr
  case slice
  case sort
  case string
  case sum
  case title
  case tojson
  case trim
  case truncate
  case unique
  case upper
  case wordcount
}

extension Interpreter {
  mutating func apply(
    _ filter: Filter, to value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    switch filter {
    case .d, .default:
      let bound = try bind(arguments, to: ["default_value", "boolean"], of: "default")
      let replaces: Bool
      if case .undefined = value {
        replaces = true
      } else {
        replaces = (bound[1].map(isTrue) ?? false) && !isTrue(value)
      }
      return replaces ? bound[0] ?? .text("") : value
    case .tojson: return .text(try json(value, arguments))
    case .fromJSON: return try fromJSON(value)
    case .length, .count: return .int(try length(value))
    case .string:
      if case .text = value { return value }
      return .text(try shown(value))
    case .safe:
      var text = try shown(value)
      text.isMarkup = true
      return .text(text)
    case .e, .escape: return .text(try escaped(value))
    case .forceescape: return .text(try escaped(.text(try shown(value))))
    case .abs, .float, .int, .round: return try applyNumeric(filter, to: value, arguments)
    case .capitalize, .center, .format, .indent, .lower, .replace, .title, .trim, .truncate,
      .upper, .wordcount:
      return try applyTextual(filter, to: value, arguments)
    case .attr:
      guard case .text(let name)? = try bind(arguments, to: ["name"], of: "attr")[0] else {
        throw typeError("attr needs the name of an attribute")
      }
      return try pythonAttribute(name.string, of: value) ?? missing(name.string, of: value)
    case .items:
      switch value {
      case .undefined: return try generator([])
      case .dict(let dict):
        try make(elements: 2 * dict.count)
        return try generator(dict.items)
      default: throw typeError("Can only get item pairs from a mapping.")
      }
    case .batch, .dictsort, .first, .groupby, .join, .last, .list, .map, .max, .min, .reject,
      .rejectattr, .reverse, .select, .selectattr, .slice, .sort, .sum, .unique:
      return try applySequential(filter, to: value, arguments)
    }
  }

  /// Not Hugging Face's, but some templates that others publish need it: a text of JSON as values.
  private mutating func fromJSON(_ value: Value) throws(TemplateComplaint) -> Value {
    guard case .text(let text) = value else {
      throw typeError("from_json needs a string, not \(value.typeName)")
    }
    try make(bytes: 4 * text.count)
    do throws(TemplateComplaint) {
      let json = try OrderedJSON(text.bytes)
      // What has any part from the client is the client's.
      let isTrusted = text.marks.isUniform && text.marks.startsTrusted
      return json.value(isTrusted: isTrusted)
    } catch {
      throw typeError("from_json: \(error.message)")
    }
  }

  // MARK: Markup

  /// `markupsafe.escape`: markup stays as it is.
  mutating func escaped(_ value: Value) throws(TemplateComplaint) -> MarkedText {
    if case .text(let text) = value, text.isMarkup { return text }
    return try escaped(try shown(value))
  }

  mutating func escaped(_ text: MarkedText) throws(TemplateComplaint) -> MarkedText {
    if text.isMarkup { return text }
    var escaped = MarkedText()
    var plainStart = 0
    for (place, byte) in text.bytes.enumerated() {
      let entity: StaticString
      switch byte {
      case UInt8(ascii: "&"): entity = "&amp;"
      case UInt8(ascii: "<"): entity = "&lt;"
      case UInt8(ascii: ">"): entity = "&gt;"
      case UInt8(ascii: "'"): entity = "&#39;"
      case UInt8(ascii: "\""): entity = "&#34;"
      default: continue
      }
      escaped.append(text, plainStart..<place)
      let letters = UnsafeBufferPointer(
        start: entity.utf8Start, count: entity.utf8CodeUnitCount)
      escaped.append(letters, trusted: text.marks.isTrusted(at: place))
      plainStart = place + 1
    }
    escaped.append(text, plainStart..<text.count)
    escaped.isMarkup = true
    try make(bytes: escaped.count)
    return escaped
  }

  // MARK: Numbers

  private mutating func applyNumeric(
    _ filter: Filter, to value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    switch filter {
    case .abs:
      switch value {
      case .float(let number): return .float(number.magnitude)
      case .bigInt(let digits):
        return .bigInt(digits.hasPrefix("-") ? String(digits.dropFirst()) : digits)
      default:
        guard let number = value.asInt else {
          throw typeError("bad operand type for abs(): '\(value.typeName)'")
        }
        return number < 0 ? try negated(.int(number)) : .int(number)
      }
    case .int:
      let bound = try bind(arguments, to: ["default", "base"], of: "int")
      if case .undefined(let undefined) = value { throw typeError(undefined.message) }
      return integer(value, base: bound[1]?.asInt ?? 10) ?? bound[0] ?? .int(0)
    case .float:
      let fallback = try bind(arguments, to: ["default"], of: "float")[0]
      if case .undefined(let undefined) = value { throw typeError(undefined.message) }
      if case .text(let text) = value {
        return pythonFloat(text).map { .float($0) } ?? fallback ?? .float(0)
      }
      return value.asNumber.map { .float($0.double) } ?? fallback ?? .float(0)
    default: return try rounded(value, arguments)
    }
  }

  private func integer(_ value: Value, base: Int) -> Value? {
    switch value {
    case .bigInt: return value
    case .float(let number):
      let whole = number.rounded(.towardZero)
      return Int(exactly: whole).map { .int($0) }
    case .text(let text):
      if let number = pythonInt(text, base: base) { return .int(number) }
      let number = pythonFloat(text).map { $0.rounded(.towardZero) }
      return number.flatMap { Int(exactly: $0) }.map { .int($0) }
    default: return value.asInt.map { .int($0) }
    }
  }

  /// Digits as `int()` reads them: spaces around, a sign, `_` between digits.
  private func pythonInt(_ text: MarkedText, base: Int) -> Int? {
    guard (2...36).contains(base) else { return nil }
    var digits = text.stripped().bytes[...]
    var sign = ""
    if let first = digits.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
      sign = first == UInt8(ascii: "-") ? "-" : ""
      digits = digits.dropFirst()
    }
    let prefixes: [Int: UInt8] = [
      2: UInt8(ascii: "b"), 8: UInt8(ascii: "o"), 16: UInt8(ascii: "x"),
    ]
    if digits.count > 2, digits.first == UInt8(ascii: "0"), let letter = prefixes[base],
      digits[digits.startIndex + 1] | 0x20 == letter
    {
      digits = digits.dropFirst(2)
    }
    guard let plain = withoutUnderscores(digits) else { return nil }
    return Int(sign + plain, radix: base)
  }

  private func pythonFloat(_ text: MarkedText) -> Double? {
    let stripped = text.stripped().bytes[...]
    guard let plain = withoutUnderscores(stripped)?.lowercased() else { return nil }
    switch plain {
    case "inf", "+inf", "infinity", "+infinity": return .infinity
    case "-inf", "-infinity": return -.infinity
    case "nan", "+nan", "-nan": return .nan
    default:
      // Hexadecimal and bare words are no floats of Python.
      guard plain.utf8.allSatisfy({ "0123456789.e+-".utf8.contains($0) }) else { return nil }
      var number = plain
      if number.hasPrefix("+") { number.removeFirst() }
      return Double(number)
    }
  }

  /// Nil where a `_` stands not between digits, or where there are no digits.
  private func withoutUnderscores(_ digits: ArraySlice<UInt8>) -> String? {
    var plain: [UInt8] = []
    var last = UInt8(ascii: "_")
    for byte in digits {
      if byte == UInt8(ascii: "_") {
        if last.hexValue == nil { return nil }
      } else {
        plain.append(byte)
      }
      last = byte
    }
    if plain.isEmpty || last == UInt8(ascii: "_")
      || plain[0] == UInt8(ascii: "+") && plain.count > 1 && plain[1] == UInt8(ascii: "+")
    {
      return nil
    }
    return String(decoding: plain, as: UTF8.self)
  }

  private func rounded(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["precision", "method"], of: "round")
    let places = bound[0]?.asInt ?? 0
    var method = "common"
    if case .text(let text)? = bound[1] { method = text.string }
    guard let number = value.asNumber else {
      throw typeError("type \(value.typeName) doesn't define __round__ method")
    }
    guard (-300...300).contains(places) else {
      throw complaint(.unsupported, "rounding to \(places) places")
    }
    if method == "common" {
      if let whole = value.asInt, places >= 0 { return .int(whole) }
      return .float(roundedInDecimal(number.double, places))
    }
    var scale = 1.0
    for _ in 0..<places.magnitude { scale *= 10 }
    if places < 0 { scale = 1 / scale }
    let scaled = number.double * scale
    switch method {
    case "ceil": return .float(scaled.rounded(.up) / scale)
    case "floor": return .float(scaled.rounded(.down) / scale)
    default: throw typeError("method must be common, ceil or floor")
    }
  }

  /// As Python rounds: the exact value of the double to decimal places, ties to even.
  private func roundedInDecimal(_ number: Double, _ places: Int) -> Double {
    guard number.isFinite else { return number }
    if places >= 0 {
      let text = decimalText(of: number, precision: places, form: UInt8(ascii: "f"))
      return Double(text) ?? number
    }
    var scale = 1.0
    for _ in 0..<(-places) { scale *= 10 }
    return (number / scale).rounded(.toNearestOrEven) * scale
  }
}
