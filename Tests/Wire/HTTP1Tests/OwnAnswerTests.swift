import HTTP
import Primitives
import Testing

@testable import HTTP1

@Suite struct OwnAnswerTests {
  private func text(_ write: (inout Gather) -> Void) -> String {
    var gather = Gather()
    write(&gather)
    return spelled(gather.contents)
  }

  /// A refusal as the client sees it.
  @Test func rejection() {
    let body =
      "{\"error\":{\"message\":\"There is more than one Host field; send exactly one.\","
      + "\"type\":\"invalid_request_error\",\"code\":\"duplicate_host\"}}\n"
    let head =
      "HTTP/1.1 400 Bad Request⏎Content-Type: application/json⏎Content-Length: \(body.utf8.count)⏎"
      + "Connection: close⏎⏎"
    #expect(text { writeRejection(.duplicateHost, into: &$0) } == head + body)
    #expect(text { writeRejection(.duplicateHost, answersHead: true, into: &$0) } == head)
    #expect(
      text { writeRejection(.traceRefused, into: &$0) }.contains(
        "⏎Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS⏎"))
  }

  /// Every part of an answer of our own.
  @Test func simpleResponse() {
    Array("id-1".utf8).withUnsafeBytes { id in
      var response = SimpleResponse(
        status: 503, close: false, clientIsHTTP11: false, retryAfterSeconds: 7, requestID: id,
        extraFields: "X: y\r\n")
      #expect(
        text { writeErrorResponse(response, code: "no_member", message: "Wait.", into: &$0) }
          == "HTTP/1.1 503 Service Unavailable⏎Content-Type: application/json⏎Content-Length: 71⏎"
          + "Retry-After: 7⏎X-Request-Id: id-1⏎X: y⏎Connection: keep-alive⏎⏎"
          + "{\"error\":{\"message\":\"Wait.\",\"type\":\"server_error\",\"code\":\"no_member\"}}\n"
      )
      response = SimpleResponse(status: 200, contentType: "text/plain", close: false)
      Array("ok\n".utf8).withUnsafeBytes { body in
        #expect(
          text { writeSimpleResponse(response, body: body, into: &$0) }
            == "HTTP/1.1 200 OK⏎Content-Type: text/plain⏎Content-Length: 3⏎⏎ok\n")
      }
      response = SimpleResponse(status: 204, close: true)
      let empty = UnsafeRawBufferPointer(start: nil, count: 0)
      #expect(
        text { writeSimpleResponse(response, body: empty, into: &$0) }
          == "HTTP/1.1 204 No Content⏎Connection: close⏎⏎")
      response = SimpleResponse(status: 299, close: false)
      #expect(
        text { writeSimpleResponse(response, body: empty, into: &$0) }
          == "HTTP/1.1 299 ⏎Content-Length: 0⏎⏎")
    }
    #expect(text { writeContinue(into: &$0) } == "HTTP/1.1 100 Continue⏎⏎")
  }

  /// Reasons are told apart in metrics, can stand in JSON, and have a status with a name.
  @Test func rejections() {
    let labels = Rejection.allCases.map { "\($0.label)" }
    #expect(Set(labels).count == labels.count)
    for rejection in Rejection.allCases {
      let label = "\(rejection.label)"
      #expect(label.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" })
      let text = "\(rejection.text)"
      #expect(text.hasSuffix(".") && !text.contains("\"") && !text.contains("\\"))
      #expect(reasonPhrase(rejection.status).utf8CodeUnitCount > 0)
    }
  }

  /// Numbers in text, at their edges.
  @Test(arguments: [0, 1, 9, 10, 15, 16, 255, 256, 1_000, UInt64(Int64.max), UInt64.max])
  func numbers(_ number: UInt64) {
    withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { buffer in
      var writer = TextWriter(buffer.baseAddress!)
      writer.put(decimal: number)
      #expect(spelled(buffer[..<writer.count]) == "\(number)")
      #expect(writer.count <= TextWriter.decimalLimit)
      writer = TextWriter(buffer.baseAddress!)
      writer.put(hex: number)
      #expect(spelled(buffer[..<writer.count]) == String(number, radix: 16))
      #expect(writer.count <= TextWriter.hexLimit)
    }
  }
}
