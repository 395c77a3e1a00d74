import Generation
import Glibc
import RankGroup
import ShardPlan
import ShardRunner

/// A model in this process, without server and scheduler: for measuring.
struct LocalModel {
  let rank: Rank
  private let blocks: [Int32]
  private var batch = StepBatch()

  /// Room for one sequence of `context` tokens, and steps of up to `batchTokens`, all of whose logits
  /// may be wanted.
  init(
    _ path: String, type: WeightType?, threads: Int, context: Int, batchTokens: Int,
    pinsThreads: Bool = false
  ) throws {
    var settings = EngineSettings(model: path, threads: threads)
    settings.type = type
    settings.pinsThreads = pinsThreads
    settings.contextLimit = context
    settings.maxBatchTokens = batchTokens
    settings.maxSequences = batchTokens
    let blockCount = (context + settings.blockTokens - 1) / settings.blockTokens
    settings.kvBytes = try Rank.kvBytes(settings, blocks: blockCount)
    rank = try Rank(settings, collective: SoloCollective(floatsPerExchange: 1))
    blocks = (0..<Int32(blockCount)).map { $0 }
  }

  var vocabulary: Int { rank.plan.shape.vocabulary }

  /// Computes tokens at these positions. `wantsAll`: logits behind each of them, not the last only.
  mutating func run(_ tokens: ArraySlice<Int32>, at position: Int, wantsAll: Bool) throws {
    batch.removeAll()
    batch.tokens += tokens
    batch.blocks += blocks
    let pieces = wantsAll ? tokens.count : 1
    let size = tokens.count / pieces
    for piece in 0..<pieces {
      batch.segments.append(
        StepBatch.Segment(
          start: piece * size, count: size, position: position + piece * size, blockStart: 0,
          blockCount: blocks.count, isSampled: true))
    }
    try rank.backend.execute(batch)
  }

  /// The likeliest token of the last row.
  func likeliest(row: Int = 0) -> Int32 {
    let logits = rank.backend.logits + row * vocabulary
    var best = 0
    for token in 1..<vocabulary where logits[token] > logits[best] { best = token }
    return Int32(best)
  }
}
