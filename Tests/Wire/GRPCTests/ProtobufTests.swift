import Glibc
import Primitives
import Testing

@testable import GRPC

func bytes(_ hex: String) -> [UInt8] {
  let digits = Array(hex.utf8.filter { $0 != 0x20 })
  return stride(from: 0, to: digits.count - 1, by: 2).map {
    UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)!
  }
}

func hex(_ bytes: [UInt8]) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// What could break: bytes that others read as another message than we do, and bytes that end or hang
/// the process.
@Suite struct ProtobufTests {
  private func field(_ hex: String) throws -> (ProtobufReader.Field?, ProtobufReader) {
    // Vectors live as long as the test.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: hex.utf8.count / 2, alignment: 1)
    copy.copyBytes(from: bytes(hex).prefix(copy.count))
    var reader = ProtobufReader(UnsafeRawBufferPointer(copy))
    return (try reader.next(), reader)
  }

  // The examples of protobuf.dev/programming-guides/encoding.
  @Test func theFormatsOwnExamples() throws {
    var (first, reader) = try field("089601")
    #expect(first == ProtobufReader.Field(number: 1, type: .varint))
    #expect(try reader.varint() == 150)
    (first, reader) = try field("120774657374696e67")
    #expect(first == ProtobufReader.Field(number: 2, type: .length))
    #expect(try reader.string() == "testing")
    (first, reader) = try field("1a03089601")
    #expect(first?.number == 3)
    var inner: UInt64 = 0
    try reader.message { (reader) throws(ProtobufComplaint) in
      _ = try reader.next()
      inner = try reader.varint()
    }
    #expect(inner == 150)
    (first, reader) = try field("3206038e029ea705")
    var list: [Int32] = []
    try reader.repeated(try #require(first), into: &list) { (r) throws(ProtobufComplaint) in
      try r.int32()
    }
    #expect(list == [3, 270, 86_942])
    (_, reader) = try field("08feffffffffffffffff01")
    #expect(try reader.int32() == -2)
    (_, reader) = try field("0d0000803f")
    #expect(try reader.float() == 1)
    (_, reader) = try field("09000000000000f03f")
    #expect(try reader.double() == 1)
    var writer = ProtobufWriter()
    writer.always(1, Int64(150))
    writer.put(2, "testing")
    writer.message(3) { $0.put(1, Int64(150)) }
    writer.packed(6, [3, 270, 86_942]) { $0.varint($1) }
    #expect(hex(writer.bytes) == "089601120774657374696e671a030896013206038e029ea705")
  }

  @Test(
    arguments: [
      (0, 0), (-1, 1), (1, 2), (-2, 3), (2_147_483_647, 4_294_967_294),
      (-2_147_483_648, 4_294_967_295), (.max, UInt64.max - 1), (.min, .max),
    ] as [(Int64, UInt64)])
  func zigzag(value: Int64, wire: UInt64) {
    #expect(ProtobufWriter.zigzag(value) == wire)
    #expect(ProtobufReader.zigzag(wire) == value)
  }

  // Against Python's runtime: what it refuses is refused, what both take is the same message. We are
  // stricter in one thing: a number with more than 64 bits is refused also where nobody reads it.
  @Test func pythonReadsTheSame() throws {
    var read = 0
    for line in try goldens("protobuf.txt").split(separator: "\n") {
      let words = line.split(separator: " ").map(String.init)
      let input = words[1] == "-" ? [] : bytes(words[1])
      let ours = rewritten(words[0], input)
      if case .failure(let complaint) = ours, complaint.problem == .longVarint { continue }
      let said = (try? ours.get()).map { $0.isEmpty ? "-" : hex($0) } ?? "refused"
      #expect(said == words[2], "\(line)")
      read += 1
    }
    #expect(read > 200)
  }

  private func goldens(_ name: String) throws -> String {
    let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast()
    let file = try #require(
      fopen((folder + ["Goldens", Substring(name)]).joined(separator: "/"), "r"))
    defer { fclose(file) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
      text += buffer[..<count]
    }
    return String(decoding: text, as: UTF8.self)
  }

  private func rewritten(
    _ name: String, _ input: [UInt8]
  ) -> Result<[UInt8], ProtobufComplaint> {
    do throws(ProtobufComplaint) {
      return .success(
        try input.lend { (input) throws(ProtobufComplaint) in
          switch name {
          case "ModelInferRequest": try InferRequest(input).bytes
          case "ModelInferResponse": try InferResponse(input).bytes
          case "ModelStreamInferResponse": try StreamInferResponse(input).bytes
          default: try ModelNameMessage(input).bytes
          }
        })
    } catch {
      return .failure(error)
    }
  }

  // Whatever comes: an answer, and a message that is read again is the same.
  @Test(arguments: UInt64(0)..<40) func noBytesEndIt(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      // Small bytes make tags and lengths that mean something.
      let input = (0..<Int(random.next() % 60)).map { _ in
        random.next() % 4 == 0 ? UInt8(random.next() & 0xff) : UInt8(random.next() % 0x40)
      }
      for name in ["ModelInferRequest", "ModelInferResponse", "ModelStreamInferResponse"] {
        guard case .success(let once) = rewritten(name, input) else { continue }
        #expect(rewritten(name, once) == .success(once))
      }
    }
  }

  // Every cut of a message is refused or is a message, and never read beyond.
  @Test func everyCutIsSafe() throws {
    var request = InferRequest()
    request.modelName = "m"
    request.parameters = ["a": .int64(-1), "b": .string("x"), "c": .double(0.5)]
    var tensor = InferTensor("t", .fp32, [2])
    tensor.contents.floats = [1, 2]
    request.inputs = [tensor]
    request.rawInputs = [[1, 2, 3]]
    let whole = request.bytes
    for count in 0..<whole.count { _ = rewritten("ModelInferRequest", Array(whole[..<count])) }
    #expect(try whole.lend { (b) throws(ProtobufComplaint) in try InferRequest(b) } == request)
  }

  @Test func bombsAreRefused() throws {
    // 100 messages in each other are read by everybody, 101 by nobody.
    func nested(_ depth: Int) -> ProtobufComplaint.Problem? {
      let input = [UInt8](repeating: 0x1b, count: depth) + [UInt8](repeating: 0x1c, count: depth)
      guard case .failure(let complaint) = rewritten("ModelReadyRequest", input) else { return nil }
      return complaint.problem
    }
    #expect(nested(100) == nil)
    #expect(nested(101) == .tooDeep(100))
    // Two bytes for each tensor.
    let tensors = [[UInt8]](repeating: [0x2a, 0], count: 100_001).flatMap { $0 }
    guard case .failure(let complaint) = rewritten("ModelInferRequest", tensors) else {
      return #expect(Bool(false), "it was read")
    }
    #expect(
      complaint.description
        == "The message is wrong at byte 200001: it holds more than 100000 values.")
    #expect(complaint.status.code == .invalidArgument)
  }

  @Test func healthMessages() throws {
    #expect(HealthService.request(service: "") == [])
    #expect(hex(HealthService.request(service: "a")) == "0a0161")
    #expect(hex(HealthService.response(.serving)) == "0801")
    let bad = bytes("08e807")
    let serving = try bad.lend { (b) throws(ProtobufComplaint) in
      try HealthService.serving(ofResponse: b)
    }
    #expect(serving == .unknown)
  }
}
