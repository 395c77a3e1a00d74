/// A value of the template's language: what Python's would be.
///
/// Lists and dicts are values that nobody changes, as in jinja2's immutable sandbox; only a
/// namespace changes. Not Sendable on purpose: it lives within one rendering.
enum Value {
  case undefined(Undefined)
  case none
  case bool(Bool)
  case int(Int)
  /// A whole number of JSON beyond 64 bits, as its digits: printed and compared, never computed.
  case bigInt(String)
  case float(Double)
  case text(MarkedText)
  case list(Items)
  case tuple(Items)
  case dict(Dict)
  case range(PythonRange)
  /// `dict.keys()`, `.values()` and `.items()`.
  case view(DictView)
  case generator(Generator)
  case namespace(Namespace)
  case loop(Loop)
  case macro(Macro)
  case function(Builtin)
  case method(Method)

  var isText: Bool {
    if case .text = self { return true }
    return false
  }

  static func text(_ text: String) -> Value { .text(MarkedText(text)) }

  /// How many lists lie within each other here, at most. Bounds all recursion over values, and
  /// the recursion by which nested memory is freed.
  var depth: Int {
    switch self {
    case .undefined, .none, .bool, .int, .bigInt, .float, .text, .range, .function, .macro,
      .namespace:
      0
    case .list(let items), .tuple(let items): items.depth
    case .dict(let dict): dict.depth
    case .view(let view): view.dict.depth + 1
    case .generator(let generator): generator.depth
    case .loop(let loop): loop.depth
    case .method(let method): method.receiver.depth + 1
    }
  }

  /// The name of Python's type, as its messages say it.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .bool: "bool"
    case .int, .bigInt: "int"
    case .float: "float"
    case .text(let text): text.isMarkup ? "Markup" : "str"
    case .list: "list"
    case .tuple: "tuple"
    case .dict: "dict"
    case .range: "range"
    case .view(let view): view.kind.rawValue
    case .generator: "generator"
    case .namespace: "Namespace"
    case .loop: "LoopContext"
    case .macro: "Macro"
    case .function: "function"
    case .method: "builtin_function_or_method"
    }
  }
}

/// A name or member that is not there. False, prints as nothing, and complains when used.
struct Undefined {
  /// What to say when it is used.
  let message: String
}

/// The elements of a list or tuple, with their depth.
struct Items {
  let values: [Value]
  let depth: Int

  init(_ values: [Value]) {
    self.values = values
    var deepest = 0
    for value in values { deepest = max(deepest, value.depth) }
    depth = deepest + 1
  }

  var count: Int { values.count }
}

/// Integers from `start`, `count` of them.
struct PythonRange {
  let start: Int
  let stop: Int
  let step: Int
  let count: Int

  func element(_ index: Int) -> Int { start + index * step }

  func contains(_ number: Int) -> Bool {
    if count <= 1 { return count == 1 && number == start }
    let distance = number.subtractingReportingOverflow(start)
    let index = distance.partialValue.dividedReportingOverflow(by: step)
    if distance.overflow || index.overflow { return false }
    return (0..<count).contains(index.partialValue) && element(index.partialValue) == number
  }
}

struct DictView {
  enum Kind: String {
    case keys = "dict_keys"
    case values = "dict_values"
    case items = "dict_items"
  }

  let kind: Kind
  let dict: Dict

  var values: [Value] {
    switch kind {
    case .keys: dict.keys
    case .values: dict.values
    case .items: dict.items
    }
  }
}

/// What filters such as `map` return: always true, without a length, to be walked once.
///
/// The elements are known from the beginning; jinja2 finds them while walking, which shows only
/// where finding one fails.
final class Generator {
  private var left: ArraySlice<Value>
  let depth: Int

  init(_ values: [Value]) {
    left = values[...]
    depth = Items(values).depth
  }

  func takeAll() -> [Value] {
    defer { left = [] }
    return Array(left)
  }

  func next() -> Value? { left.popFirst() }
}

/// `namespace()`: the one value whose members change.
final class Namespace {
  var members: Dict
  /// While it is printed.
  var isBeingShown = false

  init(_ members: Dict) { self.members = members }
}

/// A method taken from a value, called or not.
final class Method {
  let receiver: Value
  let name: String

  init(_ receiver: Value, _ name: String) {
    self.receiver = receiver
    self.name = name
  }
}

/// What every template may call.
enum Builtin: String, CaseIterable {
  case range
  case dict
  case namespace
  case raiseException = "raise_exception"
  case strftimeNow = "strftime_now"
  case cycler
  case joiner
  case lipsum
}

/// A macro with the scope that it was defined in.
final class Macro {
  let definition: MacroDefinition
  let scope: Scope

  init(_ definition: MacroDefinition, in scope: Scope) {
    self.definition = definition
    self.scope = scope
  }
}
