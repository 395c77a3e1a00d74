/// The blocks of the KV pool: who uses them, and which prefixes they hold.
///
///     free ──take──▶ used ◀──retain── cached
///      ▲              │ release          │
///      │   nameless ◀─┴─▶ named ─────────┘
///      └──────────── take, when nothing is free: the one that was released longest ago
///
/// A full block may be *named*: by its tokens and the name of the block before it. Names are
/// numbers that are never used twice, so equal names mean equal prefixes from the first token on,
/// and whoever asks compares the tokens themselves: a collision of hashes costs a comparison and
/// nothing else. Only full blocks are shared, so nothing is ever copied on write.
///
/// A sequence releases its last block first. So a block is always older than the one before it, and
/// what is taken away first is the end of a prefix that nobody uses.
package struct KVBlocks: Sendable {
  /// No block.
  static var none: Int32 { -1 }
  /// The name of what comes before the first block. Others count up from it.
  package static var root: UInt64 { 0 }

  package let count: Int
  package let blockTokens: Int
  private let hashSeed: UInt64

  /// By block: how many sequences use it.
  private(set) var references: [Int32]
  private var free: [Int32]
  /// Blocks that nobody uses, but that hold a prefix.
  package private(set) var cachedCount = 0

  /// By block: its name, or `root` while it has none, and the name of the block before it.
  private var names: [UInt64]
  private var parents: [UInt64]
  /// By block: its step has not been completed. Nobody else may read it.
  private var isComputing: [Bool]
  /// `blockTokens` for each block; only those of named blocks mean something.
  private var contents: [Int32]
  private var lastName = KVBlocks.root

  /// The first block of each bucket; then, by block, the next of the same bucket and the bucket.
  private var buckets: [Int32]
  private var bucketNext: [Int32]
  private var bucketOf: [Int32]

  /// By block: neighbours in the ring of cached ones. The place behind the last block is the
  /// ring's head: after it comes the one released longest ago.
  private var newer: [Int32]
  private var older: [Int32]

  /// - Parameter buckets: of the table of names; nil for as many as blocks. Tests of collisions
  ///   ask for 1.
  package init(count: Int, blockTokens: Int, hashSeed: UInt64, buckets: Int? = nil) {
    self.count = count
    self.blockTokens = blockTokens
    self.hashSeed = hashSeed
    references = Array(repeating: 0, count: count)
    // The lowest number is taken first.
    free = (0..<Int32(count)).reversed()
    names = Array(repeating: Self.root, count: count)
    parents = Array(repeating: Self.root, count: count)
    isComputing = Array(repeating: false, count: count)
    contents = Array(repeating: 0, count: count * blockTokens)
    self.buckets = Array(repeating: Self.none, count: buckets ?? count)
    bucketNext = Array(repeating: Self.none, count: count)
    bucketOf = Array(repeating: Self.none, count: count)
    newer = Array(repeating: Self.none, count: count + 1)
    older = Array(repeating: Self.none, count: count + 1)
    newer[count] = Int32(count)
    older[count] = Int32(count)
  }

  package var freeCount: Int { free.count }
  /// Blocks that `take` can give.
  package var available: Int { free.count + cachedCount }
  package var usedCount: Int { count - available }

  /// Blocks that so many tokens lie in.
  package func blocks(for tokens: Int) -> Int { (tokens + blockTokens - 1) / blockTokens }

  // MARK: Use

  /// A block for new content, used once; nil when all are used.
  package mutating func take() -> Int32? {
    if let block = free.popLast() {
      references[Int(block)] = 1
      return block
    }
    let block = newer[count]
    guard block != Int32(count) else { return nil }
    unlink(block)
    removeName(block)
    references[Int(block)] = 1
    return block
  }

  package mutating func retain(_ block: Int32) {
    if references[Int(block)] == 0 { unlink(block) }
    references[Int(block)] += 1
  }

  package mutating func release(_ block: Int32) {
    let index = Int(block)
    precondition(references[index] > 0, "scheduler: block \(block) was released twice")
    references[index] -= 1
    guard references[index] == 0 else { return }
    if names[index] == Self.root {
      free.append(block)
    } else {
      link(block)
    }
  }

  package func isCached(_ block: Int32) -> Bool {
    references[Int(block)] == 0 && names[Int(block)] != Self.root
  }

  // MARK: Names

  package func name(of block: Int32) -> UInt64 { names[Int(block)] }
  package func parent(of block: Int32) -> UInt64 { parents[Int(block)] }
  package func isComputing(_ block: Int32) -> Bool { isComputing[Int(block)] }

  /// The tokens of a named block.
  package func content(of block: Int32) -> ArraySlice<Int32> {
    contents[Int(block) * blockTokens..<(Int(block) + 1) * blockTokens]
  }

  /// The named block that holds `blockTokens` tokens from `start` on, behind `parent`. It may still
  /// be computing.
  package func find(behind parent: UInt64, _ tokens: [Int32], from start: Int) -> Int32? {
    var block = buckets[bucket(parent, tokens, start)]
    while block != Self.none {
      if parents[Int(block)] == parent, holds(block, tokens, start) { return block }
      block = bucketNext[Int(block)]
    }
    return nil
  }

  /// Names a block that is used and has no name. It counts as computing until `computed`.
  package mutating func setName(
    _ block: Int32, behind parent: UInt64, _ tokens: [Int32], from start: Int
  ) -> UInt64 {
    let index = Int(block)
    precondition(
      names[index] == Self.root && references[index] > 0, "scheduler: block \(block) has a name")
    lastName += 1
    names[index] = lastName
    parents[index] = parent
    isComputing[index] = true
    for place in 0..<blockTokens {
      contents[index * blockTokens + place] = tokens[start + place]
    }
    let bucket = bucket(parent, tokens, start)
    bucketOf[index] = Int32(bucket)
    bucketNext[index] = buckets[bucket]
    buckets[bucket] = block
    return lastName
  }

  /// From now on others may read it.
  package mutating func computed(_ block: Int32) { isComputing[Int(block)] = false }

  /// Nobody finds it any more; those who use it keep it. For blocks whose content is not to be
  /// trusted.
  package mutating func forget(_ block: Int32) {
    guard names[Int(block)] != Self.root else { return }
    if references[Int(block)] == 0 {
      unlink(block)
      free.append(block)
    }
    removeName(block)
  }

  private mutating func removeName(_ block: Int32) {
    let index = Int(block)
    let bucket = Int(bucketOf[index])
    if buckets[bucket] == block {
      buckets[bucket] = bucketNext[index]
    } else {
      var before = Int(buckets[bucket])
      while bucketNext[before] != block { before = Int(bucketNext[before]) }
      bucketNext[before] = bucketNext[index]
    }
    bucketNext[index] = Self.none
    names[index] = Self.root
    isComputing[index] = false
  }

  private func holds(_ block: Int32, _ tokens: [Int32], _ start: Int) -> Bool {
    let base = Int(block) * blockTokens
    for place in 0..<blockTokens where contents[base + place] != tokens[start + place] {
      return false
    }
    return true
  }

  /// Multiply and fold, token by token. Good enough for buckets; nothing relies on it.
  private func bucket(_ parent: UInt64, _ tokens: [Int32], _ start: Int) -> Int {
    var hash = (parent ^ hashSeed) &* 0x9E37_79B9_7F4A_7C15
    for place in start..<start + blockTokens {
      hash = (hash ^ UInt64(UInt32(bitPattern: tokens[place]))) &* 0xD6E8_FEB8_6659_FD93
      hash ^= hash >> 32
    }
    return Int(hash % UInt64(buckets.count))
  }

  // MARK: The ring of cached blocks

  /// As the newest.
  private mutating func link(_ block: Int32) {
    let newest = older[count]
    newer[Int(newest)] = block
    older[Int(block)] = newest
    newer[Int(block)] = Int32(count)
    older[count] = block
    cachedCount += 1
  }

  private mutating func unlink(_ block: Int32) {
    let before = older[Int(block)]
    let after = newer[Int(block)]
    newer[Int(before)] = after
    older[Int(after)] = before
    cachedCount -= 1
  }
}
