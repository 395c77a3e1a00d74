/// Arguments of a call, computed.
struct Arguments {
  var positional: [Value] = []
  var keywords: [(name: String, value: Value)] = []

  mutating func takeKeyword(_ name: String) -> Value? {
    guard let place = keywords.firstIndex(where: { $0.name == name }) else { return nil }
    return keywords.remove(at: place).value
  }
}

/// Calls of macros, of what every template has, and of methods.
extension Interpreter {
  mutating func evaluated(_ arguments: CallArguments) throws(TemplateComplaint) -> Arguments {
    var given = Arguments()
    given.positional = try values(arguments.positional)
    for keyword in arguments.keywords {
      given.keywords.append((keyword.name, try value(keyword.value)))
    }
    if let spread = arguments.spread {
      given.positional += try elements(of: try value(spread))
    }
    if let spread = arguments.spreadKeywords {
      guard case .dict(let dict) = try value(spread) else {
        throw typeError("argument after ** must be a mapping")
      }
      for (key, value) in zip(dict.keys, dict.values) {
        guard case .text(let name) = key else { throw typeError("keywords must be strings") }
        given.keywords.append((name.string, value))
      }
    }
    return given
  }

  @inline(never)
  mutating func call(_ node: Node) throws(TemplateComplaint) -> Value {
    guard case .call(let callee, let arguments) = node.form else { return .none }
    let target = try value(callee)
    let given = try evaluated(arguments)
    line = callee.line
    return try call(target, given)
  }

  mutating func call(
    _ target: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    switch target {
    case .undefined(let undefined): throw typeError(undefined.message)
    case .macro(let macro): return .text(try run(macro, arguments))
    case .function(let builtin): return try run(builtin, arguments)
    case .method(let method): return try run(method.name, of: method.receiver, arguments)
    case .loop(let loop): return .text(try recurse(loop, arguments))
    default: throw typeError("'\(target.typeName)' object is not callable")
    }
  }

  /// The arguments in the order of the parameters; nil where none was given.
  func bind(
    _ arguments: Arguments, to parameters: [String], of function: String
  ) throws(TemplateComplaint) -> [Value?] {
    if arguments.positional.count > parameters.count {
      throw typeError(
        "\(function)() takes at most \(parameters.count) arguments"
          + " (\(arguments.positional.count) given)")
    }
    var bound: [Value?] = arguments.positional
    while bound.count < parameters.count { bound.append(nil) }
    for (name, value) in arguments.keywords {
      guard let place = parameters.firstIndex(of: name) else {
        throw typeError("\(function)() got an unexpected keyword argument '\(name)'")
      }
      if bound[place] != nil {
        throw typeError("\(function)() got multiple values for argument '\(name)'")
      }
      bound[place] = value
    }
    return bound
  }

  // MARK: Macros

  private mutating func run(
    _ macro: Macro, _ arguments: Arguments
  ) throws(TemplateComplaint) -> MarkedText {
    try enter()
    let definition = macro.definition
    let inner = Scope(parent: macro.scope)
    var arguments = arguments
    let callLine = line
    // Defaults are computed here, where they see the parameters before them.
    let outer = scope
    scope = inner
    var hasCaller = false
    for (place, parameter) in definition.parameters.enumerated() {
      hasCaller = hasCaller || parameter.name == "caller"
      if place < arguments.positional.count {
        inner.set(parameter.symbol, to: arguments.positional[place])
      } else if let value = arguments.takeKeyword(parameter.name) {
        inner.set(parameter.symbol, to: value)
      } else if let node = parameter.value {
        inner.set(parameter.symbol, to: try value(node))
      } else {
        let message = "parameter '\(parameter.name)' was not provided"
        inner.set(parameter.symbol, to: .undefined(Undefined(message: message)))
      }
    }
    scope = outer
    line = callLine
    try bindSpecials(definition, arguments, in: inner, hasCaller: hasCaller)
    let text = try capture(in: inner) { (self) throws(TemplateComplaint) in
      _ = try self.perform(definition.body)
    }
    leave()
    return text
  }

  /// `caller`, `kwargs` and `varargs`, and complaints about what nobody takes.
  private mutating func bindSpecials(
    _ definition: MacroDefinition, _ given: Arguments, in scope: Scope, hasCaller: Bool
  ) throws(TemplateComplaint) {
    var arguments = given
    if definition.takesCaller, !hasCaller {
      let caller = arguments.takeKeyword("caller")
      set("caller", to: caller ?? .undefined(Undefined(message: "No caller defined")), in: scope)
    }
    if definition.takesKeywords {
      var keywords = Dict()
      for (name, value) in arguments.keywords { keywords.set(name, to: value) }
      try make(elements: 2 * keywords.count)
      set("kwargs", to: .dict(keywords), in: scope)
    } else if let extra = arguments.keywords.first {
      throw typeError("macro '\(definition.name)' takes no keyword argument '\(extra.name)'")
    }
    let count = definition.parameters.count
    if definition.takesPositionals {
      let extra = Array(arguments.positional.dropFirst(count))
      set("varargs", to: .tuple(try items(extra)), in: scope)
    } else if arguments.positional.count > count {
      throw typeError("macro '\(definition.name)' takes not more than \(count) argument(s)")
    }
  }

  private func set(_ name: String, to value: Value, in scope: Scope) {
    if let number = program.names.firstIndex(of: name) { scope.set(number, to: value) }
  }

  private mutating func recurse(
    _ loop: Loop, _ arguments: Arguments
  ) throws(TemplateComplaint) -> MarkedText {
    guard loop.statement.isRecursive else {
      throw typeError(
        "The loop must have the 'recursive' marker to be called recursively.")
    }
    guard let source = try bind(arguments, to: ["iterable"], of: "loop")[0] else {
      throw typeError("loop() missing its argument")
    }
    let elements = try elements(of: source)
    return try capture(in: loop.scope) { (self) throws(TemplateComplaint) in
      try self.run(loop.statement, over: elements, level: loop.level + 1)
    }
  }

  // MARK: What every template has

  private mutating func run(
    _ builtin: Builtin, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    switch builtin {
    case .range: return try range(arguments)
    case .dict: return .dict(try dict(from: arguments))
    case .namespace:
      let members = try dict(from: arguments)
      let namespace = Namespace(Dict())
      try remember(namespace)
      for (key, value) in zip(members.keys, members.values) {
        guard case .text(let name) = key else { throw typeError("keywords must be strings") }
        try set(name.string, of: namespace, to: value)
      }
      return .namespace(namespace)
    case .raiseException:
      guard let message = try bind(arguments, to: ["message"], of: "raise_exception")[0] else {
        throw typeError("raise_exception() missing 1 required positional argument: 'message'")
      }
      throw complaint(.raisedByTemplate, try shown(message).string)
    case .strftimeNow:
      guard case .text(let format)? = try bind(arguments, to: ["format"], of: "strftime_now")[0],
        let now
      else { throw typeError("strftime_now() needs a format") }
      try make(bytes: format.count)
      return .text(now.formatted(format))
    case .cycler, .joiner, .lipsum:
      throw complaint(.unsupported, "the function '\(builtin.rawValue)'")
    }
  }

  private mutating func range(_ arguments: Arguments) throws(TemplateComplaint) -> Value {
    guard arguments.keywords.isEmpty, (1...3).contains(arguments.positional.count) else {
      throw typeError("range() takes from 1 to 3 positional arguments")
    }
    var bounds: [Int] = []
    for value in arguments.positional {
      guard let bound = value.asInt else {
        throw typeError("'\(value.typeName)' object cannot be interpreted as an integer")
      }
      bounds.append(bound)
    }
    let start = bounds.count > 1 ? bounds[0] : 0
    let stop = bounds.count > 1 ? bounds[1] : bounds[0]
    let step = bounds.count > 2 ? bounds[2] : 1
    if step == 0 { throw typeError("range() arg 3 must not be zero") }
    let (distance, overflow) =
      step > 0
      ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
    let stride = step.magnitude
    let count: UInt =
      overflow
      ? ((step > 0) == (stop > start) ? .max : 0)
      : distance <= 0 ? 0 : (UInt(distance) - 1) / stride + 1
    if count > UInt(limits.rangeItems) {
      throw complaint(
        .limit, "a range of more than \(limits.rangeItems) numbers (limit 'rangeItems')")
    }
    return .range(PythonRange(start: start, stop: stop, step: step, count: Int(count)))
  }

  /// `dict(mapping or pairs, name=value...)`.
  private mutating func dict(from arguments: Arguments) throws(TemplateComplaint) -> Dict {
    var dict = Dict()
    if arguments.positional.count > 1 {
      throw typeError("dict expected at most 1 argument, got \(arguments.positional.count)")
    }
    switch arguments.positional.first {
    case .dict(let other)?:
      try make(elements: 2 * other.count)
      dict = other
    case .namespace(let namespace)?: dict = namespace.members
    case let source?:
      for pair in try elements(of: source) {
        let parts = try elements(of: pair)
        guard parts.count == 2 else {
          throw typeError(
            "dictionary update sequence element has length \(parts.count); 2 is required")
        }
        try make(elements: 2)
        dict.set(try hashed(parts[0]), parts[0], to: parts[1])
      }
    case nil: break
    }
    for (name, value) in arguments.keywords {
      try spend(4)
      dict.set(name, to: value)
    }
    try check(depth: dict.depth)
    return dict
  }
}
