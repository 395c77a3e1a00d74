/// What a GGUF file says about itself: its metadata, and where its tensors lie.
struct GGUFHeader {
  let file: MappedFile
  private let metadata: [String: GGUFValue]
  let tensors: [(name: String, tensor: ListedTensor)]

  /// Entries of metadata. Count; models have some fifty.
  static let metadataLimit = 65536
  /// Bytes of a key, as the format has it.
  static let keyLimit = 65535

  init(_ file: MappedFile) throws(ModelComplaint) {
    self.file = file
    var reader = GGUFReader(file)
    guard file.bytes.count >= 4, file.bytes.prefix(4).elementsEqual("GGUF".utf8) else {
      throw reader.refuse("does not begin with 'GGUF': this is not a GGUF file")
    }
    reader.move(to: 4)
    let version = try reader.number(UInt32.self)
    guard version == 2 || version == 3 else {
      let advice =
        version.byteSwapped <= 3
        ? "it was written for big-endian machines" : "convert it again with today's llama.cpp"
      throw reader.refuse("has GGUF version \(version), not 2 or 3; \(advice)")
    }
    let tensorCount = try reader.count("tensors", limit: Safetensors.tensorLimit)
    let valueCount = try reader.count("values", limit: Self.metadataLimit)
    var metadata: [String: GGUFValue] = [:]
    for _ in 0..<valueCount {
      let name = try reader.name(limit: Self.keyLimit)
      let kind = try reader.kind()
      guard metadata.updateValue(try reader.value(kind), forKey: name) == nil else {
        throw reader.damaged("\(quoted(name)) stands twice")
      }
    }
    self.metadata = metadata
    var alignment = 32
    if let value = metadata["general.alignment"] {
      guard case .integer(let number) = value, (1...65536).contains(number),
        number.nonzeroBitCount == 1
      else { throw reader.refuse("'general.alignment' is not a power of two up to 65536") }
      alignment = number
    }
    tensors = try Self.tensors(&reader, tensorCount, alignment)
  }

  private static func tensors(
    _ reader: inout GGUFReader, _ count: Int, _ alignment: Int
  ) throws(ModelComplaint) -> [(name: String, tensor: ListedTensor)] {
    struct Entry {
      let name: String
      let storage: Storage
      let shape: [Int]
      let offset: Int
      let size: Int
    }
    var entries: [Entry] = []
    var names = Set<String>()
    for _ in 0..<count {
      let name = try reader.name(limit: Safetensors.nameLimit)
      guard names.insert(name).inserted else {
        throw reader.damaged("tensor \(quoted(name)) stands twice")
      }
      let dimensions = try reader.number(UInt32.self)
      guard (1...4).contains(dimensions) else {
        throw reader.damaged("tensor \(quoted(name)) has \(dimensions) dimensions")
      }
      var shape: [Int] = []
      for _ in 0..<dimensions {
        let size = try reader.number(UInt64.self)
        guard size > 0, size <= UInt64(Int.max) else {
          throw reader.damaged("tensor \(quoted(name)) has a dimension of \(size)")
        }
        shape.append(Int(size))
      }
      let type = try reader.number(UInt32.self)
      guard let storage = Storage(rawValue: type), storage != .e4m3 else {
        throw reader.refuse(
          "tensor \(quoted(name)) is stored as \(Self.typeName(type)), which is not supported;"
            + " requantise it to one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K,"
            + " Q6_K")
      }
      guard shape[0] % storage.blockNumbers == 0, let numbers = Safetensors.product(shape),
        case (let size, let tooLarge) = (numbers / storage.blockNumbers)
          .multipliedReportingOverflow(by: storage.blockBytes), !tooLarge
      else {
        throw reader.damaged("tensor \(quoted(name)) has the impossible shape \(shape)")
      }
      let offset = try reader.number(UInt64.self)
      guard offset <= UInt64(Int.max), Int(offset) % alignment == 0 else {
        throw reader.damaged("tensor \(quoted(name)) is not aligned to \(alignment) bytes")
      }
      entries.append(
        // GGUF counts dimensions from the innermost.
        Entry(
          name: name, storage: storage, shape: shape.reversed(), offset: Int(offset), size: size))
    }
    let start = (reader.place + alignment - 1) / alignment * alignment
    let room = reader.file.bytes.count - start
    var end = 0
    var ending = ""
    for entry in entries.sorted(by: { $0.offset < $1.offset }) {
      guard entry.offset <= room, entry.size <= room - entry.offset else {
        throw reader.refuse(
          "ends before its tensor \(quoted(entry.name)) does: it is truncated; download it again")
      }
      guard entry.offset >= end else {
        throw reader.refuse(
          "tensors \(quoted(ending)) and \(quoted(entry.name)) overlap: the file is damaged")
      }
      end = entry.offset + entry.size
      ending = entry.name
    }
    return entries.map { entry in
      let first = start + entry.offset
      return (
        entry.name,
        ListedTensor(
          storage: entry.storage, typeName: entry.storage.name, shape: entry.shape,
          bytes: first..<(first + entry.size))
      )
    }
  }

  /// The names of types that people meet; the rest by number.
  private static func typeName(_ type: UInt32) -> String {
    let names: [UInt32: String] = [
      9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS",
      19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16",
      26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
      40: "NVFP4",
    ]
    return names[type] ?? "type \(type)"
  }

  // MARK: Metadata

  func refuse(_ problem: String) -> ModelComplaint { ModelComplaint(file.path, problem) }

  func has(_ name: String) -> Bool { metadata[name] != nil }

  func text(_ name: String) throws(ModelComplaint) -> String? {
    guard let value = metadata[name] else { return nil }
    guard case .text(let range) = value else { throw refuse("'\(name)' is not a text") }
    return try GGUFReader(file).string(range)
  }

  func count(
    _ name: String, _ range: ClosedRange<Int>, default standard: Int? = nil
  ) throws(ModelComplaint) -> Int {
    guard let value = metadata[name] else {
      if let standard { return standard }
      throw refuse("lacks '\(name)'")
    }
    guard case .integer(let count) = value else {
      throw refuse(
        "'\(name)' is not one whole number; numbers that differ by layer are not supported")
    }
    guard range.contains(count) else {
      throw refuse("'\(name)' is \(count), outside \(range.lowerBound)...\(range.upperBound)")
    }
    return count
  }

  func real(
    _ name: String, _ range: ClosedRange<Double>, default standard: Double? = nil
  ) throws(ModelComplaint) -> Double {
    let number: Double
    switch metadata[name] {
    case nil:
      guard let standard else { throw refuse("lacks '\(name)'") }
      return standard
    case .real(let value): number = value
    case .integer(let value): number = Double(value)
    default: throw refuse("'\(name)' is not a number")
    }
    guard range.contains(number) else {
      throw refuse("'\(name)' is \(number), outside \(range.lowerBound)...\(range.upperBound)")
    }
    return number
  }

  func flag(_ name: String) throws(ModelComplaint) -> Bool? {
    guard let value = metadata[name] else { return nil }
    guard case .flag(let flag) = value else { throw refuse("'\(name)' is neither true nor false") }
    return flag
  }

  /// Elements of a list of texts; nil where there is none.
  func listCount(_ name: String) -> Int? {
    guard case .list(_, let count, _) = metadata[name] else { return nil }
    return count
  }

  func texts(_ name: String) throws(ModelComplaint) -> [String]? {
    guard let value = metadata[name] else { return nil }
    guard case .list(.string, let count, let start) = value else {
      throw refuse("'\(name)' is not a list of texts")
    }
    var reader = GGUFReader(file)
    reader.move(to: start)
    var texts: [String] = []
    texts.reserveCapacity(count)
    for _ in 0..<count { texts.append(try reader.string(try reader.text())) }
    return texts
  }

  func integers(_ name: String) throws(ModelComplaint) -> [Int]? {
    guard let value = metadata[name] else { return nil }
    guard case .list(let kind, let count, let start) = value else {
      throw refuse("'\(name)' is not a list of whole numbers")
    }
    var reader = GGUFReader(file)
    reader.move(to: start)
    var integers: [Int] = []
    integers.reserveCapacity(count)
    for _ in 0..<count {
      guard case .integer(let integer) = try reader.value(kind) else {
        throw refuse("'\(name)' is not a list of whole numbers")
      }
      integers.append(integer)
    }
    return integers
  }
}
