/// Byte-level BPE: bytes become tokens, and two neighbours become one as long as a merge knows
/// them, the earliest merge first and, of equals, the leftmost.
struct BytePairModel: Sendable {
  /// The token of each byte; -1 where the vocabulary has none: such a byte is dropped, as Hugging
  /// Face does without an unknown token.
  let byteTokens: [Int32]
  let merges: PairTable
  /// A piece that is a token is taken as it stands, even where merges would not lead there.
  let ignoresMerges: Bool

  /// Tokens up to which finding the earliest merge by looking at all is faster than a heap.
  /// Measured on English and Chinese text: 16, 24 and 48 differ by less than 5 %.
  static let scanLimit = 24

  /// Bytes of a piece that are merged together.
  private static let lengthLimit = 1 << 30

  /// Memory of one call, used from piece to piece.
  struct Scratch {
    fileprivate var tokens: [Int32] = []
    fileprivate var ranks: [UInt32] = []
    fileprivate var results: [Int32] = []
    fileprivate var next: [Int32] = []
    fileprivate var previous: [Int32] = []
    fileprivate var heap = MergeHeap()
    /// What was done: looks at a pair, and steps in the heap. Hostile texts are tested by it.
    var work = 0
  }

  /// Appends the tokens of one piece, which is not empty.
  func append(
    _ piece: Bytes, vocabulary: Vocabulary, scratch: inout Scratch, to result: inout [Int32]
  ) {
    if ignoresMerges, let id = vocabulary.id(ofBytes: piece) { return result.append(id) }
    // Places are 32 bits wide. Texts of a gigabyte have other problems than a wrong cut.
    var rest = piece[...]
    while !rest.isEmpty {
      append(Bytes(rebasing: rest.prefix(Self.lengthLimit)), scratch: &scratch, to: &result)
      rest = rest.dropFirst(Self.lengthLimit)
    }
  }

  private func append(_ piece: Bytes, scratch: inout Scratch, to result: inout [Int32]) {
    scratch.tokens.removeAll(keepingCapacity: true)
    for byte in piece where byteTokens[Int(byte)] >= 0 {
      scratch.tokens.append(byteTokens[Int(byte)])
    }
    if scratch.tokens.count > Self.scanLimit {
      mergeByHeap(&scratch)
    } else if scratch.tokens.count > 1 {
      mergeByScan(&scratch)
    }
    result += scratch.tokens
  }

  /// Quadratic in the number of tokens, which is small.
  private func mergeByScan(_ scratch: inout Scratch) {
    scratch.ranks.removeAll(keepingCapacity: true)
    scratch.results.removeAll(keepingCapacity: true)
    for place in 1..<scratch.tokens.count {
      let merge = merges.merge(scratch.tokens[place - 1], scratch.tokens[place])
      scratch.ranks.append(merge.rank)
      scratch.results.append(merge.result)
    }
    scratch.work += scratch.tokens.count
    while true {
      var best = PairTable.noRank
      var place = -1
      for index in 0..<scratch.ranks.count where scratch.ranks[index] < best {
        best = scratch.ranks[index]
        place = index
      }
      scratch.work += scratch.ranks.count
      guard place >= 0 else { return }
      scratch.tokens[place] = scratch.results[place]
      scratch.tokens.remove(at: place + 1)
      scratch.ranks.remove(at: place)
      scratch.results.remove(at: place)
      for pair in max(place - 1, 0)...place where pair < scratch.ranks.count {
        let merge = merges.merge(scratch.tokens[pair], scratch.tokens[pair + 1])
        scratch.ranks[pair] = merge.rank
        scratch.results[pair] = merge.result
      }
    }
  }

  /// n log n: tokens are a list linked by index, and a heap holds what may merge. An entry whose
  /// pair has changed since is stale and is dropped when it comes up.
  private func mergeByHeap(_ scratch: inout Scratch) {
    let count = scratch.tokens.count
    scratch.ranks.removeAll(keepingCapacity: true)
    scratch.results.removeAll(keepingCapacity: true)
    scratch.next.removeAll(keepingCapacity: true)
    scratch.previous.removeAll(keepingCapacity: true)
    scratch.heap.removeAll()
    for place in 0..<count {
      scratch.next.append(Int32(truncatingIfNeeded: place + 1))
      scratch.previous.append(Int32(truncatingIfNeeded: place - 1))
      scratch.ranks.append(PairTable.noRank)
      scratch.results.append(-1)
    }
    for place in 0..<count - 1 {
      look(at: place, &scratch)
      if scratch.ranks[place] != PairTable.noRank {
        scratch.heap.add(rank: scratch.ranks[place], place: place)
      }
    }
    scratch.work += scratch.heap.arrange()
    while let (rank, place) = scratch.heap.popFirst(&scratch.work) {
      guard scratch.ranks[place] == rank else { continue }
      // The right one goes: its own pair is stale from here on.
      let gone = Int(scratch.next[place])
      scratch.tokens[place] = scratch.results[place]
      scratch.ranks[gone] = PairTable.noRank
      let behind = Int(scratch.next[gone])
      scratch.next[place] = Int32(truncatingIfNeeded: behind)
      if behind < count { scratch.previous[behind] = Int32(truncatingIfNeeded: place) }
      push(place, &scratch)
      if scratch.previous[place] >= 0 { push(Int(scratch.previous[place]), &scratch) }
    }
    var kept = 0
    var place = 0
    while place < count {
      scratch.tokens[kept] = scratch.tokens[place]
      kept += 1
      place = Int(scratch.next[place])
    }
    scratch.tokens.removeLast(count - kept)
  }

  /// What the token here and the one behind it would become.
  private func look(at place: Int, _ scratch: inout Scratch) {
    scratch.work += 1
    let behind = Int(scratch.next[place])
    guard behind < scratch.tokens.count else {
      scratch.ranks[place] = PairTable.noRank
      return
    }
    let merge = merges.merge(scratch.tokens[place], scratch.tokens[behind])
    scratch.ranks[place] = merge.rank
    scratch.results[place] = merge.result
  }

  private func push(_ place: Int, _ scratch: inout Scratch) {
    look(at: place, &scratch)
    if scratch.ranks[place] != PairTable.noRank {
      scratch.heap.push(rank: scratch.ranks[place], place: place, &scratch.work)
    }
  }
}

/// A heap of (rank, place), the smallest first; both in one number.
struct MergeHeap {
  private var entries: [UInt64] = []

  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  /// Without order, until `arrange`.
  mutating func add(rank: UInt32, place: Int) {
    entries.append(UInt64(rank) << 32 | UInt64(truncatingIfNeeded: place))
  }

  /// Puts everything in order, in linear time. Returns the steps it took.
  mutating func arrange() -> Int {
    var steps = 0
    for index in stride(from: entries.count / 4, through: 0, by: -1) where index < entries.count {
      sink(index, &steps)
    }
    return steps
  }

  mutating func push(rank: UInt32, place: Int, _ steps: inout Int) {
    let entry = UInt64(rank) << 32 | UInt64(truncatingIfNeeded: place)
    var index = entries.count
    entries.append(entry)
    while index > 0 {
      let parent = (index - 1) / 4
      steps += 1
      guard entries[parent] > entry else { break }
      entries[index] = entries[parent]
      index = parent
    }
    entries[index] = entry
  }

  mutating func popFirst(_ steps: inout Int) -> (rank: UInt32, place: Int)? {
    guard let first = entries.first else { return nil }
    let last = entries.removeLast()
    if !entries.isEmpty {
      entries[0] = last
      sink(0, &steps)
    }
    return (UInt32(truncatingIfNeeded: first >> 32), Int(first & 0xffff_ffff))
  }

  /// Four children: half as deep as with two, and the four stand in one cache line.
  private mutating func sink(_ start: Int, _ steps: inout Int) {
    var index = start
    let entry = entries[index]
    while true {
      let child = index * 4 + 1
      guard child < entries.count else { break }
      steps += 1
      var smallest = child
      for other in child + 1..<min(child + 4, entries.count)
      where entries[other] < entries[smallest] {
        smallest = other
      }
      guard entries[smallest] < entry else { break }
      entries[index] = entries[smallest]
      index = smallest
    }
    entries[index] = entry
  }
}
