/// A dict of Python: keys in the order in which they came.
struct Dict {
  private(set) var keys: [Value] = []
  private(set) var values: [Value] = []
  private(set) var depth = 1
  /// Only beyond a few members: for those a walk is faster.
  private var index: [DictKey: Int] = [:]
  private var hashes: [DictKey] = []

  private static let walkedCount = 8

  init() {}

  var count: Int { keys.count }

  var items: [Value] {
    (0..<count).map { .tuple(Items([keys[$0], values[$0]])) }
  }

  func place(of key: DictKey) -> Int? {
    if count > Self.walkedCount { return index[key] }
    return hashes.firstIndex(of: key)
  }

  subscript(_ key: DictKey) -> Value? { place(of: key).map { values[$0] } }

  /// The member of this name.
  subscript(_ name: String) -> Value? { self[.text(Array(name.utf8))] }

  /// An equal key that is there keeps its place, and the key as it was.
  mutating func set(_ key: DictKey, _ shown: Value, to value: Value) {
    depth = max(depth, value.depth + 1, shown.depth + 1)
    if let place = place(of: key) {
      values[place] = value
      return
    }
    keys.append(shown)
    values.append(value)
    hashes.append(key)
    if count == Self.walkedCount + 1 {
      for (place, key) in hashes.enumerated() { index[key] = place }
    } else if count > Self.walkedCount {
      index[key] = count - 1
    }
  }

  mutating func set(_ name: String, to value: Value) {
    let text = MarkedText(name)
    set(.text(text.bytes), .text(text), to: value)
  }

  /// Breaks what refers to itself, when a rendering ends.
  mutating func removeAll() { self = Dict() }
}

/// What makes two keys the same: 1, 1.0 and true are, as in Python.
enum DictKey: Hashable {
  case undefined
  case none
  case int(Int)
  case bigInt(String)
  case float(Double)
  case text([UInt8])
  case tuple([DictKey])
  case object(ObjectIdentifier)

  /// Nil where Python says "unhashable".
  init?(_ value: Value) {
    switch value {
    case .undefined: self = .undefined
    case .none: self = .none
    case .bool(let flag): self = .int(flag ? 1 : 0)
    case .int(let number): self = .int(number)
    case .bigInt(let digits): self = .bigInt(digits)
    case .float(let number):
      if let whole = Int(exactly: number) { self = .int(whole) } else { self = .float(number) }
    case .text(let text): self = .text(text.bytes)
    case .tuple(let items):
      var keys: [DictKey] = []
      for value in items.values {
        guard let key = DictKey(value) else { return nil }
        keys.append(key)
      }
      self = .tuple(keys)
    case .macro(let macro): self = .object(ObjectIdentifier(macro))
    case .namespace(let namespace): self = .object(ObjectIdentifier(namespace))
    case .loop(let loop): self = .object(ObjectIdentifier(loop))
    case .generator(let generator): self = .object(ObjectIdentifier(generator))
    case .list, .dict, .range, .view, .function, .method: return nil
    }
  }
}
