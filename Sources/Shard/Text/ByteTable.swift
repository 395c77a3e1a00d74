/// Finds ids by the bytes of their tokens: open addressing over the ids, the bytes stand in one
/// buffer that the caller keeps. At most half full.
struct ByteTable: Sendable {
  /// An id, or -1.
  private var slots: [Int32]
  private let mask: Int

  init(capacity: Int) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    slots = [Int32](repeating: -1, count: size)
    mask = size - 1
  }

  /// FNV-1a, so that the hash of a text is found from that of the text without its last byte.
  struct Hash {
    private var state: UInt64 = 0xcbf2_9ce4_8422_2325

    init() {}

    init(_ bytes: Bytes) {
      for byte in bytes { add(byte) }
    }

    mutating func add(_ byte: UInt8) { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }

    fileprivate var slot: Int {
      Int(truncatingIfNeeded: ((state ^ state >> 32) &* 0x9e37_79b9_7f4a_7c15) >> 33)
    }
  }

  /// The id whose token is these bytes.
  func id(of bytes: Bytes, in store: TokenStore) -> Int32? {
    id(of: bytes, hash: Hash(bytes), in: store)
  }

  func id(of bytes: Bytes, hash: Hash, in store: TokenStore) -> Int32? {
    var slot = hash.slot & mask
    while slots[slot] >= 0 {
      if store.equals(slots[slot], bytes) { return slots[slot] }
      slot = (slot + 1) & mask
    }
    return nil
  }

  /// The caller inserts no more than the capacity, and no bytes twice.
  mutating func insert(_ id: Int32, hash: Hash) {
    var slot = hash.slot & mask
    while slots[slot] >= 0 { slot = (slot + 1) & mask }
    slots[slot] = id
  }
}

/// The bytes of all tokens by id, in one buffer. Ids may have holes.
struct TokenStore: Sendable {
  private(set) var bytes: [UInt8] = []
  /// -1 for a hole.
  private var starts: [Int32] = []
  private var lengths: [Int32] = []

  var count: Int { starts.count }

  func contains(_ id: Int32) -> Bool {
    id >= 0 && Int(id) < starts.count && starts[Int(id)] >= 0
  }

  /// Where the bytes of the token stand in `bytes`; empty for a hole.
  func range(of id: Int32) -> Range<Int> {
    guard contains(id) else { return 0..<0 }
    let start = Int(starts[Int(id)])
    return start..<start + Int(lengths[Int(id)])
  }

  func equals(_ id: Int32, _ other: Bytes) -> Bool {
    let start = Int(starts[Int(id)])
    guard Int(lengths[Int(id)]) == other.count else { return false }
    for offset in 0..<other.count where bytes[start + offset] != other[offset] { return false }
    return true
  }

  mutating func reserve(ids: Int, bytes count: Int) {
    starts.reserveCapacity(ids)
    lengths.reserveCapacity(ids)
    bytes.reserveCapacity(count)
  }

  /// The caller has checked the id against `Vocabulary.idLimit`.
  mutating func set(_ id: Int32, _ token: some Collection<UInt8>) {
    while starts.count <= Int(id) {
      starts.append(-1)
      lengths.append(0)
    }
    starts[Int(id)] = Int32(bytes.count)
    lengths[Int(id)] = Int32(token.count)
    bytes += token
  }
}
