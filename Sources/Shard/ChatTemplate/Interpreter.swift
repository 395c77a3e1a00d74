/// One rendering of a program: walks its statements and writes text.
///
/// This file has what it spends and the statements; expressions, calls, filters and the rest are
/// extensions. It knows no clock and no file, and reaches nothing but the values it was given.
struct Interpreter {
  let program: Program
  let limits: TemplateLimits
  let now: WallTime?

  /// What the innermost block has written so far.
  var output = MarkedText()
  var scope: Scope
  /// The text that a filter block or set block hands to its filter.
  var captured = MarkedText()
  /// Of the expression at work, for complaints.
  var line = 0

  private var fuel: Int
  private var bytesLeft: Int
  private var depth = 0
  /// What could refer to itself, taken apart at the end. A macro's scope holds the macro.
  private var scopes: [Scope] = []
  private var namespaces: [Namespace] = []

  init(_ program: Program, _ limits: TemplateLimits, globals: Scope, now: WallTime?) {
    self.program = program
    self.limits = limits
    self.now = now
    fuel = limits.fuel
    bytesLeft = limits.totalBytes
    scope = Scope(parent: globals)
    scopes = [scope, globals]
  }

  mutating func run() throws(TemplateComplaint) -> MarkedText {
    defer { takeApart() }
    try perform(program.statements)
    return output
  }

  private mutating func takeApart() {
    for scope in scopes { scope.removeAll() }
    for namespace in namespaces { namespace.members.removeAll() }
  }

  mutating func remember(_ namespace: Namespace) throws(TemplateComplaint) {
    try make(elements: 8)
    namespaces.append(namespace)
  }

  // MARK: Spending

  func complaint(_ kind: TemplateComplaint.Kind, _ message: String) -> TemplateComplaint {
    TemplateComplaint(kind, line: line, message)
  }

  func typeError(_ message: String) -> TemplateComplaint { complaint(.type, message) }

  /// Operations.
  mutating func spend(_ count: Int = 1) throws(TemplateComplaint) {
    fuel -= count
    if fuel < 0 {
      throw complaint(
        .limit, "the template did more than \(limits.fuel) operations (limit 'fuel')")
    }
  }

  /// Text that is compared or copied.
  mutating func read(bytes: Int) throws(TemplateComplaint) { try spend(bytes >> 5) }

  /// Text in which something is looked for.
  mutating func search(bytes: Int) throws(TemplateComplaint) { try spend(bytes >> 3) }

  /// Text that is taken apart, character by character.
  mutating func walk(bytes: Int) throws(TemplateComplaint) { try spend(bytes >> 1) }

  /// A text about to be made.
  mutating func make(bytes: Int) throws(TemplateComplaint) {
    if bytes > limits.textBytes {
      throw complaint(
        .limit,
        "a text became longer than \(limits.textBytes) bytes (limit 'textBytes')")
    }
    try take(bytes: bytes)
  }

  /// A list or dict about to be made.
  mutating func make(elements: Int) throws(TemplateComplaint) {
    let (bytes, overflow) = elements.multipliedReportingOverflow(by: MemoryLayout<Value>.stride)
    try take(bytes: overflow ? .max : bytes)
  }

  private mutating func take(bytes: Int) throws(TemplateComplaint) {
    if bytes > bytesLeft {
      throw complaint(
        .limit,
        "the template made more than \(limits.totalBytes) bytes of values (limit 'totalBytes')")
    }
    bytesLeft -= bytes
    try spend(bytes >> 5)
  }

  /// One level down; `leave` goes up again, unless a complaint ends the rendering anyway.
  mutating func enter() throws(TemplateComplaint) {
    depth += 1
    if depth > limits.depth {
      throw complaint(
        .limit,
        "macros and expressions ran more than \(limits.depth) deep (limit 'depth')")
    }
  }

  mutating func leave() { depth -= 1 }

  mutating func list(_ values: [Value]) throws(TemplateComplaint) -> Value {
    .list(try items(values))
  }

  mutating func items(_ values: [Value]) throws(TemplateComplaint) -> Items {
    try make(elements: values.count)
    let items = Items(values)
    try check(depth: items.depth)
    return items
  }

  mutating func generator(_ values: [Value]) throws(TemplateComplaint) -> Value {
    try make(elements: values.count)
    let generator = Generator(values)
    try check(depth: generator.depth)
    return .generator(generator)
  }

  func check(depth: Int) throws(TemplateComplaint) {
    if depth > limits.valueDepth {
      throw complaint(
        .limit,
        "lists were nested more than \(limits.valueDepth) deep (limit 'valueDepth')")
    }
  }

  // MARK: Statements

  enum Flow {
    case onward
    case leave(Leaving)
  }

  @discardableResult
  mutating func perform(_ statements: [Statement]) throws(TemplateComplaint) -> Flow {
    try enter()
    for statement in statements {
      if case .leave(let leaving) = try perform(statement) {
        leave()
        return .leave(leaving)
      }
    }
    leave()
    return .onward
  }

  private mutating func perform(_ statement: Statement) throws(TemplateComplaint) -> Flow {
    try spend()
    switch statement {
    case .text(let text): try write(text)
    case .output(let node): try write(try shown(try value(node)))
    case .choice(let branches, let otherwise):
      for branch in branches where isTrue(try value(branch.test)) {
        return try perform(branch.body)
      }
      return try perform(otherwise)
    case .loop(let statement):
      try run(statement, over: try elements(of: try value(statement.source)), level: 0)
    case .set(let target, let node): try assign(try value(node), to: target)
    case .setBlock(let target, let filter, let body):
      let text = try capture(body)
      try assign(try filtered(text, filter), to: target)
    case .macro(let definition): scope.set(definition.symbol, to: .macro(try macro(definition)))
    case .call(let definition, let node): try performCall(definition, node)
    case .filterBlock(let filter, let body):
      let text = try capture(body)
      try write(try shown(try filtered(text, filter)))
    case .with(let bindings, let body): return try performWith(bindings, body)
    case .generation(let body): try write(try capture(body))
    case .leaveLoop(let leaving, let line):
      self.line = line
      return .leave(leaving)
    }
    return .onward
  }

  mutating func write(_ text: MarkedText) throws(TemplateComplaint) {
    try make(bytes: text.count)
    if output.count + text.count > limits.textBytes { try make(bytes: limits.textBytes + 1) }
    output.append(text)
  }

  /// What the statements write, in a scope of their own.
  private mutating func capture(_ body: [Statement]) throws(TemplateComplaint) -> MarkedText {
    try capture(in: Scope(parent: scope)) { (self) throws(TemplateComplaint) in
      _ = try self.perform(body)
    }
  }

  /// What happens there, as text instead of output.
  mutating func capture(
    in inner: Scope, _ body: (inout Interpreter) throws(TemplateComplaint) -> Void
  ) throws(TemplateComplaint) -> MarkedText {
    let outerScope = scope
    var outerOutput = MarkedText()
    swap(&outerOutput, &output)
    scope = inner
    try body(&self)
    scope = outerScope
    swap(&outerOutput, &output)
    return outerOutput
  }

  private mutating func filtered(
    _ text: MarkedText, _ filter: Node?
  ) throws(TemplateComplaint) -> Value {
    guard let filter else { return .text(text) }
    let outer = captured
    captured = text
    let value = try value(filter)
    captured = outer
    return value
  }

  private mutating func performWith(
    _ bindings: [Binding], _ body: [Statement]
  ) throws(TemplateComplaint) -> Flow {
    // Values know nothing of each other.
    var values: [Value] = []
    for binding in bindings { values.append(try value(binding.value)) }
    scope = Scope(parent: scope)
    for (binding, value) in zip(bindings, values) { try assign(value, to: binding.target) }
    let flow = try perform(body)
    scope = scope.parent ?? scope
    return flow
  }

  private mutating func performCall(
    _ definition: MacroDefinition, _ node: Node
  ) throws(TemplateComplaint) {
    guard case .call(let callee, let arguments) = node.form else { return }
    line = node.line
    let target = try value(callee)
    var given = try evaluated(arguments)
    given.keywords.append(("caller", .macro(try macro(definition))))
    try write(try shown(try call(target, given)))
  }

  private mutating func macro(
    _ definition: MacroDefinition
  ) throws(TemplateComplaint) -> Macro {
    try make(elements: 4)
    scopes.append(scope)
    return Macro(definition, in: scope)
  }

  // MARK: Assignments

  mutating func assign(_ value: Value, to target: Target) throws(TemplateComplaint) {
    try spend()
    switch target {
    case .name(let name): scope.set(name, to: value)
    case .member(let name, let member, let line):
      self.line = line
      guard case .namespace(let namespace)? = scope.find(name) else {
        throw typeError("cannot assign attribute on non-namespace object")
      }
      try set(member, of: namespace, to: value)
    case .tuple(let targets, let line):
      self.line = line
      let values = try elements(of: value, purpose: "unpack non-iterable")
      if values.count < targets.count {
        throw typeError(
          "not enough values to unpack (expected \(targets.count), got \(values.count))")
      }
      if values.count > targets.count {
        throw typeError("too many values to unpack (expected \(targets.count))")
      }
      for (target, value) in zip(targets, values) { try assign(value, to: target) }
    }
  }

  mutating func set(
    _ member: String, of namespace: Namespace, to value: Value
  ) throws(TemplateComplaint) {
    if member.utf8.first == UInt8(ascii: "_") {
      throw typeError("a namespace takes no member that begins with '_': '\(member)'")
    }
    namespace.members.set(member, to: value)
    try check(depth: namespace.members.depth)
  }

  // MARK: Loops

  mutating func run(
    _ statement: ForLoop, over elements: [Value], level: Int
  ) throws(TemplateComplaint) {
    try enter()
    let outer = scope
    let loop = Loop(statement, over: elements, in: outer, level: level)
    try check(depth: loop.depth)
    let inner = Scope(parent: outer)
    let loopName = program.loopName
    var isBroken = false
    var isAnyFinished = false
    while !isBroken, let element = try nextElement(of: loop) {
      inner.removeAll()
      scope = inner
      if let loopName { inner.set(loopName, to: .loop(loop)) }
      try assign(element, to: statement.target)
      switch try perform(statement.body) {
      case .onward: isAnyFinished = true
      case .leave(.break): isBroken = true
      case .leave(.continue): break
      }
    }
    inner.removeAll()
    scope = outer
    // As in jinja2, `else` is for when no pass came to its end.
    if !isAnyFinished {
      scope = Scope(parent: outer)
      try perform(statement.otherwise)
      scope = outer
    }
    leave()
  }

  private mutating func nextElement(of loop: Loop) throws(TemplateComplaint) -> Value? {
    let element: Value
    if let after = loop.after {
      element = after
      loop.after = nil
    } else {
      guard let found = try findElement(of: loop) else { return nil }
      element = found
    }
    loop.index0 += 1
    loop.before = loop.current
    loop.current = element
    return element
  }

  /// The next element that the filter lets through.
  private mutating func findElement(of loop: Loop) throws(TemplateComplaint) -> Value? {
    while loop.cursor < loop.source.count {
      try spend()
      let element = loop.source[loop.cursor]
      loop.cursor += 1
      guard loop.isFiltered, let filter = loop.statement.filter else { return element }
      let outer = scope
      scope = Scope(parent: loop.scope)
      try assign(element, to: loop.statement.target)
      let isWanted = isTrue(try value(filter))
      scope = outer
      if isWanted { return element }
    }
    return nil
  }

  mutating func peek(_ loop: Loop) throws(TemplateComplaint) -> Value? {
    if loop.after == nil { loop.after = try findElement(of: loop) }
    return loop.after
  }

  mutating func length(of loop: Loop) throws(TemplateComplaint) -> Int {
    if let length = loop.length { return length }
    var left: [Value] = []
    while let element = try findElement(of: loop) { left.append(element) }
    loop.source = left
    loop.cursor = 0
    loop.isFiltered = false
    let length = left.count + loop.index0 + 1 + (loop.after == nil ? 0 : 1)
    loop.length = length
    return length
  }
}
