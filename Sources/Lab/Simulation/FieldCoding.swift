/// A field of HTTP/2, as it stands in a header list.
struct Field: Equatable {
  var name: String
  var value: String

  init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// HPACK (RFC 7541), slow and strict: a second opinion that shares nothing with the front door's.
struct FieldReader {
  /// Bytes of the dynamic table that the other side may use. 4,096 is what it may before it is told
  /// otherwise, and it never is.
  private static let tableLimit = 4_096

  /// Newest first.
  private var table: [Field] = []
  private var tableBytes = 0
  private var tableSize = tableLimit

  init() {}

  /// The fields of a whole block.
  mutating func read(_ block: [UInt8]) throws(ParseFault) -> [Field] {
    var fields: [Field] = []
    var place = 0
    while place < block.count {
      let byte = block[place]
      if byte & 0x80 != 0 {
        fields.append(try entry(try Self.number(block, &place, prefix: 7)))
      } else if byte & 0xe0 == 0x20 {
        guard fields.isEmpty else { throw ParseFault(text: "a table size behind a field") }
        let size = try Self.number(block, &place, prefix: 5)
        guard size <= Self.tableLimit else { throw ParseFault(text: "a table of \(size) bytes") }
        tableSize = size
        evict()
      } else {
        let isKept = byte & 0x40 != 0
        let index = try Self.number(block, &place, prefix: isKept ? 6 : 4)
        let name = index == 0 ? try Self.text(block, &place) : try entry(index).name
        let field = Field(name, try Self.text(block, &place))
        fields.append(field)
        if isKept {
          table.insert(field, at: 0)
          tableBytes += Self.size(field)
          evict()
        }
      }
    }
    return fields
  }

  private static func size(_ field: Field) -> Int {
    field.name.utf8.count + field.value.utf8.count + 32
  }

  private mutating func evict() {
    while tableBytes > tableSize, let last = table.popLast() { tableBytes -= Self.size(last) }
  }

  private func entry(_ index: Int) throws(ParseFault) -> Field {
    if index > 0, index <= Self.fixed.count {
      let (name, value) = Self.fixed[index - 1]
      return Field(name, value)
    }
    let place = index - Self.fixed.count - 1
    guard table.indices.contains(place) else { throw ParseFault(text: "no field \(index)") }
    return table[place]
  }

  private static func number(
    _ block: [UInt8], _ place: inout Int, prefix: Int
  ) throws(ParseFault) -> Int {
    let mask = 1 << prefix - 1
    var value = Int(block[place]) & mask
    place += 1
    guard value == mask else { return value }
    var shift = 0
    while place < block.count, shift < 28 {
      let byte = Int(block[place])
      place += 1
      value += (byte & 0x7f) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    throw ParseFault(text: "a number without end in a header block")
  }

  private static func text(
    _ block: [UInt8], _ place: inout Int
  ) throws(ParseFault) -> String {
    guard place < block.count else { throw ParseFault(text: "a header block ends in a field") }
    let isCoded = block[place] & 0x80 != 0
    let count = try number(block, &place, prefix: 7)
    guard block.count - place >= count else {
      throw ParseFault(text: "a header block ends in a text")
    }
    defer { place += count }
    let bytes = block[place..<(place + count)]
    return String(decoding: isCoded ? try Huffman.decode(bytes) : Array(bytes), as: UTF8.self)
  }

  // MARK: RFC 7541, Appendix A

  private static let fixed: [(String, String)] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""),
    ("vary", ""), ("via", ""), ("www-authenticate", ""),
  ]
}

/// Writes header blocks in which every field stands in full.
enum FieldWriter {
  static func put(_ fields: [Field], into block: inout [UInt8]) {
    for field in fields {
      block.append(0)
      put(field.name, &block)
      put(field.value, &block)
    }
  }

  private static func put(_ text: String, _ block: inout [UInt8]) {
    let count = text.utf8.count
    if count < 127 {
      block.append(UInt8(count))
    } else {
      block.append(127)
      var rest = count - 127
      while rest >= 128 {
        block.append(UInt8(rest & 0x7f) | 0x80)
        rest >>= 7
      }
      block.append(UInt8(rest))
    }
    block.append(contentsOf: text.utf8)
  }
}

/// The code of RFC 7541, Appendix B. It is canonical, so the lengths of its codes say everything.
enum Huffman {
  private static let lengths: [UInt8] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30,
    28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7,
    7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22,
    23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21,
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26,
    27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24,
    20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27,
    28, 27, 27, 27, 27, 27, 26, 30,
  ]

  /// Symbols in the order of their codes; and for each length the first code, and where its symbols
  /// begin.
  private static let symbols: [Int] = lengths.indices.sorted {
    (lengths[$0], $0) < (lengths[$1], $1)
  }
  private static let groups: [(first: Int, count: Int, start: Int)] = {
    var groups: [(first: Int, count: Int, start: Int)] = []
    var code = 0
    var start = 0
    for length in 0...30 {
      let count = lengths.count { $0 == length }
      groups.append((code, count, start))
      code = (code + count) << 1
      start += count
    }
    return groups
  }()

  static func decode(_ bytes: ArraySlice<UInt8>) throws(ParseFault) -> [UInt8] {
    var text: [UInt8] = []
    var code = 0
    var length = 0
    for byte in bytes {
      for bit in (0..<8).reversed() {
        code = code << 1 | Int(byte >> UInt8(bit)) & 1
        length += 1
        guard length <= 30 else { throw ParseFault(text: "no such Huffman code") }
        let group = groups[length]
        guard code - group.first < group.count, code >= group.first else { continue }
        let symbol = symbols[group.start + code - group.first]
        guard symbol < 256 else { throw ParseFault(text: "the end of a text within it") }
        text.append(UInt8(symbol))
        code = 0
        length = 0
      }
    }
    // What fills the last byte is the begin of the longest code: ones, and fewer than eight.
    guard length < 8, code == 1 << length - 1 else {
      throw ParseFault(text: "a Huffman text ends badly")
    }
    return text
  }
}
