import CShardKernels
import ModelFiles
import ShardPlan
import Synchronization

/// Why weights could not be loaded, as a sentence for the operator.
package struct LoadComplaint: Error, Equatable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

/// Reads one rank's weights into memory of its own, packed for the kernels.
///
/// Two passes over the plan: the first places every matrix and vector in one mapping (huge pages
/// where the kernel gives them) and notes what is to be filled; the second fills, all threads of the
/// team taking chunks of 128 rows. Weights that are not
/// numbers are refused here, by name: they would poison every sequence of a batch.
struct WeightLoader {
  private let source: ModelSource
  private let asked: WeightType
  /// Place of the next thing in the mapping. Bytes.
  private var cursor = 0
  private var fills: [Fill] = []
  /// nil in the first pass over the plan, which only counts bytes.
  private var memory: UnsafeMutableRawPointer?
  private var problem: LoadComplaint?

  /// Points into the mapping, each at a place of its own: chunks of it are written by one thread
  /// each, and read when all are done. That is why it may cross threads.
  private struct Fill: @unchecked Sendable {
    enum Target {
      case matrix(pk_matrix)
      case vector(UnsafeMutablePointer<Float>)
    }

    let target: Target
    let slice: TensorSlice
    let tensor: TensorView
  }

  static func load(
    _ plan: ModelPlan, from source: ModelSource, as type: WeightType, team: OpaquePointer
  ) throws(LoadComplaint) -> LoadedModel {
    var counting = WeightLoader(source: source, asked: type)
    _ = try counting.walk(plan)
    let bytes = counting.cursor
    guard let memory = pk_memory_map(bytes) else {
      throw LoadComplaint("no memory for \(bytes >> 20) MiB of weights")
    }
    do throws(LoadComplaint) {
      var loader = WeightLoader(source: source, asked: type)
      loader.memory = memory
      let parts = try loader.walk(plan)
      try loader.fill(team)
      return LoadedModel(
        plan, embedding: parts.embedding, layers: parts.layers, head: parts.head,
        encoder: parts.encoder, bytes: bytes, memory: memory, memoryBytes: bytes)
    } catch {
      pk_memory_unmap(memory, bytes)
      throw error
    }
  }

  /// Bytes that a rank's weights will take.
  static func bytes(
    of plan: ModelPlan, from source: ModelSource, as type: WeightType
  ) throws(LoadComplaint) -> Int {
    var counting = WeightLoader(source: source, asked: type)
    _ = try counting.walk(plan)
    return counting.cursor
  }

  private init(source: ModelSource, asked: WeightType) {
    self.source = source
    self.asked = asked
  }

  // MARK: Placing

  private struct Parts {
    let embedding: pk_matrix
    let layers: [LoadedLayer]
    let head: LoadedHead?
    let encoder: LoadedEncoder?
  }

  private mutating func walk(_ plan: ModelPlan) throws(LoadComplaint) -> Parts {
    let embedding = place(plan.embedding)
    let layers = plan.layers.map { layer($0) }
    let head = plan.head.map { head in
      LoadedHead(
        norm: place(head.norm),
        matrix: head.matrix == plan.embedding ? embedding : place(head.matrix))
    }
    let encoder = plan.encoder.map {
      LoadedEncoder(
        positions: place($0.positions), tokenTypes: place($0.tokenTypes), norm: place($0.norm))
    }
    if let problem { throw problem }
    return Parts(embedding: embedding, layers: layers, head: head, encoder: encoder)
  }

  private mutating func layer(_ plan: LayerPlan) -> LoadedLayer {
    let attention: LoadedAttention =
      switch plan.attention {
      case .grouped(let plan):
        .grouped(
          LoadedGrouped(
            plan: plan, query: place(plan.query), key: place(plan.key), value: place(plan.value),
            queryNorm: plan.queryNorm.map { place($0) }, keyNorm: plan.keyNorm.map { place($0) },
            output: place(plan.output)))
      case .latent(let plan): .latent(latent(plan))
      }
    let feedForward: LoadedFeedForward =
      switch plan.feedForward {
      case .dense(let plan): .dense(dense(plan))
      case .experts(let plan):
        .experts(
          LoadedExperts(
            plan: plan, router: place(plan.router), choiceBias: plan.choiceBias.map { place($0) },
            experts: plan.experts.map { dense($0) }, shared: plan.shared.map { dense($0) }))
      }
    return LoadedLayer(
      attentionNorm: place(plan.attentionNorm), attention: attention,
      feedForwardNorm: place(plan.feedForwardNorm), feedForward: feedForward)
  }

  private mutating func latent(_ plan: LatentPlan) -> LoadedLatent {
    let query: LoadedLatent.Query =
      switch plan.query {
      case .direct(let linear): .direct(place(linear))
      case .lowRank(let down, let norm, let up):
        .lowRank(down: place(down), norm: place(norm), up: place(up))
      }
    return LoadedLatent(
      plan: plan, query: query, keyValueDown: place(plan.keyValueDown),
      keyValueNorm: place(plan.keyValueNorm), keyUp: plan.keyUp.map { place($0) },
      valueUp: plan.valueUp.map { place($0) }, output: place(plan.output))
  }

  private mutating func dense(_ plan: DensePlan) -> LoadedDense {
    LoadedDense(gate: plan.gate.map { place($0) }, up: place(plan.up), down: place(plan.down))
  }

  private mutating func place(_ plan: LinearPlan) -> LoadedLinear {
    LoadedLinear(matrix: place(plan.matrix), bias: plan.bias.map { place($0) })
  }

  private mutating func place(_ plan: NormPlan) -> LoadedNorm {
    LoadedNorm(
      weight: place(plan.weight), bias: plan.bias.map { place($0) }, size: plan.weight.count,
      epsilon: plan.epsilon)
  }

  private mutating func place(_ plan: MatrixPlan) -> pk_matrix {
    let type = plan.type(asked: asked).kernelType
    let rows = Int32(plan.rows)
    let columns = Int32(plan.columns)
    let firstBlock = Int32(firstBlock(of: plan))
    let place = reserve(pk_matrix_bytes(type, rows, columns, firstBlock))
    var matrix = pk_matrix()
    pk_matrix_place(&matrix, place, type, rows, columns, firstBlock)
    note(.matrix(matrix), plan.slice)
    return matrix
  }

  private mutating func place(_ plan: VectorPlan) -> UnsafePointer<Float> {
    let place = reserve(plan.count * 4).assumingMemoryBound(to: Float.self)
    note(.vector(place), plan.slice)
    return UnsafePointer(place)
  }

  /// Columns of a slice up to the border of the file's scale block that it begins in.
  private func firstBlock(of plan: MatrixPlan) -> Int {
    guard !plan.slice.isTransposed, plan.slice.columns.lowerBound % 128 != 0 else { return 128 }
    return min(plan.columns, 128 - plan.slice.columns.lowerBound % 128)
  }

  private mutating func reserve(_ bytes: Int) -> UnsafeMutableRawPointer {
    // Cache lines; in the first pass the address is never used.
    let start = (cursor + 63) / 64 * 64
    cursor = start + bytes
    return (memory ?? Self.nowhere) + (memory == nil ? 0 : start)
  }

  private static var nowhere: UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(bitPattern: 64)!
  }

  private mutating func note(_ target: Fill.Target, _ slice: TensorSlice) {
    guard let tensor = source.tensor(slice.name) else {
      problem = problem ?? LoadComplaint("\(source.name): the tensor \(slice.name) is missing")
      return
    }
    guard slice.rows.upperBound <= tensor.rows, slice.columns.upperBound <= tensor.columns else {
      problem =
        problem
        ?? LoadComplaint(
          "\(source.name): \(slice.name) is \(tensor.rows) x \(tensor.columns), but the config "
            + "needs at least \(slice.rows.upperBound) x \(slice.columns.upperBound)")
      return
    }
    if memory != nil { fills.append(Fill(target: target, slice: slice, tensor: tensor)) }
  }

  // MARK: Filling

  /// Rows of one chunk: small enough for the caches, whole panels of 16.
  private static let chunkRows = 128

  private struct Chunk {
    let fill: Int
    let first: Int
  }

  /// What the threads of the team share while they fill.
  private final class Filling: Sendable {
    let fills: [Fill]
    let chunks: [Chunk]
    let next = Atomic(0)
    /// The fill that has a weight that is no number; -1 while there is none.
    let bad = Atomic(-1)

    init(_ fills: [Fill], _ chunks: [Chunk]) {
      self.fills = fills
      self.chunks = chunks
    }
  }

  private func fill(_ team: OpaquePointer) throws(LoadComplaint) {
    var chunks: [Chunk] = []
    for (index, fill) in fills.enumerated() {
      guard case .matrix(let matrix) = fill.target, !fill.slice.isTransposed else {
        chunks.append(Chunk(fill: index, first: 0))
        continue
      }
      for first in stride(from: 0, to: Int(matrix.rows), by: Self.chunkRows) {
        chunks.append(Chunk(fill: index, first: first))
      }
    }
    let filling = Filling(fills, chunks)
    withExtendedLifetime(filling) {
      pk_team_run(
        team,
        { context, _ in
          WeightLoader.work(
            Unmanaged<Filling>.fromOpaque(context!).takeUnretainedValue())
        }, Unmanaged.passUnretained(filling).toOpaque())
    }
    let bad = filling.bad.load(ordering: .relaxed)
    guard bad < 0 else {
      throw LoadComplaint(
        "\(source.name): \(fills[bad].slice.name) holds weights that are not numbers (NaN or "
          + "infinite); the file is damaged")
    }
  }

  private static func work(_ filling: Filling) {
    var scratch: [Float] = []
    while true {
      let index = filling.next.add(1, ordering: .relaxed).oldValue
      guard index < filling.chunks.count, filling.bad.load(ordering: .relaxed) < 0 else { return }
      let chunk = filling.chunks[index]
      let fill = filling.fills[chunk.fill]
      let isSound =
        switch fill.target {
        case .vector(let place): vector(fill, place)
        case .matrix(var matrix):
          fill.slice.isTransposed
            ? transposed(fill, &matrix, &scratch) : rows(fill, &matrix, chunk.first, &scratch)
        }
      if !isSound { filling.bad.store(chunk.fill, ordering: .relaxed) }
    }
  }

  private static func vector(_ fill: Fill, _ place: UnsafeMutablePointer<Float>) -> Bool {
    fill.tensor.read(rows: fill.slice.rows, columns: fill.slice.columns, into: place)
    return pk_all_finite(place, fill.slice.columns.count) != 0
  }

  private static func rows(
    _ fill: Fill, _ matrix: inout pk_matrix, _ first: Int, _ scratch: inout [Float]
  ) -> Bool {
    let columns = fill.slice.columns
    let count = min(chunkRows, Int(matrix.rows) - first)
    let start = fill.slice.rows.lowerBound + first
    if matrix.type == Int32(PK_FP8),
      let isSound = kept(fill, &matrix, start..<start + count, first, columns)
    {
      return isSound
    }
    return read(fill, start..<start + count, columns, &scratch) { floats in
      pk_matrix_pack_f32(&matrix, Int32(first), Int32(count), floats, columns.count)
    }
  }

  /// The file's own e4m3 bytes and scales, where a panel never has rows of two scale blocks; nil where
  /// that cannot be, false where they are no numbers.
  private static func kept(
    _ fill: Fill, _ matrix: inout pk_matrix, _ rows: Range<Int>, _ first: Int,
    _ columns: Range<Int>
  ) -> Bool? {
    guard rows.lowerBound % 16 == 0, let scales = fill.tensor.blockScales,
      let (bytes, stride) = fill.tensor.e4m3(rows: rows, columns: columns)
    else { return nil }
    // All bits of exponent and mantissa set: e4m3's only NaN.
    for row in 0..<rows.count {
      for column in 0..<columns.count where bytes[row * stride + column] & 0x7f == 0x7f {
        return false
      }
    }
    pk_matrix_pack_fp8(&matrix, Int32(first), Int32(rows.count), bytes, stride)
    let blocks = Int(matrix.scale_blocks)
    let column = columns.lowerBound / 128
    for panel in 0..<(rows.count + 15) / 16 {
      scales.read(
        row: (rows.lowerBound + panel * 16) / 128, columns: column..<column + blocks,
        into: matrix.scales + (first / 16 + panel) * blocks)
    }
    let count = (rows.count + 15) / 16 * blocks
    return pk_all_finite(matrix.scales + first / 16 * blocks, count) != 0
  }

  /// `W^T`, packed from a copy that was turned round.
  private static func transposed(
    _ fill: Fill, _ matrix: inout pk_matrix, _ scratch: inout [Float]
  ) -> Bool {
    let slice = fill.slice
    let rows = slice.rows.count
    let columns = slice.columns.count
    return read(fill, slice.rows, slice.columns, &scratch) { floats in
      var turned = [Float](repeating: 0, count: rows * columns)
      for row in 0..<rows {
        for column in 0..<columns { turned[column * rows + row] = floats[row * columns + column] }
      }
      for first in stride(from: 0, to: columns, by: chunkRows) {
        turned.withUnsafeBufferPointer {
          pk_matrix_pack_f32(
            &matrix, Int32(first), Int32(min(chunkRows, columns - first)),
            $0.baseAddress! + first * rows, rows)
        }
      }
    }
  }

  /// Reads as floats, checks that they are numbers, and hands them on.
  private static func read(
    _ fill: Fill, _ rows: Range<Int>, _ columns: Range<Int>, _ scratch: inout [Float],
    _ use: (UnsafePointer<Float>) -> Void
  ) -> Bool {
    let count = rows.count * columns.count
    if scratch.count < count { scratch = [Float](repeating: 0, count: count) }
    return scratch.withUnsafeMutableBufferPointer { buffer in
      guard let floats = buffer.baseAddress else { return true }
      fill.tensor.read(rows: rows, columns: columns, into: floats)
      guard pk_all_finite(floats, count) != 0 else { return false }
      use(floats)
      return true
    }
  }
}
