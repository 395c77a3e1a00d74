/// `str` and `repr` of Python. Brackets, quotes and numbers are the template's own; texts keep
/// their marks.
extension Interpreter {
  /// What `{{ value }}` writes.
  mutating func shown(_ value: Value) throws(TemplateComplaint) -> MarkedText {
    switch value {
    case .text(let text): return text.isMarkup ? text.plain : text
    case .undefined: return MarkedText()
    default: return try represented(value)
    }
  }

  /// `repr`.
  mutating func represented(_ value: Value) throws(TemplateComplaint) -> MarkedText {
    var text = MarkedText()
    try represent(value, into: &text)
    return text
  }

  private mutating func represent(
    _ value: Value, into text: inout MarkedText
  ) throws(TemplateComplaint) {
    try spend()
    switch value {
    case .undefined: text.append("Undefined")
    case .none: text.append("None")
    case .bool(let flag): text.append(flag ? "True" : "False")
    case .int(let number): text.append(String(number).utf8, trusted: true)
    case .bigInt(let digits): text.append(digits.utf8, trusted: true)
    case .float(let number): text.append(pythonText(of: number).utf8, trusted: true)
    case .text(let content): try quote(content, into: &text)
    case .list(let items):
      text.append("[")
      try represent(items.values, into: &text)
      text.append("]")
    case .tuple(let items):
      text.append("(")
      try represent(items.values, into: &text)
      text.append(items.count == 1 ? ",)" : ")")
    case .dict(let dict): try represent(dict, into: &text)
    case .range(let range):
      let step = range.step == 1 ? "" : ", \(range.step)"
      text.append("range(\(range.start), \(range.stop)\(step))".utf8, trusted: true)
    case .view(let view):
      text.append(view.kind.rawValue.utf8, trusted: true)
      text.append("([")
      try represent(view.values, into: &text)
      text.append("])")
    case .namespace(let namespace):
      // One that holds itself would never end; Python writes dots there, too.
      if namespace.isBeingShown {
        text.append("{...}")
        return
      }
      namespace.isBeingShown = true
      text.append("<TemplateNamespace ")
      try represent(namespace.members, into: &text)
      text.append(">")
      namespace.isBeingShown = false
    case .loop(let loop):
      let length = try length(of: loop)
      text.append("<LoopContext \(loop.index0 + 1)/\(length)>".utf8, trusted: true)
    case .macro(let macro):
      text.append("<Macro '\(macro.definition.name)'>".utf8, trusted: true)
    // Python writes the address in memory, which a prompt cannot depend on.
    case .generator: text.append("<generator object>")
    case .function(let builtin):
      text.append("<function \(builtin.rawValue)>".utf8, trusted: true)
    case .method(let method):
      let name = "<built-in method \(method.name) of \(method.receiver.typeName) object>"
      text.append(name.utf8, trusted: true)
    }
  }

  private mutating func represent(
    _ values: [Value], into text: inout MarkedText
  ) throws(TemplateComplaint) {
    try enter()
    for (place, value) in values.enumerated() {
      if place > 0 { text.append(", ") }
      try represent(value, into: &text)
    }
    leave()
  }

  private mutating func represent(
    _ dict: Dict, into text: inout MarkedText
  ) throws(TemplateComplaint) {
    try enter()
    text.append("{")
    for place in 0..<dict.count {
      if place > 0 { text.append(", ") }
      try represent(dict.keys[place], into: &text)
      text.append(": ")
      try represent(dict.values[place], into: &text)
    }
    text.append("}")
    leave()
  }

  /// In single quotes, or in double ones where that saves escapes.
  private mutating func quote(
    _ content: MarkedText, into text: inout MarkedText
  ) throws(TemplateComplaint) {
    // At most ten bytes for one that needs an escape.
    try make(bytes: content.count)
    if !content.isASCII { try walk(bytes: content.count) }
    if content.isMarkup { text.append("Markup(") }
    let single = UInt8(ascii: "'")
    let usesDouble =
      content.bytes.contains(single) && !content.bytes.contains(UInt8(ascii: "\""))
    let quote = usesDouble ? UInt8(ascii: "\"") : single
    text.append(quote, trusted: true)
    var place = 0
    var plainStart = 0
    while place < content.count {
      let (scalar, next) = content.scalar(at: place)
      if let escape = pythonEscape(of: scalar, quote: quote) {
        try spend()
        text.append(content, plainStart..<place)
        text.append(escape.utf8, trusted: content.marks.isTrusted(at: place))
        plainStart = next
      }
      place = next
    }
    text.append(content, plainStart..<place)
    text.append(quote, trusted: true)
    if content.isMarkup { text.append(")") }
    if text.count > limits.textBytes { try make(bytes: text.count) }
  }

  private func pythonEscape(of scalar: Unicode.Scalar, quote: UInt8) -> String? {
    switch scalar {
    case "\\": "\\\\"
    case "\n": "\\n"
    case "\r": "\\r"
    case "\t": "\\t"
    case Unicode.Scalar(quote): "\\" + String(scalar)
    case " "..."~": nil
    case _ where scalar.isPythonPrintable: nil
    case _ where scalar.value < 0x100: "\\x" + hexText(scalar.value, digits: 2)
    case _ where scalar.value < 0x10000: "\\u" + hexText(scalar.value, digits: 4)
    default: "\\U" + hexText(scalar.value, digits: 8)
    }
  }
}

func hexText(_ value: UInt32, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(digits - text.utf8.count, 0)) + text
}

/// The shortest digits that read back the same, with an exponent where Python has one.
func pythonText(of number: Double) -> String {
  if number.isNaN { return "nan" }
  if number.isInfinite { return number < 0 ? "-inf" : "inf" }
  // The digits and the exponent, whatever form the standard library chose.
  var digits: [UInt8] = []
  var point: Int?
  var exponent = 0
  let text = Array(number.magnitude.description.utf8)
  for (place, byte) in text.enumerated() {
    if byte == UInt8(ascii: ".") {
      point = digits.count
    } else if byte == UInt8(ascii: "e") {
      exponent = Int(String(decoding: text[(place + 1)...], as: UTF8.self)) ?? 0
      break
    } else {
      digits.append(byte)
    }
  }
  // Value = 0.d1d2d3... times ten to this power.
  var power = (point ?? digits.count) + exponent
  while digits.count > 1, digits[0] == UInt8(ascii: "0") {
    digits.removeFirst()
    power -= 1
  }
  while digits.count > 1, digits[digits.count - 1] == UInt8(ascii: "0") { digits.removeLast() }
  let sign = number.sign == .minus ? "-" : ""
  if digits == [UInt8(ascii: "0")] { return sign + "0.0" }
  func string(_ bytes: some Sequence<UInt8>) -> String {
    String(decoding: Array(bytes), as: UTF8.self)
  }
  if power > 16 || power < -3 {
    let fraction = digits.count > 1 ? "." + string(digits[1...]) : ""
    let magnitude = abs(power - 1)
    return sign + string(digits[..<1]) + fraction + "e" + (power < 1 ? "-" : "+")
      + (magnitude < 10 ? "0" : "") + String(magnitude)
  }
  if power <= 0 { return sign + "0." + String(repeating: "0", count: -power) + string(digits) }
  if power >= digits.count {
    return sign + string(digits) + String(repeating: "0", count: power - digits.count) + ".0"
  }
  return sign + string(digits[..<power]) + "." + string(digits[power...])
}
