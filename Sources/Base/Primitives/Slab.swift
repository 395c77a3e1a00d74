/// Names one entry of a slab: its place, and which tenant of that place is meant.
///
/// An event for a dead tenant carries an old generation and is dropped by comparison, not by luck.
/// Fits into epoll's 64 bits of user data.
@frozen
@usableFromInline
package struct Handle: Hashable, Sendable {
  @usableFromInline package var index: UInt32
  /// Odd while the entry lives. 0 never names a living entry.
  @usableFromInline package var generation: UInt32

  @inlinable package init(index: UInt32, generation: UInt32) {
    self.index = index
    self.generation = generation
  }

  @inlinable package init(bits: UInt64) {
    self.init(
      index: UInt32(truncatingIfNeeded: bits), generation: UInt32(truncatingIfNeeded: bits >> 32))
  }

  @inlinable package var bits: UInt64 { UInt64(generation) << 32 | UInt64(index) }

  /// Names nothing, ever.
  @inlinable package static var none: Handle { Handle(index: 0, generation: 0) }
  @inlinable package var isNone: Bool { generation == 0 }
}

/// Entries in chunks that never move, so that a pointer to one stays good while it lives.
///
/// Growing adds a chunk; nothing is copied and there is no slack from doubling (an idle connection
/// must cost about a kilobyte). A freed place is used again, last freed first.
@usableFromInline
package struct Slab<Entry>: ~Copyable {
  @usableFromInline static var chunkBits: Int { 6 }
  @usableFromInline static var chunkSize: Int { 1 << chunkBits }

  @usableFromInline var chunks: [UnsafeMutablePointer<Entry>] = []
  @usableFromInline var generations: [UnsafeMutablePointer<UInt32>] = []
  @usableFromInline var free: [UInt32] = []
  /// Living entries. Count.
  @usableFromInline package var count = 0
  /// Places ever used; those at and above have never been initialised.
  @usableFromInline var used = 0

  @inlinable package init() {}

  @inlinable deinit {
    for index in 0..<used where generation(at: index) & 1 == 1 {
      entry(at: index).deinitialize(count: 1)
    }
    for chunk in chunks { chunk.deallocate() }
    for chunk in generations { chunk.deallocate() }
  }

  @inlinable func entry(at index: Int) -> UnsafeMutablePointer<Entry> {
    chunks[index >> Self.chunkBits] + (index & (Self.chunkSize - 1))
  }

  @inlinable func generation(at index: Int) -> UInt32 {
    generations[index >> Self.chunkBits][index & (Self.chunkSize - 1)]
  }

  @inlinable package mutating func insert(_ value: consuming Entry) -> Handle {
    let index: Int
    if let last = free.popLast() {
      index = Int(last)
    } else {
      index = used
      if used == chunks.count << Self.chunkBits {
        chunks.append(.allocate(capacity: Self.chunkSize))
        let fresh = UnsafeMutablePointer<UInt32>.allocate(capacity: Self.chunkSize)
        fresh.initialize(repeating: 0, count: Self.chunkSize)
        generations.append(fresh)
      }
      used += 1
    }
    entry(at: index).initialize(to: value)
    let cell = generations[index >> Self.chunkBits] + (index & (Self.chunkSize - 1))
    cell.pointee &+= 1
    count += 1
    return Handle(index: UInt32(index), generation: cell.pointee)
  }

  /// Where the entry stands, or nil when its tenant has gone. Good until `remove`.
  @inlinable package func pointer(_ handle: Handle) -> UnsafeMutablePointer<Entry>? {
    let index = Int(handle.index)
    guard index < used, handle.generation & 1 == 1, generation(at: index) == handle.generation
    else { return nil }
    return entry(at: index)
  }

  /// Ends a tenancy. Removing one that has already gone is a bug of ours.
  @inlinable package mutating func remove(_ handle: Handle) {
    guard let place = pointer(handle) else {
      preconditionFailure("slab: \(handle) was removed twice")
    }
    place.deinitialize(count: 1)
    let index = Int(handle.index)
    generations[index >> Self.chunkBits][index & (Self.chunkSize - 1)] &+= 1
    free.append(handle.index)
    count -= 1
  }

  /// Visits every living entry, in order of place. The body may not insert or remove.
  @inlinable package func visitAll(_ body: (Handle, UnsafeMutablePointer<Entry>) -> Void) {
    for index in 0..<used {
      let generation = generation(at: index)
      if generation & 1 == 1 {
        body(Handle(index: UInt32(index), generation: generation), entry(at: index))
      }
    }
  }
}
