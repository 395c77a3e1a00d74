/// The tests of jinja2: `value is name`.
enum Test: String, Sendable, CaseIterable {
  case odd
  case even
  case divisibleby
  case defined
  case undefined
  case filter
  case test
  case none
  case boolean
  case `false`
  case `true`
  case integer
  case float
  case lower
  case upper
  case string
  case mapping
  case number
  case sequence
  case iterable
  case callable
  case sameas
  case escaped
  case `in`
  case eq
  case equalto
  case equal = "=="
  case ne
  case notEqual = "!="
  case gt
  case greaterthan
  case greater = ">"
  case ge
  case greaterOrEqual = ">="
  case lt
  case lessthan
  case less = "<"
  case le
  case lessOrEqual = "<="
}

extension Interpreter {
  mutating func holds(
    _ test: Test, of value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Bool {
    switch test {
    case .defined, .undefined, .none, .boolean, .true, .false, .integer, .float, .string,
      .mapping, .number, .sequence, .iterable, .callable, .escaped:
      _ = try bind(arguments, to: [], of: test.rawValue)
      return isKind(test, value)
    case .odd, .even:
      let remainder = try compute(.modulo, value, .int(2))
      return try areEqual(remainder, .int(test == .odd ? 1 : 0))
    case .divisibleby:
      return try areEqual(
        try compute(.modulo, value, try operand(arguments, test)), .int(0))
    case .filter: return try name(value).flatMap(Filter.init(rawValue:)) != nil
    case .test: return try name(value).flatMap(Test.init(rawValue:)) != nil
    case .lower: return try shown(value).isCased(as: .lower)
    case .upper: return try shown(value).isCased(as: .upper)
    case .sameas: return try isSame(value, try operand(arguments, test))
    case .in: return try contains(try operand(arguments, test), value)
    case .eq, .equalto, .equal: return try holds(.equal, value, try operand(arguments, test))
    case .ne, .notEqual: return try holds(.notEqual, value, try operand(arguments, test))
    case .gt, .greaterthan, .greater:
      return try holds(.greater, value, try operand(arguments, test))
    case .ge, .greaterOrEqual:
      return try holds(.greaterOrEqual, value, try operand(arguments, test))
    case .lt, .lessthan, .less: return try holds(.less, value, try operand(arguments, test))
    case .le, .lessOrEqual:
      return try holds(.lessOrEqual, value, try operand(arguments, test))
    }
  }

  private func operand(
    _ arguments: Arguments, _ test: Test
  ) throws(TemplateComplaint) -> Value {
    guard let operand = try bind(arguments, to: ["other"], of: test.rawValue)[0] else {
      throw typeError("the test '\(test.rawValue)' needs something to compare with")
    }
    return operand
  }

  private func name(_ value: Value) throws(TemplateComplaint) -> String? {
    guard case .text(let name) = value else { return nil }
    return name.string
  }

  /// `is` of Python, as far as values of ours have an identity: small numbers and constants are
  /// the same when they are equal.
  private mutating func isSame(_ left: Value, _ right: Value) throws(TemplateComplaint) -> Bool {
    switch (left, right) {
    case (.bool(let left), .bool(let right)): left == right
    case (.bool, _), (_, .bool): false
    case (.int, .float), (.float, .int): false
    default: try areEqual(left, right)
    }
  }

  private func isKind(_ test: Test, _ value: Value) -> Bool {
    switch (test, value) {
    case (.defined, .undefined): false
    case (.defined, _): true
    case (.undefined, .undefined): true
    case (.none, .none): true
    case (.boolean, .bool): true
    case (.true, .bool(let flag)): flag
    case (.false, .bool(let flag)): !flag
    case (.integer, .int), (.integer, .bigInt): true
    case (.float, .float): true
    case (.string, .text): true
    case (.mapping, .dict): true
    // Truth values are numbers in Python.
    case (.number, .int), (.number, .bigInt), (.number, .float), (.number, .bool): true
    case (.sequence, .text), (.sequence, .list), (.sequence, .tuple), (.sequence, .dict),
      (.sequence, .range):
      true
    // An undefined value has a length, and refuses an index only when asked for one.
    case (.sequence, .undefined): true
    case (.iterable, _): isIterable(value)
    case (.callable, .function), (.callable, .method), (.callable, .macro), (.callable, .loop):
      true
    // An undefined value can be called, which then fails.
    case (.callable, .undefined): true
    case (.escaped, .text(let text)): text.isMarkup
    default: false
    }
  }
}
