import Primitives
import Synchronization

/// The lines of one loop on their way to the disk: one loop puts, the writer's queue takes.
///
/// A ring of bytes without locks. Lines never wrap: one that does not fit before the end begins a new
/// lap, and `lapEnd` tells where the old one stopped.
///
/// ```
///        tail          head                     head      tail        lapEnd
///  |......|=============|........|      |========|..........|===========|....|
///          same lap                        head is one lap ahead
/// ```
/// When there is no room the line is dropped and counted: a slow disk never stalls a loop.
///
/// `@unchecked Sendable`: bytes between tail and head are only read, by the one taker; all others
/// are only written, by the one putter; each moves its own end, with release, after it is done.
package final class AccessLogRing: @unchecked Sendable {
  /// A place in the ring, and how often the ring had been gone around.
  private struct Position {
    var lap: UInt32
    var offset: Int
    init(bits: UInt64) {
      lap = UInt32(truncatingIfNeeded: bits >> 32)
      offset = Int(bits & 0xFFFF_FFFF)
    }
    var bits: UInt64 { UInt64(lap) << 32 | UInt64(offset) }
  }

  private let memory: UnsafeMutablePointer<UInt8>
  private let size: Int
  private let head = Atomic<UInt64>(0)
  private let tail = Atomic<UInt64>(0)
  private let lapEnd = Atomic<Int>(0)
  private let dropped = Atomic<UInt64>(0)
  /// Wakes the writer. Called by the loop.
  private let wake: @Sendable (_ isUrgent: Bool) -> Void
  /// The writer has been woken and has not looked yet.
  private let isAwaited = Atomic<Bool>(false)

  init(size: Int, wake: @escaping @Sendable (_ isUrgent: Bool) -> Void) {
    precondition(size < 1 << 32, "access log ring: \(size) bytes do not fit a position")
    self.size = size
    self.wake = wake
    memory = .allocate(capacity: size)
  }

  deinit { memory.deallocate() }

  /// Lines that found no room. Count.
  var droppedLines: UInt64 { dropped.load(ordering: .relaxed) }

  // MARK: The loop's side

  /// Puts the line of a request that has ended, or drops it. About 280 ns; no allocation.
  ///
  /// - Parameter wall: Nanoseconds since 1970.
  package func append(
    _ record: RequestRecord, wall: Int64, texts: RequestTexts, names: AccessLogNames
  ) {
    let bound = AccessLogLine.bound(record, texts, names)
    var position = Position(bits: head.load(ordering: .relaxed))
    let free = Position(bits: tail.load(ordering: .acquiring))
    let usedBefore = used(from: free, to: position)
    let sameLap = position.lap == free.lap
    if (sameLap ? size : free.offset) - position.offset < bound {
      // A new lap may begin once enough of the old one has been read.
      guard sameLap, free.offset >= bound else {
        dropped.wrappingAdd(1, ordering: .relaxed)
        return
      }
      lapEnd.store(position.offset, ordering: .relaxed)
      position = Position(bits: UInt64(position.lap &+ 1) << 32)
    }
    var text = ByteText(into: memory + position.offset, capacity: bound)
    AccessLogLine.put(record, wall: wall, texts: texts, names: names, to: &text)
    position.offset += text.count
    // Sequentially consistent with `isAwaited`: either the writer sees this line, or we wake it.
    head.store(position.bits, ordering: .sequentiallyConsistent)
    if usedBefore <= size / 2, used(from: free, to: position) > size / 2 {
      wake(true)
    } else if !isAwaited.load(ordering: .sequentiallyConsistent) {
      isAwaited.store(true, ordering: .relaxed)
      wake(false)
    }
  }

  /// Bytes that wait. At a lap's end it counts the unused rest too, which does not matter here.
  private func used(from tail: Position, to head: Position) -> Int {
    tail.lap == head.lap ? head.offset - tail.offset : size - tail.offset + head.offset
  }

  // MARK: The writer's side

  /// The writer looks now: lines put from here on wake it again.
  func looked() { isAwaited.store(false, ordering: .sequentiallyConsistent) }

  /// Whole lines that wait, as one piece; empty when there are none. The first may have lost its
  /// beginning to an earlier `take`.
  func waiting() -> UnsafeRawBufferPointer {
    let head = Position(bits: head.load(ordering: .sequentiallyConsistent))
    var tail = Position(bits: tail.load(ordering: .relaxed))
    if tail.lap != head.lap, tail.offset == lapEnd.load(ordering: .relaxed) {
      tail = Position(bits: UInt64(tail.lap &+ 1) << 32)
      self.tail.store(tail.bits, ordering: .releasing)
    }
    let end = tail.lap == head.lap ? head.offset : lapEnd.load(ordering: .relaxed)
    return UnsafeRawBufferPointer(start: memory + tail.offset, count: end - tail.offset)
  }

  /// The first bytes of `waiting` are written.
  func take(_ count: Int) {
    var position = Position(bits: tail.load(ordering: .relaxed))
    position.offset += count
    tail.store(position.bits, ordering: .releasing)
  }
}
