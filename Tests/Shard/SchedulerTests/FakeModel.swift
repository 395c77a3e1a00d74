import Generation
import Scheduler

/// A model whose next token is a hash of everything before it, and a KV pool that remembers what was
/// written where, by whom and when. Whatever a scheduler does wrong with blocks, positions or
/// pieces changes a text or is complained about.
struct FakeModel {
  struct Cell {
    var token: Int32 = 0
    var position = -1
    /// Hash of all tokens up to this one, as the writer saw them.
    var hash: UInt64 = 0
    var step: UInt64 = 0
    var segment = -1
    /// The logits behind it were not numbers.
    var isPoisoned = false
  }

  let blockTokens: Int
  let vocabulary: Int
  var cells: [Cell]
  var complaints: [String] = []
  /// Tokens computed, over all steps.
  var computed = 0
  private var lastStep: UInt64 = 0

  init(blocks: Int, blockTokens: Int, vocabulary: Int = 97) {
    self.blockTokens = blockTokens
    self.vocabulary = vocabulary
    cells = Array(repeating: Cell(), count: blocks * blockTokens)
  }

  static let seed: UInt64 = 0x51_7C_C1_B7_27_22_0A_95

  static func mix(_ hash: UInt64, _ token: Int32) -> UInt64 {
    var hash = (hash ^ UInt64(UInt32(bitPattern: token))) &* 0x9E37_79B9_7F4A_7C15
    hash ^= hash >> 29
    return hash &* 0xBF58_476D_1CE4_E5B9
  }

  static func draw(_ hash: UInt64, vocabulary: Int) -> Int32 {
    Int32((hash >> 33) % UInt64(vocabulary))
  }

  /// The text that a request has when it is alone in the world.
  static func text(
    of request: GenerationRequest, contextLimit: Int, vocabulary: Int = 97
  ) -> (tokens: [Int32], reason: FinishReason) {
    var hash = request.prompt.reduce(seed, mix)
    var tokens: [Int32] = []
    while true {
      let token = draw(hash, vocabulary: vocabulary)
      tokens.append(token)
      if tokens.count > request.minTokens, request.endTokens.contains(token) {
        return (tokens, .endToken)
      }
      if tokens.count == request.maxTokens || request.prompt.count + tokens.count == contextLimit {
        return (tokens, .length)
      }
      hash = mix(hash, token)
    }
  }

  /// Computes a step; what was drawn for each sampled segment. Segments are taken from the last to
  /// the first: none may rely on what another writes in the same step.
  mutating func execute(_ batch: StepBatch) -> [Int32] {
    if batch.step != lastStep + 1 { complain("step \(batch.step) follows \(lastStep)") }
    lastStep = batch.step
    var draws: [Int32] = []
    var expectedToken = batch.tokens.count
    var expectedBlock = batch.blocks.count
    for (index, segment) in batch.segments.enumerated().reversed() {
      expectedToken -= segment.count
      expectedBlock -= segment.blockCount
      if segment.start != expectedToken || segment.blockStart != expectedBlock {
        complain("segment \(index) of step \(batch.step) leaves a hole")
      }
      let hash = compute(segment, index, batch)
      if segment.isSampled { draws.append(Self.draw(hash, vocabulary: vocabulary)) }
    }
    return draws.reversed()
  }

  private mutating func compute(
    _ segment: StepBatch.Segment, _ index: Int, _ batch: StepBatch
  ) -> UInt64 {
    let blocks = batch.blocks[segment.blockStart..<segment.blockStart + segment.blockCount]
    let end = segment.position + segment.count
    if segment.count < 1 || blocks.count != (end + blockTokens - 1) / blockTokens {
      complain("segment \(index) of step \(batch.step) has \(blocks.count) blocks for \(end)")
      return 0
    }
    func place(_ position: Int) -> Int {
      Int(blocks[blocks.startIndex + position / blockTokens]) * blockTokens
        + position % blockTokens
    }
    // What it attends to is there, in order, and one text from the first token on.
    var hash = Self.seed
    for position in 0..<segment.position {
      let cell = cells[place(position)]
      hash = Self.mix(hash, cell.token)
      if cell.position != position || cell.hash != hash || cell.step >= batch.step
        || cell.isPoisoned
      {
        complain(
          "step \(batch.step), segment \(index): position \(position) of \(end) is "
            + "\(cell), wanted hash \(hash)")
        return 0
      }
    }
    for offset in 0..<segment.count {
      let token = batch.tokens[segment.start + offset]
      let position = segment.position + offset
      let here = place(position)
      if cells[here].step == batch.step {
        complain("step \(batch.step) writes cell \(here) twice")
      }
      hash = Self.mix(hash, token)
      cells[here] = Cell(
        token: token, position: position, hash: hash, step: batch.step, segment: index)
    }
    computed += segment.count
    return hash
  }

  /// What a row of the step that was executed last has written is not fit to be read.
  mutating func poison(row: Int, of batch: StepBatch) {
    let segments = batch.segments.indices.filter { batch.segments[$0].isSampled }
    for place in cells.indices
    where cells[place].step == batch.step && cells[place].segment == segments[row] {
      cells[place].isPoisoned = true
    }
  }

  private mutating func complain(_ what: String) {
    if complaints.count < 10 { complaints.append(what) }
  }
}
