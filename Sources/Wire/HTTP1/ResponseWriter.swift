import HTTP
import Primitives

/// Writes the head of a backend's answer as it goes to the client, as one text: the status line of
/// HTTP/1.1, the end-to-end fields byte for byte in their order, and what concerns the connection.
///
/// - Parameters:
///   - bytes: the input that `head` was parsed from.
///   - framing: of the body as it goes to the client; `none` when none follows.
///   - close: this is the last answer on the client's connection.
///   - requestID: sent as X-Request-Id when the backend sent none. Empty: nothing is sent.
///   - extraFields: whole further field lines, each with its end.
package func writeResponse(
  _ head: borrowing ResponseHead, from bytes: UnsafeRawBufferPointer, framing: Framing, close: Bool,
  clientIsHTTP11: Bool,
  requestID: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
  extraFields: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
  into gather: inout Gather
) {
  let base = bytes.baseAddress!
  let limit = head.headBytes + 256 + requestID.count + extraFields.count
  var writer = TextWriter(gather.reserve(limit).baseAddress!)
  var changed = KnownField.hopByHop
  // What a HEAD or 304 answer says of the body that it leaves out is the client's to know.
  var framing = framing
  if !framing.hasBody, head.status >= 200, head.status != 204, let length = head.contentLength {
    framing = .length(length)
  }
  let isSame = head.contentLength.map { .length($0) == framing } ?? true
  let framingStays = isSame && head.fields.isFramingTidy(base, framing)
  if !framingStays { changed |= KnownField.contentLength.bit | KnownField.transferEncoding.bit }
  putHead(head, base, leavingOut: changed, &writer)

  if !framingStays { putFraming(framing, &writer) }
  if !requestID.isEmpty, !head.fields.has(.xRequestID) {
    writer.put("X-Request-Id: ")
    writer.put(requestID)
    writer.put("\r\n")
  }
  writer.put(extraFields)
  if head.isUpgrade {
    writer.put("Connection: upgrade\r\n")
    if let field = head.fields.first(.upgrade) {
      writer.put("Upgrade: ")
      writer.put(base, field.value)
      writer.put("\r\n")
    }
  } else if close {
    writer.put("Connection: close\r\n")
  } else if !clientIsHTTP11 {
    writer.put("Connection: keep-alive\r\n")
  }
  writer.put("\r\n")
  gather.commit(writer.count)
}

/// Writes an interim answer of a backend as it goes to a client that speaks HTTP/1.1.
package func writeInterim(
  _ head: borrowing ResponseHead, from bytes: UnsafeRawBufferPointer, into gather: inout Gather
) {
  let base = bytes.baseAddress!
  var writer = TextWriter(gather.reserve(head.headBytes + 64).baseAddress!)
  let changed =
    KnownField.hopByHop | KnownField.contentLength.bit | KnownField.transferEncoding.bit
  putHead(head, base, leavingOut: changed, &writer)
  writer.put("\r\n")
  gather.commit(writer.count)
}

/// Tells a client that waits to send its body.
package func writeContinue(into gather: inout Gather) {
  gather.append("HTTP/1.1 100 Continue\r\n\r\n")
}

/// The status line and the fields that leave as they came.
@inline(__always)
private func putHead(
  _ head: borrowing ResponseHead, _ base: UnsafeRawPointer, leavingOut changed: UInt64,
  _ writer: inout TextWriter
) {
  if head.isHTTP11, head.reason.start == 13 {
    head.fields.put(base, from: 0, leavingOut: changed, headEnd: head.headBytes, &writer)
    return
  }
  writer.put("HTTP/1.1 ")
  writer.put(decimal: UInt64(head.status))
  writer.put(ByteScan.space)
  writer.put(base, head.reason)
  writer.put("\r\n")
  head.fields.put(base, from: nil, leavingOut: changed, headEnd: head.headBytes, &writer)
}
