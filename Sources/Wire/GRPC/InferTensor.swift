/// Types of a tensor's elements, by the names of the protocol.
package enum Datatype: String, CaseIterable, Sendable {
  case bool = "BOOL"
  case uint8 = "UINT8"
  case uint16 = "UINT16"
  case uint32 = "UINT32"
  case uint64 = "UINT64"
  case int8 = "INT8"
  case int16 = "INT16"
  case int32 = "INT32"
  case int64 = "INT64"
  case fp16 = "FP16"
  case bf16 = "BF16"
  case fp32 = "FP32"
  case fp64 = "FP64"
  /// Elements of any length: texts, as a rule.
  case bytes = "BYTES"

  /// Bytes of an element; nil where they differ.
  package var elementBytes: Int? {
    switch self {
    case .bool, .uint8, .int8: 1
    case .uint16, .int16, .fp16, .bf16: 2
    case .uint32, .int32, .fp32: 4
    case .uint64, .int64, .fp64: 8
    case .bytes: nil
    }
  }
}

/// A value of the map `parameters`: `InferParameter`, whose members exclude each other.
package enum InferParameter: Equatable, Sendable {
  case bool(Bool)
  case int64(Int64)
  case string(String)
  case double(Double)
  case uint64(UInt64)
  /// None of them was set, or one that is not known here.
  case none
}

/// `InferTensorContents`: elements by their types.
package struct TensorContents: Equatable, Sendable {
  package var bools: [Bool] = []
  package var int32s: [Int32] = []
  package var int64s: [Int64] = []
  package var uint32s: [UInt32] = []
  package var uint64s: [UInt64] = []
  package var floats: [Float] = []
  package var doubles: [Double] = []
  package var bytes: [[UInt8]] = []

  package init() {}

  var isEmpty: Bool { self == TensorContents() }
}

/// A tensor of a request or of an answer: `InferInputTensor` and `InferOutputTensor`, which are alike.
package struct InferTensor: Equatable, Sendable {
  package var name = ""
  /// As the peer wrote it; see `Datatype`.
  package var datatype = ""
  package var shape: [Int64] = []
  package var parameters: [String: InferParameter] = [:]
  package var contents = TensorContents()

  package init() {}

  package init(_ name: String, _ datatype: Datatype, _ shape: [Int64]) {
    self.name = name
    self.datatype = datatype.rawValue
    self.shape = shape
  }
}

// MARK: On the wire

extension InferParameter {
  init(_ reader: inout ProtobufReader) throws(ProtobufComplaint) {
    self = .none
    try merge(&reader)
  }

  /// The member that comes last counts.
  mutating func merge(_ reader: inout ProtobufReader) throws(ProtobufComplaint) {
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .varint): self = .bool(try reader.flag())
      case (2, .varint): self = .int64(try reader.int64())
      case (3, .length): self = .string(try reader.string())
      case (4, .fixed64): self = .double(try reader.double())
      case (5, .varint): self = .uint64(try reader.varint())
      default: try reader.skip(field)
      }
    }
  }

  func write(_ writer: inout ProtobufWriter) {
    switch self {
    case .bool(let value): writer.always(1, value)
    case .int64(let value): writer.always(2, value)
    case .string(let value): writer.always(3, value)
    case .double(let value): writer.always(4, value)
    case .uint64(let value): writer.always(5, value)
    case .none: return
    }
  }
}

extension ProtobufReader {
  /// One entry of a `map<string, InferParameter>`; what is missing in it is empty.
  mutating func entry(
    into map: inout [String: InferParameter]
  ) throws(ProtobufComplaint) {
    var key = ""
    var value = InferParameter.none
    try message { (reader) throws(ProtobufComplaint) in
      while let field = try reader.next() {
        switch (field.number, field.type) {
        case (1, .length): key = try reader.string()
        case (2, .length):
          try reader.message { (reader) throws(ProtobufComplaint) in try value.merge(&reader) }
        default: try reader.skip(field)
        }
      }
    }
    map[key] = value
  }
}

extension ProtobufWriter {
  /// Entries in the order of their keys, so that equal maps are equal bytes.
  mutating func map(_ number: Int, _ map: [String: InferParameter]) {
    for (key, value) in map.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      message(number) {
        $0.always(1, key)
        $0.message(2) { value.write(&$0) }
      }
    }
  }
}

extension TensorContents {
  mutating func merge(_ reader: inout ProtobufReader) throws(ProtobufComplaint) {
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .varint), (1, .length):
        try reader.repeated(field, into: &bools) { (r) throws(ProtobufComplaint) in try r.flag() }
      case (2, .varint), (2, .length):
        try reader.repeated(field, into: &int32s) { (r) throws(ProtobufComplaint) in
          try r.int32()
        }
      case (3, .varint), (3, .length):
        try reader.repeated(field, into: &int64s) { (r) throws(ProtobufComplaint) in
          try r.int64()
        }
      case (4, .varint), (4, .length):
        try reader.repeated(field, into: &uint32s) { (r) throws(ProtobufComplaint) in
          try r.uint32()
        }
      case (5, .varint), (5, .length):
        try reader.repeated(field, into: &uint64s) { (r) throws(ProtobufComplaint) in
          try r.varint()
        }
      case (6, .fixed32), (6, .length):
        try reader.repeated(field, into: &floats) { (r) throws(ProtobufComplaint) in
          try r.float()
        }
      case (7, .fixed64), (7, .length):
        try reader.repeated(field, into: &doubles) { (r) throws(ProtobufComplaint) in
          try r.double()
        }
      case (8, .length): bytes.append(try reader.blob())
      default: try reader.skip(field)
      }
    }
  }

  func write(_ writer: inout ProtobufWriter) {
    writer.packed(1, bools) { $0.varint($1 ? 1 : 0) }
    // A negative number is written as 64 bits, so that it may become wider later.
    writer.packed(2, int32s) { $0.varint(UInt64(bitPattern: Int64($1))) }
    writer.packed(3, int64s) { $0.varint(UInt64(bitPattern: $1)) }
    writer.packed(4, uint32s) { $0.varint(UInt64($1)) }
    writer.packed(5, uint64s) { $0.varint($1) }
    writer.packed(6, floats) { $0.fixed32($1.bitPattern) }
    writer.packed(7, doubles) { $0.fixed64($1.bitPattern) }
    for value in bytes { writer.always(8, value) }
  }
}

extension InferTensor {
  init(_ reader: inout ProtobufReader) throws(ProtobufComplaint) {
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .length): name = try reader.string()
      case (2, .length): datatype = try reader.string()
      case (3, .varint), (3, .length):
        try reader.repeated(field, into: &shape) { (r) throws(ProtobufComplaint) in
          try r.int64()
        }
      case (4, .length): try reader.entry(into: &parameters)
      case (5, .length):
        try reader.message { (reader) throws(ProtobufComplaint) in try contents.merge(&reader) }
      default: try reader.skip(field)
      }
    }
  }

  func write(_ writer: inout ProtobufWriter) {
    writer.put(1, name)
    writer.put(2, datatype)
    writer.packed(3, shape) { $0.varint(UInt64(bitPattern: $1)) }
    writer.map(4, parameters)
    if !contents.isEmpty { writer.message(5) { contents.write(&$0) } }
  }
}
