/// Sends WebSocket frames back: messages as they came, a pong for a ping, a close for a close.
///
/// Fragments, text and binary are echoed frame by frame, so nothing is collected beyond one frame.
struct WebSocketEcho {
  /// Bytes of a frame. A larger one ends the connection.
  static let frameLimit = 1 << 20

  private var pending: [UInt8] = []

  /// What to send back; `isOver` when nothing more may follow.
  mutating func receive(_ bytes: UnsafeRawBufferPointer) -> (answer: [UInt8], isOver: Bool) {
    pending += bytes
    var answer: [UInt8] = []
    var place = 0
    while let frame = Self.frame(in: pending[place...]) {
      guard let opcode = frame.opcode else { return (answer, true) }
      let payload = pending[frame.payload].enumerated().map { index, byte in
        byte ^ pending[frame.payload.lowerBound - 4 + index % 4]
      }
      // A ping, 9, is answered by a pong, 10, which itself is not answered.
      if opcode != 10 {
        let first = pending[place] & 0x80 | (opcode == 9 ? 10 : opcode)
        answer += Self.header(first, payload.count) + payload
      }
      place = frame.payload.upperBound
      if opcode == 8 { return (answer, true) }
    }
    pending.removeFirst(place)
    return (answer, false)
  }

  /// The first frame; nil: it is not whole. Without an opcode it is none that we take: clients must
  /// mask, and no extension was agreed on.
  private static func frame(
    in bytes: ArraySlice<UInt8>
  ) -> (opcode: UInt8?, payload: Range<Int>)? {
    let start = bytes.startIndex
    guard bytes.count >= 2 else { return nil }
    let none = (UInt8?.none, start..<start)
    guard bytes[start] & 0x70 == 0, bytes[start + 1] & 0x80 != 0 else { return none }
    var count = Int(bytes[start + 1] & 0x7f)
    var headerBytes = 2
    if count >= 126 {
      let lengthBytes = count == 126 ? 2 : 8
      guard bytes.count >= 2 + lengthBytes else { return nil }
      let length = bytes[(start + 2)..<(start + 2 + lengthBytes)]
      // A wrong top bit makes it larger than any limit.
      let value = length.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      guard value <= frameLimit else { return none }
      count = Int(value)
      headerBytes += lengthBytes
    }
    let payload = (start + headerBytes + 4)..<(start + headerBytes + 4 + count)
    return payload.upperBound <= bytes.endIndex ? (bytes[start] & 0x0f, payload) : nil
  }

  /// A server's frame is not masked.
  private static func header(_ first: UInt8, _ count: Int) -> [UInt8] {
    switch count {
    case ..<126: [first, UInt8(count)]
    case ..<65_536: [first, 126, UInt8(count >> 8), UInt8(count & 0xff)]
    default: [first, 127] + (0..<8).map { UInt8(truncatingIfNeeded: count >> (56 - 8 * $0)) }
    }
  }
}
