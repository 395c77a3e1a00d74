import Generation

/// A step as it crosses from rank 0 to the others: little-endian, step number, tokens, blocks,
/// segments. A decoding step of eight sequences takes some 500 bytes.
extension StepBatch {
  /// start, count, position, blockStart, blockCount (4 each), isSampled (1).
  private static let segmentBytes = 21

  /// Replaces `bytes`, keeping its memory.
  package func encode(into bytes: inout [UInt8]) {
    var writer = ByteWriter()
    swap(&writer.bytes, &bytes)
    defer { swap(&writer.bytes, &bytes) }
    writer.bytes.removeAll(keepingCapacity: true)
    writer.write(step)
    writer.write(tokens)
    writer.write(blocks)
    writer.write(count: segments.count)
    for segment in segments {
      writer.write(count: segment.start)
      writer.write(count: segment.count)
      writer.write(count: segment.position)
      writer.write(count: segment.blockStart)
      writer.write(count: segment.blockCount)
      writer.write(segment.isSampled ? 1 : 0 as UInt8)
    }
  }

  /// Replaces this step by the one that `bytes` say, keeping its memory. Segments point into the
  /// tokens and the blocks: that is checked. That blocks exist and tokens are words of the model the
  /// executor knows.
  ///
  /// On an error this step is anything, and valid.
  package mutating func decode(_ bytes: [UInt8]) throws(MalformedMessage) {
    removeAll()
    var new = StepBatch()
    swap(&new, &self)
    defer { swap(&new, &self) }
    try bytes.decode { reader throws(MalformedMessage) in
      new.step = try reader.read()
      try reader.readTokens(into: &new.tokens)
      try reader.readTokens(into: &new.blocks)
      let count = try reader.readCount(ofSize: Self.segmentBytes)
      new.segments.reserveCapacity(count)
      for _ in 0..<count {
        let segment = Segment(
          start: try reader.readCount(), count: try reader.readCount(),
          position: try reader.readCount(), blockStart: try reader.readCount(),
          blockCount: try reader.readCount(), isSampled: try reader.readFlag())
        guard segment.start + segment.count <= new.tokens.count,
          segment.blockStart + segment.blockCount <= new.blocks.count
        else { throw MalformedMessage("a segment points outside of its step") }
        new.segments.append(segment)
      }
    }
  }
}

extension ByteReader {
  mutating func readFlag() throws(MalformedMessage) -> Bool {
    switch try read(UInt8.self) {
    case 0: return false
    case 1: return true
    case let other: throw MalformedMessage("a flag is \(other)")
    }
  }
}
