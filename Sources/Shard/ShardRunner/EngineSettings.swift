import Primitives
import Scheduler
import ShardPlan

/// What a rank is started with. The same on all ranks of a group.
package struct EngineSettings: Equatable, Sendable {
  /// A Hugging Face folder or a .gguf file.
  package var model: String
  /// nil for what the files store.
  package var type: WeightType?
  /// Threads of one rank.
  package var threads: Int
  /// Each thread on a core of its own. Off where the machine is shared.
  package var pinsThreads: Bool = false
  /// Of one rank. Bytes; nil for enough for `maxSequences` halves of a context, at most 1 GiB.
  package var kvBytes: Int?
  package var blockTokens: Int = 16
  /// nil for what the model was trained for, at most 8,192: a KV pool for 131,072 tokens is not what
  /// somebody expects who tries a model.
  package var contextLimit: Int?
  package var maxSequences: Int = 64
  package var maxBatchTokens: Int = 512
  package var prefixCaching: Bool = true
  package var gapTarget: TimeAmount = .milliseconds(100)
  /// Ids that the tokenizer has; the model's table may be longer. nil for all of the table.
  package var knownTokens: Int?
  /// Waits so long after every step: a slow machine, for demos and tests.
  package var pace: TimeAmount = .zero

  package init(model: String, threads: Int) {
    self.model = model
    self.threads = threads
  }

  package static let defaultContextLimit = 8_192
  package static let defaultKVLimit = 1 << 30

  package func context(of shape: ModelShape) -> Int {
    min(shape.contextLimit, contextLimit ?? Self.defaultContextLimit)
  }

  /// Blocks of the KV pool of each rank.
  package func blocks(_ plan: ModelPlan, _ kvType: WeightType) -> Int {
    let blockBytes = CPUBackend.blockBytes(plan, blockTokens, kvType)
    let perContext = (context(of: plan.shape) + blockTokens - 1) / blockTokens
    let wanted =
      kvBytes
      ?? min(
        Self.defaultKVLimit, max(perContext, maxSequences * perContext / 2) * blockBytes)
    return max(1, wanted / max(1, blockBytes))
  }
}
