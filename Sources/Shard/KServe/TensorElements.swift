import GRPC
import JSON
import WorkerAPI

/// Elements of tensors: from the bytes in which they lie in memory and back, and checked against their
/// shapes.
extension InferTensor {
  /// What it is made of, by the protocol's names.
  package func type() throws(APIError) -> Datatype {
    guard let type = Datatype(rawValue: datatype) else {
      throw .invalid(
        name,
        "The datatype of '\(shownName)' is '\(datatype.prefix(40))'; there are "
          + Datatype.allCases.map(\.rawValue).joined(separator: ", ") + ".")
    }
    return type
  }

  /// A name from outside, as far as a sentence has room for it.
  package var shownName: String { String(name.prefix(100)) }

  /// Elements that its shape has room for.
  package func elementCount() throws(APIError) -> Int {
    var count = 1
    for length in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: Int(length))
      guard length >= 0, !overflow else {
        throw .invalid(
          name, "The shape of '\(shownName)' is \(shownShape); it must be of lengths from 0.")
      }
      count = product
    }
    return count
  }

  package var shownShape: String {
    "[" + shape.prefix(8).map(String.init).joined(separator: ",")
      + (shape.count > 8 ? ",...]" : "]")
  }

  /// Refuses a tensor whose elements are not as many as its shape says, or are of another type.
  package func check() throws(APIError) {
    let wanted = try elementCount()
    let found = try elementsHeld()
    guard wanted == found else {
      throw .invalid(
        name,
        "The shape of '\(shownName)' is \(shownShape), which are \(wanted) elements of \(datatype); "
          + "\(found) came.")
    }
  }

  private func elementsHeld() throws(APIError) -> Int {
    switch try type() {
    case .bool: contents.bools.count
    case .int8, .int16, .int32: contents.int32s.count
    case .int64: contents.int64s.count
    case .uint8, .uint16, .uint32: contents.uint32s.count
    case .uint64: contents.uint64s.count
    case .fp16, .bf16, .fp32: contents.floats.count
    case .fp64: contents.doubles.count
    case .bytes: contents.bytes.count
    }
  }

  // MARK: Elements as they lie in memory

  /// Reads elements as they lie in memory, little-endian; those of BYTES have a length of four bytes
  /// before them.
  package mutating func read(raw: UnsafeRawBufferPointer) throws(APIError) {
    let type = try type()
    let count = try elementCount()
    guard let size = type.elementBytes else { return try read(rawBytes: raw, count: count) }
    let (wanted, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow, wanted == raw.count else {
      throw .invalid(
        name,
        "The shape of '\(shownName)' is \(shownShape), which are \(count) elements of "
          + "\(size) bytes; \(raw.count) bytes came.")
    }
    contents = TensorContents()
    for place in stride(from: 0, to: raw.count, by: size) {
      var bits: UInt64 = 0
      for offset in 0..<size { bits |= UInt64(raw[place + offset]) << UInt64(8 * offset) }
      append(bits, type)
    }
  }

  private mutating func append(_ bits: UInt64, _ type: Datatype) {
    switch type {
    case .bool: contents.bools.append(bits != 0)
    case .int8: contents.int32s.append(Int32(Int8(truncatingIfNeeded: bits)))
    case .int16: contents.int32s.append(Int32(Int16(truncatingIfNeeded: bits)))
    case .int32: contents.int32s.append(Int32(truncatingIfNeeded: bits))
    case .int64: contents.int64s.append(Int64(bitPattern: bits))
    case .uint8, .uint16, .uint32: contents.uint32s.append(UInt32(bits))
    case .uint64: contents.uint64s.append(bits)
    case .fp16: contents.floats.append(Float(Float16(bitPattern: UInt16(bits))))
    case .bf16: contents.floats.append(Float(bitPattern: UInt32(bits) << 16))
    case .fp32: contents.floats.append(Float(bitPattern: UInt32(bits)))
    case .fp64: contents.doubles.append(Double(bitPattern: bits))
    case .bytes: preconditionFailure("elements of BYTES have no size")
    }
  }

  private mutating func read(
    rawBytes raw: UnsafeRawBufferPointer, count: Int
  ) throws(APIError) {
    contents = TensorContents()
    var place = 0
    while place < raw.count {
      guard raw.count - place >= 4 else { break }
      let length = Int(
        UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: place, as: UInt32.self)))
      guard length <= raw.count - place - 4, contents.bytes.count < count else { break }
      contents.bytes.append(Array(raw[place + 4..<place + 4 + length]))
      place += 4 + length
    }
    guard place == raw.count, contents.bytes.count == count else {
      throw .invalid(
        name,
        "The bytes of '\(shownName)' are not the \(count) elements that its shape \(shownShape) "
          + "says, each with a length of four bytes before it.")
    }
  }

  /// Elements as they lie in memory. For the types that we answer with.
  package var raw: [UInt8] {
    var out: [UInt8] = []
    func put(_ bits: UInt32) {
      for shift in stride(from: UInt32(0), to: 32, by: 8) {
        out.append(UInt8(truncatingIfNeeded: bits >> shift))
      }
    }
    switch Datatype(rawValue: datatype) {
    case .bytes:
      for element in contents.bytes {
        put(UInt32(element.count))
        out += element
      }
    case .fp32:
      out.reserveCapacity(contents.floats.count * 4)
      for element in contents.floats { put(element.bitPattern) }
    case .uint32: for element in contents.uint32s { put(element) }
    default: preconditionFailure("no answer of ours has elements of \(datatype)")
    }
    return out
  }

  // MARK: What requests use of them

  /// Its elements as texts.
  package func texts() throws(APIError) -> [String] {
    guard try type() == .bytes else {
      throw .invalid(name, "The datatype of '\(shownName)' must be BYTES, not \(datatype).")
    }
    var texts: [String] = []
    for (index, element) in contents.bytes.enumerated() {
      guard let text = String(validating: element, as: UTF8.self) else {
        throw .invalid(name, "Element \(index) of '\(shownName)' is not UTF-8.")
      }
      texts.append(text)
    }
    return texts
  }

  /// Its one element as JSON has it: Triton's clients give parameters as tensors too.
  package func parameter() throws(APIError) -> JSONValue {
    guard try elementCount() == 1 else {
      throw .invalid(
        name,
        "'\(shownName)' is a parameter and must have one element, not the shape \(shownShape).")
    }
    switch try type() {
    case .bool: return .bool(contents.bools[0])
    case .int8, .int16, .int32: return .number(Double(contents.int32s[0]))
    case .int64: return .number(Double(contents.int64s[0]))
    case .uint8, .uint16, .uint32: return .number(Double(contents.uint32s[0]))
    case .uint64: return .number(Double(contents.uint64s[0]))
    case .fp16, .bf16, .fp32: return .number(Double(contents.floats[0]))
    case .fp64: return .number(contents.doubles[0])
    case .bytes: return .string(try texts()[0])
    }
  }
}

extension InferParameter {
  /// As JSON has it; nil for none.
  var json: JSONValue? {
    switch self {
    case .bool(let value): .bool(value)
    case .int64(let value): .number(Double(value))
    case .string(let value): .string(value)
    case .double(let value): .number(value)
    case .uint64(let value): .number(Double(value))
    case .none: nil
    }
  }
}
