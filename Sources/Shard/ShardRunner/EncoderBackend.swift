import CShardKernels
import ModelFiles
import ShardPlan

/// What an encoder is loaded with.
package struct EncoderSettings: Equatable, Sendable {
  /// nil for what the files store.
  package var type: WeightType?
  package var threads: Int
  /// Each thread on a core of its own. Off where the machine is shared.
  package var pinsThreads = false
  /// Tokens of one batch, all texts together; never less than the longest text has. Matrices of
  /// small encoders are read from memory once a batch: from some hundred tokens on that costs nothing
  /// beside the arithmetic, and larger batches only make others wait.
  package var batchTokens = 512

  package init(threads: Int) { self.threads = threads }

  /// Tokens of the largest batch that a model of this shape will get.
  package func batchTokens(of shape: ModelShape) -> Int { max(batchTokens, shape.contextLimit) }
}

/// BERT's plan on CPUs: some texts of any lengths lie behind each other, without padding, and a team
/// of threads takes them through the layers together.
///
/// ```
/// words + places, norm  >  q k v > attention > output (+) > norm > up, gelu > down (+) > norm  >  pool
///                          '----------------------------- layers ---------------------------'
/// ```
/// `(+)` adds to the residual stream. Barriers a layer: six. A text's vector depends on that text
/// alone, bit for bit: kernels fix the order of every sum, and attention sees one text at a time.
///
/// Belongs to the thread that created it, which is thread 0 of the team.
package final class EncoderBackend {
  private let model: LoadedModel
  private let encoder: ModelShape.Encoder
  private let team: OpaquePointer
  private let threads: Int
  private let space: EncoderSpace
  /// Tokens of the largest batch.
  package let batchTokens: Int
  /// Tokens of the longest text.
  package let tokenLimit: Int
  /// The batch that is being computed.
  private var tokens: [Int32] = []
  private var texts: [Text] = []
  private var vectors: UnsafeMutablePointer<Float>

  /// Rows of the batch that are one text.
  private struct Text {
    let first: Int
    let count: Int
  }

  /// Loads the weights: the longest part of a start.
  package init(_ source: ModelSource, _ settings: EncoderSettings) throws(LoadComplaint) {
    let shape = source.shape
    guard let encoder = shape.encoder else {
      throw LoadComplaint(Self.isNoEncoder(source))
    }
    guard let team = pk_team_create(Int32(settings.threads), settings.pinsThreads ? 1 : 0) else {
      throw LoadComplaint("cannot start \(settings.threads) threads")
    }
    do throws(LoadComplaint) {
      model = try WeightLoader.load(
        ModelPlan(shape, rank: 0, of: 1), from: source, as: settings.type ?? shape.storedType,
        team: team)
      batchTokens = settings.batchTokens(of: shape)
      tokenLimit = shape.contextLimit
      space = try EncoderSpace(
        shape, batchTokens: batchTokens, threads: Int(pk_team_size(team)))
    } catch {
      pk_team_destroy(team)
      throw error
    }
    self.team = team
    self.encoder = encoder
    threads = Int(pk_team_size(team))
    vectors = space.stream
    placeTable()
    // Weights are packed copies: the pages of the files need not stay.
    source.release()
  }

  deinit { pk_team_destroy(team) }

  /// Why a model that makes texts is not served here.
  package static func isNoEncoder(_ source: ModelSource) -> String {
    "\(source.name) is a \(source.shape.family.rawValue) model, which makes texts, not embeddings; "
      + "portico-worker serves it"
  }

  /// Floats of one vector.
  package var size: Int { model.plan.shape.hidden }
  package var weightBytes: Int { model.bytes }

  /// The last layer's rows of the batch that was computed last. For tests.
  var hidden: UnsafePointer<Float> { UnsafePointer(space.stream) }

  /// The vectors of some texts, `size` floats each, in their order. Texts lie behind each other in
  /// `tokens`, with as many of them as `lengths` says; they have been checked: each has from 1 to
  /// `tokenLimit` tokens of the vocabulary, and all together at most `batchTokens`.
  package func embed(_ tokens: [Int32], lengths: [Int]) -> [Float] {
    precondition(tokens.count <= batchTokens, "a batch of \(tokens.count) tokens")
    precondition(
      tokens.allSatisfy { $0 >= 0 && Int($0) < model.plan.shape.vocabulary },
      "a token that does not exist")
    texts.removeAll(keepingCapacity: true)
    var first = 0
    for count in lengths {
      precondition((1...tokenLimit).contains(count), "a text of \(count) tokens")
      texts.append(Text(first: first, count: count))
      first += count
    }
    precondition(first == tokens.count, "tokens of no text")
    self.tokens = tokens
    return [Float](unsafeUninitializedCapacity: lengths.count * size) { buffer, count in
      if let base = buffer.baseAddress {
        vectors = base
        pk_team_run(
          team,
          { context, thread in
            Unmanaged<EncoderBackend>.fromOpaque(context!).takeUnretainedValue()
              .walk(Int(thread))
          }, Unmanaged.passUnretained(self).toOpaque())
      }
      count = lengths.count * size
    }
  }

  // MARK: The walk, on every thread of the team

  private func walk(_ thread: Int) {
    embedWords(thread)
    barrier(thread)
    for layer in model.layers {
      guard case .grouped(let attention) = layer.attention,
        case .dense(let dense) = layer.feedForward
      else { preconditionFailure("an encoder has plain layers") }
      // No thread takes from the loop before the barrier behind these.
      if thread == 0 { pk_team_rewind(team, 0) }
      linear(
        [
          (attention.query, space.query), (attention.key, space.key),
          (attention.value, space.value),
        ], thread)
      barrier(thread)
      attend(attention.plan, thread)
      barrier(thread)
      add(attention.output, space.attended, thread)
      barrier(thread)
      norm(layer.attentionNorm, thread)
      barrier(thread)
      up(dense.up, thread)
      barrier(thread)
      add(dense.down, space.gated, thread)
      barrier(thread)
      norm(layer.feedForwardNorm, thread)
      barrier(thread)
    }
    pool(thread)
  }

  private func barrier(_ thread: Int) { pk_team_barrier(team, Int32(thread)) }

  /// The thread's share of `count` things that cost the same.
  private func share(_ count: Int, _ thread: Int) -> Range<Int> {
    count * thread / threads..<count * (thread + 1) / threads
  }

  private func norm(_ norm: LoadedNorm, _ thread: Int) {
    for row in share(tokens.count, thread) {
      norm.apply(space.stream + row * size, space.stream + row * size)
    }
  }

  /// Some matrices of one height over the residual stream.
  private func linear(
    _ parts: [(linear: LoadedLinear, out: UnsafeMutablePointer<Float>)], _ thread: Int
  ) {
    let total = parts.reduce(0) { $0 + $1.linear.panels }
    let mine = share(total, thread)
    var first = 0
    for part in parts {
      let here = mine.clamped(to: first..<first + part.linear.panels)
      if !here.isEmpty {
        multiply(
          part.linear, here.lowerBound - first..<here.upperBound - first, space.stream,
          part.out, adds: false)
      }
      first += part.linear.panels
    }
  }

  private func multiply(
    _ linear: LoadedLinear, _ panels: Range<Int>, _ x: UnsafePointer<Float>,
    _ y: UnsafeMutablePointer<Float>, adds: Bool
  ) {
    withUnsafePointer(to: linear.matrix) {
      pk_linear(
        $0, Int32(panels.lowerBound), Int32(panels.upperBound), x, Int(linear.matrix.columns),
        Int32(tokens.count), y, Int(linear.matrix.rows), linear.bias, adds ? 1 : 0)
    }
  }

  private func add(_ linear: LoadedLinear, _ x: UnsafePointer<Float>, _ thread: Int) {
    multiply(linear, share(linear.panels, thread), x, space.stream, adds: true)
  }

  /// The feed-forward's first half. Each thread goes on with the columns that it made itself.
  private func up(_ linear: LoadedLinear, _ thread: Int) {
    let panels = share(linear.panels, thread)
    guard !panels.isEmpty else { return }
    multiply(linear, panels, space.stream, space.gated, adds: false)
    let width = Int(linear.matrix.rows)
    let first = panels.lowerBound * 16
    let count = min(width, panels.upperBound * 16) - first
    for row in 0..<tokens.count { pk_gelu(space.gated + row * width + first, count) }
  }

  /// Heads of texts, taken by whoever is free: long texts cost much more than short ones.
  private func attend(_ plan: GroupedPlan, _ thread: Int) {
    let items = texts.count * plan.heads
    while true {
      let item = Int(pk_team_take(team, 0, Int32(items), 1))
      guard item < items else { return }
      let text = texts[item / plan.heads]
      let place = text.first * size + item % plan.heads * plan.headSize
      pk_attention_full(
        space.query + place, space.key + place, space.value + place, size, Int32(text.count),
        Int32(plan.headSize), plan.scale, space.attended + place, size, space.scratch[thread])
    }
  }

  // MARK: The two ends

  private func embedWords(_ thread: Int) {
    guard let parts = model.encoder else { preconditionFailure("an encoder without its tables") }
    let mine = share(tokens.count, thread)
    for text in texts {
      for row in mine.clamped(to: text.first..<text.first + text.count) {
        let place = space.stream + row * size
        withUnsafePointer(to: model.embedding) { pk_matrix_row($0, tokens[row], place) }
        pk_add(place, space.places + (row - text.first) * size, size)
        parts.norm.apply(place, place)
      }
    }
  }

  /// What a position adds to its word: the position's own row, and that of token type 0, since a
  /// text is never a pair here.
  private func placeTable() {
    guard let parts = model.encoder else { preconditionFailure("an encoder without its tables") }
    for position in 0..<tokenLimit {
      let place = space.places + position * size
      withUnsafePointer(to: parts.positions) { pk_matrix_row($0, Int32(position), place) }
      withUnsafePointer(to: parts.tokenTypes) { pk_matrix_row($0, 0, space.query) }
      pk_add(place, space.query, size)
    }
  }

  private func pool(_ thread: Int) {
    for index in share(texts.count, thread) {
      let text = texts[index]
      let rows = space.stream + text.first * size
      let out = vectors + index * size
      out.update(from: rows, count: size)
      if encoder.pooling == .mean {
        for row in 1..<max(1, text.count) { pk_add(out, rows + row * size, size) }
        let scale = 1 / Float(text.count)
        for place in 0..<size { out[place] *= scale }
      }
      if encoder.normalised {
        EncoderBackend.normalise(UnsafeMutableBufferPointer(start: out, count: size))
      }
    }
  }

  /// Scales a vector to length 1. One that is shorter than 1e-12 is scaled as if it had that length,
  /// as in torch's `normalize`.
  package static func normalise(_ vector: UnsafeMutableBufferPointer<Float>) {
    var sum = 0.0
    for value in vector { sum += Double(value) * Double(value) }
    let scale = Float(1 / max(sum.squareRoot(), 1e-12))
    for place in vector.indices { vector[place] *= scale }
  }
}
