/// `grpc.health.v1.Health` (`src/proto/grpc/health/v1/health.proto` of github.com/grpc/grpc).
package enum HealthService {
  package static let check = "/grpc.health.v1.Health/Check"
  package static let watch = "/grpc.health.v1.Health/Watch"

  package enum Serving: Int, Sendable {
    case unknown = 0
    case serving = 1
    case notServing = 2
    /// Only to those who watch; to `Check` an unknown service is NOT_FOUND.
    case serviceUnknown = 3
  }

  /// The service that is asked about; empty for the whole server.
  package static func service(
    ofRequest bytes: UnsafeRawBufferPointer
  ) throws(ProtobufComplaint) -> String {
    var service = ""
    var reader = ProtobufReader(bytes)
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .length): service = try reader.string()
      default: try reader.skip(field)
      }
    }
    return service
  }

  package static func request(service: String) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.put(1, service)
    return writer.bytes
  }

  package static func response(_ serving: Serving) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.put(1, Int64(serving.rawValue))
    return writer.bytes
  }

  /// What a server says; a number that has no name is `unknown`.
  package static func serving(
    ofResponse bytes: UnsafeRawBufferPointer
  ) throws(ProtobufComplaint) -> Serving {
    var serving = Serving.unknown
    var reader = ProtobufReader(bytes)
    while let field = try reader.next() {
      switch (field.number, field.type) {
      case (1, .varint): serving = Serving(rawValue: Int(try reader.int32())) ?? .unknown
      default: try reader.skip(field)
      }
    }
    return serving
  }
}
