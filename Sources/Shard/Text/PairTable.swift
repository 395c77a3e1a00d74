/// The merges of a BPE model: which two tokens become which one, and how early. Open addressing, a
/// merge is 16 bytes, at most half full: a look-up reads one cache line as a rule.
struct PairTable: Sendable {
  struct Merge: Sendable {
    fileprivate var key: UInt64
    /// Smaller is earlier. `noRank` where the two do not merge.
    var rank: UInt32
    var result: Int32
  }

  static let noRank = UInt32.max

  private var slots: [Merge]
  private let shift: UInt64
  private let mask: Int
  private static let empty = Merge(key: .max, rank: noRank, result: -1)

  init(capacity: Int) {
    var bits: UInt64 = 4
    while 1 << bits < capacity * 2 { bits += 1 }
    slots = [Merge](repeating: Self.empty, count: 1 << bits)
    mask = 1 << bits - 1
    shift = 64 - bits
  }

  @inline(__always)
  private func slot(_ key: UInt64) -> Int {
    Int(truncatingIfNeeded: ((key ^ key >> 29) &* 0x9e37_79b9_7f4a_7c15) >> shift)
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> Merge {
    let key = Self.key(left, right)
    var slot = slot(key)
    while true {
      let merge = slots[slot]
      if merge.key == key || merge.key == .max { return merge }
      slot = (slot + 1) & mask
    }
  }

  /// The last of equal pairs counts, as in Hugging Face. The caller inserts no more than the
  /// capacity.
  mutating func insert(_ left: Int32, _ right: Int32, rank: UInt32, result: Int32) {
    let key = Self.key(left, right)
    var slot = slot(key)
    while slots[slot].key != key, slots[slot].key != .max { slot = (slot + 1) & mask }
    slots[slot] = Merge(key: key, rank: rank, result: result)
  }
}
