import Primitives

/// Inputs near to those of a corpus, from a seed: bytes changed, words put in, stretches moved,
/// doubled and lost, two inputs joined.
package struct Mutator {
  private var random: SeededRandom
  private let inputs: [[UInt8]]
  private let words: [[UInt8]]

  package init(seed: UInt64, inputs: [[UInt8]], words: [[UInt8]]) {
    precondition(!inputs.isEmpty, "a mutator needs something to begin with")
    random = SeededRandom(seed: seed)
    self.inputs = inputs
    self.words = words
  }

  package mutating func next() -> [UInt8] {
    var bytes = inputs[random.below(inputs.count)]
    for _ in 0...random.below(4) where !bytes.isEmpty {
      let at = random.below(bytes.count)
      let end = min(bytes.count, at + 1 + random.below(16))
      switch random.below(7) {
      case 0: bytes[at] = UInt8(random.below(256))
      case 1: bytes[at] ^= 1 << UInt8(random.below(8))
      case 2: bytes.removeSubrange(at..<end)
      case 3: bytes.insert(contentsOf: bytes[at..<end], at: random.below(bytes.count))
      case 4 where !words.isEmpty:
        bytes.insert(contentsOf: words[random.below(words.count)], at: at)
      case 5 where !words.isEmpty:
        bytes.replaceSubrange(at..<end, with: words[random.below(words.count)])
      case 6:
        let other = inputs[random.below(inputs.count)]
        bytes.replaceSubrange(at..., with: other.suffix(random.below(other.count + 1)))
      default: bytes.insert(UInt8(random.below(256)), at: at)
      }
    }
    return bytes
  }
}
