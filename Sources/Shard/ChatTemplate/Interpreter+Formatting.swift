/// `str.format` and the `%` operator.
extension Interpreter {
  // MARK: str.format

  /// Replaces the fields in braces.
  mutating func formatted(
    _ format: MarkedText, fields arguments: Arguments
  ) throws(TemplateComplaint) -> MarkedText {
    var result = MarkedText()
    result.isMarkup = format.isMarkup
    var place = 0
    var nextIndex = 0
    let open = UInt8(ascii: "{")
    let close = UInt8(ascii: "}")
    while place < format.count {
      let byte = format.bytes[place]
      guard byte == open || byte == close else {
        let start = place
        while place < format.count, format.bytes[place] != open, format.bytes[place] != close {
          place += 1
        }
        result.append(format, start..<place)
        continue
      }
      if place + 1 < format.count, format.bytes[place + 1] == byte {
        result.append(format, place..<(place + 1))
        place += 2
        continue
      }
      guard byte == open else {
        throw typeError("Single '}' encountered in format string")
      }
      guard let end = format.find([close], in: (place + 1)..<format.count) else {
        throw typeError("expected '}' before end of string")
      }
      if format.find([open], in: (place + 1)..<end) != nil {
        throw complaint(.unsupported, "fields within the specification of a field in format()")
      }
      var text = try field(format.part((place + 1)..<end), arguments, &nextIndex)
      if format.isMarkup, !text.isMarkup { text = try escaped(text) }
      try make(bytes: text.count)
      if result.count + text.count > limits.textBytes { try make(bytes: limits.textBytes + 1) }
      result.append(text)
      place = end + 1
    }
    return result
  }

  /// `name.member[key]!conversion:specification`.
  private mutating func field(
    _ field: MarkedText, _ arguments: Arguments, _ nextIndex: inout Int
  ) throws(TemplateComplaint) -> MarkedText {
    try spend(8)
    var nameEnd = field.count
    var specification = FormatSpecification()
    if let colon = field.find([UInt8(ascii: ":")], in: 0..<field.count) {
      nameEnd = colon
      guard let given = FormatSpecification(field.part((colon + 1)..<field.count)) else {
        throw typeError("Invalid format specifier")
      }
      specification = given
    }
    var conversion: UInt8?
    if nameEnd >= 2, field.bytes[nameEnd - 2] == UInt8(ascii: "!") {
      conversion = field.bytes[nameEnd - 1]
      nameEnd -= 2
    }
    var value = try fieldValue(field.part(0..<nameEnd).string, arguments, &nextIndex)
    switch conversion {
    case nil: break
    case UInt8(ascii: "s"): value = .text(try shown(value))
    case UInt8(ascii: "r"): value = .text(try represented(value))
    case .some: throw complaint(.unsupported, "conversions other than !s and !r in format()")
    }
    return try laidOut(value, specification)
  }

  private mutating func fieldValue(
    _ name: String, _ arguments: Arguments, _ nextIndex: inout Int
  ) throws(TemplateComplaint) -> Value {
    var rest = name[...]
    let first = rest.prefix { $0 != "." && $0 != "[" }
    rest = rest.dropFirst(first.count)
    var value: Value
    if first.isEmpty || Int(first) != nil {
      let index = Int(first) ?? nextIndex
      nextIndex = index &+ 1
      guard arguments.positional.indices.contains(index) else {
        throw typeError("Replacement index \(index) out of range for positional args tuple")
      }
      value = arguments.positional[index]
    } else {
      guard let named = arguments.keywords.first(where: { $0.name == first }) else {
        throw typeError("format() misses the argument '\(first)'")
      }
      value = named.value
    }
    while let mark = rest.first {
      try spend()
      rest = rest.dropFirst()
      if mark == "." {
        let member = rest.prefix { $0 != "." && $0 != "[" }
        rest = rest.dropFirst(member.count)
        value = try attribute(String(member), of: value)
      } else {
        let key = rest.prefix { $0 != "]" }
        rest = rest.dropFirst(key.count + 1)
        value = try item(value, Int(key).map { .int($0) } ?? .text(String(key)))
      }
    }
    return value
  }

  /// A value by its specification.
  mutating func laidOut(
    _ value: Value, _ specification: FormatSpecification
  ) throws(TemplateComplaint) -> MarkedText {
    switch value {
    case .int, .bigInt: return try laidOutNumber(value, specification)
    case .bool where !specification.isDefault || specification.type != nil:
      return try laidOutNumber(value, specification)
    case .float(let number): return try laidOutFloat(number, specification)
    case .undefined, .none, .list, .tuple, .dict, .bool, .range, .view, .generator, .namespace,
      .loop, .macro, .function, .method, .text:
      var text = try shown(value)
      if !specification.isDefault, !value.isText {
        throw typeError("unsupported format string passed to \(value.typeName).__format__")
      }
      if let type = specification.type, type != UInt8(ascii: "s") {
        throw typeError(
          "Unknown format code '\(Unicode.Scalar(type))' for object of type '\(value.typeName)'")
      }
      if let precision = specification.precision, precision < text.scalarCount {
        text = text.part(0..<text.byte(ofScalar: precision))
      }
      return try aligned(sign: MarkedText(), text, specification, isNumber: false)
    }
  }

  private mutating func laidOutNumber(
    _ value: Value, _ specification: FormatSpecification
  ) throws(TemplateComplaint) -> MarkedText {
    var digits: String
    var prefix = ""
    let isNegative: Bool
    guard let number = value.asInt else {
      digits = try shown(value).string
      return try aligned(sign: MarkedText(), MarkedText(digits), specification, isNumber: true)
    }
    isNegative = number < 0
    switch specification.type {
    case nil, UInt8(ascii: "d"), UInt8(ascii: "i"), UInt8(ascii: "u"), UInt8(ascii: "n"):
      digits = String(number.magnitude)
    case UInt8(ascii: "x"):
      digits = String(number.magnitude, radix: 16)
      prefix = "0x"
    case UInt8(ascii: "X"):
      digits = String(number.magnitude, radix: 16, uppercase: true)
      prefix = "0X"
    case UInt8(ascii: "o"):
      digits = String(number.magnitude, radix: 8)
      prefix = "0o"
    case UInt8(ascii: "b"):
      digits = String(number.magnitude, radix: 2)
      prefix = "0b"
    case UInt8(ascii: "e"), UInt8(ascii: "f"), UInt8(ascii: "g"), UInt8(ascii: "E"),
      UInt8(ascii: "F"), UInt8(ascii: "G"), UInt8(ascii: "%"):
      return try laidOutFloat(Double(number), specification)
    case let type?:
      throw typeError(
        "Unknown format code '\(Unicode.Scalar(type))' for object of type 'int'")
    }
    if let grouping = specification.grouping { digits = grouped(digits, by: grouping) }
    let sign = signText(isNegative, specification) + (specification.isAlternate ? prefix : "")
    return try aligned(sign: MarkedText(sign), MarkedText(digits), specification, isNumber: true)
  }

  private mutating func laidOutFloat(
    _ number: Double, _ specification: FormatSpecification
  ) throws(TemplateComplaint) -> MarkedText {
    if (specification.precision ?? 0) > 1_000 {
      throw complaint(.limit, "a number with more than 1000 decimal places")
    }
    var digits: String
    let magnitude = number.magnitude
    switch specification.type {
    case nil where specification.precision == nil: digits = pythonText(of: magnitude)
    case nil:
      digits = decimalText(
        of: magnitude, precision: max(specification.precision ?? 6, 1), form: UInt8(ascii: "g"))
      if !digits.contains(where: { ".en".contains($0) }) { digits += ".0" }
    case UInt8(ascii: "%"):
      digits =
        decimalText(
          of: magnitude * 100, precision: specification.precision ?? 6, form: UInt8(ascii: "f"))
        + "%"
    case let type? where "eEfFgG".utf8.contains(type):
      digits = decimalText(
        of: magnitude, precision: specification.precision ?? 6, form: type,
        isAlternate: specification.isAlternate)
    case let type?:
      throw typeError(
        "Unknown format code '\(Unicode.Scalar(type))' for object of type 'float'")
    }
    if let grouping = specification.grouping {
      let whole = digits.prefix { $0.isNumber }
      digits = grouped(String(whole), by: grouping) + digits.dropFirst(whole.count)
    }
    let sign = signText(number.sign == .minus && !number.isNaN, specification)
    return try aligned(sign: MarkedText(sign), MarkedText(digits), specification, isNumber: true)
  }

  private func signText(_ isNegative: Bool, _ specification: FormatSpecification) -> String {
    if isNegative { return "-" }
    return specification.sign == UInt8(ascii: "-")
      ? "" : String(Unicode.Scalar(specification.sign))
  }

  private func grouped(_ digits: String, by separator: UInt8) -> String {
    var grouped: [UInt8] = []
    let digits = Array(digits.utf8)
    for (place, digit) in digits.enumerated() {
      if place > 0, (digits.count - place) % 3 == 0 { grouped.append(separator) }
      grouped.append(digit)
    }
    return String(decoding: grouped, as: UTF8.self)
  }

  private mutating func aligned(
    sign: MarkedText, _ text: MarkedText, _ specification: FormatSpecification, isNumber: Bool
  ) throws(TemplateComplaint) -> MarkedText {
    let length = sign.scalarCount + text.scalarCount
    let missing = specification.width - length
    if missing > 0 {
      try make(bytes: missing * specification.fill.count)
      try spend(missing)
    }
    let alignment = specification.alignment ?? UInt8(ascii: isNumber ? ">" : "<")
    var left = 0
    switch alignment {
    case UInt8(ascii: ">"), UInt8(ascii: "="): left = max(missing, 0)
    case UInt8(ascii: "^"): left = max(missing, 0) / 2
    default: break
    }
    var result = MarkedText()
    if alignment == UInt8(ascii: "=") { result.append(sign) }
    for _ in 0..<left { result.append(specification.fill) }
    if alignment != UInt8(ascii: "=") { result.append(sign) }
    result.append(text)
    if missing > left { for _ in left..<missing { result.append(specification.fill) } }
    return result
  }

  // MARK: The % operator

  mutating func formatted(
    _ format: MarkedText, with value: Value
  ) throws(TemplateComplaint) -> MarkedText {
    var values: [Value]
    var named: Dict?
    // Whatever has an index counts as a mapping here, and need not be used up.
    var isMapping = false
    switch value {
    case .tuple(let items): values = items.values
    case .dict(let dict):
      values = [value]
      named = dict
      isMapping = true
    case .list, .range, .undefined:
      values = [value]
      isMapping = true
    default: values = [value]
    }
    var result = MarkedText()
    result.isMarkup = format.isMarkup
    var place = 0
    var used = 0
    let percent = UInt8(ascii: "%")
    while let start = format.find([percent], in: place..<format.count) {
      result.append(format, place..<start)
      place = start + 1
      try spend()
      guard place < format.count else { throw typeError("incomplete format") }
      if format.bytes[place] == percent {
        result.append(format, start..<place)
        place += 1
        continue
      }
      var subject: Value?
      if format.bytes[place] == UInt8(ascii: "(") {
        guard let dict = named else { throw typeError("format requires a mapping") }
        guard let end = format.find([UInt8(ascii: ")")], in: place..<format.count) else {
          throw typeError("incomplete format key")
        }
        let name = format.part((place + 1)..<end).string
        guard let member = dict[name] else { throw typeError("'\(name)'") }
        subject = member
        used = values.count
        place = end + 1
      }
      var specification = try percentSpecification(format, &place)
      if subject == nil {
        guard used < values.count else {
          throw typeError("not enough arguments for format string")
        }
        subject = values[used]
        used += 1
      }
      var text = try converted(subject ?? .none, &specification)
      if format.isMarkup, !text.isMarkup { text = try escaped(text) }
      try make(bytes: text.count)
      if result.count + text.count > limits.textBytes { try make(bytes: limits.textBytes + 1) }
      result.append(text)
    }
    result.append(format, place..<format.count)
    if used < values.count, !isMapping {
      throw typeError("not all arguments converted during string formatting")
    }
    return result
  }

  /// Flags, width, precision and letter.
  private func percentSpecification(
    _ format: MarkedText, _ place: inout Int
  ) throws(TemplateComplaint) -> FormatSpecification {
    var specification = FormatSpecification()
    func byte() throws(TemplateComplaint) -> UInt8 {
      guard place < format.count else { throw typeError("incomplete format") }
      return format.bytes[place]
    }
    func number() throws(TemplateComplaint) -> Int {
      var value = 0
      while (0x30...0x39).contains(try byte()) {
        value = min(value * 10 + Int(try byte() - 0x30), 1 << 40)
        place += 1
      }
      return value
    }
    specification.alignment = UInt8(ascii: ">")
    flags: while true {
      switch try byte() {
      case UInt8(ascii: "-"): specification.alignment = UInt8(ascii: "<")
      case UInt8(ascii: "+"): specification.sign = UInt8(ascii: "+")
      case UInt8(ascii: " "):
        if specification.sign != UInt8(ascii: "+") { specification.sign = UInt8(ascii: " ") }
      case UInt8(ascii: "#"): specification.isAlternate = true
      case UInt8(ascii: "0"):
        if specification.alignment != UInt8(ascii: "<") {
          specification.fill = MarkedText("0")
          specification.alignment = UInt8(ascii: "=")
        }
      default: break flags
      }
      place += 1
    }
    if try byte() == UInt8(ascii: "*") {
      throw complaint(.unsupported, "a width of '*' in a % format")
    }
    specification.width = try number()
    if try byte() == UInt8(ascii: ".") {
      place += 1
      specification.precision = try number()
    }
    specification.type = try byte()
    place += 1
    return specification
  }

  private mutating func converted(
    _ value: Value, _ specification: inout FormatSpecification
  ) throws(TemplateComplaint) -> MarkedText {
    let letter = specification.type ?? 0
    switch letter {
    case UInt8(ascii: "s"), UInt8(ascii: "r"):
      specification.type = nil
      // Zeros are for numbers.
      if specification.alignment == UInt8(ascii: "=") {
        specification.alignment = UInt8(ascii: ">")
        specification.fill = MarkedText(" ")
      }
      let text = letter == UInt8(ascii: "s") ? try shown(value) : try represented(value)
      return try laidOut(.text(text), specification)
    case _ where "diuxXo".utf8.contains(letter):
      switch value {
      case .float(let number) where "diu".utf8.contains(letter) && number.magnitude < 9e18:
        return try laidOut(.int(Int(number)), specification)
      case .int, .bool, .bigInt: return try laidOut(value, specification)
      default:
        throw typeError(
          "%\(Unicode.Scalar(letter)) format: a real number is required, not \(value.typeName)")
      }
    case _ where "eEfFgG".utf8.contains(letter):
      guard let number = value.asNumber else {
        throw typeError("must be real number, not \(value.typeName)")
      }
      return try laidOut(.float(number.double), specification)
    default:
      throw complaint(.unsupported, "'%\(Unicode.Scalar(letter))' in a % format")
    }
  }
}
