/// Writes protobuf's wire format. Numbers that are 0, texts that are empty and flags that are false
/// are left out, as proto3 wants; `always` writes them, for members of a `oneof`.
package struct ProtobufWriter {
  package private(set) var bytes: [UInt8] = []

  package init(capacity: Int = 64) { bytes.reserveCapacity(capacity) }

  // MARK: Fields

  package mutating func put(_ number: Int, _ value: String) {
    if !value.isEmpty { always(number, value) }
  }

  package mutating func put(_ number: Int, _ value: Bool) {
    if value { always(number, value) }
  }

  package mutating func put(_ number: Int, _ value: Int64) {
    if value != 0 { always(number, value) }
  }

  package mutating func always(_ number: Int, _ value: String) {
    tag(number, .length)
    varint(UInt64(value.utf8.count))
    bytes += value.utf8
  }

  package mutating func always(_ number: Int, _ value: [UInt8]) {
    tag(number, .length)
    varint(UInt64(value.count))
    bytes += value
  }

  package mutating func always(_ number: Int, _ value: Bool) {
    tag(number, .varint)
    varint(value ? 1 : 0)
  }

  package mutating func always(_ number: Int, _ value: Int64) {
    tag(number, .varint)
    varint(UInt64(bitPattern: value))
  }

  package mutating func always(_ number: Int, _ value: UInt64) {
    tag(number, .varint)
    varint(value)
  }

  package mutating func always(_ number: Int, _ value: Double) {
    tag(number, .fixed64)
    fixed64(value.bitPattern)
  }

  package mutating func message(_ number: Int, _ body: (inout ProtobufWriter) -> Void) {
    tag(number, .length)
    let start = bytes.count
    body(&self)
    lengthen(from: start)
  }

  /// A packed list; nothing when it is empty.
  package mutating func packed<Value>(
    _ number: Int, _ values: [Value], _ element: (inout ProtobufWriter, Value) -> Void
  ) {
    guard !values.isEmpty else { return }
    tag(number, .length)
    let start = bytes.count
    for value in values { element(&self, value) }
    lengthen(from: start)
  }

  /// Puts the length of what was written since in front of it.
  private mutating func lengthen(from start: Int) {
    var length = ProtobufWriter(capacity: 10)
    length.varint(UInt64(bytes.count - start))
    bytes.insert(contentsOf: length.bytes, at: start)
  }

  // MARK: Values alone

  package mutating func tag(_ number: Int, _ type: ProtobufReader.WireType) {
    varint(UInt64(number) << 3 | UInt64(type.rawValue))
  }

  package mutating func varint(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(value & 0x7f) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(value))
  }

  package static func zigzag(_ value: Int64) -> UInt64 {
    UInt64(bitPattern: value << 1 ^ value >> 63)
  }

  package mutating func fixed32(_ value: UInt32) {
    for shift in stride(from: UInt32(0), to: 32, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }

  package mutating func fixed64(_ value: UInt64) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
