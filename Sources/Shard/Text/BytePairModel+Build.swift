/// Builds a model of byte-level BPE, merge by merge.
struct BytePairBuilder {
  private let vocabulary: Vocabulary
  private var merges: PairTable
  private var count: UInt32 = 0
  private var text: [UInt8] = []

  /// `merges` is how many there will be at most.
  init(vocabulary: Vocabulary, merges count: Int) {
    self.vocabulary = vocabulary
    merges = PairTable(capacity: count)
  }

  /// The next merge, its halves as the file writes them. Their ids, and the id of both together,
  /// must be in the vocabulary.
  mutating func add(
    _ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>
  ) throws(TokenizerComplaint) {
    text.removeAll(keepingCapacity: true)
    text += left
    text += right
    let ids = text.withBytes { text in
      (
        vocabulary.id(ofByteLevel: Bytes(rebasing: text[..<left.count])),
        vocabulary.id(ofByteLevel: Bytes(rebasing: text[left.count...])),
        vocabulary.id(ofByteLevel: text)
      )
    }
    guard let leftID = ids.0, let rightID = ids.1, let result = ids.2 else {
      let missing = ids.0 == nil ? quoted(left) : ids.1 == nil ? quoted(right) : quoted(text)
      throw TokenizerComplaint(
        "merge \(count + 1), of \(quoted(left)) and \(quoted(right)), needs the token \(missing), "
          + "which the vocabulary lacks; the file is broken, fetch it again")
    }
    merges.insert(leftID, rightID, rank: count, result: result)
    count += 1
  }

  func model(ignoresMerges: Bool) -> BytePairModel {
    let tokens = ByteAlphabet.scalars.map { scalar in
      var text: [UInt8] = []
      text.append(scalar: scalar)
      return text.withBytes { vocabulary.id(ofByteLevel: $0) ?? -1 }
    }
    return BytePairModel(byteTokens: tokens, merges: merges, ignoresMerges: ignoresMerges)
  }
}
