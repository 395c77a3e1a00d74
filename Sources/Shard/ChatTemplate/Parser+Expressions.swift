/// Expressions, from the loosest binding to the tightest. The order is jinja2's, which is not
/// Python's: filters bind tighter than any operator, and `~` tighter than `+`.
///
/// Chains such as `a + b + c` are one node, so that a long one is not a deep one.
extension Parser {
  func node(
    _ line: Int, _ form: Form, _ children: Node?...
  ) throws(TemplateComplaint) -> Node {
    try node(line, form, of: children)
  }

  func node(
    _ line: Int, _ form: Form, of children: [Node?]
  ) throws(TemplateComplaint) -> Node {
    var depth = 0
    for child in children { depth = max(depth, child?.depth ?? 0) }
    if depth >= limits.nesting { throw tooDeep(line) }
    return Node(line: line, depth: depth + 1, form: form)
  }

  mutating func expression(withCondition: Bool = true) throws(TemplateComplaint) -> Node {
    try enter()
    defer { leave() }
    var value = try or()
    while withCondition, token.kind == .name("if") {
      let line = token.line
      skip()
      conditions += 1
      defer { conditions -= 1 }
      let test = try or()
      let otherwise = take("else") ? try expression() : nil
      value = try node(
        line, .condition(test, then: value, otherwise: otherwise), test, value, otherwise)
    }
    return value
  }

  private mutating func or() throws(TemplateComplaint) -> Node {
    var operands = [try and()]
    while take("or") { operands.append(try and()) }
    return operands.count == 1
      ? operands[0] : try node(operands[0].line, .or(operands), of: operands)
  }

  private mutating func and() throws(TemplateComplaint) -> Node {
    var operands = [try not()]
    while take("and") { operands.append(try not()) }
    return operands.count == 1
      ? operands[0] : try node(operands[0].line, .and(operands), of: operands)
  }

  private mutating func not() throws(TemplateComplaint) -> Node {
    let line = token.line
    guard take("not") else { return try comparison() }
    try enter()
    defer { leave() }
    let operand = try not()
    return try node(line, .not(operand), operand)
  }

  private mutating func comparison() throws(TemplateComplaint) -> Node {
    let first = try sum()
    var comparisons: [Comparison] = []
    while let operation = comparisonOperation() {
      comparisons.append(Comparison(operation: operation, right: try sum()))
    }
    if comparisons.isEmpty { return first }
    return try node(
      first.line, .comparison(first, comparisons), of: [first] + comparisons.map(\.right))
  }

  private mutating func comparisonOperation() -> Comparison.Operation? {
    switch token.kind {
    case .symbol(let symbol):
      guard let operation = Comparison.Operation(rawValue: symbol.rawValue) else { return nil }
      skip()
      return operation
    case .name("in"):
      skip()
      return .isIn
    case .name("not") where next.kind == .name("in"):
      skip()
      skip()
      return .isNotIn
    default: return nil
    }
  }

  private mutating func sum() throws(TemplateComplaint) -> Node {
    let first = try concatenation()
    var steps: [Arithmetic] = []
    while true {
      if take(.plus) {
        steps.append(Arithmetic(operation: .add, right: try concatenation()))
      } else if take(.minus) {
        steps.append(Arithmetic(operation: .subtract, right: try concatenation()))
      } else {
        return try chain(first, steps)
      }
    }
  }

  private func chain(_ first: Node, _ steps: [Arithmetic]) throws(TemplateComplaint) -> Node {
    steps.isEmpty
      ? first
      : try node(first.line, .arithmetic(first, steps), of: [first] + steps.map(\.right))
  }

  private mutating func concatenation() throws(TemplateComplaint) -> Node {
    var operands = [try product()]
    while take(.tilde) { operands.append(try product()) }
    return operands.count == 1
      ? operands[0] : try node(operands[0].line, .concatenation(operands), of: operands)
  }

  private mutating func product() throws(TemplateComplaint) -> Node {
    let first = try power()
    var steps: [Arithmetic] = []
    while case .symbol(let symbol) = token.kind {
      let operation: Arithmetic.Operation
      switch symbol {
      case .star: operation = .multiply
      case .slash: operation = .divide
      case .doubleSlash: operation = .floorDivide
      case .percent: operation = .modulo
      default: return try chain(first, steps)
      }
      skip()
      steps.append(Arithmetic(operation: operation, right: try power()))
    }
    return try chain(first, steps)
  }

  private mutating func power() throws(TemplateComplaint) -> Node {
    let first = try unary(withFilters: true)
    var steps: [Arithmetic] = []
    while take(.doubleStar) {
      steps.append(Arithmetic(operation: .power, right: try unary(withFilters: true)))
    }
    return try chain(first, steps)
  }

  private mutating func unary(withFilters: Bool) throws(TemplateComplaint) -> Node {
    let line = token.line
    var value: Node
    if token.kind == .symbol(.minus) || token.kind == .symbol(.plus) {
      let isMinus = token.kind == .symbol(.minus)
      skip()
      try enter()
      defer { leave() }
      let operand = try unary(withFilters: false)
      value = try node(line, isMinus ? .negative(operand) : .positive(operand), operand)
    } else {
      value = try primary()
    }
    value = try postfix(value)
    return withFilters ? try filtersAndTests(value) : value
  }

  mutating func primary() throws(TemplateComplaint) -> Node {
    let line = token.line
    switch token.kind {
    case .name(let name):
      skip()
      switch name {
      case "true", "True": return try node(line, .constant(.bool(true)))
      case "false", "False": return try node(line, .constant(.bool(false)))
      case "none", "None": return try node(line, .constant(.none))
      default: return try node(line, .name(number(of: name)))
      }
    case .string(var text):
      skip()
      while case .string(let more) = token.kind {
        text += more
        skip()
      }
      return try node(line, .constant(.text(MarkedText(text, trusted: true))))
    case .integer(let number):
      skip()
      return try node(line, .constant(.int(number)))
    case .bigInteger(let digits):
      skip()
      return try node(line, .constant(.bigInt(digits)))
    case .float(let number):
      skip()
      return try node(line, .constant(.float(number)))
    case .symbol(.openParenthesis):
      skip()
      let value = try tuple(isInParentheses: true)
      try expect(.closeParenthesis)
      return value
    case .symbol(.openBracket): return try list()
    case .symbol(.openBrace): return try dict()
    default: throw unexpected("an expression")
    }
  }

  /// One expression, or several with commas.
  mutating func tuple(
    withCondition: Bool = true, isInParentheses: Bool = false
  ) throws(TemplateComplaint) -> Node {
    let line = token.line
    var elements: [Node] = []
    var isTuple = false
    while !isEndOfTuple {
      elements.append(try expression(withCondition: withCondition))
      guard take(.comma) else { break }
      isTuple = true
    }
    if !isTuple {
      if let only = elements.first { return only }
      if !isInParentheses { throw unexpected("an expression") }
    }
    return try node(line, .tuple(elements), of: elements)
  }

  private var isEndOfTuple: Bool {
    switch token.kind {
    case .variableEnd, .blockEnd, .symbol(.closeParenthesis): true
    default: false
    }
  }

  private mutating func list() throws(TemplateComplaint) -> Node {
    let line = token.line
    try expect(.openBracket)
    var elements: [Node] = []
    while token.kind != .symbol(.closeBracket) {
      if !elements.isEmpty { try expect(.comma) }
      if token.kind == .symbol(.closeBracket) { break }
      elements.append(try expression())
    }
    try expect(.closeBracket)
    return try node(line, .list(elements), of: elements)
  }

  private mutating func dict() throws(TemplateComplaint) -> Node {
    let line = token.line
    try expect(.openBrace)
    var members: [Node] = []
    while token.kind != .symbol(.closeBrace) {
      if !members.isEmpty { try expect(.comma) }
      if token.kind == .symbol(.closeBrace) { break }
      members.append(try expression())
      try expect(.colon)
      members.append(try expression())
    }
    try expect(.closeBrace)
    return try node(line, .dict(members), of: members)
  }
}
