/// Methods of dicts, lists and loops. Those of texts are in `Interpreter+TextMethods`.
extension Interpreter {
  mutating func run(
    _ name: String, of receiver: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    switch receiver {
    case .text(let text): return try run(name, of: text, arguments)
    case .dict(let dict): return try run(name, of: dict, arguments)
    case .list(let items), .tuple(let items):
      if name == "copy" { return receiver }
      return try find(name, in: items.values, arguments)
    case .range(let range):
      let elements = (0..<range.count).map { Value.int(range.element($0)) }
      try make(elements: range.count)
      return try find(name, in: elements, arguments)
    case .loop(let loop): return try run(name, of: loop, arguments)
    case .float(let number) where name == "is_integer":
      return .bool(number.rounded() == number && number.isFinite)
    default: throw unsupportedMethod(name, of: receiver)
    }
  }

  func unsupportedMethod(_ name: String, of value: Value) -> TemplateComplaint {
    complaint(.unsupported, "the method '\(name)' of \(value.typeName)")
  }

  private mutating func run(
    _ name: String, of dict: Dict, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    switch name {
    case "get":
      // Python takes these without names only.
      guard arguments.keywords.isEmpty else {
        throw typeError("dict.get() takes no keyword arguments")
      }
      let bound = try bind(arguments, to: ["key", "default"], of: "get")
      guard let key = bound[0] else { throw typeError("get expected at least 1 argument, got 0") }
      return dict[try hashed(key)] ?? bound[1] ?? .none
    case "items", "keys", "values":
      _ = try bind(arguments, to: [], of: name)
      try make(elements: dict.count)
      let kind: DictView.Kind = name == "items" ? .items : name == "keys" ? .keys : .values
      return .view(DictView(kind: kind, dict: dict))
    case "copy": return .dict(dict)
    default: throw unsupportedMethod(name, of: .dict(dict))
    }
  }

  private mutating func find(
    _ name: String, in values: [Value], _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["value", "start", "stop"], of: name)
    guard let wanted = bound[0] else { throw typeError("\(name)() takes exactly one argument") }
    var count = 0
    let places = places(values.count, bound[1]?.asInt, bound[2]?.asInt, 1)
    for place in places.start..<(places.start + places.count)
    where try areEqual(values[place], wanted) {
      if name == "index" { return .int(place) }
      count += 1
    }
    if name == "count" { return .int(count) }
    throw typeError("\(try represented(wanted).string) is not in list")
  }

  private mutating func run(
    _ name: String, of loop: Loop, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let given = arguments.positional
    if name == "cycle" {
      guard !given.isEmpty else { throw typeError("no items for cycling given") }
      return given[max(loop.index0, 0) % given.count]
    }
    if let last = loop.lastChanged, last.count == given.count {
      var isSame = true
      for (old, new) in zip(last, given) where isSame { isSame = try areEqual(old, new) }
      if isSame { return .bool(false) }
    }
    loop.lastChanged = given
    return .bool(true)
  }
}
