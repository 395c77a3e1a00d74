/// Where small pieces of plaintext are put together before they are sealed in one record. One for a
/// context: it is only used inside a call.
final class SealScratch {
  /// Bytes of a record's plaintext at most (RFC 8446, section 5.1).
  static let recordBytes = 16_384

  let base = UnsafeMutableRawPointer.allocate(byteCount: SealScratch.recordBytes, alignment: 16)
  var count = 0

  deinit { base.deallocate() }
}
