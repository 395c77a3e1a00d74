import HTTP

/// The parts of a request target, and whether they are safe to decide upon.
struct RequestTarget {
  /// From the target of a request in absolute form; else empty.
  var authority = ByteRange.empty
  /// Without query. Empty stands for `/`; `*` for itself.
  var path = ByteRange.empty
  /// Behind the question mark.
  var query = ByteRange.empty
  /// What is forwarded: path, question mark and query. Begins with `?` when the path is empty.
  var tail = ByteRange.empty
  var isAbsolute = false

  /// Splits a target of bytes that may stand in one. `looksPlain` promises that a target which
  /// begins with a slash needs no look at its path; `query` is where a question mark stands.
  @inline(__always)
  static func split(
    _ base: UnsafeRawPointer, _ start: Int, _ end: Int, queryMark: Int, looksPlain: Bool,
    method: Method, into target: inout RequestTarget
  ) -> Rejection? {
    if base[start] == 0x2f {
      let pathEnd = queryMark < 0 ? end : queryMark
      target.path = ByteRange(start, pathEnd)
      if queryMark >= 0 { target.query = ByteRange(queryMark &+ 1, end) }
      target.tail = ByteRange(start, end)
      return looksPlain ? nil : checkPath(base, start, pathEnd)
    }
    return splitOther(base, start, end, method: method, into: &target)
  }

  private static func splitOther(
    _ base: UnsafeRawPointer, _ start: Int, _ end: Int, method: Method,
    into target: inout RequestTarget
  ) -> Rejection? {
    if end - start == 1, base[start] == 0x2a {
      guard method == .options else { return .targetFormInvalid }
      target.path = ByteRange(start, end)
      target.tail = target.path
      return nil
    }
    let isHTTP = end - start > 7 && ByteScan.equal(base + start, 4, "http")
    let isHTTPS = end - start > 8 && ByteScan.equal(base + start, 5, "https")
    let mark = start + (isHTTPS ? 5 : 4)
    guard isHTTP, base[mark] == 0x3a, base[mark + 1] == 0x2f, base[mark + 2] == 0x2f else {
      return .targetFormInvalid
    }
    let hostStart = mark + 3
    var position = hostStart
    while position < end, base[position] != 0x2f, base[position] != 0x3f { position += 1 }
    target.authority = ByteRange(hostStart, position)
    guard Authority.isValid(base, hostStart, position) else { return .hostInvalid }
    target.isAbsolute = true
    target.tail = ByteRange(position, end)
    let pathStart = position
    while position < end, base[position] != 0x3f { position += 1 }
    target.path = ByteRange(pathStart, position)
    if position < end { target.query = ByteRange(position + 1, end) }
    return checkPath(base, pathStart, position)
  }

  /// Refuses paths that the backend may read as another path than the one that rules were applied
  /// to. Paths are routed and forwarded byte-exact, never rewritten, so what servers are known to
  /// normalise must not come:
  ///
  /// - dot segments, also before `;` (Tomcat) and around `%2f`, and every encoding of a dot;
  /// - backslashes, raw or encoded, which some servers take for slashes, and `%00`;
  /// - letters, digits and other unreserved bytes in percent-encoding: `/%61dmin` is `/admin`;
  /// - empty segments (`//admin`), which nginx and others merge, and a `%2f` at the very front.
  ///
  /// Other encoded slashes pass: clients send model names as one segment (`meta%2FLlama`).
  static func checkPath(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Rejection? {
    var position = start
    while position < end {
      let byte = base[position]
      if byte == 0x5c { return .ambiguousPath }
      if byte == 0x2f {
        position += 1
        if position < end, base[position] == 0x2f { return .ambiguousPath }
        if isDotSegment(base, position, end) { return .ambiguousPath }
        continue
      }
      guard byte == 0x25 else {
        position += 1
        continue
      }
      guard position + 2 < end else { return .targetInvalid }
      let high = ByteScan.hexValue(base[position + 1])
      let low = ByteScan.hexValue(base[position + 2])
      if high > 15 || low > 15 { return .targetInvalid }
      let decoded = high << 4 | low
      if decoded == 0 || decoded == 0x5c || isUnreserved(decoded) { return .ambiguousPath }
      position += 3
      if decoded == 0x2f {
        if position == start + 4 { return .ambiguousPath }
        if isDotSegment(base, position, end) { return .ambiguousPath }
      }
    }
    return nil
  }

  /// A segment that begins here is `.` or `..`, whatever ends it. Encoded dots are refused already.
  private static func isDotSegment(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
    var position = start
    while position < end, base[position] == 0x2e { position += 1 }
    let dots = position - start
    guard dots == 1 || dots == 2 else { return false }
    if position == end || base[position] == 0x2f || base[position] == 0x3b { return true }
    if base[position] == 0x5c { return true }
    guard base[position] == 0x25, position + 2 < end else { return false }
    let decoded = ByteScan.hexValue(base[position + 1]) << 4 | ByteScan.hexValue(base[position + 2])
    return decoded == 0x2f || decoded == 0x3b || decoded == 0x5c || decoded == 0x3f
      || decoded == 0x23
  }

  /// RFC 3986, 2.3: equal to themselves in percent-encoding.
  private static func isUnreserved(_ byte: UInt8) -> Bool {
    ByteScan.isLetter(byte) && byte < 0x80 || ByteScan.isDigit(byte) || byte == 0x2d
      || byte == 0x2e || byte == 0x5f || byte == 0x7e
  }
}

/// The value of `Host` and the authority of a URL: a host and perhaps a port.
enum Authority {
  /// Longest host, as in DNS. Bytes.
  private static let hostLimit = 255

  /// A name of letters, digits, hyphens, dots and underscores, an IPv4 address, or an IPv6 address
  /// in brackets; then perhaps a colon and a port up to 65535. User information, lists, empty labels
  /// and percent-encoding are refused, though RFC 3986 knows some of them: routing and backends
  /// must not see different hosts.
  static func isValid(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
    guard start < end else { return false }
    if base[start] == 0x5b { return isBracketed(base, start, end) }
    var position = start
    var previous: UInt8 = 0x2e
    while position < end {
      let byte = base[position]
      if byte == 0x2e {
        if previous == 0x2e { return false }
      } else if !(ByteScan.isLetter(byte) || ByteScan.isDigit(byte) || byte == 0x2d || byte == 0x5f)
      {
        break
      }
      previous = byte
      position &+= 1
    }
    guard position > start, position - start <= hostLimit else { return false }
    return position == end || isPort(base, position, end)
  }

  private static func isBracketed(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
    var position = start + 1
    while position < end, base[position] != 0x5d { position += 1 }
    guard position < end else { return false }
    let text = UnsafeRawBufferPointer(start: base + start + 1, count: position - start - 1)
    guard IPAddress.parseIPv6(text) != nil else { return false }
    return position + 1 == end || isPort(base, position + 1, end)
  }

  /// A colon and one to five digits that make at most 65535.
  private static func isPort(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Bool {
    guard base[start] == ByteScan.colon, end - start >= 2, end - start <= 6 else { return false }
    var port = 0
    for position in (start + 1)..<end {
      let digit = base[position] &- 0x30
      if digit > 9 { return false }
      port = port * 10 + Int(digit)
    }
    return port <= 65_535
  }
}
