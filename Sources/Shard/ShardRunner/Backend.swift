import Generation
import RankGroup

/// Executes the plan of a model, one step after the other. The CPU's is here; another executor of
/// the same plan (CUDA) is held against it.
package protocol Backend: AnyObject {
  /// Bytes of this rank's weights, and of its KV pool.
  var weightBytes: Int { get }
  var kvBytes: Int { get }
  /// Rows of logits behind each other, one for each sampled segment of the step that was executed
  /// last, `vocabulary` floats each. On rank 0 only. May be changed in place by the sampler.
  var logits: UnsafeMutablePointer<Float> { get }
  /// The batch has been checked: it fits into the backend's limits.
  func execute(_ batch: StepBatch) throws(GroupBroken)
}

/// What a backend makes room for at start. Serving allocates nothing.
package struct BackendLimits: Equatable, Sendable {
  /// Tokens, segments and sampled segments of one step.
  package var batchTokens: Int
  package var sequences: Int
  /// KV pool.
  package var blocks: Int
  package var blockTokens: Int
  /// The longest sequence. Tokens.
  package var contextLimit: Int

  package init(
    batchTokens: Int, sequences: Int, blocks: Int, blockTokens: Int, contextLimit: Int
  ) {
    self.batchTokens = batchTokens
    self.sequences = sequences
    self.blocks = blocks
    self.blockTokens = blockTokens
    self.contextLimit = contextLimit
  }

  /// Why a batch cannot be executed; nil if it can. A follower believes no bytes that it was sent.
  package func complaint(about batch: StepBatch, vocabulary: Int) -> String? {
    guard batch.tokens.count <= batchTokens, batch.segments.count <= sequences else {
      return "a step of \(batch.tokens.count) tokens in \(batch.segments.count) sequences"
    }
    guard batch.tokens.allSatisfy({ $0 >= 0 && Int($0) < vocabulary }),
      batch.blocks.allSatisfy({ $0 >= 0 && Int($0) < blocks })
    else { return "a token or a block that does not exist" }
    var next = 0
    for segment in batch.segments {
      let end = segment.position + segment.count
      guard segment.start == next, segment.count > 0, segment.position >= 0, end <= contextLimit,
        segment.blockStart >= 0, segment.blockCount * blockTokens >= end,
        segment.blockStart + segment.blockCount <= batch.blocks.count
      else { return "a sequence's tokens do not match its blocks" }
      next += segment.count
    }
    return next == batch.tokens.count ? nil : "tokens of no sequence"
  }
}
