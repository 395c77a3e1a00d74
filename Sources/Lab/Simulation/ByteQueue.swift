import Glibc

/// Bytes on their way: appended at the end, consumed from the front. Raw memory, because the tests
/// run the simulation in debug builds, where arrays of bytes are slow.
final class ByteQueue {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private var start = 0
  private var end = 0

  deinit { base?.deallocate() }

  var count: Int { end - start }
  var isEmpty: Bool { start == end }

  /// Good until the next change.
  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base.map { $0 + start }, count: count)
  }

  func append(_ bytes: UnsafeRawBufferPointer) {
    guard let from = bytes.baseAddress, bytes.count > 0 else { return }
    memcpy(reserve(bytes.count), from, bytes.count)
  }

  func append(_ text: String) {
    var text = text
    text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
  }

  /// Bytes of a seeded body.
  func appendBody(_ offset: Int, _ range: Range<Int>) {
    var position = range.lowerBound
    while position < range.upperBound {
      let count = min(range.upperBound - position, Pattern.period)
      memcpy(reserve(count), Pattern.bytes(offset, position), count)
      position += count
    }
  }

  func consume(_ count: Int) {
    start += count
    if start == end {
      start = 0
      end = 0
    }
  }

  /// Forgets bytes at the end.
  func truncate(to count: Int) { end = start + min(count, self.count) }

  /// Spoils the last byte.
  func flipLast() {
    guard let base, end > start else { return }
    base.storeBytes(
      of: base.load(fromByteOffset: end - 1, as: UInt8.self) ^ 1, toByteOffset: end - 1,
      as: UInt8.self)
  }

  func removeAll() {
    start = 0
    end = 0
  }

  /// Room for bytes that count as appended.
  private func reserve(_ count: Int) -> UnsafeMutableRawPointer {
    if capacity - end < count {
      let held = self.count
      if capacity - held >= count, start > 0, let base {
        memmove(base, base + start, held)
      } else {
        let larger = max(1_024, 2 * (held + count))
        let memory = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        if let base {
          memcpy(memory, base + start, held)
          base.deallocate()
        }
        base = memory
        capacity = larger
      }
      start = 0
      end = held
    }
    defer { end += count }
    return base! + end
  }
}

/// The bytes of every body: one long random text, read from an offset of the body's own. A byte that
/// is lost, doubled, changed or of another body does not fit, and comparing costs one `memcmp`.
enum Pattern {
  /// A prime, so that offsets of different bodies do not fall into step.
  static let period = 65_521

  nonisolated(unsafe) private static let table: UnsafePointer<UInt8> = {
    let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * period)
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    for index in 0..<period {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      table[index] = UInt8(truncatingIfNeeded: state >> 32)
      table[index + period] = table[index]
    }
    return UnsafePointer(table)
  }()

  /// At least `period` bytes of a body from a position in it.
  static func bytes(_ offset: Int, _ position: Int) -> UnsafePointer<UInt8> {
    table + (offset + position) % period
  }

  static func matches(_ bytes: UnsafeRawBufferPointer, offset: Int, position: Int) -> Bool {
    var done = 0
    while done < bytes.count {
      let count = min(bytes.count - done, period)
      if memcmp(bytes.baseAddress! + done, self.bytes(offset, position + done), count) != 0 {
        return false
      }
      done += count
    }
    return true
  }
}
