/// `inference.GRPCInferenceService`: KServe's protocol, version 2, known as Open Inference Protocol, as
/// Triton speaks it (`protobuf/grpc_service.proto` of github.com/triton-inference-server/common).
package enum InferenceService {
  package enum Method: String, CaseIterable, Sendable {
    case serverLive = "ServerLive"
    case serverReady = "ServerReady"
    case modelReady = "ModelReady"
    case serverMetadata = "ServerMetadata"
    case modelMetadata = "ModelMetadata"
    case modelInfer = "ModelInfer"
    case modelStreamInfer = "ModelStreamInfer"

    package var path: String { prefix + rawValue }
  }

  package static let name = "inference.GRPCInferenceService"
  package static let prefix = "/inference.GRPCInferenceService/"

  package static func method(_ path: some StringProtocol) -> Method? {
    path.hasPrefix(prefix) ? Method(rawValue: String(path.dropFirst(prefix.count))) : nil
  }

  /// `ServerLiveResponse`, `ServerReadyResponse` and `ModelReadyResponse`: a flag.
  package static func flag(_ value: Bool) -> [UInt8] {
    var writer = ProtobufWriter(capacity: 2)
    writer.put(1, value)
    return writer.bytes
  }
}

/// `ModelReadyRequest` and `ModelMetadataRequest`.
package struct ModelNameMessage: Equatable, Sendable {
  package var name = ""
  package var version = ""

  package init(name: String = "", version: String = "") {
    self.name = name
    self.version = version
  }

  package init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufComplaint) {
    var reader = ProtobufReader(bytes)
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .length): name = try reader.string()
      case (2, .length): version = try reader.string()
      default: try reader.skip(field)
      }
    }
  }

  package var bytes: [UInt8] {
    var writer = ProtobufWriter()
    writer.put(1, name)
    writer.put(2, version)
    return writer.bytes
  }
}

/// `ServerMetadataResponse`.
package struct ServerMetadata: Equatable, Sendable {
  package var name: String
  package var version: String
  package var extensions: [String]

  package init(name: String, version: String, extensions: [String]) {
    self.name = name
    self.version = version
    self.extensions = extensions
  }

  package var bytes: [UInt8] {
    var writer = ProtobufWriter()
    writer.put(1, name)
    writer.put(2, version)
    for name in extensions { writer.always(3, name) }
    return writer.bytes
  }
}

/// `ModelMetadataResponse`.
package struct ModelMetadata: Equatable, Sendable {
  package struct Tensor: Equatable, Sendable {
    package var name: String
    package var datatype: Datatype
    /// -1 where any length is taken.
    package var shape: [Int64]

    package init(_ name: String, _ datatype: Datatype, _ shape: [Int64]) {
      self.name = name
      self.datatype = datatype
      self.shape = shape
    }
  }

  package var name: String
  package var versions: [String]
  package var platform: String
  package var inputs: [Tensor]
  package var outputs: [Tensor]

  package init(
    name: String, versions: [String], platform: String, inputs: [Tensor], outputs: [Tensor]
  ) {
    self.name = name
    self.versions = versions
    self.platform = platform
    self.inputs = inputs
    self.outputs = outputs
  }

  package var bytes: [UInt8] {
    var writer = ProtobufWriter(capacity: 128)
    writer.put(1, name)
    for version in versions { writer.always(2, version) }
    writer.put(3, platform)
    for (number, tensors) in [(4, inputs), (5, outputs)] {
      for tensor in tensors {
        writer.message(number) {
          $0.put(1, tensor.name)
          $0.put(2, tensor.datatype.rawValue)
          $0.packed(3, tensor.shape) { $0.varint(UInt64(bitPattern: $1)) }
        }
      }
    }
    return writer.bytes
  }
}
