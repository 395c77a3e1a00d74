/// Tokens that are found in the text before anything else: special ones such as `<|im_end|>`, and
/// others that were added to a vocabulary. As Hugging Face does it: those that are not `normalized`
/// are found in the text as it came, the others in what normalisation left of the rest; of matches
/// that overlap the leftmost counts, and of those that begin together the longest.
struct AddedTokens: Sendable {
  struct Token: Sendable, Equatable {
    var id: Int32
    var isSpecial: Bool
    /// Found only where no word goes on at either side.
    var isSingleWord: Bool = false
    /// Takes whitespace at its left, or right, with it.
    var stripsLeft: Bool = false
    var stripsRight: Bool = false
    var isNormalized: Bool = false
  }

  /// Bytes of the longest added token. Known ones have less than 100. Finding tokens costs at most
  /// so many steps per byte of text, and that only where the text is made of beginnings of tokens.
  static let lengthLimit = 512

  private(set) var plain = Finder()
  private(set) var normalized = Finder()

  /// `content` is not empty and at most `lengthLimit` bytes.
  mutating func add(_ token: Token, content: some Collection<UInt8>) {
    if token.isNormalized {
      normalized.add(token, content: content)
    } else {
      plain.add(token, content: content)
    }
  }

  /// Part of a text: a token that was added, or text that is still to be cut.
  enum Part: Equatable {
    case token(Int32)
    case text(Range<Int>)
  }

  /// Finds tokens in a text: a trie over bytes.
  struct Finder: Sendable {
    private var tokens: [Token] = []
    private var nodes = ByteTrie()

    var isEmpty: Bool { tokens.isEmpty }

    fileprivate mutating func add(_ token: Token, content: some Collection<UInt8>) {
      nodes.insert(content, value: Int32(tokens.count))
      tokens.append(token)
    }

    /// Cuts a part of the text. `trust` decides about special tokens.
    func forEachPart(
      of text: Bytes, in part: Range<Int>, trust: Trust, work: inout Int, _ body: (Part) -> Void
    ) {
      /// Everything before has been given to the body.
      var done = part.lowerBound
      var place = part.lowerBound
      while place < part.upperBound {
        guard let found = match(text, at: place, end: part.upperBound, trust, &work) else {
          place += 1
          continue
        }
        let token = tokens[found.token]
        place = found.end
        // What was found but may not be is text, all of it.
        guard !token.isSpecial || trust.parses(found.start..<found.end),
          !token.isSingleWord || isApart(text, found.start..<found.end, in: part)
        else { continue }
        var start = found.start
        if token.stripsLeft { start = startOfSpace(text, before: start, from: done) }
        var end = found.end
        if token.stripsRight { end = endOfSpace(text, from: end, to: part.upperBound) }
        if done < start { body(.text(done..<start)) }
        body(.token(token.id))
        done = end
      }
      if done < part.upperBound { body(.text(done..<part.upperBound)) }
    }

    /// The longest token that begins here, special ones that straddle a border apart.
    private func match(
      _ text: Bytes, at start: Int, end: Int, _ trust: Trust, _ work: inout Int
    ) -> (token: Int, start: Int, end: Int)? {
      var best: (token: Int, start: Int, end: Int)?
      var node = nodes.first(text[start])
      var place = start + 1
      while node >= 0 {
        work += 1
        let value = Int(nodes.value(at: node))
        if value >= 0, !tokens[value].isSpecial || !trust.isCut(start..<place) {
          best = (value, start, place)
        }
        guard place < end else { break }
        node = nodes.child(of: node, text[place])
        place += 1
      }
      return best
    }

    private func isApart(_ text: Bytes, _ match: Range<Int>, in part: Range<Int>) -> Bool {
      let table = CharacterClass.table
      if match.lowerBound > part.lowerBound,
        table[text.scalar(before: match.lowerBound).value] & CharacterClass.word != 0
      {
        return false
      }
      return match.upperBound == part.upperBound
        || table[text.scalar(at: match.upperBound).value] & CharacterClass.word == 0
    }

    private func startOfSpace(_ text: Bytes, before place: Int, from start: Int) -> Int {
      var place = place
      while place > start {
        let (scalar, first) = text.scalar(before: place)
        guard CharacterClass.table[scalar] & CharacterClass.space != 0 else { break }
        place = first
      }
      return place
    }

    private func endOfSpace(_ text: Bytes, from place: Int, to end: Int) -> Int {
      var place = place
      while place < end {
        let (scalar, next) = text.scalar(at: place)
        guard CharacterClass.table[scalar] & CharacterClass.space != 0 else { break }
        place = next
      }
      return place
    }
  }
}

/// Where special tokens may be found in a text. Text of users must never become one.
enum Trust: Sendable, Equatable {
  case everywhere
  case nowhere
  /// Pieces by their ends, in order; neighbours differ in what they are.
  case pieces(ends: [Int], trusted: [Bool])

  /// A special token that stands here whole is one.
  func parses(_ range: Range<Int>) -> Bool {
    switch self {
    case .everywhere: return true
    case .nowhere: return false
    case .pieces(let ends, let trusted):
      let piece = Self.piece(of: range.lowerBound, ends)
      return piece < ends.count && trusted[piece] && range.upperBound <= ends[piece]
    }
  }

  /// A border of trust lies within: what stands here is no special token, whatever it spells.
  func isCut(_ range: Range<Int>) -> Bool {
    guard case .pieces(let ends, _) = self else { return false }
    let piece = Self.piece(of: range.lowerBound, ends)
    return piece < ends.count && range.upperBound > ends[piece]
  }

  /// For text that normalisation has changed, where places no longer are what they were.
  var afterChange: Trust {
    guard case .pieces(_, let trusted) = self else { return self }
    return trusted.allSatisfy { $0 } ? .everywhere : .nowhere
  }

  private static func piece(of place: Int, _ ends: [Int]) -> Int {
    var low = 0
    var high = ends.count
    while low < high {
      let middle = (low + high) / 2
      if ends[middle] <= place { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

/// A trie over bytes. The first level is an array, the others a hash map over (node, byte).
struct ByteTrie: Sendable {
  private var roots = [Int32](repeating: -1, count: 256)
  /// -1 where no token ends.
  private var values: [Int32] = []
  private var keys: [UInt64] = [UInt64](repeating: .max, count: 16)
  private var children: [Int32] = [Int32](repeating: -1, count: 16)
  private var edges = 0

  /// -1 for none.
  @inline(__always)
  func first(_ byte: UInt8) -> Int32 { roots[Int(byte)] }

  func value(at node: Int32) -> Int32 { values[Int(node)] }

  /// -1 for none.
  func child(of node: Int32, _ byte: UInt8) -> Int32 {
    children[slot(Self.key(node, byte))]
  }

  /// The last of equal keys counts. A key is not empty.
  mutating func insert(_ key: some Collection<UInt8>, value: Int32) {
    guard let head = key.first else { return }
    if roots[Int(head)] < 0 { roots[Int(head)] = newNode() }
    var node = roots[Int(head)]
    for byte in key.dropFirst() {
      let next = child(of: node, byte)
      node = next >= 0 ? next : newChild(of: node, byte)
    }
    values[Int(node)] = value
  }

  private mutating func newNode() -> Int32 {
    values.append(-1)
    return Int32(values.count - 1)
  }

  private mutating func newChild(of node: Int32, _ byte: UInt8) -> Int32 {
    if (edges + 1) * 2 > keys.count {
      let old = zip(keys, children).filter { $0.1 >= 0 }
      keys = [UInt64](repeating: .max, count: keys.count * 2)
      children = [Int32](repeating: -1, count: keys.count)
      for (key, child) in old { put(key, child) }
    }
    let child = newNode()
    put(Self.key(node, byte), child)
    edges += 1
    return child
  }

  private mutating func put(_ key: UInt64, _ child: Int32) {
    let slot = slot(key)
    keys[slot] = key
    children[slot] = child
  }

  private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
    UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)
  }

  /// Where the key stands, or would stand.
  private func slot(_ key: UInt64) -> Int {
    let mask = keys.count - 1
    var slot = Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) >> 32) & mask
    while keys[slot] != key, keys[slot] != .max { slot = (slot + 1) & mask }
    return slot
  }
}
