/// Expressions, from the loosest binding to the tightest. The order is jinja2's, which is not
/// Python's: filters bind tighter than any operator, and `~` tighter than `+`.
///
/// Chains such as `a + b + c` are one node, so that a long one is not a deep one.
extension Parser {
  private func node(
    _ line: Int, _ form: Form, _ children: Node?...
  ) throws(TemplateComplaint) -> Node {
    try node(line, form, of: children)
  }

  private func node(
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

  private mutating func primary() throws(TemplateComplaint) -> Node {
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

  // MARK: What follows a value

  private mutating func postfix(_ start: Node) throws(TemplateComplaint) -> Node {
    var value = start
    while true {
      let line = token.line
      switch token.kind {
      case .symbol(.dot):
        skip()
        switch token.kind {
        case .name(let name): value = try node(line, .attribute(value, name), value)
        case .integer(let index):
          let index = try node(line, .constant(.int(index)))
          value = try node(line, .item(value, index), value)
        default: throw unexpected("a name or a number")
        }
        skip()
      case .symbol(.openBracket): value = try subscripted(value)
      case .symbol(.openParenthesis): value = try call(value)
      default: return value
      }
    }
  }

  private mutating func subscripted(_ value: Node) throws(TemplateComplaint) -> Node {
    let line = token.line
    try expect(.openBracket)
    var parts: [Node?] = [nil]
    var index: [Node] = []
    var isSlice = false
    while token.kind != .symbol(.closeBracket) {
      if take(.colon) {
        isSlice = true
        parts.append(nil)
        continue
      }
      if isSlice ? parts[parts.count - 1] != nil : !index.isEmpty { try expect(.comma) }
      if token.kind == .symbol(.closeBracket) { break }
      let part = try expression()
      parts[parts.count - 1] = part
      index.append(part)
    }
    try expect(.closeBracket)
    if isSlice {
      guard parts.count <= 3, index.count == parts.filter({ $0 != nil }).count else {
        throw TemplateComplaint(.syntax, line: line, "a slice is written [from:to:step]")
      }
      let step = parts.count > 2 ? parts[2] : nil
      return try node(
        line, .slice(value, from: parts[0], to: parts[1], step: step), value, parts[0], parts[1],
        step)
    }
    guard let first = index.first else { throw complaint("an index is missing in []") }
    let key = index.count == 1 ? first : try node(line, .tuple(index), of: index)
    return try node(line, .item(value, key), value, key)
  }

  private mutating func call(_ value: Node) throws(TemplateComplaint) -> Node {
    let line = token.line
    let arguments = try arguments()
    return try node(line, .call(value, arguments), of: [value] + arguments.nodes)
  }

  private mutating func arguments() throws(TemplateComplaint) -> CallArguments {
    var arguments = CallArguments()
    try expect(.openParenthesis)
    var isFirst = true
    while token.kind != .symbol(.closeParenthesis) {
      if !isFirst { try expect(.comma) }
      isFirst = false
      if token.kind == .symbol(.closeParenthesis) { break }
      if take(.star) {
        guard arguments.spread == nil, arguments.spreadKeywords == nil else {
          throw complaint("arguments are spread twice in one call")
        }
        arguments.spread = try expression()
      } else if take(.doubleStar) {
        guard arguments.spreadKeywords == nil else {
          throw complaint("arguments are spread twice in one call")
        }
        arguments.spreadKeywords = try expression()
      } else if case .name(let name) = token.kind, next.kind == .symbol(.assign) {
        skip()
        skip()
        if arguments.keywords.contains(where: { $0.name == name }) {
          throw complaint("the argument '\(name)' is given twice")
        }
        arguments.keywords.append(.init(name: name, value: try expression()))
      } else {
        guard arguments.keywords.isEmpty, arguments.spread == nil,
          arguments.spreadKeywords == nil
        else { throw complaint("an argument without a name follows one with a name") }
        arguments.positional.append(try expression())
      }
    }
    try expect(.closeParenthesis)
    return arguments
  }

  // MARK: Filters and tests

  private mutating func filtersAndTests(_ start: Node) throws(TemplateComplaint) -> Node {
    var value = start
    while true {
      switch token.kind {
      case .symbol(.pipe): value = try filters(of: value)
      case .name("is"): value = try test(value)
      case .symbol(.openParenthesis): value = try call(value)
      default: return value
      }
    }
  }

  mutating func filters(
    of start: Node, startsWithName: Bool = false
  ) throws(TemplateComplaint) -> Node {
    var value = start
    var startsWithName = startsWithName
    while startsWithName || take(.pipe) {
      startsWithName = false
      let line = token.line
      let name = try dottedName("the name of a filter")
      let arguments =
        token.kind == .symbol(.openParenthesis) ? try arguments() : CallArguments()
      let form: Form
      if let filter = Filter(rawValue: name) {
        form = .filter(value, filter, arguments)
      } else if conditions > 0 {
        form = .unknownFilter(name)
      } else {
        throw TemplateComplaint(.unsupported, line: line, "the filter '\(name)'")
      }
      value = try node(line, form, of: [value] + arguments.nodes)
    }
    return value
  }

  private mutating func dottedName(_ wanted: String) throws(TemplateComplaint) -> String {
    var name = try expectName(wanted)
    while take(.dot) { name += "." + (try expectName()) }
    return name
  }

  private mutating func test(_ value: Node) throws(TemplateComplaint) -> Node {
    let line = token.line
    skip()
    let isNegated = take("not")
    let name = try dottedName("the name of a test")
    var arguments = CallArguments()
    switch token.kind {
    case .symbol(.openParenthesis): arguments = try self.arguments()
    case .name("else"), .name("or"), .name("and"): break
    case .name("is"): throw complaint("tests cannot be chained with 'is'")
    case .name, .string, .integer, .bigInteger, .float, .symbol(.openBracket),
      .symbol(.openBrace):
      arguments.positional = [try postfix(try primary())]
    default: break
    }
    let form: Form
    if let test = Test(rawValue: name) {
      form = .test(value, test, arguments)
    } else if conditions > 0 {
      form = .unknownTest(name)
    } else {
      throw TemplateComplaint(.unsupported, line: line, "the test '\(name)'")
    }
    let test = try node(line, form, of: [value] + arguments.nodes)
    return isNegated ? try node(line, .not(test), test) : test
  }
}

extension CallArguments {
  fileprivate var nodes: [Node?] {
    positional + keywords.map(\.value) + [spread, spreadKeywords]
  }
}
