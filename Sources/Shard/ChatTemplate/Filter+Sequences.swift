/// Filters that walk a sequence.
extension Interpreter {
  mutating func applySequential(
    _ filter: Filter, to value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    switch filter {
    case .list: return try list(try elements(of: value))
    case .join: return .text(try joined(value, arguments))
    case .first: return try first(value)
    case .last: return try last(value)
    case .reverse: return try reversed(value)
    case .dictsort: return try dictSorted(value, arguments)
    case .sort:
      let bound = try bind(
        arguments, to: ["reverse", "case_sensitive", "attribute"], of: "sort")
      let elements = try elements(of: value)
      let keys = try keys(
        of: elements, bound[2], ignoresCase: !(bound[1].map(isTrue) ?? false), mayBeMany: true)
      return try list(
        try sorted(elements, by: keys, descending: bound[0].map(isTrue) ?? false))
    case .min, .max: return try extreme(filter == .max, of: value, arguments)
    case .unique: return try unique(value, arguments)
    case .groupby: return try grouped(value, arguments)
    case .sum: return try sum(value, arguments)
    case .map: return try mapped(value, arguments)
    case .select, .reject, .selectattr, .rejectattr:
      return try selected(filter, value, arguments)
    case .batch: return try batched(value, arguments)
    default: return try sliced(value, arguments)
    }
  }

  // MARK: Attributes of elements

  /// `a.b.0`: names and indices, one after the other.
  private struct Path {
    var parts: [Value] = []

    init(_ attribute: Value) {
      guard case .text(let text) = attribute else {
        parts = [attribute]
        return
      }
      for part in text.split(by: [UInt8(ascii: ".")], limit: .max) {
        if part.all(\.isPythonDecimal), let index = Int(part.string) {
          parts.append(.int(index))
        } else {
          parts.append(.text(part))
        }
      }
    }
  }

  private mutating func follow(
    _ path: Path, from start: Value, default fallback: Value? = nil
  ) throws(TemplateComplaint) -> Value {
    var value = start
    for part in path.parts {
      value = try item(value, part)
      if let fallback, case .undefined = value { value = fallback }
    }
    return value
  }

  private mutating func caseIgnored(_ value: Value) throws(TemplateComplaint) -> Value {
    guard case .text(let text) = value else { return value }
    try make(bytes: text.count)
    if !text.isASCII { try walk(bytes: text.count) }
    return .text(text.lowercased())
  }

  /// What elements are compared by: themselves, or an attribute; several with commas.
  private mutating func keys(
    of elements: [Value], _ attribute: Value?, ignoresCase: Bool, mayBeMany: Bool = false,
    default fallback: Value? = nil
  ) throws(TemplateComplaint) -> [Value] {
    var paths: [Path] = []
    if mayBeMany, case .text(let text)? = attribute {
      for part in text.split(by: [UInt8(ascii: ",")], limit: .max) {
        paths.append(Path(.text(part)))
      }
    } else if let attribute, attribute.isGiven {
      paths = [Path(attribute)]
    }
    var keys: [Value] = []
    for element in elements {
      try spend()
      var parts: [Value] = []
      for path in paths {
        let key = try follow(path, from: element, default: fallback)
        parts.append(ignoresCase ? try caseIgnored(key) : key)
      }
      if parts.isEmpty { parts = [ignoresCase ? try caseIgnored(element) : element] }
      // As a list even when it is one: equal parts of lists need no order, undefined ones too.
      keys.append(mayBeMany ? .list(try items(parts)) : parts[0])
    }
    return keys
  }

  // MARK: Order

  private mutating func dictSorted(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["case_sensitive", "by", "reverse"], of: "dictsort")
    guard case .dict(let dict) = value else {
      if case .undefined(let undefined) = value { throw typeError(undefined.message) }
      throw typeError("'\(value.typeName)' object has no attribute 'items'")
    }
    var by = "key"
    if case .text(let text)? = bound[1] { by = text.string }
    guard by == "key" || by == "value" else {
      throw typeError("You can only sort by either \"key\" or \"value\"")
    }
    try make(elements: 3 * dict.count)
    let keys = try keys(
      of: by == "key" ? dict.keys : dict.values, nil,
      ignoresCase: !(bound[0].map(isTrue) ?? false))
    return try list(
      try sorted(dict.items, by: keys, descending: bound[2].map(isTrue) ?? false))
  }

  private mutating func extreme(
    _ wantsMaximum: Bool, of value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["case_sensitive", "attribute"], of: "min")
    let elements = try elements(of: value)
    guard !elements.isEmpty else {
      return .undefined(Undefined(message: "No aggregated item, sequence was empty."))
    }
    let keys = try keys(of: elements, bound[1], ignoresCase: !(bound[0].map(isTrue) ?? false))
    var best = 0
    for place in elements.indices.dropFirst() {
      let isBetter =
        wantsMaximum
        ? try isLess(keys[best], keys[place]) : try isLess(keys[place], keys[best])
      if isBetter { best = place }
    }
    return elements[best]
  }

  private mutating func unique(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["case_sensitive", "attribute"], of: "unique")
    let elements = try elements(of: value)
    let keys = try keys(of: elements, bound[1], ignoresCase: !(bound[0].map(isTrue) ?? false))
    var seen: Set<DictKey> = []
    var unique: [Value] = []
    for (element, key) in zip(elements, keys) where seen.insert(try hashed(key)).inserted {
      unique.append(element)
    }
    return try generator(unique)
  }

  private mutating func grouped(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["attribute", "default", "case_sensitive"], of: "groupby")
    guard let attribute = bound[0] else { throw typeError("groupby needs an attribute") }
    let elements = try elements(of: value)
    let ignoresCase = !(bound[2].map(isTrue) ?? false)
    let fallback = bound[1].flatMap { $0.isGiven ? $0 : nil }
    let keys = try keys(
      of: elements, attribute, ignoresCase: ignoresCase, default: fallback)
    let places = try sorted(
      elements.indices.map { .int($0) }, by: keys, descending: false)
    var groups: [Value] = []
    var members: [Value] = []
    var key: Value?
    for place in places {
      guard case .int(let place) = place else { continue }
      if let open = key, !(try areEqual(open, keys[place])) {
        groups.append(try group(members, attribute, fallback))
        members = []
      }
      key = keys[place]
      members.append(elements[place])
    }
    if !members.isEmpty { groups.append(try group(members, attribute, fallback)) }
    return try list(groups)
  }

  /// The group's name is written as its first member has it.
  private mutating func group(
    _ members: [Value], _ attribute: Value, _ fallback: Value?
  ) throws(TemplateComplaint) -> Value {
    let name = try follow(Path(attribute), from: members[0], default: fallback)
    return .tuple(try items([name, try list(members)]))
  }

  private mutating func reversed(_ value: Value) throws(TemplateComplaint) -> Value {
    switch value {
    case .text(let text):
      try make(bytes: text.count)
      try walk(bytes: text.count)
      var reversed = MarkedText()
      var place = text.count
      while place > 0 {
        let start = text.scalar(before: place).start
        reversed.append(text, start..<place)
        place = start
      }
      reversed.isMarkup = text.isMarkup
      return .text(reversed)
    default: return try generator(try elements(of: value).reversed())
    }
  }

  // MARK: One of many

  private mutating func first(_ value: Value) throws(TemplateComplaint) -> Value {
    let found: Value?
    switch value {
    case .text(let text):
      found = text.isEmpty ? nil : .text(text.plain.part(0..<text.scalar(at: 0).next))
    case .generator(let generator): found = generator.next()
    default: found = try elements(of: value).first
    }
    return found ?? .undefined(Undefined(message: "No first item, sequence was empty."))
  }

  private mutating func last(_ value: Value) throws(TemplateComplaint) -> Value {
    let found: Value?
    switch value {
    case .text(let text):
      found =
        text.isEmpty
        ? nil : .text(text.plain.part(text.scalar(before: text.count).start..<text.count))
    case .generator: throw typeError("'generator' object is not reversible")
    default: found = try elements(of: value).last
    }
    return found ?? .undefined(Undefined(message: "No last item, sequence was empty."))
  }

  private mutating func joined(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> MarkedText {
    let bound = try bind(arguments, to: ["d", "attribute"], of: "join")
    let separator = try bound[0].map { (value) throws(TemplateComplaint) in try shown(value) }
    let path = bound[1].flatMap { $0.isGiven ? Path($0) : nil }
    var parts: [Value] = []
    for element in try elements(of: value) {
      try spend()
      let part = try path.map { (path) throws(TemplateComplaint) in
        try follow(path, from: element)
      }
      parts.append(.text(try shown(part ?? element)))
    }
    return try join(parts, with: separator ?? MarkedText())
  }

  private mutating func sum(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["attribute", "start"], of: "sum")
    var total = bound[1] ?? .int(0)
    if case .text = total { throw typeError("sum() can't sum strings [use ''.join(seq) instead]") }
    let path = bound[0].flatMap { $0.isGiven ? Path($0) : nil }
    for element in try elements(of: value) {
      try spend()
      let part = try path.map { (path) throws(TemplateComplaint) in
        try follow(path, from: element)
      }
      total = try compute(.add, total, part ?? element)
    }
    return total
  }

  // MARK: Other filters and tests on each

  private mutating func mapped(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    guard isTrue(value) else { return try generator([]) }
    var given = arguments
    var results: [Value] = []
    if given.positional.isEmpty, let attribute = given.takeKeyword("attribute") {
      let fallback = given.takeKeyword("default").flatMap { $0.isGiven ? $0 : nil }
      if let extra = given.keywords.first {
        throw typeError("Unexpected keyword argument '\(extra.name)'")
      }
      let path = Path(attribute)
      for element in try elements(of: value) {
        results.append(try follow(path, from: element, default: fallback))
      }
      return try generator(results)
    }
    guard case .text(let name)? = given.positional.first else {
      throw typeError("map requires a filter argument")
    }
    guard let filter = Filter(rawValue: name.string) else {
      throw complaint(.unsupported, "the filter '\(name.string)'")
    }
    given.positional.removeFirst()
    try enter()
    for element in try elements(of: value) {
      try spend()
      results.append(try apply(filter, to: element, given))
    }
    leave()
    return try generator(results)
  }

  private mutating func selected(
    _ filter: Filter, _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    guard isTrue(value) else { return try generator([]) }
    var given = arguments
    var path: Path?
    if filter == .selectattr || filter == .rejectattr {
      guard let attribute = given.positional.first else {
        throw typeError("Missing parameter for attribute name")
      }
      path = Path(attribute)
      given.positional.removeFirst()
    }
    var test: Test?
    if let name = given.positional.first {
      let name = try shown(name).string
      guard let known = Test(rawValue: name) else {
        throw complaint(.unsupported, "the test '\(name)'")
      }
      test = known
      given.positional.removeFirst()
    }
    let wanted = filter == .select || filter == .selectattr
    var results: [Value] = []
    for element in try elements(of: value) {
      try spend()
      let subject =
        try path.map { (path) throws(TemplateComplaint) in try follow(path, from: element) }
        ?? element
      let holds =
        try test.map { (test) throws(TemplateComplaint) in
          try self.holds(test, of: subject, given)
        } ?? isTrue(subject)
      if holds == wanted { results.append(element) }
    }
    return try generator(results)
  }

  // MARK: Parts

  private mutating func batched(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["linecount", "fill_with"], of: "batch")
    guard let size = bound[0]?.asInt, size > 0 else { throw typeError("batch needs a size") }
    var batches: [Value] = []
    var batch: [Value] = []
    for element in try elements(of: value) {
      if batch.count == size {
        batches.append(try list(batch))
        batch = []
      }
      batch.append(element)
    }
    if !batch.isEmpty {
      if let fill = bound[1], fill.isGiven, batch.count < size {
        try make(elements: size - batch.count)
        batch += repeatElement(fill, count: size - batch.count)
      }
      batches.append(try list(batch))
    }
    return try generator(batches)
  }

  private mutating func sliced(
    _ value: Value, _ arguments: Arguments
  ) throws(TemplateComplaint) -> Value {
    let bound = try bind(arguments, to: ["slices", "fill_with"], of: "slice")
    let elements = try elements(of: value)
    guard let count = bound[0]?.asInt, count > 0 else { throw typeError("slice needs a count") }
    try make(elements: count)
    let size = elements.count / count
    let longer = elements.count % count
    var slices: [Value] = []
    var start = 0
    for place in 0..<count {
      let end = start + size + (place < longer ? 1 : 0)
      var slice = Array(elements[start..<end])
      if let fill = bound[1], fill.isGiven, place >= longer { slice.append(fill) }
      slices.append(try list(slice))
      start = end
    }
    return try generator(slices)
  }
}

extension Value {
  /// Not None, which stands for an argument that was left out.
  fileprivate var isGiven: Bool {
    if case .none = self { return false }
    return true
  }
}
