import Primitives
import Testing

@testable import ModelFiles

/// The format's own rules, each broken once; and what a damaged file may not do.
struct SafetensorsTests {
  // Whoever accepts one of these reads beside the data, or data that nobody meant.
  @Test(arguments: [
    ([UInt8]("short".utf8), "is 5 bytes long: too short for safetensors; download it again"),
    ([], "is 0 bytes long: too short for safetensors; download it again"),
    (
      bytes(UInt64.max) + [0x7b],
      "claims a header of 18446744073709551615 bytes, above the limit of 100000000: this is not a"
        + " safetensors file"
    ),
    (
      bytes(UInt64(100)) + Array("{}".utf8),
      "ends at byte 10, within its header of 100 bytes: it is truncated; download it again"
    ),
    (
      Safe.file(" {}"), "does not begin with '{' after its length: this is not a safetensors file"
    ),
    (Safe.file("{}x"), "the header is damaged at byte 10: text after the header's end"),
    (Safe.file("{\"a\":3}"), "the header is damaged at byte 13: expected '{'"),
    (
      Safe.file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}"),
      "the header is damaged at byte 58: 'a' has fewer than two offsets"
    ),
    (
      Safe.file("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}"),
      "the header is damaged at byte 37: expected a whole number that is not negative"
    ),
    (
      Safe.file(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,4]}}"),
      "the header is damaged at byte 55: a number is larger than 2^63 - 1"
    ),
    (
      Safe.file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}"),
      "the header is damaged at byte 48: 'a' has 'shape' twice, or it is not known here"
    ),
    (
      Safe.file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}"),
      "the header is damaged at byte 40: 'a' lacks its dtype, shape or data_offsets"
    ),
    (
      Safe.file("{\"__metadata__\":{\"format\":3}}"),
      "the header is damaged at byte 34: expected a text in quotes"
    ),
    (
      Safe.file("{\"a\\ud800\":{}}"),
      "the header is damaged at byte 18: half of a surrogate pair"
    ),
    (Safe.file("{\"a"), "the header is damaged at byte 11: the header ends within a text"),
    (Safe.file("{\"a\\"), "the header is damaged at byte 13: the header ends within a text"),
  ])
  func aDamagedHeaderIsRefused(file: [UInt8], sentence: String) throws {
    let refusal = try Self.refusal(file)
    #expect(refusal == "F/w: " + sentence)
  }

  @Test(arguments: [
    (
      "F32", "[1]", "[0,8]",
      "tensor 'a' claims bytes 0 to 8 of 4: the file is truncated or damaged; download it again"
    ),
    (
      "F32", "[1]", "[4,0]",
      "tensor 'a' claims bytes 4 to 0 of 4: the file is truncated or damaged; download it again"
    ),
    (
      "F32", "[2]", "[0,4]",
      "tensor 'a' of type F32 and shape [2] does not take the 4 bytes it claims: the file is damaged"
    ),
    (
      "F32", "[4611686018427387904,4]", "[0,4]",
      "tensor 'a' has the impossible shape [4611686018427387904, 4]"
    ),
    (
      "F32", "[4611686018427387904]", "[0,4]",
      "tensor 'a' has the impossible shape [4611686018427387904]"
    ),
    (
      "F128", "[1]", "[0,4]",
      "tensor 'a' has the unknown type 'F128'; convert the model to BF16, F16, F32 or block FP8"
    ),
    (
      "F16", "[1]", "[2,4]",
      "2 bytes before tensor 'a' belong to no tensor: the file is damaged"
    ),
    ("F16", "[1]", "[0,2]", "its last 2 bytes belong to no tensor: the file is damaged"),
    (
      "F4", "[3]", "[0,4]",
      "tensor 'a' of type F4 and shape [3] does not take the 4 bytes it claims: the file is damaged"
    ),
  ])
  func aLyingTensorIsRefused(
    type: String, shape: String, offsets: String, sentence: String
  ) throws {
    let header = "{\"a\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}}"
    #expect(try Self.refusal(Safe.file(header, [1, 2, 3, 4])) == "F/w: " + sentence)
  }

  @Test func tensorsMayNeitherOverlapNorShareAName() throws {
    let entry = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"
    let four: [UInt8] = [0, 0, 0, 0]
    #expect(
      try Self.refusal(Safe.file("{\"a\":\(entry),\"b\":\(entry)}", four))
        == "F/w: tensor 'b' overlaps another: the file is damaged")
    let twice = try Self.refusal(Safe.file("{\"a\":\(entry),\"a\":\(entry)}", four))
    #expect(
      twice
        == "F/w: the header is damaged at byte 66: 'a' stands twice")
    // The same name in other spelling.
    let spelled = try Self.refusal(Safe.file("{\"a\":\(entry),\"\\u0061\":\(entry)}", four))
    #expect(
      spelled
        == "F/w: the header is damaged at byte 71: 'a' stands twice")
  }

  // Empty tensors, spaces at the header's end, metadata and an odd header length are legal.
  @Test func whatIsOddButLegalOpens() throws {
    let header = """
      {"__metadata__":{"format":"pt"},"e":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},
      "a\\u0021":{"data_offsets":[0,4],"shape":[],"dtype":"F32"}}
      """ + "   "
    let folder = try Folder()
    folder.write("w", Safe.file(header, bytes(Float(1.5).bitPattern)))
    let tensors = try Safetensors.tensors(of: MappedFile(folder("w")))
    #expect(tensors.map(\.0) == ["e", "a!"])
    #expect(tensors.map(\.1.shape) == [[0, 5], []])
    #expect(tensors[1].1.bytes.count == 4)
  }

  // A name that stands in the error output must not carry control characters there.
  @Test func namesAreShownHarmlessly() {
    #expect(quoted("a\u{1b}[31m\n") == "'a?[31m?'")
    #expect(quoted(String(repeating: "x", count: 200)).count == 85)
  }

  // A hundred thousand nested brackets would end the process if each were a call.
  @Test func nestingIsBounded() throws {
    let deep = String(repeating: "[", count: 100_000)
    let folder = try Folder()
    folder.write("index", "{\"metadata\":\(deep)")
    var scanner = HeaderScanner(try MappedFile(folder("index")))
    #expect(
      throws: ModelComplaint(
        folder("index"), "the header is damaged at byte 20: values are nested too deep")
    ) {
      try scanner.object { (scanner, _) throws(ModelComplaint) in try scanner.skip() }
    }
  }

  static func refusal(_ file: [UInt8]) throws -> String? {
    let folder = try Folder()
    folder.write("w", file)
    do {
      _ = try Safetensors.tensors(of: MappedFile(folder("w")))
      return nil
    } catch {
      return plain("\(error)", folder)
    }
  }
}
