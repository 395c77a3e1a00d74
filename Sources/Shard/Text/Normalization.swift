/// Canonical decomposition and composition (Unicode Standard Annex 15), with the tables of the
/// package that Hugging Face uses.
enum Normalization {
  /// Of a scalar: its combining class; `unstable` for a starter that composition may change or join
  /// to what stands before it; 0 for all others, before which a text may be cut.
  static let stability = ScalarTable(UnicodeData.stability)
  static let unstable: UInt8 = 255

  private static let decompositions = ScalarMappings(UnicodeData.decompositions)

  /// First and second in one number, sorted, and what they become.
  private static let compositions: (pairs: [UInt64], results: [UInt32]) = {
    var numbers = PackedNumbers(UnicodeData.compositions)
    var pairs: [UInt64] = []
    var results: [UInt32] = []
    var first = 0
    while let distance = numbers.next(), let second = numbers.next(),
      let offset = numbers.nextSigned()
    {
      first += distance
      pairs.append(UInt64(first) << 32 | UInt64(second))
      results.append(UInt32(first + offset))
    }
    return (pairs, results)
  }()

  // Hangul syllables are composed by arithmetic: 19 initials, 21 vowels, 27 finals.
  private static let syllables: Range<UInt32> = 0xac00..<0xd7a4
  private static let initials: Range<UInt32> = 0x1100..<0x1113
  private static let vowels: Range<UInt32> = 0x1161..<0x1176
  /// One before the first final, which stands for none.
  private static let finalBase: UInt32 = 0x11a7

  static func combiningClass(_ scalar: UInt32) -> UInt8 {
    let value = stability[scalar]
    return value == unstable ? 0 : value
  }

  /// Gives the scalars that a scalar decomposes to.
  static func decompose(_ scalar: UInt32, _ body: (UInt32) -> Void) {
    if syllables.contains(scalar) {
      let index = scalar - syllables.lowerBound
      body(initials.lowerBound + index / 588)
      body(vowels.lowerBound + index % 588 / 28)
      if index % 28 > 0 { body(finalBase + index % 28) }
    } else if let parts = decompositions(scalar) {
      parts.forEach(body)
    } else {
      body(scalar)
    }
  }

  static func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if initials.contains(first), vowels.contains(second) {
      let initial = first - initials.lowerBound
      return syllables.lowerBound + (initial * 21 + second - vowels.lowerBound) * 28
    }
    if syllables.contains(first), (first - syllables.lowerBound) % 28 == 0,
      second > finalBase, second <= finalBase + 27
    {
      return first + second - finalBase
    }
    let pair = UInt64(first) << 32 | UInt64(second)
    var low = 0
    var high = compositions.pairs.count
    while low < high {
      let middle = (low + high) / 2
      if compositions.pairs[middle] < pair { low = middle + 1 } else { high = middle }
    }
    guard low < compositions.pairs.count, compositions.pairs[low] == pair else { return nil }
    return compositions.results[low]
  }

  /// Text in NFC; nil where it is so already. `text` is valid UTF-8.
  static func composed(_ text: Bytes) -> [UInt8]? {
    // Everything below U+0300 is stable.
    guard text.contains(where: { $0 >= 0xcc }) else { return nil }
    let stability = stability
    var result: [UInt8] = []
    /// Everything before is in `result`, and the last place where the text may be cut.
    var copied = 0
    var cut = 0
    var place = 0
    var isChanged = false
    while place < text.count {
      let (scalar, next) = text.scalar(at: place)
      guard stability[scalar] != 0 else {
        cut = place
        place = next
        continue
      }
      // From the last cut to the next one the scalars are taken apart and put together.
      var end = next
      while end < text.count {
        let (scalar, next) = text.scalar(at: end)
        if stability[scalar] == 0 { break }
        end = next
      }
      let part = Bytes(rebasing: text[cut..<end])
      let composed = composedPart(part)
      if !composed.elementsEqual(part) {
        isChanged = true
        result += text[copied..<cut]
        result += composed
        copied = end
      }
      cut = end
      place = end
    }
    guard isChanged else { return nil }
    result += text[copied...]
    return result
  }

  private static func composedPart(_ part: Bytes) -> [UInt8] {
    var buffer = ReorderBuffer()
    var scalars: [UInt32] = []
    var place = 0
    while place < part.count {
      let (scalar, next) = part.scalar(at: place)
      decompose(scalar) { buffer.append($0, to: &scalars) }
      place = next
    }
    buffer.flush(to: &scalars)
    var result: [UInt32] = []
    var starter: Int?
    /// Class of the last that stands behind the starter and was not joined to it; nil for none.
    var last: UInt8?
    for scalar in scalars {
      let rank = combiningClass(scalar)
      if let place = starter, last.map({ $0 != 0 && $0 < rank }) ?? true,
        let joined = compose(result[place], scalar)
      {
        result[place] = joined
        continue
      }
      if rank == 0 {
        starter = result.count
        last = nil
      } else {
        last = rank
      }
      result.append(scalar)
    }
    var bytes: [UInt8] = []
    for scalar in result { bytes.append(scalar: scalar) }
    return bytes
  }
}

/// Brings marks into canonical order: by class, equal classes as they came.
struct ReorderBuffer {
  /// Class, order of arrival and scalar; a million marks on one letter are sorted in n log n.
  private var marks: [(rank: UInt8, order: Int, scalar: UInt32)] = []

  mutating func append(_ scalar: UInt32, to result: inout [UInt32]) {
    let rank = Normalization.combiningClass(scalar)
    guard rank == 0 else { return marks.append((rank, marks.count, scalar)) }
    flush(to: &result)
    result.append(scalar)
  }

  mutating func flush(to result: inout [UInt32]) {
    guard !marks.isEmpty else { return }
    if marks.count > 1 { marks.sort { ($0.rank, $0.order) < ($1.rank, $1.order) } }
    for mark in marks { result.append(mark.scalar) }
    marks.removeAll(keepingCapacity: true)
  }
}
