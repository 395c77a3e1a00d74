/// Tokens to a program. This file has statements; expressions are in `Parser+Expressions`.
struct Parser {
  var tokens: [Token]
  var place = 0
  let limits: TemplateLimits

  /// Names of variables and their numbers.
  private var numbers: [String: Int] = [:]
  private(set) var names: [String] = []

  /// Expressions and statements that are open.
  private var nesting = 0
  /// Loops that `break` could leave from here: a macro's body begins anew.
  private var loops = 0
  /// Conditions that are open: within them an unknown filter is complained of when it is reached.
  var conditions = 0
  /// For each open macro, the special names that its body mentions.
  private var mentioned: [Set<String>] = []

  private init(_ tokens: [Token], _ limits: TemplateLimits) {
    self.tokens = tokens
    self.limits = limits
  }

  static func program(
    _ source: String, _ limits: TemplateLimits
  ) throws(TemplateComplaint) -> Program {
    var parser = Parser(try Lexer.tokens(of: source), limits)
    let statements = try parser.statements(until: [])
    return Program(statements, names: parser.names)
  }

  // MARK: Tokens

  var token: Token { tokens[place] }
  var next: Token { tokens[min(place + 1, tokens.count - 1)] }

  mutating func skip() { place = min(place + 1, tokens.count - 1) }

  mutating func take(_ symbol: Symbol) -> Bool {
    guard token.kind == .symbol(symbol) else { return false }
    skip()
    return true
  }

  mutating func take(_ word: String) -> Bool {
    guard token.kind == .name(word) else { return false }
    skip()
    return true
  }

  mutating func expect(_ symbol: Symbol) throws(TemplateComplaint) {
    if !take(symbol) { throw unexpected("'\(symbol.rawValue)'") }
  }

  mutating func expect(_ kind: Token.Kind, _ shown: String) throws(TemplateComplaint) {
    guard token.kind == kind else { throw unexpected(shown) }
    skip()
  }

  mutating func expectName(_ wanted: String = "a name") throws(TemplateComplaint) -> String {
    guard case .name(let name) = token.kind else { throw unexpected(wanted) }
    skip()
    return name
  }

  func unexpected(_ wanted: String) -> TemplateComplaint {
    complaint("expected \(wanted), found \(token.shown)")
  }

  func complaint(
    _ problem: String, _ kind: TemplateComplaint.Kind = .syntax
  ) -> TemplateComplaint {
    TemplateComplaint(kind, line: token.line, problem)
  }

  mutating func enter() throws(TemplateComplaint) {
    nesting += 1
    if nesting > limits.nesting { throw tooDeep(token.line) }
  }

  mutating func leave() { nesting -= 1 }

  func tooDeep(_ line: Int) -> TemplateComplaint {
    TemplateComplaint(
      .limit, line: line,
      "expressions or statements are nested more than \(limits.nesting) deep (limit 'nesting')")
  }

  /// The number of a variable.
  mutating func number(of name: String) -> Int {
    if name == "caller" || name == "kwargs" || name == "varargs" {
      for index in mentioned.indices { mentioned[index].insert(name) }
    }
    if let number = numbers[name] { return number }
    numbers[name] = names.count
    names.append(name)
    return names.count - 1
  }

  // MARK: Statements

  /// Up to a tag that begins with one of these words, which is the current token then; up to the
  /// end of the template when there are none.
  private mutating func statements(
    until ends: [String]
  ) throws(TemplateComplaint) -> [Statement] {
    try enter()
    defer { leave() }
    var statements: [Statement] = []
    while true {
      switch token.kind {
      case .data(let bytes):
        statements.append(.text(MarkedText(bytes, trusted: true)))
        skip()
      case .variableBegin:
        skip()
        statements.append(.output(try tuple()))
        try expect(.variableEnd, "'}}'")
      case .blockBegin:
        if case .name(let word) = next.kind, ends.contains(word) {
          skip()
          return statements
        }
        skip()
        statements += try statement()
        try expect(.blockEnd, "'%}'")
      case .end:
        if ends.isEmpty { return statements }
        throw complaint(
          "the template ends where {% \(ends.joined(separator: " %} or {% ")) %} should come")
      default: throw unexpected("text or a tag")
      }
    }
  }

  /// The body of a tag, up to and over the word that ends it; which word is returned.
  private mutating func body(
    _ ends: String...
  ) throws(TemplateComplaint) -> (statements: [Statement], end: String) {
    _ = take(.colon)
    try expect(.blockEnd, "'%}'")
    let body = try statements(until: ends)
    return (body, try expectName())
  }

  private mutating func statement() throws(TemplateComplaint) -> [Statement] {
    let line = token.line
    let word = try expectName("the name of a tag")
    switch word {
    case "if": return [try ifStatement()]
    case "for": return [try forStatement()]
    case "set": return [try setStatement()]
    case "macro": return [.macro(try macro(line))]
    case "call": return [try callStatement(line)]
    case "filter": return [try filterStatement()]
    case "with": return [try withStatement()]
    case "print": return try printStatement()
    case "generation":
      let loopsOutside = loops
      loops = 0
      defer { loops = loopsOutside }
      return [.generation(try body("endgeneration").statements)]
    case "break", "continue":
      guard loops > 0 else {
        throw TemplateComplaint(.syntax, line: line, "'\(word)' outside of a loop")
      }
      return [.leaveLoop(word == "break" ? .break : .continue, line: line)]
    case "include", "import", "from", "extends", "block", "autoescape":
      throw TemplateComplaint(
        .unsupported, line: line, "the tag '\(word)': a chat template stands alone")
    default:
      throw TemplateComplaint(.syntax, line: line, "unknown tag '\(word)'")
    }
  }

  private mutating func ifStatement() throws(TemplateComplaint) -> Statement {
    conditions += 1
    defer { conditions -= 1 }
    var branches: [Branch] = []
    while true {
      let test = try tuple(withCondition: false)
      let (statements, end) = try body("elif", "else", "endif")
      branches.append(Branch(test: test, body: statements))
      switch end {
      case "elif": continue
      case "else": return .choice(branches, otherwise: try body("endif").statements)
      default: return .choice(branches, otherwise: [])
      }
    }
  }

  private mutating func forStatement() throws(TemplateComplaint) -> Statement {
    let line = token.line
    let target = try target()
    if case .name(let name) = target, names[name] == "loop" {
      throw TemplateComplaint(.syntax, line: line, "a loop's own variable cannot be 'loop'")
    }
    guard take("in") else { throw unexpected("'in'") }
    let source = try tuple(withCondition: false)
    var filter: Node?
    if take("if") { filter = try expression() }
    let isRecursive = take("recursive")
    loops += 1
    let (statements, end) = try body("endfor", "else")
    loops -= 1
    let otherwise = end == "else" ? try body("endfor").statements : []
    return .loop(
      ForLoop(
        target: target, source: source, filter: filter, isRecursive: isRecursive,
        body: statements, otherwise: otherwise))
  }

  private mutating func setStatement() throws(TemplateComplaint) -> Statement {
    let target = try target(mayBeMember: true)
    if take(.assign) { return .set(target, try tuple()) }
    let filter = token.kind == .symbol(.pipe) ? try filters(of: captured()) : nil
    return .setBlock(target, filter: filter, body: try body("endset").statements)
  }

  private mutating func filterStatement() throws(TemplateComplaint) -> Statement {
    let filter = try filters(of: captured(), startsWithName: true)
    return .filterBlock(filter, body: try body("endfilter").statements)
  }

  private mutating func withStatement() throws(TemplateComplaint) -> Statement {
    var bindings: [Binding] = []
    while token.kind != .blockEnd {
      if !bindings.isEmpty { try expect(.comma) }
      let target = try target()
      try expect(.assign)
      bindings.append(Binding(target: target, value: try expression()))
    }
    return .with(bindings, body: try body("endwith").statements)
  }

  private mutating func printStatement() throws(TemplateComplaint) -> [Statement] {
    var outputs: [Statement] = []
    while token.kind != .blockEnd {
      if !outputs.isEmpty { try expect(.comma) }
      outputs.append(.output(try expression()))
    }
    return outputs
  }

  private func captured() -> Node { Node(line: token.line, depth: 1, form: .captured) }

  // MARK: Macros

  private mutating func macro(_ line: Int) throws(TemplateComplaint) -> MacroDefinition {
    let name = try expectName("the name of the macro")
    let symbol = number(of: name)
    let parameters = try parameters()
    return try macroBody(name, symbol, line, parameters, end: "endmacro")
  }

  private mutating func callStatement(_ line: Int) throws(TemplateComplaint) -> Statement {
    let parameters = token.kind == .symbol(.openParenthesis) ? try parameters() : []
    let call = try expression()
    guard case .call = call.form else {
      throw TemplateComplaint(.syntax, line: line, "{% call %} needs a call")
    }
    let symbol = number(of: "caller")
    return .call(try macroBody("caller", symbol, line, parameters, end: "endcall"), call)
  }

  private mutating func macroBody(
    _ name: String, _ symbol: Int, _ line: Int, _ parameters: [MacroDefinition.Parameter],
    end: String
  ) throws(TemplateComplaint) -> MacroDefinition {
    let loopsOutside = loops
    loops = 0
    mentioned.append([])
    let statements = try body(end).statements
    let mentioned = mentioned.removeLast()
    loops = loopsOutside
    return MacroDefinition(
      symbol: symbol, name: name, line: line, parameters: parameters, body: statements,
      takesCaller: mentioned.contains("caller"), takesKeywords: mentioned.contains("kwargs"),
      takesPositionals: mentioned.contains("varargs"))
  }

  private mutating func parameters() throws(TemplateComplaint) -> [MacroDefinition.Parameter] {
    var parameters: [MacroDefinition.Parameter] = []
    try expect(.openParenthesis)
    while token.kind != .symbol(.closeParenthesis) {
      if !parameters.isEmpty { try expect(.comma) }
      let name = try expectName("a parameter")
      var value: Node?
      if take(.assign) {
        value = try expression()
      } else if parameters.last?.value != nil {
        throw complaint("a parameter without a default follows one with a default")
      }
      parameters.append(.init(symbol: number(of: name), name: name, value: value))
    }
    try expect(.closeParenthesis)
    return parameters
  }

  // MARK: Targets of assignments

  private mutating func target(
    mayBeMember: Bool = false
  ) throws(TemplateComplaint) -> Target {
    try enter()
    defer { leave() }
    let line = token.line
    var targets: [Target] = []
    var isTuple = false
    while true {
      if isTuple {
        switch token.kind {
        case .blockEnd, .symbol(.closeParenthesis): return .tuple(targets, line: line)
        default: break
        }
      }
      if take(.openParenthesis) {
        targets.append(try target(mayBeMember: mayBeMember))
        try expect(.closeParenthesis)
      } else {
        targets.append(try singleTarget(mayBeMember))
      }
      guard take(.comma) else { break }
      isTuple = true
    }
    return isTuple ? .tuple(targets, line: line) : targets[0]
  }

  private mutating func singleTarget(
    _ mayBeMember: Bool
  ) throws(TemplateComplaint) -> Target {
    let line = token.line
    let name = try expectName("a name to assign to")
    if ["true", "false", "none", "True", "False", "None"].contains(name) {
      throw TemplateComplaint(.syntax, line: line, "can't assign to '\(name)'")
    }
    let symbol = number(of: name)
    if mayBeMember, take(.dot) {
      return .member(symbol, try expectName("the name of a member"), line: line)
    }
    return .name(symbol)
  }
}
