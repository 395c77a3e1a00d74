import GRPC
import HTTPServer
import JSON
import WorkerAPI

/// A request to infer, whichever way it came: its tensors are whole and as long as they say.
package struct InferQuery: Equatable, Sendable {
  package var envelope: InferEnvelope
  package var inputs: [InferTensor] = []
  /// Of the request. Over HTTP they may be anything that JSON has.
  package var parameters: [String: JSONValue] = [:]

  /// Inputs of a request. Count; none of ours takes more than a dozen.
  private static let inputLimit = 64

  // MARK: gRPC

  /// From a `ModelInferRequest`.
  package init(message bytes: UnsafeRawBufferPointer) throws(APIError) {
    let request: InferRequest
    do throws(ProtobufComplaint) {
      request = try InferRequest(bytes)
    } catch {
      throw APIError(.invalid, error.description)
    }
    envelope = InferEnvelope(
      modelName: request.modelName, modelVersion: request.modelVersion, id: request.id)
    envelope.isRaw = !request.rawInputs.isEmpty
    envelope.outputs = request.outputs.map { InferEnvelope.Output(name: $0.name, isBinary: false) }
    parameters = request.parameters.compactMapValues(\.json)
    inputs = request.inputs
    try checkInputs()
    guard envelope.isRaw else {
      for input in inputs { try input.check() }
      return
    }
    guard request.rawInputs.count == inputs.count else {
      throw .invalid(
        "raw_input_contents",
        "There are \(inputs.count) inputs and \(request.rawInputs.count) raw_input_contents; "
          + "there must be as many, or none.")
    }
    for (index, raw) in request.rawInputs.enumerated() {
      try raw.lend { (raw) throws(APIError) in try inputs[index].read(raw: raw) }
    }
  }

  private func checkInputs() throws(APIError) {
    guard inputs.count <= Self.inputLimit else {
      throw .invalid(
        "inputs", "The request has \(inputs.count) inputs; at most \(Self.inputLimit) are taken.")
    }
    var names = Set<String>()
    for input in inputs where !names.insert(input.name).inserted {
      throw .invalid("inputs", "The input '\(input.shownName)' stands twice.")
    }
  }

  // MARK: HTTP

  /// From a body of the REST protocol.
  ///
  /// - Parameter jsonBytes: of the body that are JSON, where tensors follow as they lie in memory
  ///   (`Inference-Header-Content-Length`); nil for all.
  package init(
    body: UnsafeRawBufferPointer, jsonBytes: Int?, model: String, version: String, valueLimit: Int
  ) throws(APIError) {
    envelope = InferEnvelope(modelName: model, modelVersion: version, id: "")
    let jsonBytes = jsonBytes ?? body.count
    guard (0...body.count).contains(jsonBytes) else {
      throw APIError(
        .invalid,
        "\(InferEnvelope.lengthField) is \(jsonBytes); the body has \(body.count) bytes.")
    }
    let fields = try Body.read(
      UnsafeRawBufferPointer(rebasing: body[..<jsonBytes]), valueLimit: valueLimit)
    envelope.id = try fields.text("id") ?? ""
    parameters = try Self.object(fields["parameters"], "parameters")
    envelope.isBinary = try Self.flag(parameters["binary_data_output"], "binary_data_output")
    try readOutputs(fields["outputs"])
    guard let list = fields["inputs"]?.elements else {
      throw .invalid("inputs", "'inputs' must be a list of tensors.")
    }
    var binary = UnsafeRawBufferPointer(rebasing: body[jsonBytes...])
    for (index, element) in list.enumerated() {
      inputs.append(try Self.tensor(element, index, &binary))
    }
    try checkInputs()
    guard binary.isEmpty else {
      throw APIError(
        .invalid, "\(binary.count) bytes follow the tensors; no input's binary_data_size has them.")
    }
  }

  /// What the field says of how much of a body is JSON; nil for all.
  package static func jsonBytes(_ request: borrowing HTTPRequest) throws(APIError) -> Int? {
    guard let text = request.field("inference-header-content-length") else { return nil }
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let bytes = Int(text) else {
      throw APIError(
        .invalid, "\(InferEnvelope.lengthField) must be a number, not '\(text.prefix(40))'.")
    }
    return bytes
  }

  private mutating func readOutputs(_ value: JSONValue?) throws(APIError) {
    guard let value else { return }
    guard let list = value.elements else {
      throw .invalid("outputs", "'outputs' must be a list, not \(value.kind).")
    }
    for (index, element) in list.enumerated() {
      guard let name = element["name"]?.text else {
        throw .invalid("outputs", "'outputs[\(index)]' must be an object with a 'name'.")
      }
      let parameters = try Self.object(element["parameters"], "outputs[\(index)].parameters")
      envelope.outputs.append(
        InferEnvelope.Output(
          name: name,
          isBinary: parameters["binary_data"] == nil
            ? envelope.isBinary : try Self.flag(parameters["binary_data"], "binary_data")))
    }
  }

  private static func object(
    _ value: JSONValue?, _ name: String
  ) throws(APIError) -> [String: JSONValue] {
    guard let value, value != .null else { return [:] }
    guard case .object(let members) = value else {
      throw .invalid(name, "'\(name)' must be an object, not \(value.kind).")
    }
    return members
  }

  private static func flag(_ value: JSONValue?, _ name: String) throws(APIError) -> Bool {
    guard let value, value != .null else { return false }
    guard let flag = value.flag else {
      throw .invalid(name, "'\(name)' must be true or false, not \(value.kind).")
    }
    return flag
  }

  private static func tensor(
    _ value: JSONValue, _ index: Int, _ binary: inout UnsafeRawBufferPointer
  ) throws(APIError) -> InferTensor {
    let place = "inputs[\(index)]"
    guard let name = value["name"]?.text, let datatype = value["datatype"]?.text,
      let lengths = value["shape"]?.elements
    else {
      throw .invalid(
        "inputs", "'\(place)' must be an object with 'name', 'shape', 'datatype' and 'data'.")
    }
    var tensor = InferTensor()
    tensor.name = name
    tensor.datatype = datatype
    for length in lengths {
      guard let length = length.integer else {
        throw .invalid("inputs", "'\(place).shape' holds \(length.shown); it must hold numbers.")
      }
      tensor.shape.append(Int64(length))
    }
    let parameters = try object(value["parameters"], "\(place).parameters")
    if let size = parameters["binary_data_size"] {
      guard let bytes = size.integer, (0...binary.count).contains(bytes) else {
        throw .invalid(
          "inputs",
          "'\(place)' has a binary_data_size of \(size.shown); \(binary.count) bytes are left.")
      }
      try tensor.read(raw: UnsafeRawBufferPointer(rebasing: binary[..<bytes]))
      binary = UnsafeRawBufferPointer(rebasing: binary[bytes...])
    } else {
      guard let data = value["data"] else {
        throw .invalid("inputs", "'\(place)' has neither 'data' nor a binary_data_size.")
      }
      try tensor.read(json: data, try tensor.type())
      try tensor.check()
    }
    return tensor
  }
}

extension InferTensor {
  /// Appends elements that stand in JSON, in lists within lists or in one.
  fileprivate mutating func read(json: JSONValue, _ type: Datatype) throws(APIError) {
    if let elements = json.elements {
      for element in elements { try read(json: element, type) }
      return
    }
    func wrong() -> APIError {
      .invalid(name, "'\(shownName)' holds \(json.shown), which is no \(datatype).")
    }
    func integer(_ range: ClosedRange<Int>) throws(APIError) -> Int {
      guard let number = json.integer, range.contains(number) else { throw wrong() }
      return number
    }
    func number() throws(APIError) -> Double {
      guard let number = json.number else { throw wrong() }
      return number
    }
    switch type {
    case .bool:
      guard let flag = json.flag else { throw wrong() }
      contents.bools.append(flag)
    case .int8: contents.int32s.append(Int32(try integer(-0x80...0x7f)))
    case .int16: contents.int32s.append(Int32(try integer(-0x8000...0x7fff)))
    case .int32: contents.int32s.append(Int32(try integer(-0x8000_0000...0x7fff_ffff)))
    case .int64: contents.int64s.append(Int64(try integer(.min ... .max)))
    case .uint8: contents.uint32s.append(UInt32(try integer(0...0xff)))
    case .uint16: contents.uint32s.append(UInt32(try integer(0...0xffff)))
    case .uint32: contents.uint32s.append(UInt32(try integer(0...0xffff_ffff)))
    case .uint64: contents.uint64s.append(UInt64(try integer(0...(.max))))
    case .fp16, .bf16, .fp32: contents.floats.append(Float(try number()))
    case .fp64: contents.doubles.append(try number())
    case .bytes:
      guard let text = json.text else { throw wrong() }
      contents.bytes.append(Array(text.utf8))
    }
  }
}
