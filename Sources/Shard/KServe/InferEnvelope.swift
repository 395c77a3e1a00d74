import GRPC
import JSON
import WorkerAPI

/// What of a request its answer needs, and the answer in the shapes of both ways.
package struct InferEnvelope: Equatable, Sendable {
  package struct Output: Equatable, Sendable {
    package var name: String
    /// Over HTTP: behind the JSON, as it lies in memory.
    package var isBinary: Bool
  }

  /// As the client named it.
  package var modelName: String
  package var modelVersion: String
  package var id: String
  /// Those that are wanted; what the model answers with by default when there are none.
  package var outputs: [Output] = []
  /// Over HTTP: outputs that say nothing of their own are binary.
  package var isBinary = false
  /// Over gRPC: the request had its tensors as they lie in memory, and so has the answer.
  package var isRaw = false

  package init(modelName: String, modelVersion: String, id: String) {
    self.modelName = modelName
    self.modelVersion = modelVersion
    self.id = id
  }

  /// Refuses outputs that do not exist.
  package func check(outputs known: [String]) throws(APIError) {
    for output in outputs where !known.contains(output.name) {
      throw .invalid(
        "outputs",
        "There is no output '\(output.name.prefix(100))'; there are "
          + known.joined(separator: ", ") + ".")
    }
  }

  package func wants(_ output: String, byDefault: Bool) -> Bool {
    outputs.isEmpty ? byDefault : outputs.contains { $0.name == output }
  }

  package func response(_ outputs: [InferTensor]) -> InferResponse {
    var response = InferResponse()
    response.modelName = modelName
    response.modelVersion = ModelVersion.only
    response.id = id
    response.outputs = outputs
    return response
  }

  // MARK: gRPC

  /// For a `ModelInferResponse`: with raw contents where the request had them.
  package func shaped(_ response: InferResponse) -> InferResponse {
    guard isRaw else { return response }
    var shaped = response
    shaped.rawOutputs = response.outputs.map(\.raw)
    for index in shaped.outputs.indices { shaped.outputs[index].contents = TensorContents() }
    return shaped
  }

  // MARK: HTTP

  /// The body of an answer, and how many of its bytes are JSON, where others follow.
  package func body(_ response: InferResponse) -> (bytes: [UInt8], jsonBytes: Int?) {
    var json: [UInt8] = []
    var binary: [UInt8] = []
    json += #"{"model_name":"#.utf8
    json += JSONText.quoted(response.modelName).utf8
    json += #","model_version":"#.utf8
    json += JSONText.quoted(response.modelVersion).utf8
    if !response.id.isEmpty {
      json += #","id":"#.utf8
      json += JSONText.quoted(response.id).utf8
    }
    json += #","outputs":["#.utf8
    for (index, output) in response.outputs.enumerated() {
      if index > 0 { json.append(UInt8(ascii: ",")) }
      let shape = output.shape.map(String.init).joined(separator: ",")
      json +=
        #"{"name":\#(JSONText.quoted(output.name)),"datatype":"\#(output.datatype)","shape":[\#(shape)],"#
        .utf8
      if outputs.first(where: { $0.name == output.name })?.isBinary ?? isBinary {
        let raw = output.raw
        json += #""parameters":{"binary_data_size":\#(raw.count)}}"#.utf8
        binary += raw
      } else {
        json += #""data":["#.utf8
        output.appendElements(to: &json)
        json += "]}".utf8
      }
    }
    json += "]}".utf8
    let hasBinary = isBinary || outputs.contains(where: \.isBinary)
    return (json + binary, hasBinary ? json.count : nil)
  }

  /// The field that says how much of a body is JSON.
  package static let lengthField = "Inference-Header-Content-Length"
}

/// Our workers serve one version of a model.
package enum ModelVersion {
  package static let only = "1"

  /// Refuses others; none means the only one.
  package static func check(_ version: String, of model: String) throws(APIError) {
    guard version.isEmpty || version == only else {
      throw APIError(
        .unknownModel,
        "The version '\(version.prefix(40))' of '\(model)' does not exist here; there is "
          + "'\(only)'.", param: "model_version", code: "model_not_found")
    }
  }
}

extension InferTensor {
  /// Elements with commas between them. For the types that we answer with.
  fileprivate func appendElements(to json: inout [UInt8]) {
    func put(_ elements: some Collection<String>) {
      for (index, element) in elements.enumerated() {
        if index > 0 { json.append(UInt8(ascii: ",")) }
        json += element.utf8
      }
    }
    switch Datatype(rawValue: datatype) {
    case .bytes:
      put(contents.bytes.lazy.map { JSONText.quoted(String(decoding: $0, as: UTF8.self)) })
    case .fp32: put(contents.floats.lazy.map(\.description))
    case .uint32: put(contents.uint32s.lazy.map(\.description))
    default: preconditionFailure("no answer of ours has elements of \(datatype)")
    }
  }
}
