/// Cuts a template into tokens, with the whitespace rules of `trim_blocks` and `lstrip_blocks`.
///
/// The rules are those of jinja2's lexer, which has them as regular expressions:
/// - a newline right after `%}` or `#}` is dropped (not after `}}`); `+%}` keeps it;
/// - spaces between the beginning of a line and `{%` or `{#` are dropped (not before `{{`); `{%+`
///   keeps them;
/// - `-` on either side drops all whitespace there;
/// - newlines of any kind become `\n`, and one at the very end is dropped.
struct Lexer {
  let source: MarkedText
  var place = 0
  var line = 1
  private var tokens: [Token] = []
  /// Whether what was read last ended a line: spaces from here on begin one.
  private var isLineStart = true

  private init(_ source: MarkedText) { self.source = source }

  static func tokens(of source: String) throws(TemplateComplaint) -> [Token] {
    var normal: [UInt8] = []
    var last: UInt8 = 0
    for byte in source.utf8 {
      if byte == UInt8(ascii: "\n"), last == UInt8(ascii: "\r") {
        last = byte
        continue
      }
      normal.append(byte == UInt8(ascii: "\r") ? UInt8(ascii: "\n") : byte)
      last = byte
    }
    if normal.last == UInt8(ascii: "\n") { normal.removeLast() }
    var lexer = Lexer(MarkedText(normal, trusted: true))
    while lexer.place < lexer.source.count { try lexer.textAndTag() }
    lexer.add(.end)
    return lexer.tokens
  }

  var bytes: [UInt8] { source.bytes }

  func peek(_ offset: Int = 0) -> UInt8? {
    place + offset < bytes.count ? bytes[place + offset] : nil
  }

  private func looking(at word: StaticString, _ offset: Int = 0) -> Bool {
    let letters = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    return place + offset <= bytes.count && bytes[(place + offset)...].starts(with: letters)
  }

  mutating func add(_ kind: Token.Kind) { tokens.append(Token(kind: kind, line: line)) }

  /// Goes on to there, counting lines.
  mutating func advance(to end: Int) {
    for byte in bytes[place..<end] where byte == UInt8(ascii: "\n") { line += 1 }
    place = end
  }

  func complaint(_ problem: String) -> TemplateComplaint {
    TemplateComplaint(.syntax, line: line, problem)
  }

  // MARK: Outside of tags

  private enum Tag {
    case comment
    case block
    case variable
  }

  /// Text up to the next tag, and what belongs to the tag.
  private mutating func textAndTag() throws(TemplateComplaint) {
    let start = place
    guard let (tag, tagStart) = nextTag() else {
      add(.data(Array(bytes[start...])))
      advance(to: bytes.count)
      return
    }
    let sign = tagStart + 2 < bytes.count ? bytes[tagStart + 2] : 0
    addText(start..<tagStart, sign: sign, mayTrimLine: tag != .variable)
    advance(to: tagStart)
    if tag == .block, let end = rawBegin() {
      advance(to: end)
      try raw()
      return
    }
    let hasSign = sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+")
    advance(to: min(tagStart + (hasSign ? 3 : 2), bytes.count))
    switch tag {
    case .comment: try comment()
    case .block:
      add(.blockBegin)
      try insideTag(isBlock: true)
    case .variable:
      add(.variableBegin)
      try insideTag(isBlock: false)
    }
  }

  private func nextTag() -> (Tag, Int)? {
    var at = place
    while at + 1 < bytes.count {
      if bytes[at] == UInt8(ascii: "{") {
        switch bytes[at + 1] {
        case UInt8(ascii: "%"): return (.block, at)
        case UInt8(ascii: "{"): return (.variable, at)
        case UInt8(ascii: "#"): return (.comment, at)
        default: break
        }
      }
      at += 1
    }
    return nil
  }

  /// Text before a tag, without what the tag strips from it.
  private mutating func addText(_ range: Range<Int>, sign: UInt8, mayTrimLine: Bool) {
    var text = source.part(range)
    if sign == UInt8(ascii: "-") {
      text = text.stripped(left: false)
    } else if sign != UInt8(ascii: "+"), mayTrimLine {
      let lineStart = (text.bytes.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
      if lineStart > 0 || isLineStart, lineStart < text.count,
        text.part(lineStart..<text.count).all(\.isPythonSpace)
      {
        text = text.part(0..<lineStart)
      }
    }
    if !text.isEmpty { add(.data(text.bytes)) }
  }

  private func skippingSpace(from start: Int) -> Int {
    var at = start
    while at < bytes.count {
      let (scalar, next) = source.scalar(at: at)
      if !scalar.isPythonSpace { break }
      at = next
    }
    return at
  }

  /// The end of a closing tag's sign and brackets that begin here, and of the space it drops.
  /// `letter` is the first of the two brackets.
  private func closing(_ letter: UInt8, at start: Int, trims: Bool) -> Int? {
    func isBracket(_ at: Int) -> Bool {
      at + 1 < bytes.count && bytes[at] == letter && bytes[at + 1] == UInt8(ascii: "}")
    }
    guard start < bytes.count else { return nil }
    if bytes[start] == UInt8(ascii: "-"), isBracket(start + 1) {
      return skippingSpace(from: start + 3)
    }
    if trims, bytes[start] == UInt8(ascii: "+"), isBracket(start + 1) { return start + 3 }
    guard isBracket(start) else { return nil }
    let end = start + 2
    return trims && end < bytes.count && bytes[end] == UInt8(ascii: "\n") ? end + 1 : end
  }

  private mutating func close(to end: Int) {
    isLineStart = bytes[end - 1] == UInt8(ascii: "\n")
    advance(to: end)
  }

  private mutating func comment() throws(TemplateComplaint) {
    var at = place
    while at < bytes.count {
      if let end = closing(UInt8(ascii: "#"), at: at, trims: true) { return close(to: end) }
      at += 1
    }
    throw complaint("a comment is not closed")
  }

  // MARK: Raw

  /// The end of `{% raw %}`, if that stands here.
  private func rawBegin() -> Int? {
    var at = place + 2
    if at < bytes.count, bytes[at] == UInt8(ascii: "-") || bytes[at] == UInt8(ascii: "+") {
      at += 1
    }
    at = skippingSpace(from: at)
    guard bytes[at...].starts(with: "raw".utf8) else { return nil }
    at = skippingSpace(from: at + 3)
    // A plain `%}` here keeps the newline behind it, unlike everywhere else.
    if bytes[at...].starts(with: "%}".utf8) { return at + 2 }
    return bytes[at...].starts(with: "-%}".utf8) ? skippingSpace(from: at + 3) : nil
  }

  private mutating func raw() throws(TemplateComplaint) {
    isLineStart = bytes[place - 1] == UInt8(ascii: "\n")
    let start = place
    var at = place
    while let open = source.find(Array("{%".utf8), in: at..<bytes.count) {
      at = open + 2
      let sign = at < bytes.count ? bytes[at] : 0
      let hasSign = sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+")
      var end = skippingSpace(from: hasSign ? at + 1 : at)
      guard bytes[end...].starts(with: "endraw".utf8) else { continue }
      end = skippingSpace(from: end + 6)
      guard let end = closing(UInt8(ascii: "%"), at: end, trims: true) else { continue }
      addText(start..<open, sign: sign, mayTrimLine: true)
      return close(to: end)
    }
    throw complaint("a raw block is not closed with {% endraw %}")
  }

  // MARK: Inside of tags

  private mutating func insideTag(isBlock: Bool) throws(TemplateComplaint) {
    var open: [Symbol] = []
    let letter = isBlock ? UInt8(ascii: "%") : UInt8(ascii: "}")
    while place < bytes.count {
      if open.isEmpty, let end = closing(letter, at: place, trims: isBlock) {
        add(isBlock ? .blockEnd : .variableEnd)
        return close(to: end)
      }
      let afterSpace = skippingSpace(from: place)
      if afterSpace > place {
        advance(to: afterSpace)
        continue
      }
      try word(&open)
    }
    throw complaint("a tag is not closed with \(isBlock ? "%}" : "}}")")
  }

  private mutating func word(_ open: inout [Symbol]) throws(TemplateComplaint) {
    let (scalar, _) = source.scalar(at: place)
    switch scalar {
    case "0"..."9": try number()
    case "'", "\"": try string()
    case _ where scalar.isWordCharacter: try name()
    default:
      guard let symbol = symbol() else {
        throw complaint("unexpected character '\(scalar)'")
      }
      switch symbol {
      case .openParenthesis, .openBracket, .openBrace: open.append(symbol)
      case .closeParenthesis: try balance(&open, .openParenthesis, symbol)
      case .closeBracket: try balance(&open, .openBracket, symbol)
      case .closeBrace: try balance(&open, .openBrace, symbol)
      default: break
      }
      add(.symbol(symbol))
      place += symbol.rawValue.utf8.count
    }
  }

  private func balance(
    _ open: inout [Symbol], _ expected: Symbol, _ symbol: Symbol
  ) throws(TemplateComplaint) {
    guard open.popLast() == expected else { throw complaint("unexpected '\(symbol.rawValue)'") }
  }

  private func symbol() -> Symbol? {
    if place + 1 < bytes.count, let long = Symbol(ascii: bytes[place..<(place + 2)]) {
      return long
    }
    return Symbol(ascii: bytes[place..<(place + 1)])
  }

  private mutating func name() throws(TemplateComplaint) {
    var end = place
    while end < bytes.count {
      let (scalar, next) = source.scalar(at: end)
      if !scalar.isWordCharacter { break }
      end = next
    }
    add(.name(String(decoding: bytes[place..<end], as: UTF8.self)))
    place = end
  }
}

extension Symbol {
  fileprivate init?(ascii bytes: ArraySlice<UInt8>) {
    guard bytes.allSatisfy({ $0 < 0x80 }) else { return nil }
    self.init(rawValue: String(decoding: bytes, as: UTF8.self))
  }
}

extension Unicode.Scalar {
  /// `\w` of Python.
  fileprivate var isWordCharacter: Bool {
    if isASCII {
      return self == "_" || ("a"..."z").contains(self) || ("A"..."Z").contains(self)
        || ("0"..."9").contains(self)
    }
    return isPythonLetter || isPythonNumeric
  }
}
