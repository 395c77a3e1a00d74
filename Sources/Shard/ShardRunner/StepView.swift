import Generation

/// The step that is being executed, as pointers that all threads read.
struct StepView {
  private(set) var rows = 0
  private(set) var tokens: UnsafePointer<Int32>
  private(set) var positions: UnsafePointer<Int32>
  private(set) var blocks: UnsafePointer<Int32>
  private(set) var tiles: UnsafeBufferPointer<Tile>
  /// Rows whose logits are wanted.
  private(set) var sampled: UnsafeBufferPointer<Int32>
  /// Written by thread 0, read behind a barrier.
  var partial: UnsafeMutablePointer<Float>?

  init() {
    let nowhere = UnsafePointer<Int32>(bitPattern: 64)!
    tokens = nowhere
    positions = nowhere
    blocks = nowhere
    tiles = UnsafeBufferPointer(start: nil, count: 0)
    sampled = UnsafeBufferPointer(start: nil, count: 0)
  }

  /// Lays a batch out: positions of rows, rows that are sampled, tiles for attention.
  mutating func lay(
    _ tokens: UnsafeBufferPointer<Int32>,
    _ segments: UnsafeBufferPointer<StepBatch.Segment>,
    _ blocks: UnsafeBufferPointer<Int32>, _ space: Workspace
  ) {
    rows = tokens.count
    if let base = tokens.baseAddress { self.tokens = base }
    if let base = blocks.baseAddress { self.blocks = base }
    var tileCount = 0
    var sampledCount = 0
    var last = 0
    for segment in segments {
      for index in 0..<segment.count {
        space.positions[segment.start + index] = Int32(segment.position + index)
      }
      // Tiles begin at multiples of their height in the sequence, not in the chunk: cheap, and the
      // same work whatever the chunk.
      var index = 0
      while index < segment.count {
        let position = segment.position + index
        let count = min(segment.count - index, Tile.rows - position % Tile.rows)
        space.tiles[tileCount] = Tile(
          first: Int32(segment.start + index), count: Int32(count), position: Int32(position),
          blockStart: Int32(segment.blockStart))
        tileCount += 1
        index += count
      }
      if segment.isSampled {
        space.sampled[sampledCount] = Int32(segment.start + segment.count - 1)
        sampledCount += 1
      }
      last = max(last, segment.position + segment.count - 1)
    }
    positions = UnsafePointer(space.positions)
    tiles = UnsafeBufferPointer(start: space.tiles, count: tileCount)
    sampled = UnsafeBufferPointer(start: space.sampled, count: sampledCount)
    space.makeRoom(forPosition: last)
  }
}
