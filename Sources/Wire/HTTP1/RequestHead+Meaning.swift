import HTTP

/// What the fields of a request mean together. Runs once, when the head is whole.
extension RequestHead {
  mutating func understand(_ base: UnsafeRawPointer) -> Rejection? {
    framing = .none
    keepAlive = isHTTP11
    expectContinue = false
    upgrade = .none
    hasIdempotencyKey = false
    acceptsTrailers = false
    hasGoodRequestID = false
    if fields.hasUnderscore, fields.hasDisguise(base) { return .underscoreName }

    if let host = fields.first(.host) {
      if KnownField.host.isIn(fields.repeated) { return .duplicateHost }
      guard Authority.isValid(base, Int(host.value.start), Int(host.value.end)) else {
        return .hostInvalid
      }
      if !isAbsolute { authority = host.value }
    } else if isHTTP11 {
      return .missingHost
    }
    if let rejection = findFraming(base) { return rejection }
    if fields.has(.connection) || fields.has(.upgrade) {
      guard let options = fields.connectionOptions(base) else { return .connectionInvalid }
      if options.close {
        keepAlive = false
      } else if options.keepAlive {
        keepAlive = true
      }
      if options.upgrade, fields.has(.upgrade) { upgrade = wantedUpgrade(base) }
    }
    if fields.seen & Self.uncommon != 0 { return understandUncommon(base) }
    return nil
  }

  @inline(__always) private static var uncommon: UInt64 {
    KnownField.expect.bit | KnownField.te.bit | KnownField.idempotencyKey.bit
      | KnownField.xRequestID.bit
  }

  private mutating func understandUncommon(_ base: UnsafeRawPointer) -> Rejection? {
    if fields.has(.expect) {
      for index in 0..<fields.count where fields.storage[index].known == .expect {
        let value = fields.storage[index].value
        guard ByteScan.equal(base + Int(value.start), Int(value.count), "100-continue") else {
          return .expectationUnknown
        }
      }
      // A client on HTTP/1.0 does not understand the 100 (RFC 9110, 10.1.1).
      expectContinue = isHTTP11 && framing.hasBody
    }
    if fields.has(.te) {
      for index in 0..<fields.count where fields.storage[index].known == .te {
        if Self.listsTrailers(base, fields.storage[index].value) { acceptsTrailers = true }
      }
    }
    if let key = fields.first(.idempotencyKey) { hasIdempotencyKey = !key.value.isEmpty }
    if let id = fields.first(.xRequestID) {
      hasGoodRequestID =
        !KnownField.xRequestID.isIn(fields.repeated) && !id.value.isEmpty
        && id.value.count <= Self.requestIDLimit
      for position in Int(id.value.start)..<Int(id.value.end)
      where base[position] < 0x21 || base[position] > 0x7e {
        hasGoodRequestID = false
      }
    }
    return nil
  }

  private mutating func findFraming(_ base: UnsafeRawPointer) -> Rejection? {
    let wanted = KnownField.contentLength.bit | KnownField.transferEncoding.bit
    let found = fields.seen & wanted
    if found == 0 { return nil }
    if found == wanted { return .lengthAndChunked }
    if let length = fields.first(.contentLength) {
      if KnownField.contentLength.isIn(fields.repeated) { return .contentLengthConflict }
      guard let bytes = FieldList.contentLength(base, length.value) else {
        return .contentLengthInvalid
      }
      framing = .length(bytes)
      return nil
    }
    if let coding = fields.first(.transferEncoding) {
      if !isHTTP11 { return .chunkedByHTTP10 }
      if KnownField.transferEncoding.isIn(fields.repeated) || coding.value.isEmpty {
        return .transferEncodingInvalid
      }
      guard ByteScan.equal(base + Int(coding.value.start), Int(coding.value.count), "chunked")
      else { return .transferEncodingUnknown }
      framing = .chunked
    }
    return nil
  }

  /// An element of TE is `trailers`. Weights and other codings are of no use to us.
  private static func listsTrailers(_ base: UnsafeRawPointer, _ value: ByteRange) -> Bool {
    var position = Int(value.start)
    let end = Int(value.end)
    while position < end {
      let start = position
      while position < end, base[position] != 0x2c { position += 1 }
      var from = start
      var to = position
      while from < to, base[from] == ByteScan.space || base[from] == ByteScan.tab { from += 1 }
      while to > from, base[to - 1] == ByteScan.space || base[to - 1] == ByteScan.tab { to -= 1 }
      if ByteScan.equal(base + from, to - from, "trailers") { return true }
      position += 1
    }
    return false
  }

  /// What may be switched to. A wish that is not well-formed is ignored, as RFC 9110, 7.8 allows:
  /// the request is then forwarded without it, and a 101 is not taken from the backend.
  ///
  /// `h2c` is ignored too: behind us the connection would carry requests that we do not see. So is
  /// everything that comes with a body, since nobody knows in which protocol it is.
  private func wantedUpgrade(_ base: UnsafeRawPointer) -> Upgrade {
    guard isHTTP11, method == .get, !framing.hasBody,
      !KnownField.upgrade.isIn(fields.repeated), let field = fields.first(.upgrade)
    else { return .none }
    let text = base + Int(field.value.start)
    let count = Int(field.value.count)
    if ByteScan.equal(text, count, "websocket") {
      return isWebSocketHandshake(base) ? .websocket : .none
    }
    guard count > 0, !ByteScan.equal(text, min(count, 2), "h2") else { return .none }
    if count >= 4, ByteScan.equal(text, 4, "http") || ByteScan.equal(text, 4, "tls/") {
      return .none
    }
    for index in 0..<count where !ByteScan.isToken(text[index]) && text[index] != 0x2f {
      return .none
    }
    return .other
  }

  /// RFC 6455, 4.1: version 13 and a key of sixteen bytes in base64.
  private func isWebSocketHandshake(_ base: UnsafeRawPointer) -> Bool {
    let single = KnownField.secWebSocketKey.bit | KnownField.secWebSocketVersion.bit
    guard fields.seen & single == single, fields.repeated & single == 0,
      let version = fields.first(.secWebSocketVersion), version.value.count == 2,
      base[Int(version.value.start)] == 0x31, base[Int(version.value.start) + 1] == 0x33,
      let key = fields.first(.secWebSocketKey), key.value.count == 24
    else { return false }
    let text = base + Int(key.value.start)
    for index in 0..<22 {
      let byte = text[index]
      guard ByteScan.isLetter(byte) || ByteScan.isDigit(byte) || byte == 0x2b || byte == 0x2f
      else { return false }
    }
    return text[22] == 0x3d && text[23] == 0x3d
  }
}
