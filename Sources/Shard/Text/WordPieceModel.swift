/// BERT's model: a word becomes the longest token that it begins with, the rest of it the longest
/// token that continues a word, and so on. A word with a rest that is no token is unknown
/// altogether.
struct WordPieceModel: Sendable {
  let unknown: Int32
  /// Stands before tokens that continue a word: `##`.
  let prefix: [UInt8]
  /// Characters. Longer words are unknown. 100 in BERT.
  let lengthLimit: Int
  /// Of the longest token, prefix included. No need to look further.
  let longestToken: Int
  /// Decoding leaves out spaces before punctuation and contractions.
  let cleansUp: Bool

  /// Memory of one call, used from word to word.
  struct Scratch {
    fileprivate var word: [UInt8] = []
    /// Looks into the vocabulary.
    var work = 0
  }

  /// Appends the tokens of every word of a part of the text.
  func append(
    _ text: Bytes, in part: Range<Int>, vocabulary: Vocabulary, scratch: inout Scratch,
    to result: inout [Int32]
  ) {
    let table = BertClass.table
    var start = part.lowerBound
    var place = start
    func word(_ end: Int) {
      guard start < end else { return }
      append(
        word: Bytes(rebasing: text[start..<end]), vocabulary: vocabulary, scratch: &scratch,
        to: &result)
    }
    while place < part.upperBound {
      let (scalar, next) = text.scalar(at: place)
      let mask = table[scalar]
      if mask & BertClass.space != 0 {
        word(place)
        start = next
      } else if mask & BertClass.punctuation != 0 {
        word(place)
        start = place
        word(next)
        start = next
      }
      place = next
    }
    word(part.upperBound)
  }

  private func append(
    word: Bytes, vocabulary: Vocabulary, scratch: inout Scratch, to result: inout [Int32]
  ) {
    let characters = word.reduce(0) { $0 + ($1 & 0xc0 != 0x80 ? 1 : 0) }
    guard characters <= lengthLimit else { return result.append(unknown) }
    let mark = result.count
    // The word with room before it, where the prefix is written over what is done.
    scratch.word.removeAll(keepingCapacity: true)
    scratch.word += prefix
    scratch.word += word
    var start = prefix.count
    while start < scratch.word.count {
      var from = start
      if start > prefix.count {
        from = start - prefix.count
        for (offset, byte) in prefix.enumerated() { scratch.word[from + offset] = byte }
      }
      guard let (id, end) = longest(from, start, vocabulary, &scratch) else {
        result.removeSubrange(mark...)
        return result.append(unknown)
      }
      result.append(id)
      start = end
    }
  }

  /// The longest token of the bytes from `from` that reaches beyond `start`.
  private func longest(
    _ from: Int, _ start: Int, _ vocabulary: Vocabulary, _ scratch: inout Scratch
  ) -> (Int32, Int)? {
    let limit = min(scratch.word.count, from + longestToken)
    let word = scratch.word
    var hash = ByteTable.Hash()
    var found: (Int32, Int)?
    var looks = 0
    word.withBytes { bytes in
      for place in from..<limit {
        hash.add(bytes[place])
        let isWhole = place + 1 == bytes.count || bytes[place + 1] & 0xc0 != 0x80
        guard place >= start, isWhole else { continue }
        looks += 1
        let text = Bytes(rebasing: bytes[from...place])
        if let id = vocabulary.id(ofBytes: text, hash: hash) { found = (id, place + 1) }
      }
    }
    scratch.work += looks
    return found
  }

  /// What a token adds to a text, and whether a space stands before it anywhere but at the
  /// beginning.
  func written(_ token: ArraySlice<UInt8>) -> (bytes: ArraySlice<UInt8>, afterSpace: Bool) {
    if token.count > prefix.count, token.starts(with: prefix) {
      return (token.dropFirst(prefix.count), false)
    }
    guard cleansUp else { return (token, true) }
    let joined = [".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"]
    return (token, !joined.contains { token.starts(with: $0.utf8) })
  }
}
