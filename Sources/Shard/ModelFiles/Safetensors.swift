/// One tensor as a file lists it; it lies inside the file, which is all that has been checked.
struct ListedTensor: Sendable {
  /// nil for types that no weight may have here, such as integers.
  let storage: Storage?
  /// As the file names the type.
  let typeName: String
  /// Outermost first, as Hugging Face and this package count them.
  let shape: [Int]
  /// From the file's beginning.
  let bytes: Range<Int>
}

/// The header of a safetensors file. Strict: what it lists must fill the file exactly.
enum Safetensors {
  /// Bytes of a header. As the format's own library has it.
  static let headerLimit = 100_000_000
  /// Dimensions of one tensor. Count; weights have at most three.
  static let dimensionLimit = 8
  /// Tensors of a whole model. Count; DeepSeek-V3 has 91 thousand with its scales.
  static let tensorLimit = 1_000_000
  /// Bytes of a name.
  static let nameLimit = 1024

  static func tensors(of file: MappedFile) throws(ModelComplaint) -> [(String, ListedTensor)] {
    func refuse(_ problem: String) -> ModelComplaint { ModelComplaint(file.path, problem) }
    let bytes = file.bytes
    guard bytes.count >= 8 else {
      throw refuse("is \(bytes.count) bytes long: too short for safetensors; download it again")
    }
    let length = bytes.loadUnaligned(as: UInt64.self).littleEndian
    if length > headerLimit {
      throw refuse(
        "claims a header of \(length) bytes, above the limit of \(headerLimit):"
          + " this is not a safetensors file")
    }
    let dataStart = 8 + Int(length)
    if dataStart > bytes.count {
      throw refuse(
        "ends at byte \(bytes.count), within its header of \(length) bytes: it is truncated;"
          + " download it again")
    }
    guard length > 0, bytes[8] == UInt8(ascii: "{") else {
      throw refuse("does not begin with '{' after its length: this is not a safetensors file")
    }
    var scanner = HeaderScanner(file, 8..<dataStart)
    var listed: [(String, ListedTensor)] = []
    // An entry takes some 70 bytes or more.
    listed.reserveCapacity(min(tensorLimit, Int(length) / 64))
    var names = Set<String>(minimumCapacity: min(tensorLimit, Int(length) / 64))
    let dataSize = bytes.count - dataStart
    try scanner.object { (scanner, name) throws(ModelComplaint) in
      guard names.insert(name).inserted else {
        throw scanner.complaint("\(quoted(name)) stands twice")
      }
      if name == "__metadata__" {
        try scanner.object { (scanner, _) throws(ModelComplaint) in _ = try scanner.string() }
        return
      }
      guard name.utf8.count <= nameLimit, listed.count < tensorLimit else {
        throw scanner.complaint(
          "more than \(tensorLimit) tensors, or a name longer than \(nameLimit) bytes")
      }
      let entry = try Self.entry(&scanner, name)
      guard entry.begin <= entry.end, entry.end <= dataSize else {
        throw refuse(
          "tensor \(quoted(name)) claims bytes \(entry.begin) to \(entry.end) of \(dataSize):"
            + " the file is truncated or damaged; download it again")
      }
      try check(entry, name, refuse)
      listed.append(
        (
          name,
          ListedTensor(
            storage: storage(entry.type), typeName: entry.type, shape: entry.shape,
            bytes: (dataStart + entry.begin)..<(dataStart + entry.end))
        ))
    }
    try scanner.end()
    try checkCoverage(listed, dataStart..<bytes.count, refuse)
    return listed
  }

  private struct Entry {
    var type = ""
    var shape: [Int] = []
    var begin = 0
    var end = 0
  }

  private static func entry(
    _ scanner: inout HeaderScanner, _ name: String
  ) throws(ModelComplaint) -> Entry {
    var entry = Entry()
    var seen: (type: Bool, shape: Bool, offsets: Bool) = (false, false, false)
    try scanner.object { (scanner, key) throws(ModelComplaint) in
      switch key {
      case "dtype" where !seen.type:
        seen.type = true
        entry.type = try scanner.string()
      case "shape" where !seen.shape:
        seen.shape = true
        try scanner.array { (scanner) throws(ModelComplaint) in
          guard entry.shape.count < dimensionLimit else {
            throw scanner.complaint(
              "\(quoted(name)) has more than \(dimensionLimit) dimensions")
          }
          entry.shape.append(try scanner.count())
        }
      case "data_offsets" where !seen.offsets:
        seen.offsets = true
        var places = 0
        try scanner.array { (scanner) throws(ModelComplaint) in
          switch places {
          case 0: entry.begin = try scanner.count()
          case 1: entry.end = try scanner.count()
          default: throw scanner.complaint("\(quoted(name)) has more than two offsets")
          }
          places += 1
        }
        guard places == 2 else {
          throw scanner.complaint("\(quoted(name)) has fewer than two offsets")
        }
      default:
        throw scanner.complaint(
          "\(quoted(name)) has \(quoted(key)) twice, or it is not known here")
      }
    }
    guard seen == (true, true, true) else {
      throw scanner.complaint("\(quoted(name)) lacks its dtype, shape or data_offsets")
    }
    return entry
  }

  /// The size that type and shape ask for is the size that the offsets leave.
  private static func check(
    _ entry: Entry, _ name: String, _ refuse: (String) -> ModelComplaint
  ) throws(ModelComplaint) {
    guard let bits = bits(entry.type) else {
      throw refuse(
        "tensor \(quoted(name)) has the unknown type \(quoted(entry.type));"
          + " convert the model to BF16, F16, F32 or block FP8")
    }
    guard let numbers = product(entry.shape),
      case (let total, let tooLarge) = numbers.multipliedReportingOverflow(by: bits), !tooLarge
    else {
      throw refuse("tensor \(quoted(name)) has the impossible shape \(entry.shape)")
    }
    guard total % 8 == 0, total / 8 == entry.end - entry.begin else {
      throw refuse(
        "tensor \(quoted(name)) of type \(entry.type) and shape \(entry.shape) does not take"
          + " the \(entry.end - entry.begin) bytes it claims: the file is damaged")
    }
  }

  /// No byte of the data may belong to nobody or to two.
  private static func checkCoverage(
    _ listed: [(String, ListedTensor)], _ data: Range<Int>, _ refuse: (String) -> ModelComplaint
  ) throws(ModelComplaint) {
    // In the order of the file, and an empty tensor before the one that begins at the same byte.
    // Writers list tensors in this order already, which makes the sort one pass.
    let order = listed.indices.sorted {
      let (a, b) = (listed[$0].1.bytes, listed[$1].1.bytes)
      return (a.lowerBound, a.upperBound) < (b.lowerBound, b.upperBound)
    }
    var end = data.lowerBound
    for index in order {
      let (name, tensor) = listed[index]
      if tensor.bytes.lowerBound < end {
        throw refuse("tensor \(quoted(name)) overlaps another: the file is damaged")
      }
      if tensor.bytes.lowerBound > end {
        throw refuse(
          "\(tensor.bytes.lowerBound - end) bytes before tensor \(quoted(name)) belong to no"
            + " tensor: the file is damaged")
      }
      end = tensor.bytes.upperBound
    }
    if end != data.upperBound {
      throw refuse(
        "its last \(data.upperBound - end) bytes belong to no tensor: the file is damaged")
    }
  }

  /// nil on overflow.
  static func product(_ shape: [Int]) -> Int? {
    var product = 1
    for dimension in shape {
      let (next, tooLarge) = product.multipliedReportingOverflow(by: dimension)
      if tooLarge { return nil }
      product = next
    }
    return product
  }

  private static func storage(_ type: String) -> Storage? {
    switch type {
    case "F32": .f32
    case "F16": .f16
    case "BF16": .bf16
    case "F8_E4M3": .e4m3
    default: nil
    }
  }

  /// Bits of one number of every type that the format has.
  private static func bits(_ type: String) -> Int? {
    switch type {
    case "F4": 4
    case "F6_E2M3", "F6_E3M2": 6
    case "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ": 8
    case "U16", "I16", "F16", "BF16": 16
    case "U32", "I32", "F32": 32
    case "U64", "I64", "F64", "C64": 64
    default: nil
    }
  }
}
