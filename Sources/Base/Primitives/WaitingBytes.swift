/// Bytes that their taker does not take yet: those that the kernel left over, or a peer's window.
///
/// Owns memory only while there are any. As large as what was left over: reading the other side stops as
/// soon as there are any, so it seldom grows. When it does, by doubling: a write in 40,000 pieces must not
/// copy what it has already for each of them. Trivial; whoever drops one frees it.
@frozen
@usableFromInline
package struct WaitingBytes {
  @usableFromInline var base: UnsafeMutableRawPointer?
  @usableFromInline var capacity = 0
  @usableFromInline var start = 0
  @usableFromInline var end = 0

  @inlinable package init() {}

  @inlinable package var isEmpty: Bool { start == end }
  @inlinable package var count: Int { end &- start }
  @inlinable package var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base.map { $0 + start }, count: count)
  }

  package mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let from = bytes.baseAddress, bytes.count > 0 else { return }
    if capacity - end < bytes.count {
      // Room for much is made only by what waits: what has been taken does not count.
      let enough = max(count + bytes.count, count > capacity / 2 ? 2 * capacity : capacity)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: enough, alignment: 16)
      let waiting = count
      if let base { larger.copyMemory(from: base + start, byteCount: waiting) }
      base?.deallocate()
      base = larger
      capacity = enough
      start = 0
      end = waiting
    }
    (base! + end).copyMemory(from: from, byteCount: bytes.count)
    end += bytes.count
  }

  @inlinable package mutating func consume(_ count: Int) {
    start += count
    if start == end { free() }
  }

  @inlinable package mutating func free() {
    base?.deallocate()
    self = WaitingBytes()
  }
}
