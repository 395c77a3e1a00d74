import HTTP
import HTTP1
import HTTP2
import Primitives

/// What a request of HTTP/2 says in HTTP/1.1, for the strict parser to judge like any other.
///
/// Nothing that HTTP/1.1 could read differently gets that far: bytes that end a line, a word or a
/// field are refused here, wherever they stand; what names and values may hold nghttp2 has checked.
package enum RequestText {
  /// How much is known of the body when the head is written.
  package enum Body {
    /// So many bytes and no more; also none at all.
    case whole(Int)
    /// It goes on.
    case open
  }

  package enum Outcome {
    /// Head and body, good as long as the turn.
    case text(UnsafeRawBufferPointer)
    case refused(Rejection)
  }

  /// Writes the head into the arena of a gather, and room behind it.
  ///
  /// - Parameters:
  ///   - text: what the ranges of the head point into.
  ///   - room: bytes of a body that the caller will put behind the head.
  ///   - body: gets the room and returns how much of it was filled.
  package static func write(
    _ head: HTTP2Head, _ text: UnsafeRawBufferPointer, _ known: Body, room: Int,
    into gather: inout Gather, body: (UnsafeMutableRawBufferPointer) -> Int
  ) -> Outcome {
    if head.isTooLarge { return .refused(.headTooLarge) }
    let method = head.method.bytes(in: text)
    let path = head.path.bytes(in: text)
    let authority = head.authority.bytes(in: text)
    let lines = head.lines.bytes(in: text)
    if method.elementsEqual("CONNECT".utf8) { return .refused(.connectRefused) }
    guard isWord(method) else { return .refused(.methodInvalid) }
    guard !path.isEmpty, isWord(path), path[0] == 0x2f || path.elementsEqual([0x2a]) else {
      return .refused(.targetFormInvalid)
    }
    guard authority.isEmpty || isWord(authority) else { return .refused(.hostInvalid) }

    let limit = text.count + 128 + room
    let memory = gather.reserve(limit)
    var writer = ArenaWriter(memory)
    writer.put(method)
    writer.put(" ")
    writer.put(path)
    writer.put(" HTTP/1.1\r\n")
    if !authority.isEmpty {
      writer.put("host: ")
      writer.put(authority)
      writer.put("\r\n")
    }
    if head.hasHost || head.cookies > 1 {
      guard putSome(lines, authority: authority, head, &writer) else {
        return .refused(.duplicateHost)
      }
    } else {
      writer.put(lines)
    }
    if !head.hasContentLength { putFraming(method, known, head, &writer) }
    writer.put("\r\n")
    let filled = body(UnsafeMutableRawBufferPointer(rebasing: memory[writer.count...]))
    return .text(gather.keep(writer.count + filled))
  }

  private static func putFraming(
    _ method: UnsafeRawBufferPointer, _ known: Body, _ head: HTTP2Head,
    _ writer: inout ArenaWriter
  ) {
    switch known {
    case .open: writer.put("transfer-encoding: chunked\r\n")
    case .whole(0):
      // RFC 9110, 8.6: methods for which a body has a meaning say that there is none.
      guard
        method.elementsEqual("POST".utf8) || method.elementsEqual("PUT".utf8)
          || method.elementsEqual("PATCH".utf8)
      else { return }
      writer.put("content-length: 0\r\n")
    case .whole(let bytes):
      writer.put("content-length: ")
      writer.put(decimal: bytes)
      writer.put("\r\n")
    }
  }

  /// Leaves out `host` where there is an `:authority`, and joins cookies into one field (RFC 9113,
  /// 8.2.3). False when `host` names somebody else.
  private static func putSome(
    _ lines: UnsafeRawBufferPointer, authority: UnsafeRawBufferPointer, _ head: HTTP2Head,
    _ writer: inout ArenaWriter
  ) -> Bool {
    var cookies = 0
    var start = 0
    while start < lines.count {
      var end = start
      while end < lines.count, lines[end] != 0x0a { end += 1 }
      let line = UnsafeRawBufferPointer(rebasing: lines[start..<min(end + 1, lines.count)])
      start = end + 1
      if line.starts(with: "host: ".utf8), !authority.isEmpty {
        let value = UnsafeRawBufferPointer(rebasing: line[6..<(line.count - 2)])
        guard isSame(value, authority) else { return false }
      } else if head.cookies > 1, line.starts(with: "cookie: ".utf8) {
        cookies += 1
      } else {
        writer.put(line)
      }
    }
    if cookies > 0 { putCookies(lines, &writer) }
    return true
  }

  private static func putCookies(_ lines: UnsafeRawBufferPointer, _ writer: inout ArenaWriter) {
    writer.put("cookie: ")
    var isFirst = true
    var start = 0
    while start < lines.count {
      var end = start
      while end < lines.count, lines[end] != 0x0a { end += 1 }
      let line = UnsafeRawBufferPointer(rebasing: lines[start..<min(end + 1, lines.count)])
      start = end + 1
      guard line.starts(with: "cookie: ".utf8) else { continue }
      if !isFirst { writer.put("; ") }
      isFirst = false
      writer.put(UnsafeRawBufferPointer(rebasing: line[8..<(line.count - 2)]))
    }
    writer.put("\r\n")
  }

  /// Host names know no case.
  private static func isSame(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard a.count == b.count else { return false }
    for index in a.indices {
      let x = a[index] &- 0x41 < 26 ? a[index] | 0x20 : a[index]
      let y = b[index] &- 0x41 < 26 ? b[index] | 0x20 : b[index]
      if x != y { return false }
    }
    return true
  }

  /// No byte of it ends a word or a line.
  private static func isWord(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard !bytes.isEmpty else { return false }
    for byte in bytes where byte <= 0x20 || byte == 0x7f { return false }
    return true
  }
}

/// Puts texts one behind the other into memory that is known to be large enough.
struct ArenaWriter {
  private let memory: UnsafeMutableRawBufferPointer
  private(set) var count = 0

  init(_ memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

  mutating func put(_ bytes: UnsafeRawBufferPointer) {
    guard let from = bytes.baseAddress else { return }
    precondition(memory.count - count >= bytes.count, "transcode: the room was too small")
    (memory.baseAddress! + count).copyMemory(from: from, byteCount: bytes.count)
    count += bytes.count
  }

  mutating func put(_ text: StaticString) {
    put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  mutating func put(decimal number: Int) {
    var divisor = 1
    while number / divisor >= 10 { divisor *= 10 }
    var rest = number
    while divisor > 0 {
      precondition(count < memory.count, "transcode: the room was too small")
      memory[count] = UInt8(truncatingIfNeeded: rest / divisor) &+ 0x30
      count += 1
      rest %= divisor
      divisor /= 10
    }
  }
}
