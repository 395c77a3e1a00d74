import HTTP
import Primitives

/// What a short answer of our own says besides its body.
package struct SimpleResponse {
  package var status: Int
  /// Empty when there is no body.
  package var contentType: StaticString
  /// This is the last answer on the connection.
  package var close: Bool
  /// The answer is one to HEAD: the body is announced and left out.
  package var answersHead: Bool
  /// The client speaks HTTP/1.1: staying open needs no word.
  package var clientIsHTTP11: Bool
  /// Sent as Retry-After. Seconds.
  package var retryAfterSeconds: UInt32?
  /// Sent as X-Request-Id unless empty.
  package var requestID: UnsafeRawBufferPointer
  /// Whole further field lines, each with its line end.
  package var extraFields: StaticString
  /// The same, of texts that are made for the request.
  package var fields: UnsafeRawBufferPointer
  /// The client speaks gRPC: an error is one in its status, not in ours.
  package var isGRPC: Bool

  package init(
    status: Int, contentType: StaticString = "application/json", close: Bool,
    answersHead: Bool = false, clientIsHTTP11: Bool = true, retryAfterSeconds: UInt32? = nil,
    requestID: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
    extraFields: StaticString = "",
    fields: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
    isGRPC: Bool = false
  ) {
    self.status = status
    self.contentType = contentType
    self.close = close
    self.answersHead = answersHead
    self.clientIsHTTP11 = clientIsHTTP11
    self.retryAfterSeconds = retryAfterSeconds
    self.requestID = requestID
    self.extraFields = extraFields
    self.fields = fields
    self.isGRPC = isGRPC
  }

  /// Methods that are not refused as such (RFC 9110, 15.5.6: a 405 says which).
  private static var allow: StaticString {
    "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
  }

  /// Bytes that everything but the body may take.
  var headLimit: Int {
    512 + requestID.count + extraFields.utf8CodeUnitCount + fields.count
  }

  /// - Parameter between: further lines, before those that concern the connection.
  func put(
    bodyBytes: Int,
    between: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
    into writer: inout TextWriter
  ) {
    writer.put("HTTP/1.1 ")
    writer.put(decimal: UInt64(status))
    writer.put(ByteScan.space)
    writer.put(reasonPhrase(status))
    writer.put("\r\n")
    if bodyBytes > 0 {
      writer.put("Content-Type: ")
      writer.put(contentType)
      writer.put("\r\n")
    }
    if status != 204, status != 304 { putFraming(.length(UInt64(bodyBytes)), &writer) }
    if status == 405 { writer.put(Self.allow) }
    if let retryAfterSeconds {
      writer.put("Retry-After: ")
      writer.put(decimal: UInt64(retryAfterSeconds))
      writer.put("\r\n")
    }
    if !requestID.isEmpty {
      writer.put("X-Request-Id: ")
      writer.put(requestID)
      writer.put("\r\n")
    }
    writer.put(extraFields)
    writer.put(fields)
    writer.put(between)
    if close {
      writer.put("Connection: close\r\n")
    } else if !clientIsHTTP11 {
      writer.put("Connection: keep-alive\r\n")
    }
    writer.put("\r\n")
  }
}

/// Writes a whole answer of our own.
package func writeSimpleResponse(
  _ response: SimpleResponse, body: UnsafeRawBufferPointer, into gather: inout Gather
) {
  var writer = TextWriter(gather.reserve(response.headLimit + body.count).baseAddress!)
  response.put(bodyBytes: body.count, into: &writer)
  if !response.answersHead { writer.put(body) }
  gather.commit(writer.count)
}

/// Writes an error of our own in the shape that clients of inference APIs know:
/// `{"error":{"message":…,"type":…,"code":…}}` and a line feed; for a client that speaks gRPC, as a
/// gRPC status.
///
/// - Parameters:
///   - code: what logs and metrics call it too.
///   - message: what is wrong and what to change. No quotes and no backslashes.
///   - detail: more about it, put behind the message. Likewise.
package func writeErrorResponse(
  _ response: SimpleResponse, code: StaticString, message: StaticString,
  detail: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
  into gather: inout Gather
) {
  let bytes = UnsafeRawBufferPointer(start: message.utf8Start, count: message.utf8CodeUnitCount)
  writeErrorResponse(response, code: code, message: bytes, detail: detail, into: &gather)
}

/// The same, with a message that is made for the request.
package func writeErrorResponse(
  _ response: SimpleResponse, code: StaticString, message: UnsafeRawBufferPointer,
  detail: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
  into gather: inout Gather
) {
  if response.isGRPC {
    writeStatusResponse(response, message: message, into: &gather)
    return
  }
  let type: StaticString =
    switch response.status {
    case 401: "authentication_error"
    case 403: "permission_error"
    case 404: "not_found_error"
    case 429: "rate_limit_error"
    case 400..<500: "invalid_request_error"
    default: "server_error"
    }
  let start: StaticString = "{\"error\":{\"message\":\""
  let middle: StaticString = "\",\"type\":\""
  let last: StaticString = "\",\"code\":\""
  let end: StaticString = "\"}}\n"
  let detailBytes = detail.isEmpty ? 0 : detail.count + 1
  let bodyBytes =
    detailBytes + start.utf8CodeUnitCount + message.count + middle.utf8CodeUnitCount
    + type.utf8CodeUnitCount + last.utf8CodeUnitCount + code.utf8CodeUnitCount
    + end.utf8CodeUnitCount
  var writer = TextWriter(gather.reserve(response.headLimit + bodyBytes).baseAddress!)
  response.put(bodyBytes: bodyBytes, into: &writer)
  if !response.answersHead {
    writer.put(start)
    writer.put(message)
    if !detail.isEmpty {
      writer.put(ByteScan.space)
      writer.put(detail)
    }
    for text in [middle, type, last, code, end] { writer.put(text) }
  }
  gather.commit(writer.count)
}

/// Writes the answer to a request that the parser refused; the connection closes after it.
package func writeRejection(
  _ rejection: Rejection, answersHead: Bool = false,
  requestID: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
  into gather: inout Gather
) {
  let response = SimpleResponse(
    status: rejection.status, close: true, answersHead: answersHead, requestID: requestID)
  writeErrorResponse(response, code: rejection.label, message: rejection.text, into: &gather)
}
