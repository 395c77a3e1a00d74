import CShardKernels
import ModelFiles
import ShardPlan

/// An encoder of the BERT family on CPUs: texts in, one vector each out.
///
/// Texts of different lengths lie behind each other in one batch, without padding; a text's vector
/// depends on the text alone, bit for bit. The team of threads walks through the layers as the
/// decoder's does. For one caller at a time: its queue sees to that, which makes it
/// `@unchecked Sendable`.
package final class EncoderBackend: @unchecked Sendable {
  package let source: ModelSource
  private let model: LoadedModel
  private let parts: LoadedEncoder
  private let numbers: ModelShape.Encoder
  private let team: OpaquePointer
  private let threads: Int
  private let space: EncoderSpace
  /// The batch under way: where each text begins, and its end.
  private var bounds: [Int] = []
  private var tokens: [Int32] = []
  private var vectors: [Float] = []

  /// Tokens of one batch.
  package let batchTokens: Int
  /// Tokens of one text, its special ones included.
  package var textLimit: Int { source.shape.contextLimit }
  /// Elements of a vector.
  package var width: Int { source.shape.hidden }
  package var weightBytes: Int { model.bytes }

  /// - Parameter type: nil for what the files store.
  package init(
    _ path: String, type: WeightType?, threads: Int, batchTokens: Int = 2_048
  ) throws {
    source = try ModelSource.open(path)
    guard let numbers = source.shape.encoder else {
      throw LoadComplaint(
        "\(source.name) is a language model, of the family \(source.shape.family.rawValue); "
          + "portico-worker serves those")
    }
    self.numbers = numbers
    self.threads = threads
    self.batchTokens = max(batchTokens, source.shape.contextLimit)
    guard let team = pk_team_create(Int32(threads), 0) else {
      throw LoadComplaint("cannot start \(threads) threads")
    }
    self.team = team
    let plan = ModelPlan(source.shape, rank: 0, of: 1)
    model = try WeightLoader.load(
      plan, from: source, as: type ?? source.shape.storedType, team: team)
    source.release()
    guard let parts = model.encoder else { preconditionFailure("an encoder without its tables") }
    self.parts = parts
    space = try EncoderSpace(source.shape, tokens: self.batchTokens, threads: threads)
  }

  deinit { pk_team_destroy(team) }

  /// The vectors of some texts, in their order. Together they are at most `batchTokens`, none is
  /// empty or longer than `textLimit`, and ids are below the vocabulary: the caller has checked.
  package func embed(_ texts: [[Int32]]) -> [[Float]] {
    bounds.removeAll(keepingCapacity: true)
    tokens.removeAll(keepingCapacity: true)
    bounds.append(0)
    for text in texts {
      tokens += text
      bounds.append(tokens.count)
    }
    precondition(tokens.count <= batchTokens, "a batch that is too large")
    vectors = [Float](repeating: 0, count: texts.count * width)
    pk_team_run(
      team,
      { context, thread in
        Unmanaged<EncoderBackend>.fromOpaque(context!).takeUnretainedValue().walk(Int(thread))
      }, Unmanaged.passUnretained(self).toOpaque())
    return texts.indices.map { Array(vectors[$0 * width..<($0 + 1) * width]) }
  }

  /// The last layer's output for each token of the batch that was embedded last. For tests.
  func hidden() -> [Float] {
    Array(UnsafeBufferPointer(start: space.stream, count: tokens.count * width))
  }

  // MARK: The walk

  private func barrier(_ thread: Int) { pk_team_barrier(team, Int32(thread)) }

  private func share(_ count: Int, _ thread: Int) -> Range<Int> {
    count * thread / threads..<count * (thread + 1) / threads
  }

  private func walk(_ thread: Int) {
    look(thread)
    barrier(thread)
    for layer in model.layers {
      guard case .grouped(let attention) = layer.attention,
        case .dense(let dense) = layer.feedForward
      else { preconditionFailure("encoders have plain layers") }
      attend(attention, thread)
      barrier(thread)
      linear(
        [LinearPart(attention.output, space.stream, width, adds: true)], space.attended, thread)
      barrier(thread)
      norm(layer.attentionNorm, thread)
      barrier(thread)
      let inner = Int(dense.up.matrix.rows)
      linear([LinearPart(dense.up, space.inner, inner)], space.stream, thread)
      barrier(thread)
      let rows = share(tokens.count, thread)
      pk_gelu(space.inner + rows.lowerBound * inner, rows.count * inner)
      barrier(thread)
      LinearPart.compute(
        [LinearPart(dense.down, space.stream, width, adds: true)], space.inner, inner,
        rows: tokens.count, mine: { share($0, thread) })
      barrier(thread)
      norm(layer.feedForwardNorm, thread)
      barrier(thread)
    }
    for text in share(bounds.count - 1, thread) { pool(text) }
  }

  private func linear(_ parts: [LinearPart], _ x: UnsafePointer<Float>, _ thread: Int) {
    LinearPart.compute(parts, x, width, rows: tokens.count, mine: { share($0, thread) })
  }

  private func norm(_ norm: LoadedNorm, _ thread: Int) {
    for row in share(tokens.count, thread) {
      norm.apply(space.stream + row * width, space.stream + row * width)
    }
  }

  /// Word, position and token type, normed.
  private func look(_ thread: Int) {
    for text in share(bounds.count - 1, thread) {
      for row in bounds[text]..<bounds[text + 1] {
        let out = space.stream + row * width
        let scratch = space.scratch[thread]
        withUnsafePointer(to: model.embedding) { pk_matrix_row($0, tokens[row], out) }
        withUnsafePointer(to: parts.positions) {
          pk_matrix_row($0, Int32(row - bounds[text]), scratch)
        }
        pk_add(out, scratch, width)
        withUnsafePointer(to: parts.tokenTypes) { pk_matrix_row($0, 0, scratch) }
        pk_add(out, scratch, width)
        parts.norm.apply(out, out)
      }
    }
  }

  private func attend(_ attention: LoadedGrouped, _ thread: Int) {
    linear(
      [
        LinearPart(attention.query, space.query, width),
        LinearPart(attention.key, space.key, width),
        LinearPart(attention.value, space.value, width),
      ], space.stream, thread)
    barrier(thread)
    if thread == 0 { pk_team_rewind(team, 0) }
    barrier(thread)
    let heads = attention.plan.heads
    let size = attention.plan.headSize
    let items = (bounds.count - 1) * heads
    while true {
      let item = Int(pk_team_take(team, 0, Int32(items), 1))
      guard item < items else { return }
      let text = item / heads
      let place = bounds[text] * width + item % heads * size
      pk_attention_full(
        space.query + place, space.key + place, space.value + place, width,
        Int32(bounds[text + 1] - bounds[text]), Int32(size), attention.plan.scale,
        space.attended + place, width, space.scratch[thread])
    }
  }

  /// A text's vector from its tokens'.
  private func pool(_ text: Int) {
    let rows = bounds[text]..<bounds[text + 1]
    vectors.withUnsafeMutableBufferPointer { all in
      guard let base = all.baseAddress else { return }
      let out = base + text * width
      switch numbers.pooling {
      case .first: out.update(from: space.stream + rows.lowerBound * width, count: width)
      case .mean:
        for row in rows { pk_add(out, space.stream + row * width, width) }
        for index in 0..<width { out[index] /= Float(rows.count) }
      }
      guard numbers.normalised else { return }
      var sum: Float = 0
      for index in 0..<width { sum += out[index] * out[index] }
      let length = max(sum.squareRoot(), 1e-12)
      for index in 0..<width { out[index] /= length }
    }
  }
}

/// Room for one batch.
private final class EncoderSpace {
  let stream: UnsafeMutablePointer<Float>
  let query: UnsafeMutablePointer<Float>
  let key: UnsafeMutablePointer<Float>
  let value: UnsafeMutablePointer<Float>
  let attended: UnsafeMutablePointer<Float>
  let inner: UnsafeMutablePointer<Float>
  /// Of each thread: a row, or the scores of one text.
  let scratch: [UnsafeMutablePointer<Float>]
  private let memory: UnsafeMutableRawPointer
  private let bytes: Int

  init(_ shape: ModelShape, tokens: Int, threads: Int) throws(LoadComplaint) {
    let scores = max(
      shape.hidden, pk_attention_scratch(12, Int32(shape.contextLimit)))
    bytes = (tokens * (5 * shape.hidden + shape.intermediate) + threads * scores) * 4
    guard let memory = pk_memory_map(bytes) else {
      throw LoadComplaint("no memory for \(bytes >> 20) MiB of work space")
    }
    self.memory = memory
    var cursor = memory.assumingMemoryBound(to: Float.self)
    func reserve(_ count: Int) -> UnsafeMutablePointer<Float> {
      defer { cursor += count }
      return cursor
    }
    stream = reserve(tokens * shape.hidden)
    query = reserve(tokens * shape.hidden)
    key = reserve(tokens * shape.hidden)
    value = reserve(tokens * shape.hidden)
    attended = reserve(tokens * shape.hidden)
    inner = reserve(tokens * shape.intermediate)
    scratch = (0..<threads).map { _ in reserve(scores) }
  }

  deinit { pk_memory_unmap(memory, bytes) }
}
