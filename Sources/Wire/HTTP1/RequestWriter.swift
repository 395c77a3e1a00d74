import HTTP
import Primitives

/// What a forwarded request says about the way it came, besides what the client said.
package struct Forwarding {
  /// The peer's address as text, IPv6 without brackets. Empty for a Unix socket: nothing is said.
  package var clientAddress: UnsafeRawBufferPointer
  /// What the peer says about where the request came from is kept and extended; otherwise it is
  /// dropped, for a client could write anything there.
  package var keepForwarded: Bool
  /// The request came over TLS.
  package var isSecure: Bool
  /// Sent as X-Request-Id when the client sent none that can be kept. Empty: nothing is sent.
  package var requestID: UnsafeRawBufferPointer
  /// `Host` when the client sent none (HTTP/1.0). Empty: `localhost`.
  package var fallbackHost: UnsafeRawBufferPointer
  /// Ask the backend for what the client wants to switch to.
  package var upgrade: Bool
  /// The field that says who the client is, and the name that its certificate has been verified to
  /// carry. Empty: nothing is said.
  package var clientNameField = UnsafeRawBufferPointer(start: nil, count: 0)
  package var clientName = UnsafeRawBufferPointer(start: nil, count: 0)
  /// Of the body as it goes upstream.
  package var framing: Framing
  /// Pass `Expect: 100-continue` on, because the backend shall decide.
  package var forwardExpect: Bool
  /// Whole further field lines, each with its end.
  package var extraFields: UnsafeRawBufferPointer

  package init(
    clientAddress: UnsafeRawBufferPointer, keepForwarded: Bool = false, isSecure: Bool = false,
    requestID: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
    fallbackHost: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
    upgrade: Bool = false, framing: Framing, forwardExpect: Bool = false,
    extraFields: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
  ) {
    self.clientAddress = clientAddress
    self.keepForwarded = keepForwarded
    self.isSecure = isSecure
    self.requestID = requestID
    self.fallbackHost = fallbackHost
    self.upgrade = upgrade
    self.framing = framing
    self.forwardExpect = forwardExpect
    self.extraFields = extraFields
  }
}

/// Writes the head as it goes to a backend, as one text.
///
/// ```
/// METHOD target HTTP/1.1   Host   the client's end-to-end fields, byte for byte, in their order
/// X-Forwarded-For   X-Forwarded-Proto   [Forwarded]   [X-Request-Id]   framing   [Connection]
/// ```
///
/// What already stands as it must be leaves in one copy: usually everything the client sent.
/// X-Forwarded-Host is not made, since `Host` itself reaches the backend unchanged.
///
/// - Parameter bytes: the input that `head` was parsed from.
package func writeRequest(
  _ head: borrowing RequestHead, from bytes: UnsafeRawBufferPointer, _ forwarding: Forwarding,
  into gather: inout Gather
) {
  let base = bytes.baseAddress!
  let limit =
    2 * head.headBytes + 512 + 3 * forwarding.clientAddress.count + forwarding.requestID.count
    + forwarding.fallbackHost.count + forwarding.clientNameField.count
    + forwarding.clientName.count + forwarding.extraFields.count
  var writer = TextWriter(gather.reserve(limit).baseAddress!)

  // Fields that do not leave as they came.
  var changed = KnownField.hopByHop | KnownField.expect.bit
  if forwarding.keepForwarded {
    changed |= KnownField.xForwardedFor.bit | KnownField.forwarded.bit
  } else {
    changed |= KnownField.forwarding
  }
  if !head.hasGoodRequestID { changed |= KnownField.xRequestID.bit }
  let framingStays =
    forwarding.framing == head.framing && head.fields.isFramingTidy(base, head.framing)
  if !framingStays { changed |= KnownField.contentLength.bit | KnownField.transferEncoding.bit }

  // The request line, and Host behind it.
  let methodStart = Int(head.methodRange.start)
  if !head.isAbsolute, head.isHTTP11, head.fields[0].known == .host,
    head.fields[0].isTidy(base)
  {
    head.fields.put(base, from: methodStart, leavingOut: changed, headEnd: head.headBytes, &writer)
  } else {
    writer.put(base, head.methodRange)
    writer.put(ByteScan.space)
    if head.tail.isEmpty {
      // RFC 9112, 3.2.4: OPTIONS for a whole server has no path.
      writer.put(head.method == .options ? 0x2a : 0x2f)
    } else {
      if base[Int(head.tail.start)] == 0x3f { writer.put(0x2f) }
      writer.put(base, head.tail)
    }
    writer.put(" HTTP/1.1\r\nHost: ")
    if head.authority.isEmpty {
      writer.put(forwarding.fallbackHost)
      if forwarding.fallbackHost.isEmpty { writer.put("localhost") }
    } else {
      writer.put(base, head.authority)
    }
    writer.put("\r\n")
    head.fields.put(
      base, from: nil, leavingOut: changed | KnownField.host.bit, headEnd: head.headBytes, &writer)
  }

  putOrigin(head, base, forwarding, &writer)
  writer.put(forwarding.extraFields)
  if !head.hasGoodRequestID, !forwarding.requestID.isEmpty {
    writer.put("X-Request-Id: ")
    writer.put(forwarding.requestID)
    writer.put("\r\n")
  }
  if !forwarding.clientNameField.isEmpty {
    writer.put(forwarding.clientNameField)
    writer.put(": ")
    writer.put(forwarding.clientName)
    writer.put("\r\n")
  }
  if !framingStays { putFraming(forwarding.framing, &writer) }
  if forwarding.forwardExpect, head.expectContinue {
    writer.put("Expect: 100-continue\r\n")
  }
  if forwarding.upgrade, head.upgrade != .none, let wish = head.fields.first(.upgrade) {
    writer.put("Connection: upgrade\r\nUpgrade: ")
    writer.put(base, wish.value)
    writer.put("\r\n")
  } else if head.acceptsTrailers {
    // RFC 9110, 10.1.4: whoever sends TE names it in Connection.
    writer.put("TE: trailers\r\nConnection: TE\r\n")
  }
  writer.put("\r\n")
  gather.commit(writer.count)
}

/// Where the request came from.
private func putOrigin(
  _ head: borrowing RequestHead, _ base: UnsafeRawPointer, _ forwarding: Forwarding,
  _ writer: inout TextWriter
) {
  let trusted = forwarding.keepForwarded ? head.fields.seen : 0
  let address = forwarding.clientAddress
  if KnownField.xForwardedFor.isIn(trusted) {
    writer.put("X-Forwarded-For: ")
    head.fields.putJoined(base, .xForwardedFor, &writer)
    if !address.isEmpty {
      writer.put(", ")
      writer.put(address)
    }
    writer.put("\r\n")
  } else if !address.isEmpty {
    writer.put("X-Forwarded-For: ")
    writer.put(address)
    writer.put("\r\n")
  }
  if !KnownField.xForwardedProto.isIn(trusted) {
    writer.put(
      forwarding.isSecure
        ? "X-Forwarded-Proto: https\r\n" : "X-Forwarded-Proto: http\r\n")
  }
  if KnownField.forwarded.isIn(trusted) {
    writer.put("Forwarded: ")
    head.fields.putJoined(base, .forwarded, &writer)
    if !address.isEmpty {
      let isIPv6 = address.contains(ByteScan.colon)
      writer.put(isIPv6 ? ", for=\"[" : ", for=")
      writer.put(address)
      if isIPv6 { writer.put("]\"") }
      writer.put(forwarding.isSecure ? ";proto=https" : ";proto=http")
    }
    writer.put("\r\n")
  }
}

/// The one field that says where the body ends.
func putFraming(_ framing: Framing, _ writer: inout TextWriter) {
  switch framing {
  case .none, .untilClose: break
  case .chunked: writer.put("Transfer-Encoding: chunked\r\n")
  case .length(let bytes):
    writer.put("Content-Length: ")
    writer.put(decimal: bytes)
    writer.put("\r\n")
  }
}

extension Field {
  /// Stands in the input as `Name: value` or `Name:value` and the end of the line.
  @inline(__always) func isTidy(_ base: UnsafeRawPointer) -> Bool {
    let gap = value.start &- name.end
    return (gap == 1 || (gap == 2 && base[Int(name.end) &+ 1] == ByteScan.space))
      && base[Int(value.end)] == ByteScan.cr
  }
}

extension FieldList {
  /// The framing field can be forwarded as it stands.
  @inline(__always)
  func isFramingTidy(_ base: UnsafeRawPointer, _ framing: Framing) -> Bool {
    switch framing {
    case .none, .untilClose: return !has(.contentLength) && !has(.transferEncoding)
    case .length:
      guard let field = first(.contentLength) else { return false }
      return field.isTidy(base)
    case .chunked:
      // In lower case: backends compare it in all ways.
      guard let field = first(.transferEncoding), field.isTidy(base), field.value.count == 7
      else { return false }
      let wanted: StaticString = "chunked"
      for offset in 0..<7 where base[Int(field.value.start) + offset] != wanted.utf8Start[offset] {
        return false
      }
      return true
    }
  }

  /// Copies the lines of all fields that are not in `leavingOut` and not nominated by `Connection`,
  /// as runs. When `from` is given, what stands between it and the first field is copied too.
  @inline(__always)
  func put(
    _ base: UnsafeRawPointer, from: Int?, leavingOut: UInt64, headEnd: Int,
    _ writer: inout TextWriter
  ) {
    let linesEnd = headEnd &- 2
    guard count > 0 else {
      if let from { writer.put(base, ByteRange(from, linesEnd)) }
      return
    }
    var runStart = from ?? Int(storage[0].name.start)
    if seen & leavingOut != 0 || hasNominated {
      for index in 0..<count
      where storage[index].known.isIn(leavingOut) || storage[index].isNominated {
        let lineStart = Int(storage[index].name.start)
        if lineStart > runStart { writer.put(base, ByteRange(runStart, lineStart)) }
        runStart = index &+ 1 < count ? Int(storage[index &+ 1].name.start) : linesEnd
      }
    }
    if linesEnd > runStart { writer.put(base, ByteRange(runStart, linesEnd)) }
  }

  /// The values of all fields of this kind as one list.
  func putJoined(_ base: UnsafeRawPointer, _ known: KnownField, _ writer: inout TextWriter) {
    var isFirst = true
    for index in 0..<count where storage[index].known == known {
      if storage[index].value.isEmpty { continue }
      if !isFirst { writer.put(", ") }
      writer.put(base, storage[index].value)
      isFirst = false
    }
  }
}
