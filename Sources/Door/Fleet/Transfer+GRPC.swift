import CCurl
import Configuration
import GRPC
import Primitives

/// A probe by `grpc.health.v1.Health/Check`: what the one call has brought.
struct HealthAnswer {
  /// Bytes of a body that are kept: an answer has seven, so what goes on is none.
  static let bodyLimitBytes = 1_024

  var body: [UInt8] = []
  /// Of `grpc-status`, in the head or in the trailers.
  var code: GRPCStatus.Code?
  var message = ""

  /// A line of the head or of the trailers, with its end.
  mutating func take(line: UnsafeRawBufferPointer) {
    let text = String(decoding: line, as: UTF8.self)
    guard let colon = text.firstIndex(of: ":") else { return }
    let value = text[text.index(after: colon)...].split(whereSeparator: \.isWhitespace)
      .joined(separator: " ")
    switch text[..<colon].lowercased() {
    case "grpc-status": code = GRPCStatus.Code(field: value)
    case "grpc-message": message = GRPCFields.decode(message: value)
    default: return
    }
  }

  func outcome(httpStatus: Int) -> ProbeOutcome {
    guard let code else {
      return .bad(httpStatus == 200 ? .notGRPC : .status(httpStatus, low: 200, high: 200))
    }
    guard code == .ok else { return .bad(.grpc(code: "\(code.name)", message: message)) }
    var reader = MessageReader(limitBytes: Self.bodyLimitBytes)
    body.withUnsafeBytes { reader.receive($0) }
    guard let first = try? reader.next(),
      let serving = try? first.lend({ (bytes) throws(ProtobufComplaint) in
        try HealthService.serving(ofResponse: bytes)
      })
    else { return .bad(.notGRPC) }
    switch serving {
    case .serving: return .good
    case .unknown: return .bad(.notServing("UNKNOWN"))
    case .notServing: return .bad(.notServing("NOT_SERVING"))
    case .serviceUnknown: return .bad(.notServing("SERVICE_UNKNOWN"))
    }
  }
}

extension Transfer {
  /// Fields that a call needs, behind those that every probe has.
  static func callFields(
    _ settings: HealthSettings, behind list: UnsafeMutablePointer<curl_slist>?
  ) -> UnsafeMutablePointer<curl_slist>? {
    guard case .grpc = settings.probe else { return list }
    var list = list
    for line in [
      "content-type: application/grpc", "te: trailers", "accept:",
      "grpc-timeout: \(GRPCFields.timeoutText(settings.timeout))",
    ] {
      list = curl_slist_append(list, line) ?? list
    }
    return list
  }

  func prepareCall(_ service: String, _ target: Target, context: UnsafeMutablePointer<Transfer>) {
    // gRPC is HTTP/2, whatever the pool speaks otherwise.
    set(
      CURLOPT_HTTP_VERSION,
      Int(target.tls == nil ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : CURL_HTTP_VERSION_2TLS))
    set(CURLOPT_REQUEST_TARGET, HealthService.check)
    let message = MessageReader.frame(HealthService.request(service: service))
    _ = message.withUnsafeBytes { portico_curl_post(easy, $0.baseAddress, $0.count) }
    set(CURLOPT_FOLLOWLOCATION, 0)
    set(CURLOPT_USERAGENT, "portico-health")
    _ = portico_curl_on_body(
      easy,
      { bytes, size, count, context in
        let transfer = context!.assumingMemoryBound(to: Transfer.self)
        transfer.pointee.answer.body += UnsafeRawBufferPointer(start: bytes, count: size * count)
        // Another number than it was given ends the transfer.
        return transfer.pointee.answer.body.count > HealthAnswer.bodyLimitBytes ? 0 : size * count
      }, context)
    _ = portico_curl_on_field(
      easy,
      { bytes, size, count, context in
        let transfer = context!.assumingMemoryBound(to: Transfer.self)
        transfer.pointee.answer.take(
          line: UnsafeRawBufferPointer(start: bytes, count: size * count))
        return size * count
      }, context)
  }
}
