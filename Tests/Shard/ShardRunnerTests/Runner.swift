import CShardKernels
import Generation
import ModelFiles
import Primitives
import RankGroup
import ShardPlan

@testable import ShardRunner

/// A model in this process, on one rank, driven step by step.
final class Runner {
  let rank: Rank
  private var step: UInt64 = 0

  init(
    _ model: String, type: WeightType = .fp32, threads: Int = 2, batchTokens: Int = 64,
    blocks: Int = 32, collective: (any Collective)? = nil
  ) throws {
    var settings = EngineSettings(
      model: model.hasPrefix("/") ? model : Golden.folder + model, threads: threads)
    settings.type = type
    settings.maxBatchTokens = batchTokens
    settings.maxSequences = 16
    settings.contextLimit = 512
    let shape = try ModelSource.open(settings.model).shape
    let plan = ModelPlan(shape, rank: 0, of: collective?.count ?? 1)
    settings.kvBytes =
      blocks * CPUBackend.blockBytes(plan, settings.blockTokens, type == .fp32 ? .fp32 : .bf16)
    rank = try Rank(
      settings, collective: collective ?? SoloCollective(floatsPerExchange: 1))
  }

  var vocabulary: Int { rank.plan.shape.vocabulary }

  /// Some tokens of one sequence.
  struct Piece {
    var tokens: [Int32]
    var position: Int
    /// Blocks from position 0 on.
    var blocks: [Int32]
  }

  /// The logits behind the last token of each piece.
  func run(_ pieces: [Piece]) throws -> [[Float]] {
    var batch = StepBatch()
    batch.step = step
    step += 1
    for piece in pieces {
      batch.segments.append(
        StepBatch.Segment(
          start: batch.tokens.count, count: piece.tokens.count, position: piece.position,
          blockStart: batch.blocks.count, blockCount: piece.blocks.count, isSampled: true))
      batch.tokens += piece.tokens
      batch.blocks += piece.blocks
    }
    precondition(rank.limits.complaint(about: batch, vocabulary: vocabulary) == nil)
    try rank.backend.execute(batch)
    return pieces.indices.map { index in
      Array(
        UnsafeBufferPointer(start: rank.backend.logits + index * vocabulary, count: vocabulary))
    }
  }

  /// Logits behind every token of a sequence, computed in chunks of the given sizes; the last size
  /// repeats. Chunks give logits for their last token only, so all of them takes chunks of 1.
  func logits(_ tokens: [Int32], chunk: Int, blocks: [Int32]) throws -> [Int: [Float]] {
    var result: [Int: [Float]] = [:]
    var position = 0
    while position < tokens.count {
      let count = min(chunk, tokens.count - position)
      let piece = Piece(
        tokens: Array(tokens[position..<position + count]), position: position, blocks: blocks)
      position += count
      result[position - 1] = try run([piece])[0]
    }
    return result
  }
}
