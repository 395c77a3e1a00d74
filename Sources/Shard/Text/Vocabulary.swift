/// All tokens of a model by id: those of the vocabulary and those added to it.
struct Vocabulary: Sendable {
  /// Highest id, exclusive. The largest vocabularies have 262,144 tokens; a file that says much
  /// more would only cost memory.
  static let idLimit = 1 << 24

  private(set) var store = TokenStore()
  private var flags: [UInt8] = []
  /// Tokens that text can become, by their bytes; and all others, by theirs.
  private var reachable: ByteTable
  private var literal: ByteTable

  /// The bytes are the text itself, not what byte-level BPE makes of it.
  private static let isLiteral: UInt8 = 1
  private static let isSpecial: UInt8 = 2
  private static let isAdded: UInt8 = 4

  /// For so many tokens, added ones included, of so many bytes.
  init(tokens: Int, bytes: Int) {
    store.reserve(ids: tokens, bytes: bytes)
    flags.reserveCapacity(tokens)
    reachable = ByteTable(capacity: tokens)
    literal = ByteTable(capacity: tokens)
  }

  var count: Int { store.count }

  // MARK: Building

  /// `bytes` are what the token decodes to. The caller has checked the id and inserts no more
  /// tokens than were said.
  mutating func insert(_ id: Int32, bytes: Bytes, isLiteral: Bool) throws(TokenizerComplaint) {
    guard !store.contains(id) else {
      throw TokenizerComplaint(
        "two tokens have the id \(id): \(quoted(store.bytes[store.range(of: id)])) and "
          + "\(quoted(bytes)); the file is broken, fetch it again")
    }
    let hash = ByteTable.Hash(bytes)
    let table = isLiteral ? literal : reachable
    if let other = table.id(of: bytes, hash: hash, in: store) {
      throw TokenizerComplaint(
        "the token \(quoted(bytes)) stands twice, with the ids \(other) and \(id); the file is "
          + "broken, fetch it again")
    }
    store.set(id, bytes)
    while flags.count < store.count { flags.append(0) }
    if isLiteral {
      flags[Int(id)] |= Self.isLiteral
      literal.insert(id, hash: hash)
    } else {
      reachable.insert(id, hash: hash)
    }
  }

  mutating func mark(_ id: Int32, isSpecial: Bool) {
    flags[Int(id)] |= Self.isAdded | (isSpecial ? Self.isSpecial : 0)
  }

  // MARK: Looking up

  func contains(_ id: Int32) -> Bool { store.contains(id) }

  func isSpecial(_ id: Int32) -> Bool { has(Self.isSpecial, id) }
  func isAdded(_ id: Int32) -> Bool { has(Self.isAdded, id) }
  func isLiteral(_ id: Int32) -> Bool { has(Self.isLiteral, id) }

  private func has(_ flag: UInt8, _ id: Int32) -> Bool {
    id >= 0 && Int(id) < flags.count && flags[Int(id)] & flag != 0
  }

  func id(ofBytes bytes: Bytes) -> Int32? { reachable.id(of: bytes, in: store) }

  func id(ofBytes bytes: Bytes, hash: ByteTable.Hash) -> Int32? {
    reachable.id(of: bytes, hash: hash, in: store)
  }

  func id(ofLiteral bytes: Bytes) -> Int32? { literal.id(of: bytes, in: store) }

  /// What the token decodes to; empty for an id without a token.
  func bytes(of id: Int32) -> ArraySlice<UInt8> { store.bytes[store.range(of: id)] }
}

/// Tokens of byte-level BPE, which are written in the alphabet of GPT-2.
extension Vocabulary {
  /// A token as a file writes it. One with a character that is not of the alphabet stands for
  /// itself: no text becomes it, unless it is an added token.
  mutating func insert(_ id: Int32, byteLevel text: Bytes) throws(TokenizerComplaint) {
    var bytes: [UInt8] = []
    if ByteAlphabet.appendBytes(of: text, to: &bytes) {
      try bytes.withBytes { bytes throws(TokenizerComplaint) in
        try insert(id, bytes: bytes, isLiteral: false)
      }
    } else {
      try insert(id, bytes: text, isLiteral: true)
    }
  }

  func id(ofByteLevel text: Bytes) -> Int32? {
    var bytes: [UInt8] = []
    if ByteAlphabet.appendBytes(of: text, to: &bytes), let id = bytes.withBytes(id(ofBytes:)) {
      return id
    }
    return id(ofLiteral: text)
  }
}
