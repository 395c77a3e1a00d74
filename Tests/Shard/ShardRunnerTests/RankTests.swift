import CShardKernels
import Generation
import Glibc
import ModelFiles
import Primitives
import RankGroup
import ShardPlan
import Testing

@testable import ShardRunner

/// A model cut over several ranks: here each is a thread with shared memory, as processes have it.
private final class Group {
  private let followers: [pthread_t]
  private let memory: Int32
  let collective: SharedCollective
  let rank: Rank
  private var step: UInt64 = 0

  private final class Start: Sendable {
    let collective: SharedCollective
    let settings: EngineSettings

    init(_ collective: SharedCollective, _ settings: EngineSettings) {
      self.collective = collective
      self.settings = settings
    }
  }

  init(_ model: String, ranks: Int, type: WeightType) throws {
    var settings = EngineSettings(model: Golden.folder + model, threads: 1)
    settings.type = type
    settings.maxBatchTokens = 48
    settings.maxSequences = 16
    settings.contextLimit = 64
    settings.kvBytes = 8 << 20
    let shape = try ModelSource.open(settings.model).shape
    let memory = SharedCollective.memory(
      ranks: ranks, floatsPerExchange: Rank.exchangeFloats(settings, shape, ranks: ranks),
      stepBytes: 1 << 20)
    self.memory = memory
    collective = try SharedCollective(memory: memory, rank: 0)
    let engine = settings
    followers = try (1..<ranks).map { rank in
      let start = Start(try SharedCollective(memory: memory, rank: rank), engine)
      var thread = pthread_t()
      pthread_create(
        &thread, nil,
        { context in
          let start = Unmanaged<Start>.fromOpaque(context!).takeRetainedValue()
          do {
            let rank = try Rank(start.settings, collective: start.collective)
            try rank.follow(start.collective)
            start.collective.leave()
          } catch {
            start.collective.abandon()
          }
          return nil
        }, Unmanaged.passRetained(start).toOpaque())
      return thread
    }
    rank = try Rank(settings, collective: collective)
  }

  deinit {
    try? collective.lead([])
    collective.leave()
    for thread in followers { pthread_join(thread, nil) }
    close(memory)
  }

  /// Logits behind the last token of a prompt that is computed in chunks.
  func logits(_ tokens: [Int32], chunk: Int) throws -> [Float] {
    var batch = StepBatch()
    var bytes: [UInt8] = []
    var position = 0
    while position < tokens.count {
      let count = min(chunk, tokens.count - position)
      batch.removeAll()
      batch.step = step
      step += 1
      batch.tokens = Array(tokens[position..<position + count])
      batch.blocks = [3, 1, 2]
      batch.segments = [
        StepBatch.Segment(
          start: 0, count: count, position: position, blockStart: 0, blockCount: 3,
          isSampled: true)
      ]
      position += count
      batch.encode(into: &bytes)
      try collective.lead(bytes)
      try rank.backend.execute(batch)
    }
    return Array(
      UnsafeBufferPointer(start: rank.backend.logits, count: rank.plan.shape.vocabulary))
  }
}

@Suite(.serialized) struct RankTests {
  static let models = [
    "llama", "llama_tied", "llama_biases", "qwen2", "qwen3_moe", "deepseek_v2", "deepseek_v3",
    "deepseek_v3_fp8",
  ]

  // Each rank sums a part: rounding moves the last bits, and nothing else. A slice that is off by one
  // head, a bias that is added on every rank, an expert that two ranks own would move much more.
  // Models have 2 key-value heads, so 4 ranks keep copies.
  @Test(arguments: models, [2, 4]) func ranksComputeTheSameModel(model: String, ranks: Int) throws {
    let tokens = try Golden("\(model)/golden.safetensors").integers("prompt0")
    let runner = try Runner(model)
    let whole = try runner.logits(tokens, chunk: 16, blocks: [0, 1, 2])[tokens.count - 1] ?? []
    let group = try Group(model, ranks: ranks, type: .fp32)
    let cut = try group.logits(tokens, chunk: 16)
    #expect(cut.count == whole.count)
    for token in whole.indices { #expect(abs(cut[token] - whole[token]) < 2e-4) }
    // And whatever the chunks, the same bits.
    let again = try group.logits(tokens, chunk: 7)
    #expect(again == cut)
  }

  // The point of ranks: each holds its share. What every rank keeps are norms and routers.
  @Test func aRankHoldsItsShare() throws {
    let source = try ModelSource.open(Golden.folder + "llama")
    let one = try Rank.weightBytes(ModelPlan(source.shape, rank: 0, of: 1), source, .bf16)
    let two = try Rank.weightBytes(ModelPlan(source.shape, rank: 1, of: 2), source, .bf16)
    #expect(Double(two) < 0.55 * Double(one))
  }

  @Test func illegalCountsAreRefusedWithTheLegalOnes() throws {
    let shape = try ModelSource.open(Golden.folder + "llama").shape
    #expect(
      RankRules.complaint(3, for: shape)
        == "3 ranks cannot share this model: 8 heads are not a multiple of it; legal are 1, 2, 4, 8"
    )
    let six = try ModelSource.open(Golden.folder + "llama_six_heads").shape
    #expect(
      RankRules.complaint(3, for: six)
        == "3 ranks cannot share this model: 2 key-value heads can be neither dealt out nor "
        + "repeated evenly; legal are 1, 2")
    #expect(RankRules.complaint(2, for: shape) == nil)
    #expect(RankRules.complaint(0, for: shape)?.hasPrefix("0 ranks cannot share") == true)
  }
}
