import Glibc

/// Arithmetic of Python on numbers, texts and lists. Whole numbers have 64 bits; what leaves them
/// is refused, as no prompt needs it.
extension Interpreter {
  @inline(never)
  mutating func arithmetic(_ node: Node) throws(TemplateComplaint) -> Value {
    guard case .arithmetic(let first, let steps) = node.form else { return .none }
    var left = try value(first)
    for step in steps {
      let right = try value(step.right)
      line = step.right.line
      left = try compute(step.operation, left, right)
    }
    return left
  }

  mutating func compute(
    _ operation: Arithmetic.Operation, _ left: Value, _ right: Value
  ) throws(TemplateComplaint) -> Value {
    // Both operands are alive: a text is formatted whatever comes after `%`.
    if operation == .modulo, case .text(let format) = left {
      return .text(try formatted(format, with: right))
    }
    if case .undefined(let undefined) = left { throw typeError(undefined.message) }
    if case .undefined(let undefined) = right { throw typeError(undefined.message) }
    switch (operation, left, right) {
    case (.add, .text(let left), .text(let right)): return .text(try joined(left, right))
    case (.add, .list(let left), .list(let right)): return try list(left.values + right.values)
    case (.add, .tuple(let left), .tuple(let right)):
      return .tuple(try items(left.values + right.values))
    case (.multiply, .text(let text), _):
      if let count = right.asInt { return .text(try repeated(text, count)) }
    case (.multiply, _, .text(let text)):
      if let count = left.asInt { return .text(try repeated(text, count)) }
    case (.multiply, .list(let items), _):
      if let count = right.asInt { return try list(try repeated(items.values, count)) }
    case (.multiply, _, .list(let items)):
      if let count = left.asInt { return try list(try repeated(items.values, count)) }
    case (.multiply, .tuple(let items), _):
      if let count = right.asInt {
        return .tuple(try self.items(try repeated(items.values, count)))
      }
    default:
      if let left = left.asNumber, let right = right.asNumber {
        return try compute(operation, left, right)
      }
    }
    throw typeError(refusal(operation, left, right))
  }

  private func refusal(
    _ operation: Arithmetic.Operation, _ left: Value, _ right: Value
  ) -> String {
    if operation == .add {
      switch left {
      case .text: return "can only concatenate str (not \"\(right.typeName)\") to str"
      case .list: return "can only concatenate list (not \"\(right.typeName)\") to list"
      case .tuple: return "can only concatenate tuple (not \"\(right.typeName)\") to tuple"
      default: break
      }
    }
    if operation == .multiply {
      for (one, other) in [(left, right), (right, left)] {
        switch one {
        case .text, .list, .tuple:
          return "can't multiply sequence by non-int of type '\(other.typeName)'"
        default: break
        }
      }
    }
    return "unsupported operand type(s) for \(operation.rawValue): '\(left.typeName)' and"
      + " '\(right.typeName)'"
  }

  /// Markup escapes what is joined to it, from either side.
  mutating func joined(
    _ left: MarkedText, _ right: MarkedText
  ) throws(TemplateComplaint) -> MarkedText {
    var left = left
    var right = right
    if left.isMarkup != right.isMarkup {
      if left.isMarkup { right = try escaped(right) } else { left = try escaped(left) }
    }
    try make(bytes: left.count + right.count)
    let isMarkup = left.isMarkup || right.isMarkup
    if left.isEmpty { left = MarkedText() }
    left.append(right)
    left.isMarkup = isMarkup
    return left
  }

  private mutating func repeated(
    _ text: MarkedText, _ count: Int
  ) throws(TemplateComplaint) -> MarkedText {
    var repeated = MarkedText()
    repeated.isMarkup = text.isMarkup
    if count <= 0 || text.isEmpty { return repeated }
    let (bytes, overflow) = text.count.multipliedReportingOverflow(by: count)
    try make(bytes: overflow ? .max : bytes)
    // Each repetition may be a run of its own.
    try spend(count)
    repeated.reserve(bytes)
    for _ in 0..<count { repeated.append(text) }
    return repeated
  }

  private mutating func repeated(
    _ values: [Value], _ count: Int
  ) throws(TemplateComplaint) -> [Value] {
    if count <= 0 || values.isEmpty { return [] }
    let (total, overflow) = values.count.multipliedReportingOverflow(by: count)
    try make(elements: overflow ? .max : total)
    var repeated: [Value] = []
    repeated.reserveCapacity(total)
    for _ in 0..<count { repeated += values }
    return repeated
  }

  // MARK: Numbers

  private func compute(
    _ operation: Arithmetic.Operation, _ left: Number, _ right: Number
  ) throws(TemplateComplaint) -> Value {
    if case .int(let left) = left, case .int(let right) = right {
      return try compute(operation, left, right)
    }
    let left = left.double
    let right = right.double
    switch operation {
    case .add: return .float(left + right)
    case .subtract: return .float(left - right)
    case .multiply: return .float(left * right)
    case .divide:
      if right == 0 { throw typeError("float division by zero") }
      return .float(left / right)
    case .floorDivide:
      if right == 0 { throw typeError("float floor division by zero") }
      return .float(((left - floorModulo(left, right)) / right).rounded())
    case .modulo:
      if right == 0 { throw typeError("float modulo") }
      return .float(floorModulo(left, right))
    case .power: return .float(pow(left, right))
    }
  }

  /// The remainder with the sign of the divisor.
  private func floorModulo(_ left: Double, _ right: Double) -> Double {
    let remainder = left.truncatingRemainder(dividingBy: right)
    if remainder == 0 { return right < 0 ? -0.0 : 0 }
    return (remainder < 0) != (right < 0) ? remainder + right : remainder
  }

  private func compute(
    _ operation: Arithmetic.Operation, _ left: Int, _ right: Int
  ) throws(TemplateComplaint) -> Value {
    let result: (partialValue: Int, overflow: Bool)
    switch operation {
    case .add: result = left.addingReportingOverflow(right)
    case .subtract: result = left.subtractingReportingOverflow(right)
    case .multiply: result = left.multipliedReportingOverflow(by: right)
    case .divide:
      if right == 0 { throw typeError("division by zero") }
      return .float(Double(left) / Double(right))
    case .floorDivide:
      if right == 0 { throw typeError("integer division or modulo by zero") }
      result = left.dividedReportingOverflow(by: right)
      if !result.overflow, left % right != 0, (left < 0) != (right < 0) {
        return .int(result.partialValue - 1)
      }
    case .modulo:
      if right == 0 { throw typeError("integer modulo by zero") }
      if right == -1 { return .int(0) }
      let remainder = left % right
      return .int(remainder != 0 && (remainder < 0) != (right < 0) ? remainder + right : remainder)
    case .power:
      if right < 0 {
        if left == 0 { throw typeError("0.0 cannot be raised to a negative power") }
        return .float(pow(Double(left), Double(right)))
      }
      result = power(left, right)
    }
    if result.overflow { throw overflow() }
    return .int(result.partialValue)
  }

  /// By squaring: at most 64 steps before it overflows, or the base is 0, 1 or -1.
  private func power(_ base: Int, _ exponent: Int) -> (partialValue: Int, overflow: Bool) {
    var result = 1
    var factor = base
    var left = exponent
    var factorOverflowed = false
    while left > 0 {
      if left & 1 == 1 {
        if factorOverflowed { return (0, true) }
        let product = result.multipliedReportingOverflow(by: factor)
        if product.overflow { return (0, true) }
        result = product.partialValue
      }
      left >>= 1
      let square = factor.multipliedReportingOverflow(by: factor)
      factorOverflowed = factorOverflowed || square.overflow
      factor = square.partialValue
    }
    return (result, false)
  }

  private func overflow() -> TemplateComplaint {
    complaint(.limit, "a whole number needs more than 64 bits")
  }

  func negated(_ value: Value) throws(TemplateComplaint) -> Value {
    switch value {
    case .undefined(let undefined): throw typeError(undefined.message)
    case .float(let number): return .float(-number)
    case .bigInt(let digits):
      return .bigInt(digits.hasPrefix("-") ? String(digits.dropFirst()) : "-" + digits)
    default:
      guard let number = value.asInt else {
        throw typeError("bad operand type for unary -: '\(value.typeName)'")
      }
      if number == .min { throw overflow() }
      return .int(-number)
    }
  }

  func positive(_ value: Value) throws(TemplateComplaint) -> Value {
    switch value {
    case .undefined(let undefined): throw typeError(undefined.message)
    case .float, .bigInt: return value
    default:
      guard let number = value.asInt else {
        throw typeError("bad operand type for unary +: '\(value.typeName)'")
      }
      return .int(number)
    }
  }
}
