import HTTP
import Primitives

/// Errors of our own as clients of gRPC read them: an HTTP 200 whose head alone says the status
/// ("Trailers-Only" in gRPC over HTTP/2). Another HTTP status would reach the caller as a guess of
/// its library, without a message.

/// Whether a request is one of gRPC: its content type is `application/grpc`, perhaps with a suffix
/// such as `+proto` or `-web`.
package func isGRPC(contentType: UnsafeRawBufferPointer) -> Bool {
  guard let base = contentType.baseAddress, contentType.count >= 16 else { return false }
  guard ByteScan.equal(base, 16, "application/grpc") else { return false }
  if contentType.count == 16 { return true }
  switch contentType[16] {
  case 0x2b, 0x2d, 0x3b, 0x20, 0x09: return true
  default: return false
  }
}

/// The status of gRPC that says what one of HTTP says, where it is ours and not a guess: gRPC's own
/// table for unknown HTTP statuses calls most of these UNAVAILABLE or INTERNAL, which clients retry.
package func grpcStatus(_ status: Int) -> Int {
  switch status {
  case 400, 414, 417, 431: 3  // INVALID_ARGUMENT
  case 401: 16  // UNAUTHENTICATED
  case 403: 7  // PERMISSION_DENIED
  case 404, 405, 410, 501: 12  // UNIMPLEMENTED, as for an unknown method
  case 408, 504: 4  // DEADLINE_EXCEEDED
  case 413, 429: 8  // RESOURCE_EXHAUSTED
  case 502, 503: 14  // UNAVAILABLE
  case 400..<500: 9  // FAILED_PRECONDITION
  default: 13  // INTERNAL
  }
}

/// - Parameter message: printable ASCII; percent signs and other bytes are escaped.
func writeStatusResponse(
  _ response: SimpleResponse, message: UnsafeRawBufferPointer, into gather: inout Gather
) {
  var head = response
  let code = grpcStatus(response.status)
  head.status = 200
  head.contentType = ""
  let limit = head.headLimit + 128 + 3 * message.count
  withUnsafeTemporaryAllocation(byteCount: 128 + 3 * message.count, alignment: 8) { memory in
    var lines = TextWriter(memory.baseAddress!)
    lines.put("Content-Type: application/grpc\r\ngrpc-status: ")
    lines.put(decimal: UInt64(code))
    lines.put("\r\ngrpc-message: ")
    for byte in message {
      if byte >= 0x20, byte <= 0x7e, byte != 0x25 {
        lines.put(byte)
      } else {
        lines.put(0x25)
        for digit in [byte >> 4, byte & 15] { lines.put(digit < 10 ? digit + 0x30 : digit + 0x37) }
      }
    }
    lines.put("\r\n")
    var writer = TextWriter(gather.reserve(limit).baseAddress!)
    head.put(
      bodyBytes: 0,
      between: UnsafeRawBufferPointer(start: memory.baseAddress, count: lines.count),
      into: &writer)
    gather.commit(writer.count)
  }
}
