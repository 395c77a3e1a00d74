/// What one step computes: some tokens of some sequences. The scheduler of rank 0 makes it, all ranks
/// execute it in order. Integers only, so that it crosses to other ranks as bytes.
package struct StepBatch: Equatable, Sendable {
  /// Consecutive tokens of one sequence.
  package struct Segment: Equatable, Sendable {
    /// First of its tokens in `tokens`, and how many there are.
    package var start: Int
    package var count: Int
    /// Position of the first in its sequence: so many tokens are in the KV blocks already.
    package var position: Int
    /// Its blocks in `blocks`: those of position 0 up to the last token of this segment.
    package var blockStart: Int
    package var blockCount: Int
    /// The logits behind the last token are wanted.
    package var isSampled: Bool

    package init(
      start: Int, count: Int, position: Int, blockStart: Int, blockCount: Int, isSampled: Bool
    ) {
      self.start = start
      self.count = count
      self.position = position
      self.blockStart = blockStart
      self.blockCount = blockCount
      self.isSampled = isSampled
    }
  }

  /// Counts up by one; a gap is fatal to the follower that sees it.
  package var step: UInt64 = 0
  package var tokens: [Int32] = []
  package var segments: [Segment] = []
  /// Numbers of KV blocks, segment after segment.
  package var blocks: [Int32] = []

  package init() {}

  /// Empties it, keeping its memory.
  package mutating func removeAll() {
    tokens.removeAll(keepingCapacity: true)
    segments.removeAll(keepingCapacity: true)
    blocks.removeAll(keepingCapacity: true)
  }
}
