/// A parsed template. Names of variables are numbers into `names`.
struct Program: Sendable {
  let statements: [Statement]
  let names: [String]
  /// The number of `loop`, where the template mentions it.
  let loopName: Int?

  init(_ statements: [Statement], names: [String]) {
    self.statements = statements
    self.names = names
    loopName = names.firstIndex(of: "loop")
  }
}

/// An expression.
struct Node: Sendable {
  let line: Int
  /// Expressions within each other from here on; the parser bounds it.
  let depth: Int
  let form: Form
}

indirect enum Form: Sendable {
  case constant(Constant)
  case name(Int)
  case list([Node])
  case tuple([Node])
  /// Keys and values take turns.
  case dict([Node])
  case attribute(Node, String)
  case item(Node, Node)
  case slice(Node, from: Node?, to: Node?, step: Node?)
  case call(Node, CallArguments)
  case filter(Node, Filter, CallArguments)
  /// A filter that nobody knows, where jinja2 too complains only when it is reached.
  case unknownFilter(String)
  case test(Node, Test, CallArguments)
  case unknownTest(String)
  case not(Node)
  case negative(Node)
  case positive(Node)
  case and([Node])
  case or([Node])
  /// From left to right.
  case arithmetic(Node, [Arithmetic])
  case concatenation([Node])
  case comparison(Node, [Comparison])
  case condition(Node, then: Node, otherwise: Node?)
  /// The text of the block that this filter closes.
  case captured
}

struct Arithmetic: Sendable {
  enum Operation: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "** or pow()"
  }

  let operation: Operation
  let right: Node
}

struct Comparison: Sendable {
  enum Operation: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
  }

  let operation: Operation
  let right: Node
}

enum Constant: Sendable {
  case none
  case bool(Bool)
  case int(Int)
  case bigInt(String)
  case float(Double)
  case text(MarkedText)
}

struct CallArguments: Sendable {
  struct Keyword: Sendable {
    let name: String
    let value: Node
  }

  var positional: [Node] = []
  var keywords: [Keyword] = []
  /// `*list` and `**dict`.
  var spread: Node?
  var spreadKeywords: Node?
}

indirect enum Statement: Sendable {
  case text(MarkedText)
  case output(Node)
  case choice([Branch], otherwise: [Statement])
  case loop(ForLoop)
  case set(Target, Node)
  /// `{% set x %}...{% endset %}`; the filter's innermost expression is `captured`.
  case setBlock(Target, filter: Node?, body: [Statement])
  case macro(MacroDefinition)
  /// `{% call macro() %}...{% endcall %}`.
  case call(MacroDefinition, Node)
  case filterBlock(Node, body: [Statement])
  case with([Binding], body: [Statement])
  /// `{% generation %}`: what the assistant wrote. Rendered as it is, with variables of its own.
  case generation([Statement])
  case leaveLoop(Leaving, line: Int)
}

enum Leaving: Sendable {
  case `break`
  case `continue`
}

struct Branch: Sendable {
  let test: Node
  let body: [Statement]
}

struct Binding: Sendable {
  let target: Target
  let value: Node
}

struct ForLoop: Sendable {
  let target: Target
  let source: Node
  let filter: Node?
  let isRecursive: Bool
  let body: [Statement]
  let otherwise: [Statement]
}

indirect enum Target: Sendable {
  case name(Int)
  /// A member of a namespace.
  case member(Int, String, line: Int)
  case tuple([Target], line: Int)
}

struct MacroDefinition: Sendable {
  struct Parameter: Sendable {
    let symbol: Int
    let name: String
    let value: Node?
  }

  let symbol: Int
  let name: String
  let line: Int
  let parameters: [Parameter]
  let body: [Statement]
  /// Whether the body mentions `caller`, `kwargs` and `varargs`: only then are they accepted.
  let takesCaller: Bool
  let takesKeywords: Bool
  let takesPositionals: Bool
}
