/// Expressions to values.
///
/// What has many locals is kept out of line: the stack that one level of nesting takes is that of
/// `value`, `compound` and one more.
extension Interpreter {
  mutating func value(_ node: Node) throws(TemplateComplaint) -> Value {
    line = node.line
    try spend()
    switch node.form {
    case .constant(let constant): return constant.value
    case .name(let name): return variable(name)
    case .captured: return .text(captured)
    default: break
    }
    try enter()
    let value = try compound(node)
    leave()
    return value
  }

  private func variable(_ name: Int) -> Value {
    if let value = scope.find(name) { return value }
    let text = program.names[name]
    if let builtin = Builtin(rawValue: text), builtin != .strftimeNow || now != nil {
      return .function(builtin)
    }
    return .undefined(Undefined(message: "'\(text)' is undefined"))
  }

  /// Only finds who is to do it: a case whose parts were named here would keep room for them on
  /// the stack of every level.
  @inline(never)
  private mutating func compound(_ node: Node) throws(TemplateComplaint) -> Value {
    switch node.form {
    case .constant, .name, .captured: return .none
    case .list, .tuple, .dict: return try collection(node)
    case .attribute, .item: return try member(node)
    case .slice: return try slice(node)
    case .call: return try call(node)
    case .filter: return try filtered(node)
    case .test: return try tested(node)
    case .unknownFilter, .unknownTest: throw unknown(node)
    case .not, .negative, .positive: return try unary(node)
    case .and, .or: return try firstDeciding(node)
    case .arithmetic: return try arithmetic(node)
    case .concatenation: return try concatenation(node)
    case .comparison: return try comparison(node)
    case .condition: return try condition(node)
    }
  }

  @inline(never)
  private mutating func collection(_ node: Node) throws(TemplateComplaint) -> Value {
    switch node.form {
    case .list(let nodes): try list(try values(nodes))
    case .tuple(let nodes): .tuple(try items(try values(nodes)))
    case .dict(let nodes): try dict(try values(nodes))
    default: .none
    }
  }

  @inline(never)
  private mutating func member(_ node: Node) throws(TemplateComplaint) -> Value {
    switch node.form {
    case .attribute(let node, let name): try attribute(name, of: try value(node))
    case .item(let node, let key): try item(try value(node), try value(key))
    default: .none
    }
  }

  @inline(never)
  private mutating func filtered(_ node: Node) throws(TemplateComplaint) -> Value {
    guard case .filter(let node, let filter, let arguments) = node.form else { return .none }
    let subject = try value(node)
    let given = try evaluated(arguments)
    return try apply(filter, to: subject, given)
  }

  @inline(never)
  private mutating func tested(_ node: Node) throws(TemplateComplaint) -> Value {
    guard case .test(let node, let test, let arguments) = node.form else { return .none }
    let subject = try value(node)
    let given = try evaluated(arguments)
    return .bool(try holds(test, of: subject, given))
  }

  private func unknown(_ node: Node) -> TemplateComplaint {
    switch node.form {
    case .unknownFilter(let name): complaint(.unsupported, "the filter '\(name)'")
    case .unknownTest(let name): complaint(.unsupported, "the test '\(name)'")
    default: complaint(.unsupported, "this expression")
    }
  }

  @inline(never)
  private mutating func unary(_ node: Node) throws(TemplateComplaint) -> Value {
    switch node.form {
    case .not(let node): .bool(!isTrue(try value(node)))
    case .negative(let node): try negated(try value(node))
    case .positive(let node): try positive(try value(node))
    default: .none
    }
  }

  @inline(never)
  private mutating func condition(_ node: Node) throws(TemplateComplaint) -> Value {
    guard case .condition(let test, let then, let otherwise) = node.form else { return .none }
    if isTrue(try value(test)) { return try value(then) }
    if let otherwise { return try value(otherwise) }
    return .undefined(
      Undefined(
        message: "the inline if-expression on line \(node.line) evaluated to false and no else"
          + " section was defined."))
  }

  @inline(never)
  mutating func values(_ nodes: [Node]) throws(TemplateComplaint) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(nodes.count)
    for node in nodes { values.append(try value(node)) }
    return values
  }

  /// Keys and values take turns.
  private mutating func dict(_ parts: [Value]) throws(TemplateComplaint) -> Value {
    var dict = Dict()
    try make(elements: parts.count)
    for place in stride(from: 0, to: parts.count, by: 2) {
      dict.set(try hashed(parts[place]), parts[place], to: parts[place + 1])
    }
    try check(depth: dict.depth)
    return .dict(dict)
  }

  /// The key that a dict would find this by.
  mutating func hashed(_ value: Value) throws(TemplateComplaint) -> DictKey {
    // Hashing, and a place in the table.
    try spend(4)
    if case .text(let text) = value { try read(bytes: text.count) }
    guard let key = DictKey(value) else {
      throw typeError("unhashable type: '\(value.typeName)'")
    }
    return key
  }

  /// `and` and `or`: the first operand that decides, or the last.
  @inline(never)
  private mutating func firstDeciding(_ node: Node) throws(TemplateComplaint) -> Value {
    let operands: [Node]
    let deciding: Bool
    switch node.form {
    case .and(let nodes): (operands, deciding) = (nodes, false)
    case .or(let nodes): (operands, deciding) = (nodes, true)
    default: return .none
    }
    var last = Value.none
    for operand in operands {
      last = try value(operand)
      if isTrue(last) == deciding { break }
    }
    return last
  }

  @inline(never)
  private mutating func concatenation(_ node: Node) throws(TemplateComplaint) -> Value {
    guard case .concatenation(let nodes) = node.form else { return .none }
    var text = MarkedText()
    for node in nodes {
      let part = try shown(try value(node))
      try make(bytes: text.count + part.count)
      text.append(part)
    }
    return .text(text)
  }

  @inline(never)
  private mutating func comparison(_ node: Node) throws(TemplateComplaint) -> Value {
    guard case .comparison(let first, let comparisons) = node.form else { return .none }
    var left = try value(first)
    for comparison in comparisons {
      let right = try value(comparison.right)
      if !(try holds(comparison.operation, left, right)) { return .bool(false) }
      left = right
    }
    return .bool(true)
  }

  // MARK: Members

  /// `value.name`: what Python finds as an attribute, else the member of that name.
  mutating func attribute(
    _ name: String, of value: Value
  ) throws(TemplateComplaint) -> Value {
    if let attribute = try pythonAttribute(name, of: value) { return attribute }
    if case .dict(let dict) = value, let member = dict[name] { return member }
    if name.utf8.starts(with: "__".utf8) { return unsafe(name, of: value) }
    return missing(name, of: value)
  }

  /// `value[key]`: the member, else for names what Python finds as an attribute.
  @inline(never)
  mutating func item(_ value: Value, _ key: Value) throws(TemplateComplaint) -> Value {
    switch value {
    case .undefined(let undefined): throw typeError(undefined.message)
    case .dict(let dict):
      if case .text(let text) = key { try read(bytes: text.count) }
      if let key = DictKey(key), let member = dict[key] { return member }
    case .list(let items), .tuple(let items):
      if let index = index(key, count: items.count) { return items.values[index] }
    case .range(let range):
      if let index = index(key, count: range.count) { return .int(range.element(index)) }
    case .text(let text):
      try read(bytes: text.count)
      if let index = index(key, count: text.scalarCount) {
        let start = text.byte(ofScalar: index)
        return .text(text.part(start..<text.scalar(at: start).next))
      }
    default: break
    }
    guard case .text(let name) = key else {
      return .undefined(
        Undefined(
          message: "\(objectName(value)) has no element \(try represented(key).string)"))
    }
    // The complaint that waits in what is missing repeats the name.
    try make(bytes: name.count)
    if let attribute = try pythonAttribute(name.string, of: value) { return attribute }
    return missing(name.string, of: value)
  }

  /// An index of Python, from the end where negative; nil where there is none.
  func index(_ key: Value, count: Int) -> Int? {
    guard let index = key.asInt else { return nil }
    let place = index < 0 ? index + count : index
    return (0..<count).contains(place) ? place : nil
  }

  func missing(_ name: String, of value: Value) -> Value {
    .undefined(Undefined(message: "'\(objectName(value))' has no attribute '\(name)'"))
  }

  /// What the sandbox hides: it is there, but using it is refused.
  func unsafe(_ name: String, of value: Value) -> Value {
    .undefined(
      Undefined(
        message: "access to attribute '\(name)' of '\(value.typeName)' object is unsafe."))
  }

  private func objectName(_ value: Value) -> String {
    if case .none = value { return "None" }
    return value.typeName + " object"
  }

  // MARK: Slices

  @inline(never)
  private mutating func slice(_ node: Node) throws(TemplateComplaint) -> Value {
    guard case .slice(let node, let from, let to, let step) = node.form else { return .none }
    let subject = try value(node)
    return try sliced(subject, try bound(from), try bound(to), try bound(step) ?? 1)
  }

  private mutating func sliced(
    _ subject: Value, _ from: Int?, _ to: Int?, _ step: Int
  ) throws(TemplateComplaint) -> Value {
    if step == 0 { throw typeError("slice step cannot be zero") }
    switch subject {
    case .undefined(let undefined): throw typeError(undefined.message)
    case .list(let items): return try list(cut(items.values, from, to, step))
    case .tuple(let items): return .tuple(try self.items(cut(items.values, from, to, step)))
    case .text(let text): return .text(try cut(text, from, to, step))
    case .range(let range):
      let places = places(range.count, from, to, step)
      return .range(
        PythonRange(
          start: range.start &+ places.start &* range.step,
          stop: range.start &+ places.stop &* range.step,
          step: range.step &* step, count: places.count))
    case .dict: throw typeError("unhashable type: 'slice'")
    default: throw typeError("'\(subject.typeName)' object is not subscriptable")
    }
  }

  private mutating func bound(_ node: Node?) throws(TemplateComplaint) -> Int? {
    guard let node else { return nil }
    let value = try value(node)
    if case .none = value { return nil }
    guard let index = value.asInt else {
      throw typeError(
        "slice indices must be integers or None or have an __index__ method")
    }
    return index
  }

  /// Where a slice begins and how many elements it has.
  func places(
    _ count: Int, _ from: Int?, _ to: Int?, _ step: Int
  ) -> (start: Int, stop: Int, count: Int) {
    let lowest = step < 0 ? -1 : 0
    let highest = step < 0 ? count - 1 : count
    func clamped(_ index: Int) -> Int {
      let place = index < 0 ? index + count : index
      return min(max(place, lowest), highest)
    }
    let start = from.map(clamped) ?? (step < 0 ? highest : lowest)
    let stop = to.map(clamped) ?? (step < 0 ? lowest : highest)
    let distance = step < 0 ? start - stop : stop - start
    if distance <= 0 { return (start, stop, 0) }
    let stride = step == .min ? Int.max : abs(step)
    return (start, stop, (distance - 1) / stride + 1)
  }

  private func cut(_ values: [Value], _ from: Int?, _ to: Int?, _ step: Int) -> [Value] {
    let places = places(values.count, from, to, step)
    if step == 1 { return Array(values[places.start..<(places.start + places.count)]) }
    return (0..<places.count).map { values[places.start + $0 * step] }
  }

  private mutating func cut(
    _ text: MarkedText, _ from: Int?, _ to: Int?, _ step: Int
  ) throws(TemplateComplaint) -> MarkedText {
    try make(bytes: text.count)
    let places = places(text.scalarCount, from, to, step)
    if places.count == 0 { return text.part(0..<0) }
    if step == 1 {
      let start = text.byte(ofScalar: places.start)
      let end = text.byte(ofScalar: places.start + places.count)
      return text.part(start..<end)
    }
    try walk(bytes: text.count)
    let starts = text.scalarStarts
    var cut = MarkedText()
    for index in 0..<places.count {
      let place = places.start + index * step
      cut.append(text, starts[place]..<starts[place + 1])
    }
    cut.isMarkup = text.isMarkup
    return cut
  }
}

extension Constant {
  fileprivate var value: Value {
    switch self {
    case .none: .none
    case .bool(let flag): .bool(flag)
    case .int(let number): .int(number)
    case .bigInt(let digits): .bigInt(digits)
    case .float(let number): .float(number)
    case .text(let text): .text(text)
    }
  }
}
