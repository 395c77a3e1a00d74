/// Bytes that do not say what they should.
package struct MalformedMessage: Error, Equatable, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}

/// Appends numbers to bytes, little-endian. What is written here comes from our own pure rooms: a
/// number that does not fit is a belief of ours that broke.
struct ByteWriter {
  var bytes: [UInt8]

  init(_ bytes: [UInt8] = []) { self.bytes = bytes }

  mutating func write<N: FixedWidthInteger>(_ value: N) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func write(_ value: Float) { write(value.bitPattern) }
  mutating func write(_ value: Double) { write(value.bitPattern) }

  /// A count or a place, in 32 bits.
  mutating func write(count: Int) {
    precondition(UInt32(exactly: count) != nil, "\(count) is no count of a message")
    write(UInt32(truncatingIfNeeded: count))
  }

  mutating func write(_ tokens: [Int32]) {
    write(count: tokens.count)
    #if _endian(little)
      tokens.withUnsafeBytes { bytes.append(contentsOf: $0) }
    #else
      for token in tokens { write(token) }
    #endif
  }
}

/// Takes numbers from bytes that may be anything: never past the end, and never more memory than the
/// bytes themselves can fill.
struct ByteReader {
  private var rest: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func read<N: FixedWidthInteger>(_: N.Type = N.self) throws(MalformedMessage) -> N {
    let size = MemoryLayout<N>.size
    guard rest.count >= size else { throw MalformedMessage("a message ends too early") }
    defer { rest = UnsafeRawBufferPointer(rebasing: rest[size...]) }
    return N(littleEndian: rest.loadUnaligned(as: N.self))
  }

  mutating func readFloat() throws(MalformedMessage) -> Float {
    Float(bitPattern: try read(UInt32.self))
  }

  mutating func readDouble() throws(MalformedMessage) -> Double {
    Double(bitPattern: try read(UInt64.self))
  }

  mutating func readCount() throws(MalformedMessage) -> Int { Int(try read(UInt32.self)) }

  /// A count of things that take at least `size` bytes each in the rest of the message.
  mutating func readCount(ofSize size: Int) throws(MalformedMessage) -> Int {
    let count = try readCount()
    guard count <= rest.count / size else {
      throw MalformedMessage("a message has \(rest.count) bytes for \(count) things of \(size)")
    }
    return count
  }

  /// Appends tokens to an array, so that its memory is used again.
  mutating func readTokens(into tokens: inout [Int32]) throws(MalformedMessage) {
    let count = try readCount(ofSize: 4)
    let bytes = UnsafeRawBufferPointer(rebasing: rest[..<(count * 4)])
    tokens.reserveCapacity(tokens.count + count)
    for i in 0..<count {
      tokens.append(
        Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: i * 4, as: Int32.self)))
    }
    rest = UnsafeRawBufferPointer(rebasing: rest[(count * 4)...])
  }

  mutating func readTokens() throws(MalformedMessage) -> [Int32] {
    var tokens: [Int32] = []
    try readTokens(into: &tokens)
    return tokens
  }

  func finish() throws(MalformedMessage) {
    guard isAtEnd else { throw MalformedMessage("a message has \(rest.count) bytes too many") }
  }
}

extension [UInt8] {
  /// Reads all of it, or says why not.
  func decode<Value>(
    _ body: (inout ByteReader) throws(MalformedMessage) -> Value
  ) throws(MalformedMessage) -> Value {
    let result: Result<Value, MalformedMessage> = withUnsafeBytes { bytes in
      var reader = ByteReader(bytes)
      do throws(MalformedMessage) {
        let value = try body(&reader)
        try reader.finish()
        return .success(value)
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }
}
