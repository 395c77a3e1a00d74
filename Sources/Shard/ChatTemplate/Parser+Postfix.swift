/// What follows a value: members, indices, calls, filters and tests.
extension Parser {
  mutating func postfix(_ start: Node) throws(TemplateComplaint) -> Node {
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

  mutating func filtersAndTests(_ start: Node) throws(TemplateComplaint) -> Node {
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
