import CShardKernels
import Generation
import Primitives
import RankGroup
import ShardPlan

/// The plan on CPUs: a team of threads walks through the layers together, each doing its share of
/// every operation, with a barrier where one needs what others made.
///
/// ```
/// embed  >  norm > q k v > rope, store > attention > output (+)  >  norm > gate up > down (+)  >  head
///                                                                                    '-- layers --'
/// ```
/// `(+)` ends in a sum over ranks where there are several. Barriers a layer: eight. What comes out for
/// a token depends on its sequence alone, bit for bit: kernels fix the order of every sum.
///
/// Belongs to the thread that created it, which is thread 0 of the team.
package final class CPUBackend: Backend {
  let model: LoadedModel
  let limits: BackendLimits
  let team: OpaquePointer
  let threads: Int
  let collective: any Collective
  let pools: [pk_kv]
  let rope: RopeTable?
  let space: Workspace
  /// The step that is being executed.
  var step = StepView()
  private var failure: GroupBroken?
  private let poolMemory: UnsafeMutableRawPointer
  package let kvBytes: Int

  package var weightBytes: Int { model.bytes }
  package var logits: UnsafeMutablePointer<Float> { space.logits }

  /// The model has been loaded with the same team, which stays the caller's.
  init(
    _ model: LoadedModel, _ limits: BackendLimits, kvType: WeightType, team: OpaquePointer,
    collective: any Collective
  ) throws(LoadComplaint) {
    self.model = model
    self.limits = limits
    self.team = team
    self.collective = collective
    threads = Int(pk_team_size(team))
    let plan = model.plan
    rope = plan.shape.rope.map { RopeTable($0, size: Self.ropeSize(plan.shape)) }
    space = try Workspace(plan, limits, threads: threads, ropeHalf: rope?.half ?? 0)
    kvBytes = Self.kvBytes(plan, limits, kvType)
    guard let memory = pk_memory_map(max(kvBytes, 64)) else {
      throw LoadComplaint("no memory for a KV pool of \(kvBytes >> 20) MiB; set --kv-memory lower")
    }
    poolMemory = memory
    pools = Self.pools(plan, limits, kvType, memory)
  }

  deinit { pk_memory_unmap(poolMemory, max(kvBytes, 64)) }

  // MARK: Steps

  package func execute(_ batch: StepBatch) throws(GroupBroken) {
    batch.tokens.withUnsafeBufferPointer { tokens in
      batch.blocks.withUnsafeBufferPointer { blocks in
        batch.segments.withUnsafeBufferPointer { segments in
          step.lay(tokens, segments, blocks, space)
          pk_team_run(
            team,
            { context, thread in
              Unmanaged<CPUBackend>.fromOpaque(context!).takeUnretainedValue()
                .walk(Int(thread))
            }, Unmanaged.passUnretained(self).toOpaque())
        }
      }
    }
    if let failure { throw failure }
  }

  private func walk(_ thread: Int) {
    guard embed(thread) else { return }
    for (index, layer) in model.layers.enumerated() {
      norm(layer.attentionNorm, thread)
      barrier(thread)
      let isWhole =
        switch layer.attention {
        case .grouped(let grouped): self.grouped(grouped, pools[index], thread)
        case .latent(let latent): self.latent(latent, pools[index], thread)
        }
      guard isWhole else { return }
      norm(layer.feedForwardNorm, thread)
      barrier(thread)
      switch layer.feedForward {
      case .dense(let dense):
        guard self.dense(dense, thread) else { return }
      case .experts(let experts):
        guard self.experts(experts, thread) else { return }
      }
    }
    head(thread)
  }

  // MARK: What all operations need

  func barrier(_ thread: Int) { pk_team_barrier(team, Int32(thread)) }

  /// The thread's share of `count` things that cost the same.
  func share(_ count: Int, _ thread: Int) -> Range<Int> {
    count * thread / threads..<count * (thread + 1) / threads
  }

  /// The normed residual stream, in `space.normed`.
  private func norm(_ norm: LoadedNorm, _ thread: Int) {
    let hidden = model.plan.shape.hidden
    for row in share(step.rows, thread) {
      norm.apply(space.stream + row * hidden, space.normed + row * hidden)
    }
  }

  /// Some matrices over the same input: this thread's share of their panels.
  func linear(
    _ parts: [LinearPart], _ x: UnsafePointer<Float>, _ xStride: Int, _ thread: Int
  ) {
    LinearPart.compute(
      parts, x, xStride, rows: step.rows, mine: { share($0, thread) })
  }

  /// Adds `W x` to the residual stream: the end of attention and feed-forward. False when the group
  /// is broken. All threads are in step afterwards.
  func reduce(_ linear: LoadedLinear, _ x: UnsafePointer<Float>, _ xStride: Int, _ thread: Int)
    -> Bool
  {
    let hidden = model.plan.shape.hidden
    let panels = share(linear.panels, thread)
    withUnsafePointer(to: linear.matrix) {
      if collective.count == 1 {
        pk_linear(
          $0, Int32(panels.lowerBound), Int32(panels.upperBound), x, xStride, Int32(step.rows),
          space.stream, hidden, linear.bias, 1)
      } else {
        let partial = partials(step.rows * hidden, thread)
        pk_linear(
          $0, Int32(panels.lowerBound), Int32(panels.upperBound), x, xStride, Int32(step.rows),
          partial, hidden, linear.bias, 0)
      }
    }
    return sum(step.rows * hidden, into: space.stream, thread)
  }

  /// Where this rank's partial sums go. Ends with a barrier, so that all threads know.
  func partials(_ count: Int, _ thread: Int) -> UnsafeMutablePointer<Float> {
    if thread == 0 { step.partial = collective.nextPartial(count: count) }
    barrier(thread)
    guard let partial = step.partial else { preconditionFailure("no room for partial sums") }
    return partial
  }

  /// Adds the partial sums of all ranks, after every thread has written its own.
  func sum(_ count: Int, into y: UnsafeMutablePointer<Float>, _ thread: Int) -> Bool {
    guard collective.count > 1 else {
      barrier(thread)
      return true
    }
    guard exchange(count, thread) else { return false }
    collective.addSum(of: share(count, thread), to: y)
    barrier(thread)
    return true
  }

  /// After it, the partials of all ranks can be read. False on all threads when the group is broken.
  func exchange(_ count: Int, _ thread: Int) -> Bool {
    barrier(thread)
    if thread == 0 {
      do throws(GroupBroken) {
        try collective.exchange(count: count)
      } catch {
        failure = error
      }
    }
    barrier(thread)
    return failure == nil
  }

  // MARK: The two ends

  /// Rows of the embedding table into the residual stream; angles of the positions.
  private func embed(_ thread: Int) -> Bool {
    let plan = model.plan
    let hidden = plan.shape.hidden
    let mine = plan.embedding.slice.rows
    let isCut = collective.count > 1
    let target = isCut ? partials(step.rows * hidden, thread) : space.stream
    for row in share(step.rows, thread) {
      let token = Int(step.tokens[row])
      if mine.contains(token) {
        withUnsafePointer(to: model.embedding) {
          pk_matrix_row($0, Int32(token - mine.lowerBound), target + row * hidden)
        }
      } else {
        (target + row * hidden).update(repeating: 0, count: hidden)
      }
      if isCut { (space.stream + row * hidden).update(repeating: 0, count: hidden) }
      if let rope {
        rope.angles(
          at: step.positions[row], space.cosines + row * rope.half,
          space.sines + row * rope.half)
      }
    }
    return sum(step.rows * hidden, into: space.stream, thread)
  }

  /// Logits of the sampled rows, on rank 0.
  private func head(_ thread: Int) {
    guard let head = model.head, step.sampled.count > 0 else { return }
    let plan = model.plan
    let hidden = plan.shape.hidden
    for index in share(step.sampled.count, thread) {
      let row = Int(step.sampled[index])
      head.norm.apply(space.stream + row * hidden, space.normed + index * hidden)
    }
    barrier(thread)
    let isCut = collective.count > 1
    let width = Int(head.matrix.rows)
    let count = step.sampled.count
    let bounds = space.headBounds
    let widest = space.headWidth
    let target = isCut ? partials(count * widest, thread) : space.logits
    let panels = share(head.matrix.panels, thread)
    withUnsafePointer(to: head.matrix) {
      pk_linear(
        $0, Int32(panels.lowerBound), Int32(panels.upperBound), space.normed, hidden,
        Int32(count), target, isCut ? widest : width, nil, 0)
    }
    guard isCut, exchange(count * widest, thread), collective.rank == 0 else { return }
    for index in share(count * collective.count, thread) {
      let row = index / collective.count
      let rank = index % collective.count
      let place = space.logits + (row * plan.shape.vocabulary + bounds[rank])
      let part = collective.partial(of: rank) + row * widest
      place.update(from: part, count: bounds[rank + 1] - bounds[rank])
    }
  }
}
