/// Expressions to values.
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

  private mutating func compound(_ node: Node) throws(TemplateComplaint) -> Value {
    switch node.form {
    case .constant, .name, .captured: return .none
    case .list(let nodes): return try list(try values(nodes))
    case .tuple(let nodes): return .tuple(try items(try values(nodes)))
    case .dict(let nodes): return try dict(nodes)
    case .attribute(let node, let name):
      return try attribute(name, of: try value(node))
    case .item(let node, let key): return try item(try value(node), try value(key))
    case .slice(let node, let from, let to, let step):
      return try slice(node, from, to, step)
    case .call(let callee, let arguments): return try call(callee, arguments)
    case .filter(let node, let filter, let arguments):
      let subject = try value(node)
      let given = try evaluated(arguments)
      return try apply(filter, to: subject, given)
    case .unknownFilter(let name): throw complaint(.unsupported, "the filter '\(name)'")
    case .test(let node, let test, let arguments):
      let subject = try value(node)
      let given = try evaluated(arguments)
      return .bool(try holds(test, of: subject, given))
    case .unknownTest(let name): throw complaint(.unsupported, "the test '\(name)'")
    case .not(let node): return .bool(!isTrue(try value(node)))
    case .negative(let node): return try negated(try value(node))
    case .positive(let node): return try positive(try value(node))
    case .and(let nodes): return try firstOf(nodes, whereTrue: false)
    case .or(let nodes): return try firstOf(nodes, whereTrue: true)
    case .arithmetic(let first, let steps): return try arithmetic(first, steps)
    case .concatenation(let nodes): return try concatenation(nodes)
    case .comparison(let first, let comparisons): return try comparison(first, comparisons)
    case .condition(let test, let then, let otherwise):
      if isTrue(try value(test)) { return try value(then) }
      if let otherwise { return try value(otherwise) }
      return .undefined(
        Undefined(
          message: "the inline if-expression on line \(node.line) evaluated to false and no else"
            + " section was defined."))
    }
  }

  mutating func values(_ nodes: [Node]) throws(TemplateComplaint) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(nodes.count)
    for node in nodes { values.append(try value(node)) }
    return values
  }

  private mutating func dict(_ nodes: [Node]) throws(TemplateComplaint) -> Value {
    var dict = Dict()
    for place in stride(from: 0, to: nodes.count, by: 2) {
      let key = try value(nodes[place])
      let value = try value(nodes[place + 1])
      try make(elements: 2)
      dict.set(try hashed(key), key, to: value)
    }
    try check(depth: dict.depth)
    return .dict(dict)
  }

  /// The key that a dict would find this by.
  mutating func hashed(_ value: Value) throws(TemplateComplaint) -> DictKey {
    if case .text(let text) = value { try read(bytes: text.count) }
    guard let key = DictKey(value) else {
      throw typeError("unhashable type: '\(value.typeName)'")
    }
    return key
  }

  /// `and` and `or`: the first operand that decides, or the last.
  private mutating func firstOf(
    _ nodes: [Node], whereTrue: Bool
  ) throws(TemplateComplaint) -> Value {
    var last = Value.none
    for node in nodes {
      last = try value(node)
      if isTrue(last) == whereTrue { break }
    }
    return last
  }

  private mutating func concatenation(_ nodes: [Node]) throws(TemplateComplaint) -> Value {
    var text = MarkedText()
    for node in nodes {
      let part = try shown(try value(node))
      try make(bytes: text.count + part.count)
      text.append(part)
    }
    return .text(text)
  }

  private mutating func comparison(
    _ first: Node, _ comparisons: [Comparison]
  ) throws(TemplateComplaint) -> Value {
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

  private mutating func slice(
    _ node: Node, _ from: Node?, _ to: Node?, _ step: Node?
  ) throws(TemplateComplaint) -> Value {
    let subject = try value(node)
    let from = try bound(from)
    let to = try bound(to)
    let step = try bound(step) ?? 1
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
    try spend(text.count / 4)
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
