import CShardKernels
import Generation
import ModelFiles
import Primitives
import RankGroup
import ShardPlan

/// One rank, from its settings to a backend that can execute steps.
package final class Rank {
  package let source: ModelSource
  package let plan: ModelPlan
  package let limits: BackendLimits
  package let backend: CPUBackend
  private let team: OpaquePointer

  /// Loads the weights: the longest part of a start.
  package init(_ settings: EngineSettings, collective: any Collective) throws {
    source = try ModelSource.open(settings.model)
    let shape = source.shape
    guard shape.encoder == nil else { throw LoadComplaint(Self.isEncoder(source)) }
    if let complaint = RankRules.complaint(collective.count, for: shape) {
      throw LoadComplaint(complaint)
    }
    let type = settings.type ?? shape.storedType
    let kvType = Self.kvType(type)
    plan = ModelPlan(shape, rank: collective.rank, of: collective.count)
    limits = BackendLimits(
      batchTokens: settings.maxBatchTokens, sequences: settings.maxSequences,
      blocks: try collective.meet(
        settings.blocks(plan, kvType), within: Self.startLimit),
      blockTokens: settings.blockTokens, contextLimit: settings.context(of: shape))
    guard let team = pk_team_create(Int32(settings.threads), settings.pinsThreads ? 1 : 0) else {
      throw LoadComplaint("cannot start \(settings.threads) threads")
    }
    self.team = team
    let model = try WeightLoader.load(plan, from: source, as: type, team: team)
    backend = try CPUBackend(
      model, limits, kvType: kvType, team: team, collective: collective)
    // Weights are packed copies: the pages of the files need not stay.
    source.release()
    // All are loaded before any begins: a step's deadline is for steps.
    _ = try collective.meet(0, within: Self.startLimit)
  }

  deinit { pk_team_destroy(team) }

  /// Why an encoder is not served as a model that makes texts.
  package static func isEncoder(_ source: ModelSource) -> String {
    "\(source.name) is an encoder, which makes embeddings, not texts; portico-embed serves it"
  }

  /// Loading a large model from a slow disk takes minutes. The supervisor has its own limit.
  private static let startLimit = TimeAmount.seconds(3_600)

  /// The floats that the largest exchange of a group needs, known to the supervisor before it starts
  /// the ranks.
  package static func exchangeFloats(_ settings: EngineSettings, _ shape: ModelShape, ranks: Int)
    -> Int
  {
    let bounds = ModelPlan.vocabularyBounds(shape.vocabulary, ranks: ranks)
    let widest = zip(bounds, bounds.dropFirst()).map { $1 - $0 }.max() ?? 0
    return max(settings.maxBatchTokens * shape.hidden, settings.maxSequences * widest)
  }

  /// Bytes that the weights of a rank take.
  package static func weightBytes(_ plan: ModelPlan, _ source: ModelSource, _ type: WeightType)
    throws(LoadComplaint) -> Int
  { try WeightLoader.bytes(of: plan, from: source, as: type) }

  /// Bytes of a pool of so many blocks, on one rank.
  package static func kvBytes(_ settings: EngineSettings, blocks: Int) throws -> Int {
    let shape = try ModelSource.open(settings.model).shape
    let kvType = kvType(settings.type ?? shape.storedType)
    return blocks
      * CPUBackend.blockBytes(ModelPlan(shape, rank: 0, of: 1), settings.blockTokens, kvType)
  }

  /// Keys and values are kept as exactly as the weights, but in 8 bits never.
  private static func kvType(_ type: WeightType) -> WeightType { type == .fp32 ? .fp32 : .bf16 }

  // MARK: Followers

  /// Executes what rank 0 leads, until it says that the group ends.
  package func follow(_ collective: any Collective) throws(GroupBroken) {
    var bytes: [UInt8] = []
    var batch = StepBatch()
    var last: UInt64?
    while true {
      try collective.follow(into: &bytes)
      if bytes.isEmpty { return }
      do throws(MalformedMessage) {
        try batch.decode(bytes)
      } catch {
        throw GroupBroken("a step cannot be read: \(error)")
      }
      if let last, batch.step != last + 1 {
        throw GroupBroken("step \(batch.step) came behind step \(last)")
      }
      last = batch.step
      if let complaint = limits.complaint(about: batch, vocabulary: plan.shape.vocabulary) {
        throw GroupBroken("step \(batch.step) cannot be executed: \(complaint)")
      }
      try backend.execute(batch)
    }
  }
}
