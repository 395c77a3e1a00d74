/// The bytes of a GGUF header, read from front to back. Every count is checked against what is left
/// of the file before anything is made of it, so memory stays in proportion to the file.
struct GGUFReader {
  let file: MappedFile
  private(set) var place = 0

  init(_ file: MappedFile) { self.file = file }

  func refuse(_ problem: String) -> ModelComplaint { ModelComplaint(file.path, problem) }

  func damaged(_ problem: String) -> ModelComplaint {
    refuse("the header is damaged at byte \(place): \(problem)")
  }

  mutating func number<Number: FixedWidthInteger>(
    _ type: Number.Type
  ) throws(ModelComplaint) -> Number {
    let size = MemoryLayout<Number>.size
    guard size <= file.bytes.count - place else {
      throw refuse("ends at byte \(file.bytes.count), within its header: it is truncated")
    }
    let number = file.bytes.loadUnaligned(fromByteOffset: place, as: Number.self)
    place += size
    return Number(littleEndian: number)
  }

  /// A count that the file gives as 64 bits.
  mutating func count(_ what: String, limit: Int) throws(ModelComplaint) -> Int {
    let count = try number(UInt64.self)
    guard count <= UInt64(limit) else {
      throw damaged("\(count) \(what), above the limit of \(limit)")
    }
    return Int(count)
  }

  /// Where a text lies; its bytes are not looked at.
  mutating func text() throws(ModelComplaint) -> Range<Int> {
    let length = try number(UInt64.self)
    guard length <= UInt64(file.bytes.count - place) else {
      throw damaged("a text of \(length) bytes does not fit")
    }
    let start = place
    place += Int(length)
    return start..<place
  }

  mutating func name(limit: Int) throws(ModelComplaint) -> String {
    let range = try text()
    guard range.count <= limit else { throw damaged("a name is longer than \(limit) bytes") }
    return try string(range)
  }

  func string(_ range: Range<Int>) throws(ModelComplaint) -> String {
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw refuse("the text at byte \(range.lowerBound) is not UTF-8")
    }
    return text
  }

  mutating func skip(_ count: Int) throws(ModelComplaint) {
    guard count <= file.bytes.count - place else { throw damaged("a list does not fit") }
    place += count
  }

  mutating func move(to place: Int) { self.place = place }
}

/// A value of GGUF's metadata. Texts and lists stay in the file until they are asked for.
enum GGUFValue {
  case integer(Int)
  case real(Double)
  case flag(Bool)
  case text(Range<Int>)
  /// Elements of `kind`, the first at `start`.
  case list(kind: Kind, count: Int, start: Int)

  enum Kind: UInt32 {
    case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64
    case float64

    /// Bytes; nil where they differ from value to value.
    var size: Int? {
      switch self {
      case .uint8, .int8, .bool: 1
      case .uint16, .int16: 2
      case .uint32, .int32, .float32: 4
      case .uint64, .int64, .float64: 8
      case .string, .array: nil
      }
    }
  }
}

extension GGUFReader {
  mutating func kind() throws(ModelComplaint) -> GGUFValue.Kind {
    let number = try number(UInt32.self)
    guard let kind = GGUFValue.Kind(rawValue: number) else {
      throw damaged("a value has the unknown kind \(number)")
    }
    return kind
  }

  mutating func value(_ kind: GGUFValue.Kind) throws(ModelComplaint) -> GGUFValue {
    switch kind {
    case .uint8: return .integer(Int(try number(UInt8.self)))
    case .int8: return .integer(Int(try number(Int8.self)))
    case .uint16: return .integer(Int(try number(UInt16.self)))
    case .int16: return .integer(Int(try number(Int16.self)))
    case .uint32: return .integer(Int(try number(UInt32.self)))
    case .int32: return .integer(Int(try number(Int32.self)))
    case .uint64: return .integer(Int(clamping: try number(UInt64.self)))
    case .int64: return .integer(Int(try number(Int64.self)))
    case .float32: return .real(Double(Float(bitPattern: try number(UInt32.self))))
    case .float64: return .real(Double(bitPattern: try number(UInt64.self)))
    case .bool: return .flag(try number(UInt8.self) != 0)
    case .string: return .text(try text())
    case .array:
      let element = try self.kind()
      let count = try count("elements of a list", limit: file.bytes.count)
      let start = place
      switch element {
      case .array: throw damaged("a list of lists")
      case .string: for _ in 0..<count { _ = try text() }
      default:
        let (bytes, tooLarge) = count.multipliedReportingOverflow(by: element.size ?? 1)
        try skip(tooLarge ? .max : bytes)
      }
      return .list(kind: element, count: count, start: start)
    }
  }
}
