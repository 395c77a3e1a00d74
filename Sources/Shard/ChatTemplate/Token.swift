/// A word of a template.
struct Token: Sendable, Equatable {
  enum Kind: Sendable, Equatable {
    /// Text outside of tags, as it is to appear.
    case data([UInt8])
    case blockBegin
    case blockEnd
    case variableBegin
    case variableEnd
    case name(String)
    case string([UInt8])
    case integer(Int)
    case bigInteger(String)
    case float(Double)
    case symbol(Symbol)
    case end
  }

  let kind: Kind
  let line: Int

  /// For messages.
  var shown: String {
    switch kind {
    case .data: "text"
    case .blockBegin: "'{%'"
    case .blockEnd: "'%}'"
    case .variableBegin: "'{{'"
    case .variableEnd: "'}}'"
    case .name(let name): "'\(name)'"
    case .string: "a string"
    case .integer, .bigInteger, .float: "a number"
    case .symbol(let symbol): "'\(symbol.rawValue)'"
    case .end: "the end of the template"
    }
  }
}

enum Symbol: String, Sendable, CaseIterable {
  case plus = "+"
  case minus = "-"
  case slash = "/"
  case doubleSlash = "//"
  case star = "*"
  case percent = "%"
  case doubleStar = "**"
  case tilde = "~"
  case openBracket = "["
  case closeBracket = "]"
  case openParenthesis = "("
  case closeParenthesis = ")"
  case openBrace = "{"
  case closeBrace = "}"
  case equal = "=="
  case notEqual = "!="
  case greater = ">"
  case greaterOrEqual = ">="
  case less = "<"
  case lessOrEqual = "<="
  case assign = "="
  case dot = "."
  case colon = ":"
  case pipe = "|"
  case comma = ","
  case semicolon = ";"
}
