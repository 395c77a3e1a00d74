/// `ModelInferRequest`.
package struct InferRequest: Equatable, Sendable {
  /// `InferRequestedOutputTensor`.
  package struct Output: Equatable, Sendable {
    package var name = ""
    package var parameters: [String: InferParameter] = [:]

    package init() {}
  }

  package var modelName = ""
  package var modelVersion = ""
  /// Comes back with the answer.
  package var id = ""
  package var parameters: [String: InferParameter] = [:]
  package var inputs: [InferTensor] = []
  /// Those that are wanted; all when there are none.
  package var outputs: [Output] = []
  /// Elements of each input as they lie in memory, instead of in its contents.
  package var rawInputs: [[UInt8]] = []

  package init() {}

  package init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufComplaint) {
    var reader = ProtobufReader(bytes)
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .length): modelName = try reader.string()
      case (2, .length): modelVersion = try reader.string()
      case (3, .length): id = try reader.string()
      case (4, .length): try reader.entry(into: &parameters)
      case (5, .length):
        try reader.message { (reader) throws(ProtobufComplaint) in
          inputs.append(try InferTensor(&reader))
        }
      case (6, .length):
        try reader.message { (reader) throws(ProtobufComplaint) in
          outputs.append(try Output(&reader))
        }
      case (7, .length): rawInputs.append(try reader.blob())
      default: try reader.skip(field)
      }
    }
  }

  package var bytes: [UInt8] {
    var writer = ProtobufWriter(capacity: 256)
    writer.put(1, modelName)
    writer.put(2, modelVersion)
    writer.put(3, id)
    writer.map(4, parameters)
    for input in inputs { writer.message(5) { input.write(&$0) } }
    for output in outputs { writer.message(6) { output.write(&$0) } }
    for raw in rawInputs { writer.always(7, raw) }
    return writer.bytes
  }
}

extension InferRequest.Output {
  fileprivate init(_ reader: inout ProtobufReader) throws(ProtobufComplaint) {
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .length): name = try reader.string()
      case (2, .length): try reader.entry(into: &parameters)
      default: try reader.skip(field)
      }
    }
  }

  fileprivate func write(_ writer: inout ProtobufWriter) {
    writer.put(1, name)
    writer.map(2, parameters)
  }
}

/// `ModelInferResponse`.
package struct InferResponse: Equatable, Sendable {
  package var modelName = ""
  package var modelVersion = ""
  package var id = ""
  package var parameters: [String: InferParameter] = [:]
  package var outputs: [InferTensor] = []
  /// Elements of each output as they lie in memory, instead of in its contents.
  package var rawOutputs: [[UInt8]] = []

  package init() {}

  package init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufComplaint) {
    var reader = ProtobufReader(bytes)
    try merge(&reader)
  }

  fileprivate mutating func merge(_ reader: inout ProtobufReader) throws(ProtobufComplaint) {
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .length): modelName = try reader.string()
      case (2, .length): modelVersion = try reader.string()
      case (3, .length): id = try reader.string()
      case (4, .length): try reader.entry(into: &parameters)
      case (5, .length):
        try reader.message { (reader) throws(ProtobufComplaint) in
          outputs.append(try InferTensor(&reader))
        }
      case (6, .length): rawOutputs.append(try reader.blob())
      default: try reader.skip(field)
      }
    }
  }

  package var bytes: [UInt8] {
    var writer = ProtobufWriter(capacity: 256)
    write(&writer)
    return writer.bytes
  }

  fileprivate func write(_ writer: inout ProtobufWriter) {
    writer.put(1, modelName)
    writer.put(2, modelVersion)
    writer.put(3, id)
    writer.map(4, parameters)
    for output in outputs { writer.message(5) { output.write(&$0) } }
    for raw in rawOutputs { writer.always(6, raw) }
  }
}

/// `ModelStreamInferResponse`: an answer, or why there is none.
package struct StreamInferResponse: Equatable, Sendable {
  package var errorMessage = ""
  package var response: InferResponse?

  package init(_ response: InferResponse) { self.response = response }

  package init(error: String) { errorMessage = error }

  package init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufComplaint) {
    var reader = ProtobufReader(bytes)
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .length): errorMessage = try reader.string()
      case (2, .length):
        var merged = response ?? InferResponse()
        try reader.message { (reader) throws(ProtobufComplaint) in try merged.merge(&reader) }
        response = merged
      default: try reader.skip(field)
      }
    }
  }

  package var bytes: [UInt8] {
    var writer = ProtobufWriter(capacity: 256)
    writer.put(1, errorMessage)
    if let response { writer.message(2) { response.write(&$0) } }
    return writer.bytes
  }
}
