/// What Python does with values whatever they are: truth, equality, order, membership, iteration.
extension Interpreter {
  func isTrue(_ value: Value) -> Bool {
    switch value {
    case .undefined, .none: false
    case .bool(let flag): flag
    case .int(let number): number != 0
    case .float(let number): number != 0
    case .text(let text): !text.isEmpty
    case .list(let items), .tuple(let items): items.count > 0
    case .dict(let dict): dict.count > 0
    case .range(let range): range.count > 0
    case .view(let view): view.dict.count > 0
    case .bigInt, .generator, .namespace, .loop, .macro, .function, .method: true
    }
  }

  // MARK: Equality

  mutating func areEqual(_ left: Value, _ right: Value) throws(TemplateComplaint) -> Bool {
    try spend()
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.text(let left), .text(let right)):
      try read(bytes: min(left.count, right.count))
      return left.bytes == right.bytes
    case (.bigInt(let left), .bigInt(let right)): return left == right
    case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
      guard left.count == right.count else { return false }
      for (left, right) in zip(left.values, right.values) {
        if !(try areEqual(left, right)) { return false }
      }
      return true
    case (.dict(let left), .dict(let right)):
      guard left.count == right.count else { return false }
      for (key, value) in zip(left.keys, left.values) {
        guard let key = DictKey(key), let other = right[key] else { return false }
        if !(try areEqual(value, other)) { return false }
      }
      return true
    case (.range(let left), .range(let right)):
      return left.count == right.count
        && (left.count == 0
          || left.start == right.start && (left.count == 1 || left.step == right.step))
    case (.namespace(let left), .namespace(let right)): return left === right
    case (.macro(let left), .macro(let right)): return left === right
    case (.loop(let left), .loop(let right)): return left === right
    case (.generator(let left), .generator(let right)): return left === right
    case (.function(let left), .function(let right)): return left == right
    default:
      guard let left = left.asNumber, let right = right.asNumber else { return false }
      return left == right
    }
  }

  // MARK: Order

  mutating func holds(
    _ operation: Comparison.Operation, _ left: Value, _ right: Value
  ) throws(TemplateComplaint) -> Bool {
    switch operation {
    case .equal: return try areEqual(left, right)
    case .notEqual: return !(try areEqual(left, right))
    case .isIn: return try contains(right, left)
    case .isNotIn: return !(try contains(right, left))
    case .less: return try isLess(left, right, "<")
    case .greater: return try isLess(right, left, ">")
    case .lessOrEqual: return try isLess(left, right, "<=", orEqual: true)
    case .greaterOrEqual: return try isLess(right, left, ">=", orEqual: true)
    }
  }

  /// Left before right. `sign` is for the complaint; where it points right, the sides are swapped.
  mutating func isLess(
    _ left: Value, _ right: Value, _ sign: String = "<", orEqual: Bool = false
  ) throws(TemplateComplaint) -> Bool {
    try spend()
    switch (left, right) {
    case (.undefined(let undefined), _), (_, .undefined(let undefined)):
      throw typeError(undefined.message)
    case (.text(let left), .text(let right)):
      try read(bytes: min(left.count, right.count))
      // The order of UTF-8's bytes is that of the code points.
      return orEqual
        ? !right.bytes.lexicographicallyPrecedes(left.bytes)
        : left.bytes.lexicographicallyPrecedes(right.bytes)
    case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
      for (left, right) in zip(left.values, right.values) {
        if !(try areEqual(left, right)) { return try isLess(left, right, sign, orEqual: orEqual) }
      }
      return orEqual ? left.count <= right.count : left.count < right.count
    default: break
    }
    guard let leftNumber = left.asNumber, let rightNumber = right.asNumber else {
      let (first, second) = sign.first == ">" ? (right, left) : (left, right)
      throw typeError(
        "'\(sign)' not supported between instances of '\(first.typeName)' and"
          + " '\(second.typeName)'")
    }
    return orEqual ? leftNumber <= rightNumber : leftNumber < rightNumber
  }

  /// Sorted by keys, equal ones in their order.
  mutating func sorted(
    _ values: [Value], by keys: [Value], descending: Bool
  ) throws(TemplateComplaint) -> [Value] {
    try make(elements: values.count)
    var places = Array(values.indices)
    var width = 1
    while width < places.count {
      var merged: [Int] = []
      merged.reserveCapacity(places.count)
      var start = 0
      while start < places.count {
        let middle = min(start + width, places.count)
        let end = min(start + 2 * width, places.count)
        var left = start
        var right = middle
        while left < middle, right < end {
          let takesRight =
            descending
            ? try isLess(keys[places[left]], keys[places[right]])
            : try isLess(keys[places[right]], keys[places[left]])
          if takesRight {
            merged.append(places[right])
            right += 1
          } else {
            merged.append(places[left])
            left += 1
          }
        }
        merged += places[left..<middle]
        merged += places[right..<end]
        start = end
      }
      places = merged
      width *= 2
    }
    return places.map { values[$0] }
  }

  // MARK: Membership and iteration

  mutating func contains(
    _ whole: Value, _ part: Value
  ) throws(TemplateComplaint) -> Bool {
    switch whole {
    case .text(let text):
      guard case .text(let needle) = part else {
        throw typeError(
          "'in <string>' requires string as left operand, not \(part.typeName)")
      }
      try search(bytes: text.count + needle.count)
      return text.contains(needle.bytes)
    case .dict(let dict): return dict[try hashed(part)] != nil
    case .view(let view) where view.kind == .keys: return view.dict[try hashed(part)] != nil
    case .range(let range):
      if let number = part.asInt { return range.contains(number) }
      if case .float(let number) = part, let whole = Int(exactly: number) {
        return range.contains(whole)
      }
      return false
    case .list(let items), .tuple(let items):
      for value in items.values where try areEqual(value, part) { return true }
      return false
    case .undefined: return false
    case .view, .generator:
      for value in try elements(of: whole) where try areEqual(value, part) { return true }
      return false
    case .none, .bool, .int, .bigInt, .float, .namespace, .loop, .macro, .function, .method:
      throw typeError("argument of type '\(whole.typeName)' is not iterable")
    }
  }

  /// What a loop over the value walks through.
  mutating func elements(
    of value: Value, purpose: String? = nil
  ) throws(TemplateComplaint) -> [Value] {
    switch value {
    case .undefined: return []
    case .list(let items), .tuple(let items): return items.values
    case .dict(let dict): return dict.keys
    case .view(let view):
      try make(elements: view.dict.count)
      return view.values
    case .generator(let generator): return generator.takeAll()
    case .range(let range):
      try make(elements: range.count)
      return (0..<range.count).map { .int(range.element($0)) }
    case .text(let text):
      // Each character is a text with memory of its own.
      let count = text.scalarCount
      try walk(bytes: text.count)
      try make(elements: 3 * count)
      return text.plain.characters.map { .text($0) }
    case .none, .bool, .int, .bigInt, .float, .namespace, .loop, .macro, .function, .method:
      throw typeError(
        purpose.map { "cannot \($0) \(value.typeName) object" }
          ?? "'\(value.typeName)' object is not iterable")
    }
  }

  func isIterable(_ value: Value) -> Bool {
    switch value {
    case .undefined, .list, .tuple, .dict, .view, .generator, .range, .text, .loop: true
    case .none, .bool, .int, .bigInt, .float, .namespace, .macro, .function, .method: false
    }
  }

  /// `len`.
  mutating func length(_ value: Value) throws(TemplateComplaint) -> Int {
    switch value {
    case .undefined: return 0
    case .text(let text):
      try read(bytes: text.count)
      return text.scalarCount
    case .list(let items), .tuple(let items): return items.count
    case .dict(let dict): return dict.count
    case .view(let view): return view.dict.count
    case .range(let range): return range.count
    case .loop(let loop): return try length(of: loop)
    case .none, .bool, .int, .bigInt, .float, .generator, .namespace, .macro, .function, .method:
      throw typeError("object of type '\(value.typeName)' has no len()")
    }
  }
}

/// A number of either kind; a truth value is 0 or 1.
enum Number {
  case int(Int)
  case float(Double)

  var double: Double {
    switch self {
    case .int(let number): Double(number)
    case .float(let number): number
    }
  }

  static func == (left: Number, right: Number) -> Bool {
    switch (left, right) {
    case (.int(let left), .int(let right)): left == right
    // Exactly, and not as two doubles: 2^53 + 1 is not 2^53.
    case (.int(let whole), .float(let number)), (.float(let number), .int(let whole)):
      Int(exactly: number) == whole
    case (.float(let left), .float(let right)): left == right
    }
  }

  static func < (left: Number, right: Number) -> Bool {
    if case .int(let left) = left, case .int(let right) = right { return left < right }
    return left.double < right.double
  }

  static func <= (left: Number, right: Number) -> Bool {
    if case .int(let left) = left, case .int(let right) = right { return left <= right }
    return left.double <= right.double
  }
}

extension Value {
  /// Whole numbers and truth values.
  var asInt: Int? {
    switch self {
    case .int(let number): number
    case .bool(let flag): flag ? 1 : 0
    default: nil
    }
  }

  var asNumber: Number? {
    switch self {
    case .int(let number): .int(number)
    case .bool(let flag): .int(flag ? 1 : 0)
    case .float(let number): .float(number)
    case .bigInt(let digits): .float(Double(digits) ?? .infinity)
    default: nil
    }
  }
}
