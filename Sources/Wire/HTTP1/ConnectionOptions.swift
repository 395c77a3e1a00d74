import HTTP

/// What the `Connection` fields of a head ask for.
struct ConnectionOptions {
  var close = false
  var keepAlive = false
  var upgrade = false

  /// Names besides the usual ones that `Connection` may list. Each costs a walk over the fields, so
  /// a list without end would be an attack; honest ones name one or two.
  static let namesLimit = 16
}

extension FieldList {
  /// Reads all `Connection` fields and marks the fields that they name. nil when one is malformed.
  mutating func connectionOptions(_ base: UnsafeRawPointer) -> ConnectionOptions? {
    var options = ConnectionOptions()
    var names = 0
    for index in 0..<count where storage[index].known == .connection {
      var list = TokenList(base, storage[index].value)
      while let token = list.next() {
        guard let token else { return nil }
        let text = base + Int(token.start)
        let length = Int(token.count)
        if ByteScan.equal(text, length, "close") {
          options.close = true
        } else if ByteScan.equal(text, length, "keep-alive") {
          options.keepAlive = true
        } else if ByteScan.equal(text, length, "upgrade") {
          options.upgrade = true
        } else if KnownField.find(text, length) == .other {
          names += 1
          if names > ConnectionOptions.namesLimit { return nil }
          nominate(base, token)
        }
        // Known fields are either dropped anyway or may not be named: see below.
      }
    }
    return options
  }

  /// Marks the fields with this name. Only fields that we do not know can be named: of the known
  /// ones, those that concern the connection are dropped anyway, and dropping the others would
  /// change whom a request is for, what it may do, or where its body ends.
  private mutating func nominate(_ base: UnsafeRawPointer, _ name: ByteRange) {
    for index in 0..<count
    where storage[index].known == .other && storage[index].name.count == name.count {
      let text = base + Int(storage[index].name.start)
      var isSame = true
      for offset in 0..<Int(name.count) {
        let a = text[offset]
        let b = base[Int(name.start) + offset]
        if a != b, a ^ b != 0x20 || !ByteScan.isLetter(a) {
          isSame = false
          break
        }
      }
      if isSame {
        storage[index].isNominated = true
        hasNominated = true
      }
    }
  }
}

/// Walks a comma-separated list of tokens. Empty elements are skipped, as RFC 9110, 5.6.1 asks.
struct TokenList {
  private let base: UnsafeRawPointer
  private var position: Int
  private let end: Int

  init(_ base: UnsafeRawPointer, _ value: ByteRange) {
    self.base = base
    position = Int(value.start)
    end = Int(value.end)
  }

  /// The next token; `.some(nil)` for an element that is none; nil at the end.
  mutating func next() -> ByteRange?? {
    while position < end,
      base[position] == 0x2c || base[position] == ByteScan.space || base[position] == ByteScan.tab
    {
      position += 1
    }
    guard position < end else { return nil }
    let start = position
    while position < end, ByteScan.isToken(base[position]) { position += 1 }
    let tokenEnd = position
    while position < end, base[position] == ByteScan.space || base[position] == ByteScan.tab {
      position += 1
    }
    guard tokenEnd > start, position == end || base[position] == 0x2c else { return .some(nil) }
    return ByteRange(start, tokenEnd)
  }
}
