import CLinux
import Primitives

/// What the performer knows of one descriptor. Stands at the index of its connection's handle.
struct Socket {
  var descriptor: Int32 = -1
  /// Of the handle that owns the place; 0 while nobody does.
  var generation: UInt32 = 0
  var isUpstream = false
  /// The kernel may have bytes: it has said so, and no read since has come back short.
  var isReadable = false
  var isPaused = false
  var isConnecting = false
  /// FIN was announced; bytes may still wait before it.
  var hungUp = false
  /// A read has seen the end, or the connection broke.
  var hasEnded = false
  /// Half-close once the output is empty.
  var finishesWhenFlushed = false
  /// Writing has failed; only the end is still awaited.
  var isWriteDead = false
  /// Writing has failed because the connection was reset. The kernel says so once: reads that follow
  /// look like a clean end.
  var isReset = false
  /// It stands in the list of sockets to be read again.
  var isListed = false
  var output = Output()
  /// nil: in clear.
  var link: SecureLink?
}

/// Bytes that the kernel did not take. As large as what was left over: reading the other side stops
/// as soon as there are any, so it seldom grows. When it does, by doubling: a write in 40,000 pieces
/// must not copy what it has already for each of them.
struct Output {
  private(set) var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private var start = 0
  private var end = 0

  var isEmpty: Bool { start == end }
  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base.map { $0 + start }, count: end - start)
  }

  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let from = bytes.baseAddress else { return }
    if capacity - end < bytes.count {
      let count = end - start
      let enough = max(count + bytes.count, 2 * capacity)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: enough, alignment: 16)
      if let base { larger.copyMemory(from: base + start, byteCount: count) }
      base?.deallocate()
      base = larger
      capacity = enough
      start = 0
      end = count
    }
    (base! + end).copyMemory(from: from, byteCount: bytes.count)
    end += bytes.count
  }

  mutating func consume(_ count: Int) {
    start += count
    if start == end { free() }
  }

  mutating func free() {
    base?.deallocate()
    self = Output()
  }
}
