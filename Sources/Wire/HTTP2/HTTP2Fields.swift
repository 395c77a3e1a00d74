import CNghttp2
import Primitives

/// A list of fields on its way into a session, which copies it. Its memory is used again: one per
/// loop.
package struct HTTP2Fields: ~Copyable {
  private var fields: [nghttp2_nv] = []
  /// Names in lower case. Never grows while fields point into it.
  private var names: UnsafeMutableRawPointer
  private var namesCapacity: Int
  private var namesUsed = 0

  package init() {
    namesCapacity = 1_024
    names = .allocate(byteCount: namesCapacity, alignment: 16)
  }

  deinit { names.deallocate() }

  /// Begins anew.
  ///
  /// - Parameter nameBytes: of all names that will be added, at most.
  package mutating func begin(nameBytes: Int) {
    fields.removeAll(keepingCapacity: true)
    namesUsed = 0
    if nameBytes > namesCapacity {
      names.deallocate()
      namesCapacity = nameBytes
      names = .allocate(byteCount: namesCapacity, alignment: 16)
    }
  }

  /// Adds a field. Both texts must stay where they are until the list has been submitted.
  package mutating func add(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
    add(
      UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), value,
      flags: NGHTTP2_NV_FLAG_NONE)
  }

  /// Adds a field whose name may be in upper case.
  package mutating func add(lowering name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer)
  {
    precondition(namesUsed + name.count <= namesCapacity, "http2: more names than were announced")
    let start = names + namesUsed
    for index in name.indices {
      let byte = name[index]
      start.storeBytes(
        of: byte &- 0x41 < 26 ? byte | 0x20 : byte, toByteOffset: index, as: UInt8.self)
    }
    namesUsed += name.count
    let lowered = UnsafeRawBufferPointer(start: start, count: name.count)
    add(
      lowered, value,
      flags: Self.isSecret(lowered) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)
  }

  /// Adds fields that stand as `name: value` with a line end each, names in any case.
  package mutating func add(lines: UnsafeRawBufferPointer) {
    if namesUsed == 0, lines.count > namesCapacity { begin(nameBytes: lines.count) }
    var start = 0
    while start < lines.count {
      var colon = start
      while colon < lines.count, lines[colon] != 0x3a { colon += 1 }
      var end = colon
      while end < lines.count, lines[end] != 0x0d { end += 1 }
      guard end < lines.count else { return }
      var value = colon + 1
      while value < end, lines[value] == 0x20 || lines[value] == 0x09 { value += 1 }
      var valueEnd = end
      while valueEnd > value, lines[valueEnd - 1] == 0x20 || lines[valueEnd - 1] == 0x09 {
        valueEnd -= 1
      }
      add(
        lowering: UnsafeRawBufferPointer(rebasing: lines[start..<colon]),
        UnsafeRawBufferPointer(rebasing: lines[value..<valueEnd]))
      start = end + 2
    }
  }

  private mutating func add(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, flags: nghttp2_nv_flag
  ) {
    fields.append(
      nghttp2_nv(
        name: UnsafeMutablePointer(
          mutating: name.baseAddress?.assumingMemoryBound(to: UInt8.self)),
        value: UnsafeMutablePointer(
          mutating: value.baseAddress?.assumingMemoryBound(to: UInt8.self)),
        namelen: name.count, valuelen: value.count, flags: UInt8(flags.rawValue)))
  }

  package var count: Int { fields.count }
  var base: [nghttp2_nv] { fields }

  /// Credentials stay out of compression tables, where a neighbour could guess them (RFC 7541, 7.1.3).
  private static func isSecret(_ name: UnsafeRawBufferPointer) -> Bool {
    switch name.count {
    case 7: matches(name, "api-key")
    case 9: matches(name, "x-api-key")
    case 13: matches(name, "authorization")
    case 10: matches(name, "set-cookie")
    default: false
    }
  }

  private static func matches(_ name: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
    for index in name.indices where name[index] != text.utf8Start[index] { return false }
    return true
  }
}
