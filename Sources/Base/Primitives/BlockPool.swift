/// A stretch of memory lent by a `BlockPool`, with the part of it that is filled.
///
/// ```
/// base          start        end        capacity
///  |  consumed   |  filled    |  free      |
/// ```
/// Trivial on purpose, so that it may stand in a slab entry; whoever takes one gives it back.
@frozen
@usableFromInline
package struct Block {
  @usableFromInline var base: UnsafeMutableRawPointer?
  @usableFromInline var capacity: UInt32
  @usableFromInline package var start: UInt32
  @usableFromInline package var end: UInt32

  /// No memory. The state of a block that was not needed or was given back.
  @inlinable package init() {
    base = nil
    capacity = 0
    start = 0
    end = 0
  }

  @inlinable package var count: Int { Int(end &- start) }
  @inlinable package var isEmpty: Bool { end == start }
  @inlinable package var isLent: Bool { base != nil }

  /// The filled part. Good until the block is given back or grown and the pool has settled.
  @inlinable package var bytes: UnsafeRawBufferPointer {
    guard let base else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    return UnsafeRawBufferPointer(start: base + Int(start), count: count)
  }

  @inlinable package mutating func consume(_ count: Int) {
    assert(count <= self.count, "block: more consumed than filled")
    start &+= UInt32(truncatingIfNeeded: count)
  }
}

/// Lends blocks in four sizes and keeps returned ones for the next borrower.
///
/// Giving back is delayed until `settle`, because effects that were decided but not yet performed
/// may still point into the block. A connection without pending bytes holds no block at all: that
/// is how an idle one stays below a kilobyte.
@usableFromInline
package struct BlockPool: ~Copyable {
  /// 1 KiB: a small request. 4 KiB: a page. 16 and 64 KiB: bodies kept for a retry, and pipelining.
  @usableFromInline static var sizes: [4 of UInt32] { [1_024, 4_096, 16_384, 65_536] }
  /// Bytes of returned blocks that are kept per size.
  @usableFromInline static var keptBytes: UInt32 { 1 << 20 }

  @usableFromInline var free: [[UnsafeMutableRawPointer]] = [[], [], [], []]
  @usableFromInline var returned: [Block] = []
  /// Blocks lent and not given back. Count; zero when nothing is in progress.
  @usableFromInline package var lent = 0

  @inlinable package init() { returned.reserveCapacity(64) }

  @inlinable deinit {
    for list in free { for base in list { base.deallocate() } }
    for block in returned { block.base?.deallocate() }
  }

  @inlinable static func sizeClass(_ bytes: Int) -> Int? {
    for index in 0..<4 where bytes <= Int(sizes[index]) { return index }
    return nil
  }

  /// A block with room for at least `bytes`.
  @inlinable package mutating func take(_ bytes: Int) -> Block {
    lent += 1
    var block = Block()
    if let index = Self.sizeClass(bytes) {
      block.capacity = Self.sizes[index]
      block.base =
        free[index].popLast()
        ?? .allocate(byteCount: Int(Self.sizes[index]), alignment: 16)
    } else {
      block.capacity = UInt32(bytes)
      block.base = .allocate(byteCount: bytes, alignment: 16)
    }
    return block
  }

  /// Takes the block back and leaves an empty one in its place.
  @inlinable package mutating func give(_ block: inout Block) {
    guard block.isLent else { return }
    lent -= 1
    returned.append(block)
    block = Block()
  }

  /// Makes what was given back available again. Call when no decided effect is left to perform.
  @inlinable package mutating func settle() {
    if returned.isEmpty { return }
    for block in returned {
      guard let base = block.base else { continue }
      if let index = Self.sizeClass(Int(block.capacity)), Self.sizes[index] == block.capacity,
        UInt32(free[index].count) &* block.capacity < Self.keptBytes
      {
        free[index].append(base)
      } else {
        base.deallocate()
      }
    }
    returned.removeAll(keepingCapacity: true)
  }

  /// Copies bytes behind the filled part, into a larger block when they do not fit.
  ///
  /// What was filled before stays where it is, or is copied to the larger block while the old one
  /// stays readable until `settle`: segments that were gathered from it remain good.
  @inlinable package mutating func append(
    _ bytes: UnsafeRawBufferPointer, to block: inout Block
  ) {
    guard let from = bytes.baseAddress, bytes.count > 0 else { return }
    if !block.isLent { block = take(bytes.count) }
    if Int(block.capacity - block.end) < bytes.count {
      // Beyond the largest size with room to grow, or a peer that sends one byte at a time would have
      // everything copied for each of them.
      let wanted = block.count + bytes.count
      var larger = take(Self.sizeClass(wanted) == nil ? wanted + wanted / 2 : wanted)
      if let old = block.bytes.baseAddress {
        larger.base!.copyMemory(from: old, byteCount: block.count)
      }
      larger.end = UInt32(block.count)
      give(&block)
      block = larger
    }
    (block.base! + Int(block.end)).copyMemory(from: from, byteCount: bytes.count)
    block.end &+= UInt32(bytes.count)
  }
}
