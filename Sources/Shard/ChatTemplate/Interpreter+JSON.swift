/// `tojson` as Hugging Face defines it, which is `json.dumps` of Python without its escaping of
/// what is not ASCII.
extension Interpreter {
  struct JSONStyle {
    var isASCII = false
    /// What one level of nesting begins with; nil for one line.
    var indent: MarkedText?
    var comma = MarkedText(", ")
    var colon = MarkedText(": ")
    var sortsKeys = false
  }

  mutating func json(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> MarkedText {
    let bound = try bind(
      arguments, to: ["ensure_ascii", "indent", "separators", "sort_keys"], of: "tojson")
    var style = JSONStyle()
    style.isASCII = bound[0].map(isTrue) ?? false
    switch bound[1] {
    case nil, .some(.none): break
    case .text(let text)?: style.indent = text
    case let other?:
      guard let width = other.asInt else { throw typeError("indent must be a number or a string") }
      let spaces = min(max(width, 0), limits.textBytes + 1)
      try make(bytes: spaces)
      style.indent = MarkedText(String(repeating: " ", count: spaces))
    }
    if style.indent != nil { style.comma = MarkedText(",") }
    switch bound[2] {
    case nil, .some(.none): break
    case let separators?:
      let parts = try elements(of: separators)
      guard parts.count == 2, case .text(let comma) = parts[0], case .text(let colon) = parts[1]
      else { throw typeError("separators must be two strings") }
      style.comma = comma
      style.colon = colon
    }
    style.sortsKeys = bound[3].map(isTrue) ?? false
    var text = MarkedText()
    try write(value, style, level: 0, into: &text)
    return text
  }

  private mutating func write(
    _ value: Value, _ style: JSONStyle, level: Int, into text: inout MarkedText
  ) throws(TemplateComplaint) {
    try spend()
    switch value {
    case .none: text.append("null")
    case .bool(let flag): text.append(flag ? "true" : "false")
    case .int, .bigInt: text.append(try represented(value))
    case .float(let number): text.append(jsonText(of: number).utf8, trusted: true)
    case .text(let content): try write(content, style, into: &text)
    case .list(let items), .tuple(let items):
      try enter()
      text.append("[")
      for (place, value) in items.values.enumerated() {
        try separate(style, level: level + 1, isFirst: place == 0, into: &text)
        try write(value, style, level: level + 1, into: &text)
      }
      if items.count > 0 { try newLine(style, level: level, into: &text) }
      text.append("]")
      leave()
    case .dict(let dict): try write(dict, style, level: level, into: &text)
    default:
      throw typeError("Object of type \(value.typeName) is not JSON serializable")
    }
  }

  private mutating func write(
    _ dict: Dict, _ style: JSONStyle, level: Int, into text: inout MarkedText
  ) throws(TemplateComplaint) {
    try enter()
    var places = dict.keys.indices.map { Value.int($0) }
    if style.sortsKeys { places = try sorted(places, by: dict.keys, descending: false) }
    text.append("{")
    for (count, place) in places.enumerated() {
      guard case .int(let place) = place else { continue }
      try separate(style, level: level + 1, isFirst: count == 0, into: &text)
      try write(key: dict.keys[place], style, into: &text)
      text.append(style.colon)
      try write(dict.values[place], style, level: level + 1, into: &text)
    }
    if dict.count > 0 { try newLine(style, level: level, into: &text) }
    text.append("}")
    leave()
  }

  private mutating func write(
    key: Value, _ style: JSONStyle, into text: inout MarkedText
  ) throws(TemplateComplaint) {
    switch key {
    case .text(let name): try write(name, style, into: &text)
    case .none: text.append("\"null\"")
    case .bool(let flag): text.append(flag ? "\"true\"" : "\"false\"")
    case .int, .bigInt:
      text.append("\"")
      text.append(try represented(key))
      text.append("\"")
    case .float(let number): text.append("\"\(jsonText(of: number))\"".utf8, trusted: true)
    default:
      throw typeError("keys must be str, int, float, bool or None, not \(key.typeName)")
    }
  }

  private mutating func separate(
    _ style: JSONStyle, level: Int, isFirst: Bool, into text: inout MarkedText
  ) throws(TemplateComplaint) {
    try spend()
    if !isFirst { text.append(style.comma) }
    try newLine(style, level: level, into: &text)
  }

  private mutating func newLine(
    _ style: JSONStyle, level: Int, into text: inout MarkedText
  ) throws(TemplateComplaint) {
    guard let indent = style.indent else { return }
    // Level and indent are both bounded, their product not yet.
    try make(bytes: indent.count * level + 1)
    text.append("\n")
    for _ in 0..<level { text.append(indent) }
    if text.count > limits.textBytes { try make(bytes: text.count) }
  }

  private func jsonText(of number: Double) -> String {
    if number.isNaN { return "NaN" }
    if number.isInfinite { return number < 0 ? "-Infinity" : "Infinity" }
    return pythonText(of: number)
  }

  /// A string in quotes. Escapes are trusted as what they stand for.
  private mutating func write(
    _ content: MarkedText, _ style: JSONStyle, into text: inout MarkedText
  ) throws(TemplateComplaint) {
    try make(bytes: content.count)
    text.append(UInt8(ascii: "\""), trusted: true)
    var plainStart = 0
    var place = 0
    while place < content.count {
      let byte = content.bytes[place]
      let isPlain =
        byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
        && (byte < 0x7f || !style.isASCII)
      if isPlain {
        place += 1
        continue
      }
      try spend()
      text.append(content, plainStart..<place)
      let (scalar, next) = content.scalar(at: place)
      text.append(jsonEscape(of: scalar).utf8, trusted: content.marks.isTrusted(at: place))
      place = next
      plainStart = next
    }
    text.append(content, plainStart..<place)
    text.append(UInt8(ascii: "\""), trusted: true)
    if text.count > limits.textBytes { try make(bytes: text.count) }
  }

  private func jsonEscape(of scalar: Unicode.Scalar) -> String {
    switch scalar {
    case "\"": return "\\\""
    case "\\": return "\\\\"
    case "\n": return "\\n"
    case "\r": return "\\r"
    case "\t": return "\\t"
    case "\u{8}": return "\\b"
    case "\u{c}": return "\\f"
    default:
      var escape = ""
      for unit in String(scalar).utf16 { escape += "\\u" + hexText(UInt32(unit), digits: 4) }
      return escape
    }
  }
}
