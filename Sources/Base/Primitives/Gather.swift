/// Collects the bytes of one turn's writes as segments, without copying what already stands
/// somewhere.
///
/// A segment points either into memory that outlives the turn's performance (the input that is
/// being handled, a block of a connection) or into the gather's own arena, where small texts such
/// as heads and chunk sizes are put. Segments that touch are merged, so a body relayed verbatim
/// leaves as one segment however many chunks it holds. Everything is good until `reset`.
///
/// ```
/// write 0: [arena: head][input: body]     write 1: [input: ...]
/// ```
@usableFromInline
package struct Gather: ~Copyable {
  /// One piece of a write.
  @frozen
  @usableFromInline
  package struct Segment {
    @usableFromInline package var base: UnsafeRawPointer
    @usableFromInline package var count: Int
    @inlinable init(base: UnsafeRawPointer, count: Int) {
      self.base = base
      self.count = count
    }
  }

  /// Bytes of an arena page. A head of the default limit fits whole.
  @usableFromInline static var pageBytes: Int { 64 * 1024 }

  @usableFromInline package var segments: [Segment] = []
  /// First segment of the write that is being collected: `append` never merges across it.
  @usableFromInline var openFrom = 0
  /// Bytes of the write that is being collected.
  @usableFromInline package var openBytes = 0
  @usableFromInline var pages: [UnsafeMutableRawBufferPointer] = []
  @usableFromInline var page = 0
  @usableFromInline var pageUsed = 0

  @inlinable package init() {
    segments.reserveCapacity(64)
    pages.append(.allocate(byteCount: Self.pageBytes, alignment: 16))
  }

  @inlinable deinit {
    for page in pages { page.deallocate() }
  }

  /// Forgets everything that was collected. A page beyond the first is given back.
  @inlinable package mutating func reset() {
    segments.removeAll(keepingCapacity: true)
    openFrom = 0
    openBytes = 0
    page = 0
    pageUsed = 0
    while pages.count > 1 { pages.removeLast().deallocate() }
  }

  /// Adds bytes that stand elsewhere and stay there until `reset`.
  @inlinable package mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return }
    openBytes &+= bytes.count
    let last = segments.count &- 1
    if last >= openFrom, segments[last].base + segments[last].count == base {
      segments[last].count &+= bytes.count
      return
    }
    segments.append(Segment(base: base, count: bytes.count))
  }

  /// Room in the arena for a text of at most `limit` bytes; say with `commit` how many there are.
  @inlinable package mutating func reserve(_ limit: Int) -> UnsafeMutableRawBufferPointer {
    if pages[page].count - pageUsed < limit {
      page += 1
      pageUsed = 0
      if page == pages.count {
        pages.append(.allocate(byteCount: max(Self.pageBytes, limit), alignment: 16))
      } else if pages[page].count < limit {
        pages[page].deallocate()
        pages[page] = .allocate(byteCount: limit, alignment: 16)
      }
    }
    return UnsafeMutableRawBufferPointer(rebasing: pages[page][pageUsed..<(pageUsed + limit)])
  }

  /// Keeps the first `count` bytes of what `reserve` gave, without sending them: for whoever needs a
  /// text as long as this turn lasts.
  @inlinable package mutating func keep(_ count: Int) -> UnsafeRawBufferPointer {
    let base = UnsafeRawPointer(pages[page].baseAddress! + pageUsed)
    pageUsed += count
    return UnsafeRawBufferPointer(start: base, count: count)
  }

  /// Adds the first `count` bytes of what `reserve` gave.
  @inlinable package mutating func commit(_ count: Int) {
    let base = UnsafeRawPointer(pages[page].baseAddress! + pageUsed)
    pageUsed += count
    append(UnsafeRawBufferPointer(start: base, count: count))
  }

  /// Adds a constant text, which stands in the program itself.
  @inlinable package mutating func append(_ text: StaticString) {
    append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// Forgets the write that is being collected.
  @inlinable package mutating func discardOpen() {
    segments.removeLast(segments.count - openFrom)
    openBytes = 0
  }

  /// Copies the write that is being collected behind what a block holds.
  @inlinable package mutating func copyOpen(to block: inout Block, of pool: inout BlockPool) {
    for index in openFrom..<segments.count {
      pool.append(
        UnsafeRawBufferPointer(start: segments[index].base, count: segments[index].count),
        to: &block)
    }
  }

  /// Ends the write that was being collected and returns its segments; empty when there were none.
  @inlinable package mutating func cut() -> Range<Int> {
    let range = openFrom..<segments.count
    openFrom = segments.count
    openBytes = 0
    return range
  }
}
