import CShardKernels
import ShardPlan

/// Room for what an encoder makes on its way, for the largest batch. Allocated once, in one mapping;
/// memory that no batch has touched takes none. Rows are tokens of the batch, except where said.
final class EncoderSpace {
  /// The residual stream. [tokens][hidden]
  let stream: UnsafeMutablePointer<Float>
  let query: UnsafeMutablePointer<Float>
  let key: UnsafeMutablePointer<Float>
  let value: UnsafeMutablePointer<Float>
  /// What attention makes, before its output layer.
  let attended: UnsafeMutablePointer<Float>
  /// Between the two halves of a feed-forward. [tokens][intermediate]
  let gated: UnsafeMutablePointer<Float>
  /// What each position adds to its word. [positions][hidden]
  let places: UnsafeMutablePointer<Float>
  /// Scores, for each thread.
  let scratch: [UnsafeMutablePointer<Float>]

  private let memory: UnsafeMutableRawPointer
  private let bytes: Int

  /// Rows whose scores attention over a whole text holds at once.
  private static let scoreRows: Int32 = 12

  init(_ shape: ModelShape, batchTokens: Int, threads: Int) throws(LoadComplaint) {
    var cursor = 0
    func reserve(_ floats: Int) -> Int {
      let start = cursor
      cursor += (floats * 4 + 63) / 64 * 64
      return start
    }
    let rows = batchTokens * shape.hidden
    let places = [
      reserve(rows), reserve(rows), reserve(rows), reserve(rows), reserve(rows),
      reserve(batchTokens * shape.intermediate), reserve(shape.contextLimit * shape.hidden),
    ]
    let scores = pk_attention_scratch(Self.scoreRows, Int32(shape.contextLimit - 1))
    let scratchPlaces = (0..<threads).map { _ in reserve(scores) }
    guard let memory = pk_memory_map(cursor) else {
      throw LoadComplaint(
        "no memory for \(cursor >> 20) MiB of work space; set --batch-tokens lower")
    }
    func at(_ place: Int) -> UnsafeMutablePointer<Float> {
      (memory + place).assumingMemoryBound(to: Float.self)
    }
    self.memory = memory
    bytes = cursor
    stream = at(places[0])
    query = at(places[1])
    key = at(places[2])
    value = at(places[3])
    attended = at(places[4])
    gated = at(places[5])
    self.places = at(places[6])
    scratch = scratchPlaces.map(at)
  }

  deinit { pk_memory_unmap(memory, bytes) }
}
