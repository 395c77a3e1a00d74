import Primitives

/// What the scheduler may use, and what it aims at.
package struct SchedulerSettings: Equatable, Sendable {
  /// KV blocks of the pool. The same number on every rank.
  package var blocks: Int
  /// Tokens that one block holds. Default 16, as vLLM: small enough that half a block lost per
  /// sequence is little, large enough that block tables are short.
  package var blockTokens: Int = 16
  /// The longest sequence, prompt and output together. Tokens.
  package var contextLimit: Int
  /// Sequences that run at a time: MaxBatchSize of the batch law. Default 64: on a CPU the weights
  /// stop being what a step costs long before.
  package var maxSequences: Int = 64
  /// Tokens that one step may compute. Default 512: on a CPU, products of matrices do not get
  /// faster per token beyond it, and buffers for activations are sized by it.
  package var maxBatchTokens: Int = 512
  /// Prompt tokens of one sequence in one step, at least a block. nil for no limit but the budget
  /// of the step. A limit lets short prompts pass beside a long one.
  package var prefillChunkLimit: Int?
  /// Prompt tokens that a step may compute however slow the machine is, so that prompts get
  /// through while others decode. Default 4: on two cores a token of a prompt costs about a tenth
  /// to a quarter of a decode step of a small model.
  package var minimumPrefillTokens: Int = 4
  /// Blocks are kept when their sequence ends, and found again by their content.
  package var prefixCaching: Bool = true
  /// The gap between tokens of a stream that is still good: TPOT_SLO of the batch law. Default
  /// 100 ms, ten tokens a second: about as fast as people read.
  package var gapTarget: TimeAmount = .milliseconds(100)
  /// A prompt may stretch the gaps of streams to so many times their size while it is computed,
  /// and not beyond `gapTarget`. Default 1.8: the promise is 2, the rest is for errors of the
  /// estimate.
  package var gapStretch: Double = 1.8
  /// Blocks that admission leaves free for the growth of those that run. nil for 1 % of the pool,
  /// as vLLM had it, and at least 1.
  package var watermarkBlocks: Int?
  /// Requests that may wait. The server bounds its queue by itself, far below; this is what holds
  /// if it does not. Default 16,384.
  package var queueLimit: Int = 16_384
  /// Tokens of all waiting requests together. Default 16 Mi: 64 MiB.
  package var queuedTokensLimit: Int = 16 << 20
  /// A request overtakes those of the next smaller priority that came so much later: starvation is
  /// bounded by it. Default 10 s.
  package var agingStep: TimeAmount = .seconds(10)
  /// Mixed into the hashes of prefixes, so that nobody outside can aim at one bucket.
  package var hashSeed: UInt64 = 0

  package init(blocks: Int, contextLimit: Int) {
    self.blocks = blocks
    self.contextLimit = contextLimit
  }

  package var watermark: Int { watermarkBlocks ?? min(max(1, blocks / 100), blocks - 1) }

  /// Why the scheduler cannot work with these numbers, in words for the operator. nil if it can.
  package var problem: String? {
    if !(1...64 << 20).contains(blocks) {
      return "the KV pool has \(blocks) blocks; it needs 1...67108864: give it more memory"
    }
    if !(1...4_096).contains(blockTokens) {
      return "a KV block of \(blockTokens) tokens is outside 1...4096; 16 is usual"
    }
    if !(2...1 << 30).contains(contextLimit) {
      return "a context of \(contextLimit) tokens is outside 2...1073741824"
    }
    if !(1...1 << 20).contains(maxBatchTokens) {
      return "\(maxBatchTokens) tokens per step is outside 1...1048576; 512 is usual on a CPU"
    }
    if !(1...maxBatchTokens).contains(maxSequences) {
      return "\(maxSequences) sequences at a time is outside 1...\(maxBatchTokens), the tokens of "
        + "one step; each running sequence needs one of them"
    }
    if let limit = prefillChunkLimit, limit < blockTokens {
      return "a prefill chunk of \(limit) tokens is less than a KV block of \(blockTokens); leave "
        + "it out for no limit"
    }
    if !(1...maxBatchTokens).contains(minimumPrefillTokens) {
      return "at least \(minimumPrefillTokens) prompt tokens per step is outside "
        + "1...\(maxBatchTokens), the tokens of one step"
    }
    if !(TimeAmount.microseconds(1)...TimeAmount.seconds(3_600)).contains(gapTarget) {
      return "a gap between tokens of \(gapTarget) is outside 1us...1h; 100ms is usual"
    }
    if !(gapStretch >= 1 && gapStretch <= 1_000) {
      return "gaps stretched \(gapStretch) times is outside 1...1000; 1.8 is usual"
    }
    if !(0..<blocks).contains(watermark) {
      return "\(watermark) blocks kept free is outside 0...\(blocks - 1), the KV pool; 1 % is usual"
    }
    if queueLimit < 1 || queuedTokensLimit < 1 {
      return "a queue of \(queueLimit) requests and \(queuedTokensLimit) tokens holds nothing"
    }
    if !(TimeAmount.zero...TimeAmount.seconds(3_600)).contains(agingStep) {
      return "an ageing step of \(agingStep) is outside 0s...1h; 10s is usual"
    }
    return nil
  }
}
