import HTTP

/// The head of a backend's answer, parsed where it stands, as strictly as a request: what the client
/// might frame differently is refused, and the backend's connection with it.
@usableFromInline
package struct ResponseHead: ~Copyable {
  @usableFromInline package internal(set) var status = 0
  @usableFromInline package internal(set) var isHTTP11 = true
  /// May be empty, and may hold bytes over 0x7f.
  @usableFromInline package internal(set) var reason = ByteRange.empty
  @usableFromInline package internal(set) var headBytes = 0
  /// Of the bytes that follow. `none` for answers to HEAD, and for 1xx, 204 and 304.
  @usableFromInline package internal(set) var framing = Framing.none
  /// Content-Length as the backend said it, also where no body follows: HEAD and 304.
  @usableFromInline package internal(set) var contentLength: UInt64?
  /// The connection may serve again once the body has come whole.
  @usableFromInline package internal(set) var keepAlive = true
  /// From `Keep-Alive: timeout=`. Seconds.
  @usableFromInline package internal(set) var keepAliveSeconds: UInt32?
  /// From `Retry-After`. Seconds; nil also when it is a date.
  @usableFromInline package internal(set) var retryAfterSeconds: UInt32?
  /// Media type with its parameters. Empty when there is none.
  @usableFromInline package internal(set) var contentType = ByteRange.empty
  /// The answer is a stream of server-sent events.
  @usableFromInline package internal(set) var isEventStream = false
  @usableFromInline package internal(set) var fields: FieldList

  /// The body was asked to be left out: the answer is one to HEAD.
  var answersHead = false

  /// - Parameter fieldCapacity: fields to have room for at once; more are made room for once.
  package init(fieldCapacity: Int) {
    fields = FieldList(capacity: fieldCapacity)
  }

  /// 1xx except 101: another answer follows.
  @inlinable package var isInterim: Bool { status < 200 && status != 101 }

  /// 101: what follows is another protocol. Only good when the request asked for it.
  @inlinable package var isUpgrade: Bool { status == 101 }

  /// The value of the first field of this kind.
  package func value(of known: KnownField) -> ByteRange? { fields.first(known)?.value }

  /// The value of the first field with this name. The name is given in lower case.
  package func value(named name: StaticString, in bytes: UnsafeRawBufferPointer) -> ByteRange? {
    guard let base = bytes.baseAddress else { return nil }
    return fields.first(named: name, in: base)?.value
  }

  /// Whether bytes that have come behind `seen` others may change an `incomplete` result; see
  /// `RequestHead.worthParsing`.
  package static func worthParsing(
    newBytes: UnsafeRawBufferPointer, seen: Int, limits: HeadLimits
  ) -> Bool {
    RequestHead.isHeadWorthParsing(newBytes: newBytes, seen: seen, limits: limits)
  }

  /// Parses from the first byte of an answer. May be called again with more bytes.
  package mutating func parse(
    _ bytes: UnsafeRawBufferPointer, limits: HeadLimits, requestMethod: Method
  ) -> HeadResult {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return .incomplete }
    let end = min(bytes.count, limits.headBytes)
    func short() -> HeadResult {
      bytes.count >= limits.headBytes ? .rejected(.headTooLarge) : .incomplete
    }
    // "HTTP/1.1 200": twelve bytes, then a space and the reason, or the end of the line.
    guard end > 12 else { return Self.couldBegin(base, end) ? short() : malformed() }
    let version = base.loadUnaligned(as: UInt64.self).littleEndian
    if version == 0x312e_312f_5054_5448 {
      isHTTP11 = true
    } else if version == 0x302e_312f_5054_5448 {
      isHTTP11 = false
    } else {
      return malformed()
    }
    let hundreds = base[9] &- 0x30
    let tens = base[10] &- 0x30
    let ones = base[11] &- 0x30
    guard base[8] == ByteScan.space, hundreds <= 9, tens <= 9, ones <= 9 else {
      return malformed()
    }
    guard hundreds >= 1, hundreds <= 5 else { return .rejected(.statusInvalid) }
    status = Int(hundreds) &* 100 &+ Int(tens) &* 10 &+ Int(ones)

    var position = 12
    if base[12] == ByteScan.space {
      position = 13
    } else if base[12] != ByteScan.cr {
      // Some servers leave out the space before an empty reason; nothing else may stand there.
      return base[12] == ByteScan.lf ? .rejected(.bareLF) : malformed()
    }
    let reasonStart = position
    position = ByteScan.firstControl(base, from: position, to: end)
    while position < end, base[position] == ByteScan.tab {
      position = ByteScan.firstControl(base, from: position &+ 1, to: end)
    }
    guard position < end else { return short() }
    guard base[position] == ByteScan.cr else {
      return .rejected(base[position] == ByteScan.lf ? .bareLF : .controlByte)
    }
    guard position &+ 1 < end else { return short() }
    guard base[position &+ 1] == ByteScan.lf else { return .rejected(.bareCR) }
    reason = ByteRange(reasonStart, position)

    switch fields.scan(base, from: position &+ 2, to: end, limit: limits.fields) {
    case .incomplete: return short()
    case .rejected(let rejection): return .rejected(rejection)
    case .complete(let headEnd): headBytes = headEnd
    }
    if let rejection = understand(base, requestMethod) { return .rejected(rejection) }
    return .complete
  }

  private func malformed() -> HeadResult { .rejected(.statusLineMalformed) }

  /// The few bytes so far may begin a status line.
  private static func couldBegin(_ base: UnsafeRawPointer, _ count: Int) -> Bool {
    let pattern: StaticString = "HTTP/1.0 000"
    for offset in 0..<min(count, 12) {
      let wanted = pattern.utf8Start[offset]
      if wanted == 0x30 ? !ByteScan.isDigit(base[offset]) : base[offset] != wanted {
        return false
      }
    }
    return true
  }

  // MARK: What the fields mean together

  private mutating func understand(_ base: UnsafeRawPointer, _ method: Method) -> Rejection? {
    answersHead = method == .head
    contentLength = nil
    keepAliveSeconds = nil
    retryAfterSeconds = nil
    contentType = .empty
    isEventStream = false
    keepAlive = isHTTP11
    if let rejection = findFraming(base) { return rejection }
    if fields.has(.connection) {
      guard let options = fields.connectionOptions(base) else { return .connectionInvalid }
      if options.close {
        keepAlive = false
      } else if options.keepAlive {
        keepAlive = true
      }
    }
    if isUpgrade || framing == .untilClose || saysImpossibleBody { keepAlive = false }
    if let type = fields.first(.contentType) {
      contentType = type.value
      isEventStream = Self.isEventStream(base, type.value)
    }
    if let field = fields.first(.keepAlive) {
      keepAliveSeconds = Self.timeout(base, field.value)
    }
    if let field = fields.first(.retryAfter) {
      keepRetryAfter(base, field.value)
    }
    return nil
  }

  /// 204 and 304 have no body whatever they say. When one announces bytes all the same, nobody can
  /// know whether they come: the connection is not used again.
  private var saysImpossibleBody: Bool {
    switch status {
    case 204: fields.has(.transferEncoding) || (contentLength ?? 0) > 0
    case 304: fields.has(.transferEncoding)
    default: false
    }
  }

  private mutating func findFraming(_ base: UnsafeRawPointer) -> Rejection? {
    framing = .none
    let hasLength = fields.has(.contentLength)
    let hasCoding = fields.has(.transferEncoding)
    if hasLength, hasCoding { return .lengthAndChunked }
    if let length = fields.first(.contentLength) {
      if KnownField.contentLength.isIn(fields.repeated) { return .contentLengthConflict }
      guard let bytes = FieldList.contentLength(base, length.value) else {
        return .contentLengthInvalid
      }
      contentLength = bytes
    }
    if let coding = fields.first(.transferEncoding) {
      if !isHTTP11 { return .chunkedByHTTP10 }
      if KnownField.transferEncoding.isIn(fields.repeated) || coding.value.isEmpty {
        return .transferEncodingInvalid
      }
      guard ByteScan.equal(base + Int(coding.value.start), Int(coding.value.count), "chunked")
      else { return .transferEncodingUnknown }
    }
    if status < 200 {
      // RFC 9110, 8.6 and 15.2: no body, and none may be announced. A zero harms nobody.
      return hasCoding || (contentLength ?? 0) > 0 ? .bodyInInterim : nil
    }
    if answersHead || status == 204 || status == 304 { return nil }
    if hasCoding {
      framing = .chunked
    } else if let contentLength {
      framing = .length(contentLength)
    } else {
      framing = .untilClose
    }
    return nil
  }

  private static func isEventStream(_ base: UnsafeRawPointer, _ value: ByteRange) -> Bool {
    let name: StaticString = "text/event-stream"
    let length = name.utf8CodeUnitCount
    guard Int(value.count) >= length, base[Int(value.start) + 4] == 0x2f,
      ByteScan.equal(base + Int(value.start), length, name)
    else { return false }
    guard Int(value.count) > length else { return true }
    let next = base[Int(value.start) + length]
    return next == 0x3b || next == ByteScan.space || next == ByteScan.tab
  }

  /// The number behind `timeout=` in a Keep-Alive field.
  private static func timeout(_ base: UnsafeRawPointer, _ value: ByteRange) -> UInt32? {
    let name: StaticString = "timeout"
    let length = name.utf8CodeUnitCount
    var position = Int(value.start)
    let end = Int(value.end)
    while position + length < end {
      if ByteScan.equal(base + position, length, name), base[position + length] == 0x3d {
        return seconds(base, position + length + 1, end)
      }
      while position < end, base[position] != 0x2c { position += 1 }
      position += 1
      while position < end, base[position] == ByteScan.space { position += 1 }
    }
    return nil
  }

  private mutating func keepRetryAfter(_ base: UnsafeRawPointer, _ value: ByteRange) {
    for position in Int(value.start)..<Int(value.end) where !ByteScan.isDigit(base[position]) {
      return
    }
    retryAfterSeconds = Self.seconds(base, Int(value.start), Int(value.end))
  }

  /// The digits that stand here as seconds, at most a million; nil when there are none.
  private static func seconds(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> UInt32? {
    var position = start
    var seconds: UInt32 = 0
    while position < end, ByteScan.isDigit(base[position]) {
      seconds = min(seconds &* 10 &+ UInt32(base[position] &- 0x30), 1_000_000)
      position += 1
    }
    return position > start ? seconds : nil
  }
}
