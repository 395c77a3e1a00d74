/// Methods of `str`. A method of markup makes markup.
extension Interpreter {
  mutating func run(
    _ name: String, of text: MarkedText, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    try make(bytes: text.count)
    try payForMethod(name, text)
    switch name {
    case "strip", "lstrip", "rstrip":
      let set = try optionalText(arguments, "chars", of: name)
      return .text(
        text.stripped(
          set.map { Set($0.string.unicodeScalars) }, left: name != "rstrip",
          right: name != "lstrip"))
    case "lower": return .text(text.lowercased())
    case "upper": return .text(text.uppercased())
    case "capitalize": return .text(text.capitalized())
    case "title": return .text(text.titled())
    case "swapcase": return .text(text.caseSwapped())
    case "casefold": return .text(text.casefolded())
    case "split", "rsplit": return try split(text, name, arguments)
    case "splitlines":
      let keeps = try bind(arguments, to: ["keepends"], of: name)[0]
      return try texts(text.splitLines(keepingEnds: keeps.map(isTrue) ?? false))
    case "partition", "rpartition": return try partition(text, name, arguments)
    case "startswith", "endswith": return try affix(text, name, arguments)
    case "removeprefix", "removesuffix":
      let affix = try requiredText(arguments, name)
      if name == "removeprefix", text.starts(with: affix.bytes) {
        return .text(text.part(affix.count..<text.count))
      }
      if name == "removesuffix", text.ends(with: affix.bytes) {
        return .text(text.part(0..<(text.count - affix.count)))
      }
      return .text(text)
    case "replace":
      let bound = try bind(arguments, to: ["old", "new", "count"], of: name)
      guard case .text(let old)? = bound[0], case .text(var new)? = bound[1] else {
        throw typeError("replace() takes two strings")
      }
      if text.isMarkup { new = try escaped(new) }
      return .text(try replaced(text, old, with: new, limit: bound[2]?.asInt ?? -1))
    case "join":
      guard let source = try bind(arguments, to: ["iterable"], of: name)[0] else {
        throw typeError("str.join() takes exactly one argument (0 given)")
      }
      return .text(try join(try elements(of: source), with: text))
    case "find", "rfind", "index", "rindex", "count": return try search(text, name, arguments)
    case "format": return .text(try formatted(text, fields: arguments))
    case "center", "ljust", "rjust", "zfill": return .text(try padded(text, name, arguments))
    default: return .bool(try answer(name, of: text, arguments))
    }
  }

  /// What a method costs beside a copy of the text.
  private mutating func payForMethod(
    _ name: String, _ text: MarkedText
  ) throws(TemplateComplaint) {
    switch name {
    case "strip", "lstrip", "rstrip", "startswith", "endswith", "removeprefix", "removesuffix",
      "join", "center", "ljust", "rjust", "zfill":
      break
    case "split", "rsplit", "partition", "rpartition", "replace", "find", "rfind", "index",
      "rindex", "count", "format":
      try search(bytes: text.count)
    case "lower", "upper", "casefold":
      if !text.isASCII { try walk(bytes: text.count) }
    default: try walk(bytes: text.count)
    }
  }

  mutating func texts(_ parts: [MarkedText]) throws(TemplateComplaint) -> Value {
    // Each is memory of its own.
    try make(elements: 2 * parts.count)
    return try list(parts.map { .text($0) })
  }

  // MARK: Arguments

  func optionalText(
    _ arguments: Arguments, _ parameter: String, of function: String
  ) throws(TemplateComplaint) -> MarkedText? {
    switch try bind(arguments, to: [parameter], of: function)[0] {
    case nil, .some(.none): return nil
    case .text(let text)?: return text
    case let other?:
      throw typeError("\(function) arg must be None or str, not \(other.typeName)")
    }
  }

  private func requiredText(
    _ arguments: Arguments, _ function: String
  ) throws(TemplateComplaint) -> MarkedText {
    guard case .text(let text)? = try bind(arguments, to: ["text"], of: function)[0] else {
      throw typeError("\(function)() takes one string")
    }
    return text
  }

  // MARK: Cutting

  private mutating func split(
    _ text: MarkedText, _ name: String, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["sep", "maxsplit"], of: name)
    var limit = Int.max
    if let given = bound[1] {
      guard let count = given.asInt else {
        throw typeError("'\(given.typeName)' object cannot be interpreted as an integer")
      }
      if count >= 0 { limit = count }
    }
    // Beside the bytes, each part is a value with memory of its own.
    switch bound[0] {
    case nil, .some(.none):
      try walk(bytes: text.count)
      return try texts(
        name == "split" ? text.splitBySpace(limit: limit) : text.splitBySpaceFromRight(limit: limit)
      )
    case .text(let separator)?:
      if separator.isEmpty { throw typeError("empty separator") }
      return try texts(
        name == "split"
          ? text.split(by: separator.bytes, limit: limit)
          : text.splitFromRight(by: separator.bytes, limit: limit))
    case let other?: throw typeError("must be str or None, not \(other.typeName)")
    }
  }

  private mutating func partition(
    _ text: MarkedText, _ name: String, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let separator = try requiredText(arguments, name)
    if separator.isEmpty { throw typeError("empty separator") }
    let whole = 0..<text.count
    let empty = text.part(0..<0)
    let parts: [MarkedText]
    if name == "partition" {
      if let place = text.find(separator.bytes, in: whole) {
        let end = place + separator.count
        parts = [text.part(0..<place), text.part(place..<end), text.part(end..<text.count)]
      } else {
        parts = [text, empty, empty]
      }
    } else if let place = text.findLast(separator.bytes, in: whole) {
      let end = place + separator.count
      parts = [text.part(0..<place), text.part(place..<end), text.part(end..<text.count)]
    } else {
      parts = [empty, empty, text]
    }
    return .tuple(try items(parts.map { .text($0) }))
  }

  private mutating func affix(
    _ text: MarkedText, _ name: String, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["affix", "start", "end"], of: name)
    let affixes: [Value]
    switch bound[0] {
    case .text?: affixes = [bound[0] ?? .none]
    case .tuple(let items)?: affixes = items.values
    case let other:
      throw typeError(
        "\(name) first arg must be str or a tuple of str, not \(other?.typeName ?? "nothing")")
    }
    var part = text
    if bound[1] != nil || bound[2] != nil {
      let range = scalarRange(text, bound[1], bound[2])
      part = text.part(range)
    }
    for affix in affixes {
      guard case .text(let affix) = affix else {
        throw typeError("tuple for \(name) must only contain str, not \(affix.typeName)")
      }
      try spend()
      if name == "startswith" ? part.starts(with: affix.bytes) : part.ends(with: affix.bytes) {
        return .bool(true)
      }
    }
    return .bool(false)
  }

  /// Bytes between two indices of Python.
  private func scalarRange(_ text: MarkedText, _ from: Value?, _ to: Value?) -> Range<Int> {
    let places = places(text.scalarCount, from?.asInt, to?.asInt, 1)
    let start = text.byte(ofScalar: places.start)
    return start..<text.byte(ofScalar: places.start + places.count)
  }

  private mutating func search(
    _ text: MarkedText, _ name: String, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["sub", "start", "end"], of: name)
    guard case .text(let needle)? = bound[0] else { throw typeError("must be str") }
    let range = scalarRange(text, bound[1], bound[2])
    if name == "count" {
      var count = 0
      var start = range.lowerBound
      if needle.isEmpty { return .int(text.part(range).scalarCount + 1) }
      while let place = text.find(needle.bytes, in: start..<range.upperBound) {
        try spend()
        count += 1
        start = place + needle.count
      }
      return .int(count)
    }
    let isFirst = name == "find" || name == "index"
    let found =
      isFirst ? text.find(needle.bytes, in: range) : text.findLast(needle.bytes, in: range)
    if let found { return .int(text.scalarIndex(ofByte: found)) }
    if name == "index" || name == "rindex" { throw typeError("substring not found") }
    return .int(-1)
  }

  // MARK: Putting together

  /// At most `limit` times where that is not negative.
  mutating func replaced(
    _ text: MarkedText, _ old: MarkedText, with new: MarkedText, limit: Int
  ) throws(TemplateComplaint) -> MarkedText {
    var result = MarkedText()
    result.isMarkup = text.isMarkup
    var left = limit < 0 ? Int.max : limit
    var start = 0
    var searchStart = 0
    while left > 0, searchStart <= text.count,
      let place = text.find(old.bytes, in: searchStart..<text.count)
    {
      // An empty text stands before every character and at the end.
      result.append(text, start..<place)
      try make(bytes: new.count)
      try spend()
      if result.count + new.count > limits.textBytes { try make(bytes: limits.textBytes + 1) }
      result.append(new)
      start = place + old.count
      searchStart = start
      if old.isEmpty {
        if place == text.count { break }
        searchStart = text.scalar(at: place).next
      }
      left -= 1
    }
    result.append(text, start..<text.count)
    try make(bytes: result.count)
    return result
  }

  mutating func join(
    _ values: [Value], with separator: MarkedText
  ) throws(TemplateComplaint) -> MarkedText {
    var text = MarkedText()
    for (place, value) in values.enumerated() {
      let part: MarkedText
      if separator.isMarkup {
        part = try escaped(value)
      } else if case .text(let text) = value {
        part = text
      } else {
        throw typeError(
          "sequence item \(place): expected str instance, \(value.typeName) found")
      }
      try make(bytes: separator.count + part.count)
      if text.count > limits.textBytes { try make(bytes: text.count) }
      if place > 0 { text.append(separator) }
      text.append(part)
    }
    text.isMarkup = separator.isMarkup
    return text
  }

  private mutating func padded(
    _ text: MarkedText, _ name: String, _ arguments: Arguments
  ) throws(TemplateComplaint) -> MarkedText {
    let bound = try bind(arguments, to: ["width", "fillchar"], of: name)
    guard let width = bound[0]?.asInt else { throw typeError("\(name)() needs a width") }
    var fill = MarkedText(" ")
    if case .text(let given)? = bound[1] {
      guard given.scalarCount == 1 else {
        throw typeError("The fill character must be exactly one character long")
      }
      fill = given
    }
    if name == "zfill" {
      var sign = 0
      if let first = text.bytes.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
        sign = 1
      }
      var padded = text.part(0..<sign)
      padded.append(
        try padding(MarkedText("0"), max(width, 0) - text.scalarCount))
      padded.append(text, sign..<text.count)
      padded.isMarkup = text.isMarkup
      return padded
    }
    return try padded(text, width: width, fill: fill, name)
  }

  mutating func padded(
    _ text: MarkedText, width: Int, fill: MarkedText, _ side: String
  ) throws(TemplateComplaint) -> MarkedText {
    let length = text.scalarCount
    if width <= length { return text }
    let total = width - length
    var left = side == "rjust" ? total : 0
    // Python's own way to share an odd space.
    if side == "center" { left = total / 2 + (total & width & 1) }
    var padded = try padding(fill, left)
    padded.append(text)
    padded.append(try padding(fill, total - left))
    padded.isMarkup = text.isMarkup
    return padded
  }

  private mutating func padding(
    _ fill: MarkedText, _ count: Int
  ) throws(TemplateComplaint) -> MarkedText {
    var padding = MarkedText()
    if count <= 0 { return padding }
    let (bytes, overflow) = fill.count.multipliedReportingOverflow(by: count)
    try make(bytes: overflow ? .max : bytes)
    for _ in 0..<count { padding.append(fill) }
    return padding
  }

  // MARK: Questions

  private func answer(
    _ name: String, of text: MarkedText, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Bool {
    switch name {
    case "isalpha": return text.all(\.isPythonLetter)
    case "isdigit": return text.all(\.isPythonDigit)
    case "isdecimal": return text.all(\.isPythonDecimal)
    case "isnumeric": return text.all(\.isPythonNumeric)
    case "isalnum": return text.all { $0.isPythonLetter || $0.isPythonNumeric }
    case "isspace": return text.all(\.isPythonSpace)
    case "isascii": return text.isASCII
    case "isprintable": return text.isEmpty || text.all(\.isPythonPrintable)
    case "islower": return text.isCased(as: .lower)
    case "isupper": return text.isCased(as: .upper)
    default: throw unsupportedMethod(name, of: .text(text))
    }
  }
}
