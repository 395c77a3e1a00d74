/// Filters that make a text.
extension Interpreter {
  mutating func applyTextual(
    _ filter: Filter, to value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    // What is no text is printed first, as `soft_str` does.
    let text: MarkedText
    if case .text(let given) = value { text = given } else { text = try shown(value) }
    try make(bytes: text.count)
    switch filter {
    case .lower, .upper, .capitalize, .title, .wordcount:
      _ = try bind(arguments, to: [], of: filter.rawValue)
      let isFast = (filter == .lower || filter == .upper) && text.isASCII
      if !isFast { try walk(bytes: text.count) }
    case .replace, .format, .indent: try search(bytes: text.count)
    default: break
    }
    switch filter {
    case .trim:
      let set = try optionalText(arguments, "chars", of: "trim")
      return .text(text.stripped(set.map { Set($0.string.unicodeScalars) }))
    case .lower: return .text(text.lowercased())
    case .upper: return .text(text.uppercased())
    case .capitalize: return .text(text.capitalized())
    case .title: return .text(titled(text))
    case .center:
      let width = try bind(arguments, to: ["width"], of: "center")[0]?.asInt ?? 80
      return .text(try padded(text, width: width, fill: MarkedText(" "), "center"))
    case .replace:
      let bound = try bind(arguments, to: ["old", "new", "count"], of: "replace")
      guard let old = bound[0], let new = bound[1] else {
        throw typeError("replace needs what to replace, and with what")
      }
      return .text(
        try replaced(
          text.plain, try shown(old), with: try shown(new), limit: bound[2]?.asInt ?? -1))
    case .format:
      if !arguments.positional.isEmpty, !arguments.keywords.isEmpty {
        throw typeError("can't handle positional and keyword arguments at the same time")
      }
      if arguments.keywords.isEmpty {
        return .text(try formatted(text, with: .tuple(try items(arguments.positional))))
      }
      var named = Dict()
      for (name, value) in arguments.keywords { named.set(name, to: value) }
      return .text(try formatted(text, with: .dict(named)))
    case .indent: return .text(try indented(value, arguments))
    case .truncate: return try truncated(value, arguments)
    default: return .int(wordCount(text))
    }
  }

  /// The filter's titles, unlike the method's: a word begins after a space, a dash or a bracket.
  private func titled(_ text: MarkedText) -> MarkedText {
    let text = text.plain
    var titled = MarkedText()
    var place = 0
    var wordStart = 0
    func addWord(to end: Int) {
      if wordStart == end { return }
      let rest = text.scalar(at: wordStart).next
      titled.append(text.part(wordStart..<rest).uppercased())
      titled.append(text.part(rest..<end).lowercased())
    }
    while place < text.count {
      let (scalar, next) = text.scalar(at: place)
      if scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar) {
        addWord(to: place)
        titled.append(text, place..<next)
        wordStart = next
      }
      place = next
    }
    addWord(to: place)
    return titled
  }

  private func wordCount(_ text: MarkedText) -> Int {
    var count = 0
    var isWithin = false
    var place = 0
    while place < text.count {
      let (scalar, next) = text.scalar(at: place)
      let isWord = scalar == "_" || scalar.isPythonLetter || scalar.isPythonNumeric
      if isWord, !isWithin { count += 1 }
      isWithin = isWord
      place = next
    }
    return count
  }

  private mutating func indented(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> MarkedText {
    if case .undefined(let undefined) = value { throw typeError(undefined.message) }
    guard case .text(let text) = value else {
      throw typeError("unsupported operand type(s) for +=: '\(value.typeName)' and 'str'")
    }
    let bound = try bind(arguments, to: ["width", "first", "blank"], of: "indent")
    var indent: MarkedText
    if case .text(let given)? = bound[0] {
      indent = given
    } else {
      let width = min(max(bound[0]?.asInt ?? 4, 0), limits.textBytes + 1)
      try make(bytes: width)
      indent = MarkedText(String(repeating: " ", count: width))
    }
    let indentsBlank = bound[2].map(isTrue) ?? false
    var padded = text
    padded.append("\n")
    let lines = padded.splitLines(keepingEnds: false)
    var result = MarkedText()
    if bound[1].map(isTrue) ?? false { result.append(indent) }
    for (place, line) in lines.enumerated() {
      try make(bytes: indent.count + line.count + 1)
      if result.count > limits.textBytes { try make(bytes: result.count) }
      if place > 0 {
        result.append("\n")
        if indentsBlank || !line.isEmpty { result.append(indent) }
      }
      result.append(line)
    }
    result.isMarkup = text.isMarkup
    return result
  }

  private mutating func truncated(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(
      arguments, to: ["length", "killwords", "end", "leeway"], of: "truncate")
    let length = bound[0]?.asInt ?? 255
    var end = MarkedText("...")
    if case .text(let given)? = bound[2] { end = given }
    let leeway = bound[3]?.asInt ?? 5
    let endLength = end.scalarCount
    if length < endLength { throw typeError("expected length >= \(endLength), got \(length)") }
    if leeway < 0 { throw typeError("expected leeway >= 0, got \(leeway)") }
    let (limit, overflow) = length.addingReportingOverflow(leeway)
    // What is short enough stays what it is, even if it is no text.
    if overflow { return value }
    if try self.length(value) <= limit { return value }
    guard case .text(let text) = value else {
      throw typeError("object of type '\(value.typeName)' cannot be truncated")
    }
    var kept = text.part(0..<text.byte(ofScalar: length - endLength))
    if !(bound[1].map(isTrue) ?? false),
      let space = kept.findLast([UInt8(ascii: " ")], in: 0..<kept.count)
    {
      kept = kept.part(0..<space)
    }
    return .text(try joined(kept, end))
  }
}
