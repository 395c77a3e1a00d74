/// A head read in the plainest way there is, to hold what the parsers accept against. Knows nothing
/// of them, and is as slow as it likes.
struct PlainHead {
  var startLine: [UInt8]
  var fields: [(name: String, value: [UInt8])] = []

  /// - Parameter bytes: from the start line to the empty line.
  init(_ bytes: some Sequence<UInt8>) throws {
    var lines: [[UInt8]] = [[]]
    var last: UInt8 = 0
    for byte in bytes {
      try require(byte != 0, "a NUL stands in a head")
      if byte == 0x0a {
        try require(last == 0x0d, "a LF stands alone in a head")
        lines[lines.count - 1].removeLast()
        lines.append([])
      } else {
        try require(last != 0x0d, "a CR stands alone in a head")
        lines[lines.count - 1].append(byte)
      }
      last = byte
    }
    try require(lines.popLast() == [] && lines.popLast() == [], "a head has no end")
    try require(!lines.isEmpty, "a head has no start line")
    startLine = lines.removeFirst()
    for line in lines {
      guard let colon = line.firstIndex(of: 0x3a) else { throw BrokenRule("a line has no colon") }
      let name = line[..<colon]
      try require(
        !name.isEmpty && name.allSatisfy(Self.isToken),
        "the name of a field is no token: \(spelled(line))")
      var value = line[(colon + 1)...]
      while value.first == 0x20 || value.first == 0x09 { value.removeFirst() }
      while value.last == 0x20 || value.last == 0x09 { value.removeLast() }
      try require(
        value.allSatisfy { $0 == 0x09 || $0 >= 0x20 && $0 != 0x7f },
        "a control byte stands in a value: \(spelled(line))")
      fields.append((String(decoding: name, as: UTF8.self).lowercased(), Array(value)))
    }
  }

  static func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }

  /// All values of a field, which is named in lower case.
  subscript(_ name: String) -> [[UInt8]] { fields.filter { $0.name == name }.map(\.value) }

  /// Lines in an order of their own, names in lower case: what is left when order does not matter.
  var sorted: [String] { fields.map { "\($0.name): \(spelled($0.value))" }.sorted() }

  /// What the fields say about the end of the body; throws when they say more than one thing.
  func framing() throws -> PlainFraming {
    let lengths = self["content-length"]
    let codings = self["transfer-encoding"]
    try require(lengths.count + codings.count <= 1, "two fields say where the body ends")
    if let coding = codings.first {
      let text = String(decoding: coding, as: UTF8.self).lowercased()
      try require(text == "chunked", "a coding that is not chunked was accepted: \(text)")
      return .chunked
    }
    guard let length = lengths.first else { return .nothing }
    let text = String(decoding: length, as: UTF8.self)
    guard let number = UInt64(text), String(number) == text else {
      throw BrokenRule("a length that is not a plain number was accepted: \(text)")
    }
    return .length(number)
  }
}

enum PlainFraming: Equatable {
  /// The fields say nothing.
  case nothing
  case length(UInt64)
  case chunked
}

/// A chunked body read in the plainest way there is: RFC 9112, 7.1, as strict as we are, with no
/// limits.
struct PlainChunks {
  var payload: [UInt8] = []
  var trailers: [(name: String, value: [UInt8])] = []
  /// Bytes of the whole body.
  var count = 0

  /// nil: no chunked body stands at the start of these bytes.
  init?(_ bytes: [UInt8]) {
    var position = 0
    func line() -> ArraySlice<UInt8>? {
      guard let end = bytes[position...].firstIndex(of: 0x0a), end > position,
        bytes[end - 1] == 0x0d
      else { return nil }
      defer { position = end + 1 }
      let line = bytes[position..<(end - 1)]
      return line.contains(0x0d) ? nil : line
    }
    while true {
      guard let size = line() else { return nil }
      let digits = size.prefix {
        switch $0 {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
      }
      guard !digits.isEmpty, Self.isExtensions(size[digits.endIndex...]),
        let length = Int(String(decoding: digits, as: UTF8.self), radix: 16)
      else { return nil }
      if length == 0 { break }
      guard length <= bytes.count - position - 2 else { return nil }
      payload += bytes[position..<(position + length)]
      position += length
      guard bytes[position] == 0x0d, bytes[position + 1] == 0x0a else { return nil }
      position += 2
    }
    while true {
      guard let field = line() else { return nil }
      if field.isEmpty { break }
      guard let colon = field.firstIndex(of: 0x3a), colon > field.startIndex,
        field[..<colon].allSatisfy(PlainHead.isToken),
        field[colon...].allSatisfy({ $0 == 0x09 || $0 >= 0x20 && $0 != 0x7f })
      else { return nil }
      trailers.append(
        (
          String(decoding: field[..<colon], as: UTF8.self).lowercased(),
          Array(field[(colon + 1)...])
        ))
    }
    count = position
  }

  /// `*( ";" token [ "=" ( token / quoted-string ) ] )`
  private static func isExtensions(_ text: ArraySlice<UInt8>) -> Bool {
    var rest = text
    func token() -> Bool {
      let token = rest.prefix(while: PlainHead.isToken)
      rest = rest[token.endIndex...]
      return !token.isEmpty
    }
    while let byte = rest.popFirst() {
      guard byte == 0x3b, token() else { return false }
      guard rest.first == 0x3d else { continue }
      rest.removeFirst()
      guard rest.first == 0x22 else {
        guard token() else { return false }
        continue
      }
      rest.removeFirst()
      var isClosed = false
      while !isClosed {
        guard var byte = rest.popFirst() else { return false }
        isClosed = byte == 0x22
        if byte == 0x5c {
          guard let escaped = rest.popFirst() else { return false }
          byte = escaped
        }
        if byte < 0x20 && byte != 0x09 || byte == 0x7f { return false }
      }
    }
    return true
  }
}
