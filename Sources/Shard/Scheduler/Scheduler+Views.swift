import Generation
import Primitives

/// A sequence whose next token is to be drawn from the logits of a segment.
package struct SampledSequence: Equatable, Sendable {
  package var id: UInt64
  package var sampling: SamplingParameters
  /// Tokens that came out before: the draw is a function of the seed and of this.
  package var outputIndex: Int
  /// Tokens that may not be drawn: the ends, until `minTokens` have come out.
  package var maskedTokens: [Int32]
  let slot: Int

  init(_ sequence: SequenceState, slot: Int) {
    id = sequence.id
    sampling = sequence.sampling
    outputIndex = sequence.outputCount
    maskedTokens = sequence.outputCount < sequence.minTokens ? sequence.endTokens : []
    self.slot = slot
  }
}

/// What others may see.
extension Scheduler {
  /// Lends the tokens of a row of `sampled` while its step is under way, without a copy. For
  /// penalties.
  package func withTokens<Result>(
    of row: Int,
    _ body: (_ prompt: UnsafeBufferPointer<Int32>, _ output: UnsafeBufferPointer<Int32>) -> Result
  ) -> Result {
    precondition(isUnderWay, "scheduler: rows are gone when their step is completed")
    let slot = sampled[row].slot
    let promptCount = sequences[slot].promptCount
    return sequences[slot].tokens.withUnsafeBufferPointer { tokens in
      body(
        UnsafeBufferPointer(rebasing: tokens[..<promptCount]),
        UnsafeBufferPointer(rebasing: tokens[promptCount...]))
    }
  }

  /// Blocks that nobody uses, cached ones among them.
  package var availableBlocks: Int { blocks.available }

  package func report() -> EngineReport {
    var report = counters
    report.steps = step
    report.running = running.count
    report.waiting = waiting.count
    report.blocksUsed = blocks.usedCount
    report.blocksCached = blocks.cachedCount
    report.maxBatchSize = law.maxBatchSize
    report.currentLoad = law.currentLoad
    report.memoryLimit = law.memoryLimit
    report.batchLimit = law.limit
    return report
  }
}
