import HTTP

/// What a client asks to switch to, when that is possible and asked for correctly.
@frozen
@usableFromInline
package enum Upgrade: UInt8, Sendable {
  case none
  case websocket
  case other
}

/// A request head, parsed where it stands. Holds ranges, not bytes: pass the same input to whatever
/// reads them. One per loop; its memory is used again, so nothing is allocated per request.
///
/// ```
/// bytes --request line--> target --fields--> empty line --meaning--> complete
///    '-------- at the first wrong byte or limit: rejected --------'
/// ```
///
/// Strict on purpose: what two parsers might read differently is refused, whoever would be right.
@usableFromInline
package struct RequestHead: ~Copyable {
  @usableFromInline package internal(set) var method = Method.other
  @usableFromInline package internal(set) var methodRange = ByteRange.empty
  /// As it came.
  @usableFromInline package internal(set) var target = ByteRange.empty
  /// What rules are applied to: without query, byte-exact as forwarded. Empty stands for `/`, and
  /// `*` (OPTIONS only) for itself.
  @usableFromInline package internal(set) var path = ByteRange.empty
  @usableFromInline package internal(set) var query = ByteRange.empty
  /// Host and port whom the request is for, as forwarded. Empty only for HTTP/1.0 without Host.
  ///
  /// That of a target in absolute form wins over `Host`, as RFC 9112, 3.2.2 wants: routing and the
  /// backend both see this one and no other.
  @usableFromInline package internal(set) var authority = ByteRange.empty
  @usableFromInline package internal(set) var isHTTP11 = true
  /// Bytes from the start of the input to the end of the head, an empty line before it included.
  @usableFromInline package internal(set) var headBytes = 0
  @usableFromInline package internal(set) var framing = Framing.none
  /// The client keeps its connection open after the answer.
  @usableFromInline package var keepAlive = true
  /// There is a body, and the client waits for 100 before it sends it.
  @usableFromInline package internal(set) var expectContinue = false
  @usableFromInline package internal(set) var upgrade = Upgrade.none
  @usableFromInline package internal(set) var hasIdempotencyKey = false
  @usableFromInline package internal(set) var fields: FieldList

  /// Path and query as forwarded; begins with `?` when the path is empty.
  var tail = ByteRange.empty
  var isAbsolute = false
  /// `TE` lists `trailers`.
  var acceptsTrailers = false
  /// There is exactly one X-Request-Id, and it may be kept.
  var hasGoodRequestID = false

  /// - Parameter fieldCapacity: fields to have room for at once; more are made room for once.
  package init(fieldCapacity: Int) {
    fields = FieldList(capacity: fieldCapacity)
  }

  /// Longest method. Bytes. The longest registered one, UPDATEREDIRECTREF, has 17.
  static let methodLimit = 32
  /// Longest X-Request-Id that is kept. Bytes. Room for a UUID or a trace with its parents.
  static let requestIDLimit = 128

  // MARK: Asking

  /// The value of the first field of this kind.
  package func value(of known: KnownField) -> ByteRange? { fields.first(known)?.value }

  /// The value of the first field with this name. The name is given in lower case.
  package func value(named name: StaticString, in bytes: UnsafeRawBufferPointer) -> ByteRange? {
    guard let base = bytes.baseAddress else { return nil }
    return fields.first(named: name, in: base)?.value
  }

  /// The value of the first field with this name. The name is given in lower case.
  package func value(
    named name: UnsafeRawBufferPointer, in bytes: UnsafeRawBufferPointer
  ) -> ByteRange? {
    guard let base = bytes.baseAddress else { return nil }
    return fields.first(named: name, in: base)?.value
  }

  /// Does not forward fields of this name, which is in lower case and not one of the known.
  package mutating func leaveOut(
    named name: UnsafeRawBufferPointer, in bytes: UnsafeRawBufferPointer
  ) {
    guard let base = bytes.baseAddress else { return }
    fields.leaveOut(named: name, in: base)
  }

  /// The client's own X-Request-Id, when there is one that is forwarded: 1 to 128 printable bytes.
  package var requestID: ByteRange? {
    hasGoodRequestID ? fields.first(.xRequestID)?.value : nil
  }

  // MARK: Parsing

  /// Whether bytes that have come behind `seen` others may change an `incomplete` result.
  ///
  /// A parse begins at the first byte of the head. Parsing again for each byte of a client that
  /// sends one at a time would cost the square of the head; this costs one look at each byte, and
  /// a parse per line and per limit.
  package static func worthParsing(
    newBytes: UnsafeRawBufferPointer, seen: Int, limits: HeadLimits
  ) -> Bool {
    // The target begins within the first bytes: once its limit is passed, it may be too long.
    let targetEnd = limits.targetBytes + methodLimit + 4
    if seen <= targetEnd, seen + newBytes.count > targetEnd { return true }
    return isHeadWorthParsing(newBytes: newBytes, seen: seen, limits: limits)
  }

  /// The same for the head of an answer.
  static func isHeadWorthParsing(
    newBytes: UnsafeRawBufferPointer, seen: Int, limits: HeadLimits
  ) -> Bool {
    if seen + newBytes.count >= limits.headBytes { return true }
    guard let base = newBytes.baseAddress else { return false }
    var position = ByteScan.firstControl(base, from: 0, to: newBytes.count)
    while position < newBytes.count, base[position] == ByteScan.tab {
      position = ByteScan.firstControl(base, from: position + 1, to: newBytes.count)
    }
    return position < newBytes.count
  }

  /// Parses from the first byte of a request. May be called again with more bytes.
  package mutating func parse(
    _ bytes: UnsafeRawBufferPointer, limits: HeadLimits
  ) -> HeadResult {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return .incomplete }
    let end = min(bytes.count, limits.headBytes)
    var position = 0
    if base[0] == ByteScan.cr || base[0] == ByteScan.lf {
      // One empty line before a request is skipped: old clients send it behind a body.
      guard base[0] == ByteScan.cr else { return .rejected(.bareLF) }
      guard end > 1 else { return short(bytes.count, limits) }
      guard base[1] == ByteScan.lf else { return .rejected(.bareCR) }
      position = 2
    }

    let methodStart = position
    while position < end, ByteScan.isToken(base[position]) { position &+= 1 }
    if position &- methodStart > Self.methodLimit { return .rejected(.methodTooLong) }
    guard position < end else { return short(bytes.count, limits) }
    guard base[position] == ByteScan.space, position > methodStart else {
      return .rejected(Self.methodFault(base[position]))
    }
    methodRange = ByteRange(methodStart, position)
    method = Self.method(base + methodStart, position &- methodStart)
    position &+= 1

    let start = position
    let stop = min(end, start &+ limits.targetBytes &+ 1)
    let targets = ByteScan.targets
    var queryMark = -1
    var looksPlain = true
    while position < stop {
      let mark = targets[Int(base[position])]
      position &+= 1
      if mark == 0x31 { continue }
      if mark == 0x33 {
        // A slash is harmless unless another or a dot follows; the others need the long look.
        if base[position &- 1] != 0x2f { looksPlain = false }
        if position < stop, base[position] == 0x2f || base[position] == 0x2e { looksPlain = false }
        continue
      }
      if mark == 0x30 {
        position &-= 1
        break
      }
      queryMark = position &- 1
      while position < stop, targets[Int(base[position])] != 0x30 { position &+= 1 }
      break
    }
    if position &- start > limits.targetBytes { return .rejected(.targetTooLong) }
    guard position < end else { return short(bytes.count, limits) }
    guard base[position] == ByteScan.space, position > start else {
      return .rejected(Self.targetFault(base[position]))
    }
    target = ByteRange(start, position)
    position &+= 1

    // The version and the line's end: ten bytes.
    guard position &+ 10 <= end, Self.isLineEnd(base, position &+ 8) else {
      return versionFault(base, position, end, bytes.count, limits)
    }
    let version = base.loadUnaligned(fromByteOffset: position, as: UInt64.self).littleEndian
    if version == 0x312e_312f_5054_5448 {
      isHTTP11 = true
    } else if version == 0x302e_312f_5054_5448 {
      isHTTP11 = false
    } else {
      return versionFault(base, position, end, bytes.count, limits)
    }
    position &+= 10

    if method == .connect { return .rejected(.connectRefused) }
    if method == .trace { return .rejected(.traceRefused) }
    var parts = RequestTarget()
    if let rejection = RequestTarget.split(
      base, start, Int(target.end), queryMark: queryMark, looksPlain: looksPlain, method: method,
      into: &parts)
    {
      return .rejected(rejection)
    }
    path = parts.path
    query = parts.query
    tail = parts.tail
    isAbsolute = parts.isAbsolute
    authority = parts.authority

    switch fields.scan(base, from: position, to: end, limit: limits.fields) {
    case .incomplete: return short(bytes.count, limits)
    case .rejected(let rejection): return .rejected(rejection)
    case .complete(let headEnd): headBytes = headEnd
    }
    if let rejection = understand(base) { return .rejected(rejection) }
    return .complete
  }

  /// There are too few bytes: wait for more, unless the limit has been reached without an end.
  private func short(_ available: Int, _ limits: HeadLimits) -> HeadResult {
    available >= limits.headBytes ? .rejected(.headTooLarge) : .incomplete
  }

  @inline(__always)
  private static func isLineEnd(_ base: UnsafeRawPointer, _ position: Int) -> Bool {
    base[position] == ByteScan.cr && base[position &+ 1] == ByteScan.lf
  }

  @inline(__always)
  private static func method(_ base: UnsafeRawPointer, _ count: Int) -> Method {
    // Methods are case-sensitive: `get` is another method, forwarded as it stands.
    func named(_ text: StaticString) -> Bool {
      for index in 0..<count where base[index] != text.utf8Start[index] { return false }
      return true
    }
    switch count {
    case 3:
      if named("GET") { return .get }
      if named("PUT") { return .put }
    case 4:
      if named("POST") { return .post }
      if named("HEAD") { return .head }
    case 5:
      if named("PATCH") { return .patch }
      if named("TRACE") { return .trace }
    case 6: if named("DELETE") { return .delete }
    case 7:
      if named("OPTIONS") { return .options }
      if named("CONNECT") { return .connect }
    default: break
    }
    return .other
  }

  private static func methodFault(_ byte: UInt8) -> Rejection {
    switch byte {
    case ByteScan.lf: .bareLF
    case ByteScan.cr, ByteScan.space: .requestLineMalformed
    case 0..<0x20, 0x7f: .controlByte
    default: .methodInvalid
    }
  }

  private static func targetFault(_ byte: UInt8) -> Rejection {
    switch byte {
    case ByteScan.lf: .bareLF
    case ByteScan.cr, ByteScan.space: .requestLineMalformed
    case 0..<0x20, 0x7f: .controlByte
    default: .targetInvalid
    }
  }

  /// Why the bytes behind the target are not a version that we speak and the end of the line.
  private func versionFault(
    _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ available: Int, _ limits: HeadLimits
  ) -> HeadResult {
    let pattern: StaticString = "HTTP/0.0"
    for offset in 0..<8 {
      guard start + offset < end else { return short(available, limits) }
      let byte = base[start + offset]
      if byte == ByteScan.lf { return .rejected(.bareLF) }
      if byte < 0x20, byte != ByteScan.cr { return .rejected(.controlByte) }
      let wanted = pattern.utf8Start[offset]
      if wanted == 0x30 ? !ByteScan.isDigit(byte) : byte != wanted {
        return .rejected(.versionMalformed)
      }
    }
    guard start + 8 < end else { return short(available, limits) }
    if base[start + 8] == ByteScan.lf { return .rejected(.bareLF) }
    guard base[start + 8] == ByteScan.cr else { return .rejected(.versionMalformed) }
    guard start + 9 < end else { return short(available, limits) }
    guard base[start + 9] == ByteScan.lf else { return .rejected(.bareCR) }
    return .rejected(.versionUnsupported)
  }
}
