/// Reads protobuf's wire format (protobuf.dev/programming-guides/encoding), field by field.
///
/// Ours, because no Swift package can be downloaded where this is built, and libprotobuf is C++
/// without a C interface. What we speak is three services with twenty messages, so the wire format is
/// all that is needed: no descriptors, no reflection, no JSON.
///
/// A message is a loop over `next`, with a switch on number and wire type; what is not known, or comes
/// in another wire type than it should, is skipped, as every implementation does:
/// ```
/// while let field = try reader.next() {
///   switch (field.number, field.type) {
///   case (1, .length): name = try reader.string()
///   default: try reader.skip(field)
///   }
/// }
/// ```
/// Never traps and never takes more memory than the bytes are worth: see `ProtobufLimits`.
package struct ProtobufReader {
  package enum WireType: UInt8, Sendable {
    case varint = 0
    case fixed64 = 1
    case length = 2
    case groupStart = 3
    case groupEnd = 4
    case fixed32 = 5
  }

  package struct Field: Equatable, Sendable {
    package let number: Int
    package let type: WireType
  }

  private let bytes: UnsafeRawBufferPointer
  private var position = 0
  /// Where the message that is being read ends.
  private var end: Int
  private var depth = 0
  private var valuesLeft: Int
  private let limits: ProtobufLimits

  /// The bytes must outlive the reader.
  package init(_ bytes: UnsafeRawBufferPointer, limits: ProtobufLimits = ProtobufLimits()) {
    self.bytes = bytes
    self.limits = limits
    end = bytes.count
    valuesLeft = limits.values
  }

  /// The next field of this message, whose value is to be read or skipped; nil at its end.
  package mutating func next() throws(ProtobufComplaint) -> Field? {
    guard position < end else { return nil }
    let start = position
    let tag = try varint()
    // The number has 29 bits, so that a tag fits into 32; it begins in five bytes.
    guard tag <= UInt64(UInt32.max), position - start <= 5, tag >> 3 != 0 else {
      throw complaint(start, .badTag)
    }
    guard let type = WireType(rawValue: UInt8(tag & 7)) else {
      throw complaint(start, .badWireType(Int(tag & 7)))
    }
    return Field(number: Int(tag >> 3), type: type)
  }

  // MARK: Numbers

  /// Up to ten bytes, the last of which has one bit. Longer forms of small numbers are legal.
  package mutating func varint() throws(ProtobufComplaint) -> UInt64 {
    let start = position
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      guard position < end else { throw complaint(start, .truncated) }
      let byte = bytes[position]
      position += 1
      guard shift < 63 || byte <= 1 else { throw complaint(start, .longVarint) }
      value |= UInt64(byte & 0x7f) << shift
      guard byte & 0x80 != 0 else { return value }
      shift += 7
    }
  }

  package mutating func flag() throws(ProtobufComplaint) -> Bool { try varint() != 0 }

  /// Of a larger number the low 32 bits count, as everywhere.
  package mutating func int32() throws(ProtobufComplaint) -> Int32 {
    Int32(truncatingIfNeeded: try varint())
  }

  package mutating func uint32() throws(ProtobufComplaint) -> UInt32 {
    UInt32(truncatingIfNeeded: try varint())
  }

  package mutating func int64() throws(ProtobufComplaint) -> Int64 {
    Int64(bitPattern: try varint())
  }

  /// `sint64`, and `sint32` in its low half: small negative numbers are short.
  package static func zigzag(_ value: UInt64) -> Int64 {
    Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
  }

  package mutating func fixed32() throws(ProtobufComplaint) -> UInt32 {
    guard end - position >= 4 else { throw complaint(position, .truncated) }
    defer { position += 4 }
    return UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
  }

  package mutating func fixed64() throws(ProtobufComplaint) -> UInt64 {
    guard end - position >= 8 else { throw complaint(position, .truncated) }
    defer { position += 8 }
    return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
  }

  package mutating func float() throws(ProtobufComplaint) -> Float {
    Float(bitPattern: try fixed32())
  }

  package mutating func double() throws(ProtobufComplaint) -> Double {
    Double(bitPattern: try fixed64())
  }

  // MARK: Bytes

  /// A text, which must be UTF-8.
  package mutating func string() throws(ProtobufComplaint) -> String {
    let start = position
    let span = try span()
    guard
      let text = String(validating: UnsafeRawBufferPointer(rebasing: bytes[span]), as: UTF8.self)
    else { throw complaint(start, .notUTF8) }
    return text
  }

  package mutating func blob() throws(ProtobufComplaint) -> [UInt8] {
    Array(bytes[try span()])
  }

  /// A message within this one.
  package mutating func message(
    _ body: (inout ProtobufReader) throws(ProtobufComplaint) -> Void
  ) throws(ProtobufComplaint) {
    let span = try span()
    guard depth < limits.depth else { throw complaint(span.lowerBound, .tooDeep(limits.depth)) }
    depth += 1
    let outerEnd = end
    (position, end) = (span.lowerBound, span.upperBound)
    try body(&self)
    (position, end) = (span.upperBound, outerEnd)
    depth -= 1
  }

  /// Elements of a packed list of numbers, one call of `element` for each.
  package mutating func packed(
    _ element: (inout ProtobufReader) throws(ProtobufComplaint) -> Void
  ) throws(ProtobufComplaint) {
    let span = try span()
    let outerEnd = end
    (position, end) = (span.lowerBound, span.upperBound)
    while position < end { try element(&self) }
    end = outerEnd
  }

  /// An element, or a packed list, of numbers: both are legal for every repeated number.
  package mutating func repeated<Value>(
    _ field: Field, into list: inout [Value],
    _ element: (inout ProtobufReader) throws(ProtobufComplaint) -> Value
  ) throws(ProtobufComplaint) {
    guard field.type == .length else { return list.append(try element(&self)) }
    var values: [Value] = []
    try packed { (reader) throws(ProtobufComplaint) in values.append(try element(&reader)) }
    list += values
  }

  /// Where the value of a length-delimited field stands; the position is behind it.
  private mutating func span() throws(ProtobufComplaint) -> Range<Int> {
    let start = position
    guard valuesLeft > 0 else { throw complaint(start, .tooManyValues(limits.values)) }
    valuesLeft -= 1
    let length = try varint()
    guard length <= UInt64(end - position) else { throw complaint(start, .truncated) }
    defer { position += Int(length) }
    return position..<position + Int(length)
  }

  // MARK: What is not known

  /// Passes over a field, with all that is in it when it is a group.
  package mutating func skip(_ field: Field) throws(ProtobufComplaint) {
    let start = position
    // Numbers of the groups that are open.
    var groups: [Int] = []
    var field = field
    while true {
      switch field.type {
      case .varint: _ = try varint()
      case .fixed64: _ = try fixed64()
      case .fixed32: _ = try fixed32()
      case .length:
        let length = try varint()
        guard length <= UInt64(end - position) else { throw complaint(start, .truncated) }
        position += Int(length)
      case .groupStart:
        guard depth + groups.count < limits.depth else {
          throw complaint(start, .tooDeep(limits.depth))
        }
        groups.append(field.number)
      case .groupEnd:
        guard groups.popLast() == field.number else { throw complaint(start, .unmatchedGroup) }
      }
      if groups.isEmpty { return }
      guard let inner = try next() else { throw complaint(start, .unmatchedGroup) }
      field = inner
    }
  }

  private func complaint(_ offset: Int, _ problem: ProtobufComplaint.Problem) -> ProtobufComplaint {
    ProtobufComplaint(offset: offset, problem: problem)
  }
}

/// What a message may cost.
package struct ProtobufLimits: Sendable {
  /// Messages and groups within each other. Count; the default of every implementation.
  package var depth = 100
  /// Texts, blobs and messages that are kept, all together. Count. An empty one has two bytes on the
  /// wire and up to two hundred in memory, so a bomb is refused before it costs more than 20 MB; the
  /// largest request of ours has 2 048 texts.
  package var values = 100_000

  package init() {}
}

/// Why and where bytes are not the message they should be.
package struct ProtobufComplaint: Error, Equatable, CustomStringConvertible, Sendable {
  package enum Problem: Equatable, Sendable {
    case truncated
    case longVarint
    case badTag
    case badWireType(Int)
    case unmatchedGroup
    case notUTF8
    case tooDeep(Int)
    case tooManyValues(Int)
  }

  /// Bytes before the place.
  package let offset: Int
  package let problem: Problem

  package var description: String {
    let text =
      switch problem {
      case .truncated: "it ends inside a value"
      case .longVarint: "a number has more than 64 bits"
      case .badTag: "a field has a number that no field can have"
      case .badWireType(let type): "a field has the wire type \(type), which does not exist"
      case .unmatchedGroup: "a group does not end where it should"
      case .notUTF8: "a text is not UTF-8"
      case .tooDeep(let limit): "messages stand more than \(limit) deep in each other"
      case .tooManyValues(let limit): "it holds more than \(limit) values"
      }
    return "The message is wrong at byte \(offset): \(text)."
  }

  package var status: GRPCStatus { GRPCStatus(.invalidArgument, description) }
}

extension [UInt8] {
  /// Lends the bytes, and keeps the type of what is thrown, which `withUnsafeBytes` does not.
  package func lend<Value, Problem: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Problem) -> Value
  ) throws(Problem) -> Value {
    try withUnsafeBufferPointer { (bytes) throws(Problem) in
      try body(UnsafeRawBufferPointer(bytes))
    }
  }
}
