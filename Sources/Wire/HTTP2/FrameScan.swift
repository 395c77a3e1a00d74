import CNghttp2

/// Looks at the heads of a client's frames before nghttp2 does, for faults that it lets pass: frames
/// for streams that the client has ended or skipped (RFC 9113, 5.1 and 5.1.1), and PRIORITY, which it
/// does not look at at all once priorities are switched off (5.3.1 and 6.3 of RFC 7540).
///
/// Only what is certain is a fault: what was forgotten is left to nghttp2, which ignores it.
struct FrameScan {
  /// Streams that the client has ended or reset, and gaps between streams. Count of each. Enough for
  /// a client that shows its fault at once.
  private static let limit = 16
  private static let headBytes = 9
  /// PRIORITY begins with the stream that it depends on. Bytes.
  private static let dependencyBytes = 4

  /// PRIORITY frames that came since the owner last looked. Count.
  var priorities = 0

  /// Bytes of the present head or dependency that have come. Count.
  private var seen = 0
  /// Bytes of the present frame's payload, or of the preface, that are still to come. Count.
  private var left: Int
  private var size: UInt32 = 0
  private var type: UInt8 = 0
  private var flags: UInt8 = 0
  private var stream: UInt32 = 0
  private var dependency: UInt32 = 0
  private var wantsDependency = false

  private var newest: Int32 = -1
  private var gone: [Int32] = []
  private var nextGone = 0
  private var gaps: [ClosedRange<Int32>] = []
  private var nextGap = 0

  init(preface: Int) { left = preface }

  /// - Returns: the code of a fault, and how many of the bytes stand before the frame that has it.
  mutating func scan(_ bytes: UnsafeRawBufferPointer) -> (code: UInt32, at: Int)? {
    var place = 0
    while place < bytes.count {
      if wantsDependency {
        dependency = dependency << 8 | UInt32(bytes[place])
        place += 1
        seen += 1
        left -= 1
        guard seen == Self.dependencyBytes else { continue }
        wantsDependency = false
        seen = 0
        if dependency & 0x7fff_ffff == stream { return (NGHTTP2_PROTOCOL_ERROR.rawValue, place) }
      } else if left > 0 {
        let step = min(left, bytes.count - place)
        left -= step
        place += step
      } else {
        take(bytes[place])
        place += 1
        guard seen == Self.headBytes else { continue }
        seen = 0
        left = Int(size)
        if let code = judge() { return (code, max(0, place - Self.headBytes)) }
      }
    }
    return nil
  }

  private mutating func take(_ byte: UInt8) {
    switch seen {
    case 0: size = UInt32(byte)
    case 1, 2: size = size << 8 | UInt32(byte)
    case 3: type = byte
    case 4: flags = byte
    case 5: stream = UInt32(byte & 0x7f)
    default: stream = stream << 8 | UInt32(byte)
    }
    seen += 1
  }

  /// The head of a frame is whole.
  private mutating func judge() -> UInt32? {
    let id = Int32(bitPattern: stream)
    switch UInt32(type) {
    case NGHTTP2_HEADERS.rawValue, NGHTTP2_DATA.rawValue:
      guard id & 1 == 1 else { return nil }
      if id <= newest {
        if gone.contains(id) { return NGHTTP2_STREAM_CLOSED.rawValue }
        if gaps.contains(where: { $0.contains(id) }) { return NGHTTP2_PROTOCOL_ERROR.rawValue }
      } else if UInt32(type) == NGHTTP2_HEADERS.rawValue {
        if newest >= 0, id > newest + 2 {
          Self.remember(newest + 2...id - 2, in: &gaps, &nextGap)
        } else if newest < 0, id > 1 {
          Self.remember(1...id - 2, in: &gaps, &nextGap)
        }
        newest = id
      }
      if flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 { ended(id) }
    case NGHTTP2_RST_STREAM.rawValue: ended(id)
    case NGHTTP2_PRIORITY.rawValue:
      priorities += 1
      if stream == 0 { return NGHTTP2_PROTOCOL_ERROR.rawValue }
      if size >= Self.dependencyBytes {
        wantsDependency = true
        dependency = 0
      }
    default: break
    }
    return nil
  }

  private mutating func ended(_ id: Int32) {
    guard id <= newest, !gone.contains(id) else { return }
    Self.remember(id, in: &gone, &nextGone)
  }

  private static func remember<T>(_ one: T, in ring: inout [T], _ next: inout Int) {
    if ring.count < limit {
      ring.append(one)
    } else {
      ring[next] = one
      next = (next + 1) % limit
    }
  }
}
