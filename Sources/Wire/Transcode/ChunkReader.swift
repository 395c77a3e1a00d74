import HTTP
import Primitives

/// Takes a chunked body of our own apart again: what `BodyDecoder` has let through, however it was cut.
///
/// HTTP/2 has no chunks, so the text between the bytes is dropped; the trailers behind them are handed
/// over as lines.
package struct ChunkReader: Sendable {
  package enum Piece {
    case data(UnsafeRawBufferPointer)
    /// A part of the lines of trailers, the empty line behind them not included.
    case trailers(UnsafeRawBufferPointer)
    /// The body is whole.
    case end
    /// All bytes have been used.
    case more
  }

  private enum State: UInt8 {
    case size
    case sizeLF
    case data
    case dataCR
    case dataLF
    case lineStart
    case line
    case endLF
    case ended
  }

  private var state = State.size
  private var remaining: UInt64 = 0

  package init() {}

  package var hasEnded: Bool { state == .ended }

  /// The next piece of `bytes`, which are shortened by what was used.
  package mutating func next(_ bytes: inout UnsafeRawBufferPointer) -> Piece {
    var position = 0
    func rest() -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[position...]) }
    while position < bytes.count {
      let byte = bytes[position]
      switch state {
      case .size:
        position += 1
        switch byte {
        case 0x30...0x39: remaining = remaining &<< 4 | UInt64(byte &- 0x30)
        case 0x41...0x46, 0x61...0x66: remaining = remaining &<< 4 | UInt64((byte | 0x20) &- 0x57)
        default: state = .sizeLF
        }
      case .sizeLF:
        position += 1
        state = remaining == 0 ? .lineStart : .data
      case .data:
        let count = min(remaining, UInt64(bytes.count - position))
        let piece = UnsafeRawBufferPointer(rebasing: bytes[position..<(position + Int(count))])
        remaining -= count
        if remaining == 0 { state = .dataCR }
        position += Int(count)
        bytes = rest()
        return .data(piece)
      case .dataCR:
        position += 1
        state = .dataLF
      case .dataLF:
        position += 1
        state = .size
      case .lineStart:
        if byte == 0x0d {
          position += 1
          state = .endLF
        } else {
          state = .line
        }
      case .line:
        let start = position
        while position < bytes.count, bytes[position] != 0x0a { position += 1 }
        if position < bytes.count {
          position += 1
          state = .lineStart
        }
        let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<position])
        bytes = rest()
        return .trailers(piece)
      case .endLF:
        position += 1
        state = .ended
        bytes = rest()
        return .end
      case .ended:
        bytes = rest()
        return .more
      }
    }
    bytes = rest()
    return .more
  }
}
