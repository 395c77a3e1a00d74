/// A stretch of an input, as offset and length. Bytes.
///
/// Heads are parsed where they stand: what is found is remembered as ranges, which cost no
/// reference count and survive the move of the input to another place.
@frozen
@usableFromInline
package struct ByteRange: Sendable, Equatable {
  @usableFromInline package var start: UInt32
  @usableFromInline package var count: UInt32

  @inlinable package init(start: UInt32, count: UInt32) {
    self.start = start
    self.count = count
  }

  /// The bytes from `start` up to, and without, `end`.
  @inlinable package init(_ start: Int, _ end: Int) {
    self.start = UInt32(truncatingIfNeeded: start)
    self.count = UInt32(truncatingIfNeeded: end &- start)
  }

  @inlinable package static var empty: Self { Self(start: 0, count: 0) }

  @inlinable package var isEmpty: Bool { count == 0 }
  @inlinable package var end: UInt32 { start &+ count }

  /// What the range covers of the input that it was found in.
  @inlinable package func bytes(in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    if count == 0 { return UnsafeRawBufferPointer(start: nil, count: 0) }
    return UnsafeRawBufferPointer(rebasing: bytes[Int(start)..<Int(end)])
  }
}
