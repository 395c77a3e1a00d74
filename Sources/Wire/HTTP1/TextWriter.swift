import HTTP

/// Puts texts one behind the other into memory that is known to be large enough.
struct TextWriter {
  private let start: UnsafeMutableRawPointer
  private var position: UnsafeMutableRawPointer

  @inline(__always) init(_ start: UnsafeMutableRawPointer) {
    self.start = start
    position = start
  }

  @inline(__always) var count: Int { position - start }

  @inline(__always) mutating func put(_ byte: UInt8) {
    position.storeBytes(of: byte, as: UInt8.self)
    position += 1
  }

  @inline(__always) mutating func put(_ text: StaticString) {
    position.copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
    position += text.utf8CodeUnitCount
  }

  @inline(__always) mutating func put(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    position.copyMemory(from: base, byteCount: bytes.count)
    position += bytes.count
  }

  @inline(__always) mutating func put(_ base: UnsafeRawPointer, _ range: ByteRange) {
    position.copyMemory(from: base + Int(range.start), byteCount: Int(range.count))
    position += Int(range.count)
  }

  /// Most bytes that a number takes in decimal.
  static let decimalLimit = 20

  mutating func put(decimal number: UInt64) {
    var divisor: UInt64 = 1
    while number / divisor >= 10 { divisor *= 10 }
    var rest = number
    while divisor > 0 {
      put(UInt8(truncatingIfNeeded: rest / divisor) &+ 0x30)
      rest %= divisor
      divisor /= 10
    }
  }

  /// Most bytes that a number takes in hexadecimal.
  static let hexLimit = 16

  mutating func put(hex number: UInt64) {
    var shift = number == 0 ? 0 : (63 - number.leadingZeroBitCount) & ~3
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift)) & 15
      put(digit < 10 ? digit &+ 0x30 : digit &+ 0x57)
      shift -= 4
    }
  }
}
