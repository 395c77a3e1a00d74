import GRPC
import JSON
import Primitives
import Testing
import WorkerAPI

@testable import KServe

/// What could break: elements that land in another tensor, shapes that lie, bytes behind the JSON that
/// nobody has counted.
@Suite struct QueryTests {
  private func query(_ json: String, binary: [UInt8] = []) throws(APIError) -> InferQuery {
    try (Array(json.utf8) + binary).lend { (body) throws(APIError) in
      try InferQuery(
        body: body, jsonBytes: binary.isEmpty ? nil : json.utf8.count, model: "m", version: "",
        valueLimit: 1_000)
    }
  }

  private func query(_ request: InferRequest) throws(APIError) -> InferQuery {
    try request.bytes.lend { (bytes) throws(APIError) in try InferQuery(message: bytes) }
  }

  private func sentence(_ json: String, binary: [UInt8] = []) -> String {
    do throws(APIError) {
      _ = try query(json, binary: binary)
      return ""
    } catch {
      return error.message
    }
  }

  @Test func theSameByEveryWay() throws {
    let nested = try query(
      #"{"id":"7","inputs":[{"name":"t","shape":[2,1],"datatype":"BYTES","data":[["a"],["bc"]]},"#
        + #"{"name":"n","shape":[1],"datatype":"INT32","data":[-3]}],"parameters":{"x":1,"y":"z"}}"#
    )
    let flat = try query(
      #"{"id":"7","parameters":{"y":"z","x":1},"inputs":[{"name":"t","shape":[2,1],"#
        + #""datatype":"BYTES","data":["a","bc"]},{"name":"n","shape":[1],"datatype":"INT32","#
        + #""data":[-3]}]}"#)
    #expect(nested == flat)
    let binary = try query(
      #"{"id":"7","inputs":[{"name":"t","shape":[2,1],"datatype":"BYTES","parameters":"#
        + #"{"binary_data_size":11}},{"name":"n","shape":[1],"datatype":"INT32","parameters":"#
        + #"{"binary_data_size":4}}],"parameters":{"x":1,"y":"z"}}"#,
      binary: [1, 0, 0, 0, 0x61, 2, 0, 0, 0, 0x62, 0x63, 0xfd, 0xff, 0xff, 0xff])
    #expect(binary.inputs.map(\.contents) == flat.inputs.map(\.contents))
    var request = InferRequest()
    request.modelName = "m"
    request.id = "7"
    request.parameters = ["x": .int64(1), "y": .string("z"), "none": .none]
    var text = InferTensor("t", .bytes, [2, 1])
    text.contents.bytes = [[0x61], [0x62, 0x63]]
    var number = InferTensor("n", .int32, [1])
    number.contents.int32s = [-3]
    request.inputs = [text, number]
    #expect(try query(request) == flat)
    request.inputs = [InferTensor("t", .bytes, [2, 1]), InferTensor("n", .int32, [1])]
    request.rawInputs = [
      [1, 0, 0, 0, 0x61, 2, 0, 0, 0, 0x62, 0x63], [0xfd, 0xff, 0xff, 0xff],
    ]
    let raw = try query(request)
    #expect(raw.inputs == flat.inputs && raw.envelope.isRaw)
    #expect(try raw.inputs[0].texts() == ["a", "bc"])
    #expect(try raw.inputs[1].parameter() == .number(-3))
  }

  // One element of every type, as it lies in memory.
  @Test(
    arguments: [
      (.bool, [1], .bool(true)), (.int8, [0xff], .number(-1)),
      (.int16, [0, 0x80], .number(-32_768)),
      (.int64, [0, 0, 0, 0, 0, 0, 0, 0x80], .number(-9_223_372_036_854_775_808)),
      (.uint8, [0xff], .number(255)), (.uint16, [0xff, 0xff], .number(65_535)),
      (.uint32, [0xff, 0xff, 0xff, 0xff], .number(4_294_967_295)),
      (.uint64, [2, 0, 0, 0, 0, 0, 0, 0], .number(2)), (.fp16, [0, 0x3c], .number(1)),
      (.bf16, [0x80, 0x3f], .number(1)), (.fp32, [0, 0, 0x20, 0x40], .number(2.5)),
      (.fp64, [0, 0, 0, 0, 0, 0, 0xe0, 0x3f], .number(0.5)),
      (.bytes, [1, 0, 0, 0, 0x61], .string("a")),
    ] as [(Datatype, [UInt8], JSONValue)])
  func everyTypeLiesInMemory(type: Datatype, bytes: [UInt8], value: JSONValue) throws {
    var tensor = InferTensor("p", type, [1])
    try bytes.lend { (raw) throws(APIError) in try tensor.read(raw: raw) }
    try tensor.check()
    #expect(try tensor.parameter() == value)
    #expect(throws: APIError.self) {
      try (bytes + [0]).lend { (raw) throws(APIError) in try tensor.read(raw: raw) }
    }
    #expect(throws: APIError.self) {
      try bytes.dropLast().lend { (raw) throws(APIError) in try tensor.read(raw: raw) }
    }
  }

  private static func input(_ members: String) -> String { #"{"inputs":[{\#(members)}]}"# }

  @Test(arguments: [
    ("{}", "'inputs' must be a list of tensors."),
    (input(#""name":"t""#), "'inputs[0]' must be an object with 'name', 'shape', 'datatype' and"),
    (
      input(#""name":"t","shape":[2],"datatype":"BYTES","data":["a"]"#),
      "The shape of 't' is [2], which are 2 elements of BYTES; 1 came."
    ),
    (
      input(#""name":"t","shape":[-1],"datatype":"BYTES","data":["a"]"#),
      "The shape of 't' is [-1]; it must be of lengths from 0."
    ),
    (
      input(#""name":"t","shape":[4294967296,4294967296],"datatype":"INT8","data":[]"#),
      "it must be of lengths from 0."
    ),
    (
      input(#""name":"t","shape":[1],"datatype":"TEXT","data":["a"]"#),
      "The datatype of 't' is 'TEXT'; there are BOOL, UINT8,"
    ),
    (
      input(#""name":"t","shape":[1],"datatype":"UINT8","data":[256]"#),
      "'t' holds 256, which is no UINT8."
    ),
    (
      input(#""name":"t","shape":[1],"datatype":"BYTES","data":[1]"#),
      "'t' holds 1, which is no BYTES."
    ),
    (
      input(#""name":"t","shape":[1],"datatype":"BYTES""#),
      "'inputs[0]' has neither 'data' nor a binary_data_size."
    ),
    (
      input(#""name":"t","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1}"#),
      "'inputs[0]' has a binary_data_size of 1; 0 bytes are left."
    ),
    (
      #"{"inputs":[{"name":"t","shape":[0],"datatype":"INT8","data":[]},"#
        + #"{"name":"t","shape":[0],"datatype":"INT8","data":[]}]}"#,
      "The input 't' stands twice."
    ),
    (#"{"inputs":[],"outputs":[{}]}"#, "'outputs[0]' must be an object with a 'name'."),
    (#"{"inputs":[],"parameters":[]}"#, "'parameters' must be an object, not a list."),
  ])
  func whatIsWrongIsTold(json: String, wanted: String) {
    #expect(sentence(json).contains(wanted), "\(sentence(json))")
  }

  @Test func bytesBehindTheJSONAreCounted() throws {
    let one = Self.input(
      #""name":"t","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1}"#)
    #expect(try query(one, binary: [5]).inputs[0].contents.int32s == [5])
    #expect(
      sentence(one, binary: [5, 6])
        == "1 bytes follow the tensors; no input's binary_data_size has them.")
    #expect(throws: APIError.self) {
      try Array(one.utf8).lend { (body) throws(APIError) in
        try InferQuery(body: body, jsonBytes: 9_999, model: "m", version: "", valueLimit: 100)
      }
    }
    // Lengths of elements that lie: beyond the end, and more elements than the shape has.
    var tensor = InferTensor("t", .bytes, [1])
    for bytes in [[2, 0, 0, 0, 1], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0, 0, 0, 0, 0]] as [[UInt8]]
    {
      #expect(throws: APIError.self) {
        try bytes.lend { (raw) throws(APIError) in try tensor.read(raw: raw) }
      }
    }
    #expect(throws: APIError.self) {
      tensor.contents.bytes = [[0xff]]
      return try tensor.texts()
    }
  }

  @Test func rawInputsAreAllOrNone() {
    var request = InferRequest()
    request.inputs = [InferTensor("a", .int8, [0]), InferTensor("b", .int8, [0])]
    request.rawInputs = [[]]
    #expect(
      throws: APIError.invalid(
        "raw_input_contents",
        "There are 2 inputs and 1 raw_input_contents; there must be as many, or none.")
    ) {
      try query(request)
    }
    #expect(throws: APIError.self) {
      try [UInt8]([0x0a, 5]).lend { (bytes) throws(APIError) in try InferQuery(message: bytes) }
    }
  }

  @Test func answersInEveryShape() throws {
    var envelope = InferEnvelope(modelName: "m", modelVersion: "", id: "7")
    var text = InferTensor("text_output", .bytes, [2])
    text.contents.bytes = [Array("a\"".utf8), Array("ä".utf8)]
    var vector = InferTensor("embedding", .fp32, [1, 2])
    vector.contents.floats = [0.5, -2]
    let response = envelope.response([text, vector])
    let json = envelope.body(response)
    #expect(
      String(decoding: json.bytes, as: UTF8.self)
        == #"{"model_name":"m","model_version":"1","id":"7","outputs":[{"name":"text_output","#
        + #""datatype":"BYTES","shape":[2],"data":["a\"","ä"]},{"name":"embedding","#
        + #""datatype":"FP32","shape":[1,2],"data":[0.5,-2.0]}]}"#)
    #expect(json.jsonBytes == nil)
    // One output behind the JSON, the other in it.
    envelope.outputs = [
      InferEnvelope.Output(name: "text_output", isBinary: false),
      InferEnvelope.Output(name: "embedding", isBinary: true),
    ]
    let mixed = envelope.body(response)
    let jsonBytes = try #require(mixed.jsonBytes)
    #expect(
      String(decoding: mixed.bytes[..<jsonBytes], as: UTF8.self)
        .hasSuffix(#""shape":[1,2],"parameters":{"binary_data_size":8}}]}"#))
    #expect(Array(mixed.bytes[jsonBytes...]) == [0, 0, 0, 0x3f, 0, 0, 0, 0xc0])
    envelope.isRaw = true
    let shaped = envelope.shaped(response)
    #expect(shaped.rawOutputs[0] == [2, 0, 0, 0, 0x61, 0x22, 2, 0, 0, 0, 0xc3, 0xa4])
    #expect(shaped.outputs.allSatisfy { $0.contents == TensorContents() })
  }

  @Test func errorsInBothShapes() {
    let error = APIError(.queueFull, "a \"full\" queue")
    #expect(String(decoding: error.kserve, as: UTF8.self) == #"{"error":"a \"full\" queue"}"#)
    let codes = APIError.Reason.allCases.map { APIError($0, "").grpc.code }
    #expect(
      codes == [
        .invalidArgument, .invalidArgument, .notFound, .unimplemented, .unimplemented,
        .unavailable, .unavailable, .unavailable, .unavailable, .deadlineExceeded, .internal,
      ])
  }
}
