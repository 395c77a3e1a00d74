import Glibc

/// Ciphertext that is to be sent. The caller owns it and reuses it: one for a loop is enough, when
/// what the kernel did not take is copied to the connection.
package struct CipherBuffer: ~Copyable {
  /// Memory that `removeAll` keeps. Bytes: a turn's usual output; more is given back, so that one
  /// large answer does not stay resident.
  private static let keptBytes = 256 * 1024

  var base: UnsafeMutablePointer<UInt8>?
  package internal(set) var count = 0
  var capacity = 0

  package init() {}

  deinit { free(base) }

  package var isEmpty: Bool { count == 0 }

  /// Good until the next call that is given this buffer.
  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  package mutating func removeAll() {
    count = 0
    if capacity > Self.keptBytes {
      free(base)
      base = nil
      capacity = 0
    }
  }
}
