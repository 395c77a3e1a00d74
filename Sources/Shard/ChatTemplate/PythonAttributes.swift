/// The attributes that Python's types have. A dict's member of the same name is hidden by them in
/// `dict.name`, as in jinja2, so their names matter even where nobody calls them.
enum PythonAttributes {
  static let text: Set<String> = [
    "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "find",
    "format", "format_map", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit",
    "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper",
    "join", "ljust", "lower", "lstrip", "maketrans", "partition", "removeprefix",
    "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip",
    "split", "splitlines", "startswith", "strip", "swapcase", "title", "translate", "upper",
    "zfill",
  ]
  static let markup: Set<String> = ["escape", "unescape", "striptags"]
  static let list: Set<String> = ["copy", "count", "index"]
  static let listChanging: Set<String> = [
    "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
  ]
  static let tuple: Set<String> = ["count", "index"]
  static let dict: Set<String> = ["copy", "fromkeys", "get", "items", "keys", "values"]
  static let dictChanging: Set<String> = ["clear", "pop", "popitem", "setdefault", "update"]
  static let int: Set<String> = [
    "as_integer_ratio", "bit_count", "bit_length", "conjugate", "from_bytes", "to_bytes",
  ]
  static let float: Set<String> = [
    "as_integer_ratio", "conjugate", "fromhex", "hex", "is_integer",
  ]
}

extension Interpreter {
  /// What Python's `getattr` finds, but only what the sandbox allows: nil where there is nothing.
  mutating func pythonAttribute(
    _ name: String, of value: Value
  ) throws(TemplateComplaint) -> Value? {
    switch value {
    case .undefined(let undefined): throw typeError(undefined.message)
    case .text(let text):
      if PythonAttributes.text.contains(name)
        || text.isMarkup && PythonAttributes.markup.contains(name)
      {
        return .method(Method(value, name))
      }
    case .list:
      if PythonAttributes.list.contains(name) { return .method(Method(value, name)) }
      if PythonAttributes.listChanging.contains(name) { return unsafe(name, of: value) }
    case .tuple:
      if PythonAttributes.tuple.contains(name) { return .method(Method(value, name)) }
    case .dict:
      if PythonAttributes.dict.contains(name) { return .method(Method(value, name)) }
      if PythonAttributes.dictChanging.contains(name) { return unsafe(name, of: value) }
    case .namespace(let namespace): return namespace.members[name]
    case .loop(let loop): return try loopAttribute(name, of: loop)
    case .range(let range):
      switch name {
      case "start": return .int(range.start)
      case "stop": return .int(range.stop)
      case "step": return .int(range.step)
      case "count", "index": return .method(Method(value, name))
      default: break
      }
    case .bool, .int:
      switch name {
      case "real", "numerator": return .int(value.asInt ?? 0)
      case "imag": return .int(0)
      case "denominator": return .int(1)
      default: if PythonAttributes.int.contains(name) { return .method(Method(value, name)) }
      }
    case .float:
      switch name {
      case "real": return value
      case "imag": return .float(0)
      default: if PythonAttributes.float.contains(name) { return .method(Method(value, name)) }
      }
    case .macro(let macro):
      if name == "name" { return .text(macro.definition.name) }
    case .none, .bigInt, .view, .generator, .function, .method: break
    }
    return nil
  }

  private mutating func loopAttribute(
    _ name: String, of loop: Loop
  ) throws(TemplateComplaint) -> Value? {
    switch name {
    case "index": return .int(loop.index0 + 1)
    case "index0": return .int(loop.index0)
    case "first": return .bool(loop.index0 == 0)
    case "last": return .bool(try peek(loop) == nil)
    case "length": return .int(try length(of: loop))
    case "revindex": return .int(try length(of: loop) - loop.index0)
    case "revindex0": return .int(try length(of: loop) - loop.index0 - 1)
    case "depth": return .int(loop.level + 1)
    case "depth0": return .int(loop.level)
    case "previtem":
      return loop.before ?? .undefined(Undefined(message: "there is no previous item"))
    case "nextitem":
      return try peek(loop) ?? .undefined(Undefined(message: "there is no next item"))
    case "cycle", "changed": return .method(Method(.loop(loop), name))
    default: return nil
    }
  }
}
