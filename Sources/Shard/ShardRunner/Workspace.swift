import CShardKernels
import ShardPlan

/// Room for what one step makes on its way, for the largest step that may come. Allocated once, in one
/// mapping; memory that no step has touched takes none.
///
/// Rows are tokens of the step, except where said.
final class Workspace {
  /// The residual stream, and it normed. [tokens][hidden]
  let stream: UnsafeMutablePointer<Float>
  let normed: UnsafeMutablePointer<Float>
  let query: UnsafeMutablePointer<Float>
  let key: UnsafeMutablePointer<Float>
  let value: UnsafeMutablePointer<Float>
  /// What attention makes, before its output layer.
  let attended: UnsafeMutablePointer<Float>
  /// Latent attention: the query's own latent, the token's latent with its rope key, queries in the
  /// latent's space, and sums of latents.
  let queryLatent: UnsafeMutablePointer<Float>
  let latent: UnsafeMutablePointer<Float>
  let latentQuery: UnsafeMutablePointer<Float>
  let latentSum: UnsafeMutablePointer<Float>
  /// Between the two halves of a feed-forward.
  let gated: UnsafeMutablePointer<Float>
  /// Experts. Slots are pairs of token and expert, ordered by expert.
  let router: UnsafeMutablePointer<Float>
  let slotInput: UnsafeMutablePointer<Float>
  let slotGated: UnsafeMutablePointer<Float>
  let slotOutput: UnsafeMutablePointer<Float>
  let cosines: UnsafeMutablePointer<Float>
  let sines: UnsafeMutablePointer<Float>
  /// [sampled][vocabulary], on rank 0.
  let logits: UnsafeMutablePointer<Float>
  /// For each thread, grown when a longer sequence comes.
  private(set) var attentionScratch: [UnsafeMutablePointer<Float>]
  private var scratchFloats = 0

  let positions: UnsafeMutablePointer<Int32>
  let sampled: UnsafeMutablePointer<Int32>
  let tiles: UnsafeMutablePointer<Tile>
  let routing: ExpertRouting?

  let headBounds: [Int]
  /// The widest rank's part of the vocabulary.
  let headWidth: Int

  private let memory: UnsafeMutableRawPointer
  private let bytes: Int

  init(_ plan: ModelPlan, _ limits: BackendLimits, threads: Int, ropeHalf: Int)
    throws(LoadComplaint)
  {
    let sizes = WorkspaceSizes(plan)
    let tokens = limits.batchTokens
    var cursor = 0
    func reserve(_ rows: Int, _ width: Int) -> Int {
      let start = cursor
      cursor += (rows * width * 4 + 63) / 64 * 64
      return start
    }
    let hidden = plan.shape.hidden
    let slots = tokens * sizes.perToken
    let places = [
      reserve(tokens, hidden), reserve(tokens, hidden), reserve(tokens, sizes.query),
      reserve(tokens, sizes.keys), reserve(tokens, sizes.keys), reserve(tokens, sizes.attended),
      reserve(tokens, sizes.queryRank), reserve(tokens, sizes.latent),
      reserve(tokens, sizes.latentQuery), reserve(tokens, sizes.latentSum),
      reserve(tokens, sizes.gated), reserve(tokens, sizes.experts), reserve(slots, hidden),
      reserve(slots, sizes.expertWidth), reserve(slots, hidden), reserve(tokens, ropeHalf),
      reserve(tokens, ropeHalf),
      reserve(plan.rank == 0 ? limits.sequences : 0, plan.shape.vocabulary),
    ]
    bytes = max(cursor, 64)
    guard let memory = pk_memory_map(bytes) else {
      throw LoadComplaint(
        "no memory for \(bytes >> 20) MiB of work space; set --max-batch-tokens lower")
    }
    self.memory = memory
    func at(_ index: Int) -> UnsafeMutablePointer<Float> {
      (memory + places[index]).assumingMemoryBound(to: Float.self)
    }
    stream = at(0)
    normed = at(1)
    query = at(2)
    key = at(3)
    value = at(4)
    attended = at(5)
    queryLatent = at(6)
    latent = at(7)
    latentQuery = at(8)
    latentSum = at(9)
    gated = at(10)
    router = at(11)
    slotInput = at(12)
    slotGated = at(13)
    slotOutput = at(14)
    cosines = at(15)
    sines = at(16)
    logits = at(17)
    attentionScratch = (0..<threads).map { _ in .allocate(capacity: 1) }
    positions = .allocate(capacity: tokens)
    sampled = .allocate(capacity: tokens)
    tiles = .allocate(capacity: tokens)
    routing = sizes.experts > 0 ? ExpertRouting(tokens: tokens, plan: plan) : nil
    headBounds = ModelPlan.vocabularyBounds(plan.shape.vocabulary, ranks: plan.ranks)
    headWidth = zip(headBounds, headBounds.dropFirst()).map { $1 - $0 }.max() ?? 0
  }

  deinit {
    pk_memory_unmap(memory, bytes)
    for scratch in attentionScratch { scratch.deallocate() }
    positions.deallocate()
    sampled.deallocate()
    tiles.deallocate()
  }

  /// Sees to it that every thread has room for the scores of a tile up to that position.
  func makeRoom(forPosition last: Int) {
    let needed = pk_attention_scratch(Int32(Tile.rows), Int32(last))
    guard needed > scratchFloats else { return }
    // Twice as much, so that a growing sequence does not come back at every token.
    scratchFloats = needed * 2
    for index in attentionScratch.indices {
      attentionScratch[index].deallocate()
      attentionScratch[index] = .allocate(capacity: scratchFloats)
    }
  }
}

/// Consecutive rows of one sequence, whose attention one thread computes for one head.
struct Tile {
  /// More share loads of keys and values, fewer spread better over threads.
  static let rows = 16

  /// First row in the step, rows, and the first row's position in its sequence.
  var first: Int32
  var count: Int32
  var position: Int32
  /// Place of the sequence's first block in the step's blocks.
  var blockStart: Int32
}

/// The widest that each buffer has to be, over all layers.
private struct WorkspaceSizes {
  var query = 0
  var keys = 0
  var attended = 0
  var queryRank = 0
  var latent = 0
  var latentQuery = 0
  var latentSum = 0
  var gated = 0
  var experts = 0
  var perToken = 0
  var expertWidth = 0

  init(_ plan: ModelPlan) {
    for layer in plan.layers {
      switch layer.attention {
      case .grouped(let grouped):
        query = max(query, grouped.heads * grouped.headSize)
        keys = max(keys, grouped.kvHeads * grouped.headSize)
        attended = max(attended, grouped.heads * grouped.headSize)
      case .latent(let plan):
        query = max(query, plan.heads * (plan.plainSize + plan.ropeSize))
        attended = max(attended, plan.heads * plan.valueSize)
        latent = max(latent, plan.latent + plan.ropeSize)
        latentQuery = max(latentQuery, plan.heads * (plan.latent + plan.ropeSize))
        latentSum = max(latentSum, plan.heads * plan.latent)
        if case .lowRank(let down, _, _) = plan.query {
          queryRank = max(queryRank, down.matrix.rows)
        }
      }
      switch layer.feedForward {
      case .dense(let dense): gated = max(gated, dense.width)
      case .experts(let plan):
        experts = max(experts, plan.rules.count)
        perToken = max(perToken, plan.rules.perToken)
        expertWidth = max(expertWidth, plan.rules.intermediate)
        gated = max(gated, plan.shared?.width ?? 0)
      }
    }
  }
}
