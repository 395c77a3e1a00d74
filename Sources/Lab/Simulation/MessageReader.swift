import Glibc

/// What a message may not look like.
struct ParseFault: Error {
  let text: String
}

struct MessageHead {
  /// Request: method, target, version. Answer: version, status, reason.
  var start: (String, String, String)
  /// Names in lower case.
  var fields: [(name: String, value: String)]

  func value(_ name: String) -> String? { fields.first { $0.name == name }?.value }
  func count(_ name: String) -> Int { fields.reduce(0) { $0 + ($1.name == name ? 1 : 0) } }
  var status: Int { Int(start.1) ?? 0 }
}

/// A second opinion: a strict and slow reader of HTTP/1.1 that shares nothing with the one it judges.
/// Both ends of the simulation read with it what the front door writes.
struct MessageReader {
  enum Kind {
    case request
    case answer
  }

  enum Token {
    case head(MessageHead)
    case body(UnsafeRawBufferPointer)
    case trailer(String, String)
    case end
  }

  private enum State {
    case head
    case length(Int)
    case chunkSize
    case chunk(Int)
    case chunkEnd
    case trailers
    case untilClose
    case ended
    case tunnel
  }

  private let kind: Kind
  private var state = State.head
  /// A head or a line that has not come whole.
  private var text: [UInt8] = []

  init(_ kind: Kind) { self.kind = kind }

  /// Between two messages.
  var isIdle: Bool {
    if case .head = state { return text.isEmpty }
    return false
  }

  var isTunnel: Bool {
    if case .tunnel = state { return true }
    return false
  }

  /// The connection has ended cleanly: true when that ends a message.
  var endsAtClose: Bool {
    if case .untilClose = state { return true }
    return false
  }

  /// The next thing in the input, which is shortened by it; nil when more is needed.
  ///
  /// - Parameter answersHead: the answer is one to HEAD.
  mutating func next(
    _ input: inout UnsafeRawBufferPointer, answersHead: Bool = false
  ) throws(ParseFault) -> Token? {
    while true {
      switch state {
      case .ended:
        state = .head
        return .end
      case .head:
        guard try takeLines(&input) else { return nil }
        let head = try parseHead()
        text.removeAll(keepingCapacity: true)
        try enterBody(head, answersHead: answersHead)
        return .head(head)
      case .length(let rest):
        guard let piece = take(&input, rest) else { return nil }
        state = piece.count == rest ? .ended : .length(rest - piece.count)
        return .body(piece)
      case .chunkSize:
        guard let line = try takeLine(&input) else { return nil }
        guard !line.isEmpty, line.count < 16, let size = Int(line, radix: 16),
          line.first != "+", line.first != "-"
        else {
          throw ParseFault(text: "chunk size '\(line)'")
        }
        state = size == 0 ? .trailers : .chunk(size)
      case .chunk(let rest):
        guard let piece = take(&input, rest) else { return nil }
        state = piece.count == rest ? .chunkEnd : .chunk(rest - piece.count)
        return .body(piece)
      case .chunkEnd:
        guard let line = try takeLine(&input) else { return nil }
        guard line.isEmpty else { throw ParseFault(text: "'\(line)' behind a chunk") }
        state = .chunkSize
      case .trailers:
        guard let line = try takeLine(&input) else { return nil }
        if line.isEmpty {
          state = .ended
          continue
        }
        guard let colon = line.firstIndex(of: ":") else {
          throw ParseFault(text: "trailer line '\(line)'")
        }
        let value = line[line.index(after: colon)...].drop { $0 == " " }
        return .trailer(line[..<colon].lowercased(), String(value))
      case .untilClose, .tunnel:
        guard let piece = take(&input, .max) else { return nil }
        return .body(piece)
      }
    }
  }

  private func take(
    _ input: inout UnsafeRawBufferPointer, _ limit: Int
  ) -> UnsafeRawBufferPointer? {
    guard input.count > 0 else { return nil }
    let count = min(limit, input.count)
    let piece = UnsafeRawBufferPointer(start: input.baseAddress, count: count)
    input = UnsafeRawBufferPointer(start: input.baseAddress! + count, count: input.count - count)
    return piece
  }

  /// Takes bytes up to a line feed. True when there was one.
  private mutating func takeToLineFeed(
    _ input: inout UnsafeRawBufferPointer
  ) throws(ParseFault) -> Bool {
    guard let base = input.baseAddress, input.count > 0 else { return false }
    let found = memchr(base, 0x0a, input.count)
    let count = found.map { UnsafeRawPointer($0) - base + 1 } ?? input.count
    text.append(contentsOf: UnsafeRawBufferPointer(start: base, count: count))
    input = UnsafeRawBufferPointer(start: base + count, count: input.count - count)
    guard found != nil else { return false }
    guard text.count >= 2, text[text.count - 2] == 0x0d else {
      throw ParseFault(text: "a bare line feed")
    }
    return true
  }

  private mutating func takeLine(
    _ input: inout UnsafeRawBufferPointer
  ) throws(ParseFault) -> String? {
    guard try takeToLineFeed(&input) else { return nil }
    defer { text.removeAll(keepingCapacity: true) }
    return String(decoding: text[..<(text.count - 2)], as: UTF8.self)
  }

  /// Takes lines up to an empty one.
  private mutating func takeLines(
    _ input: inout UnsafeRawBufferPointer
  ) throws(ParseFault) -> Bool {
    while try takeToLineFeed(&input) {
      if text.count == 2 { throw ParseFault(text: "an empty line before a head") }
      if text.count >= 4, text[text.count - 4] == 0x0d, text[text.count - 3] == 0x0a {
        return true
      }
    }
    return false
  }

  private func parseHead() throws(ParseFault) -> MessageHead {
    var lines: [(Int, Int)] = []
    var start = 0
    let end = text.count
    text.withUnsafeBytes { bytes in
      let base = bytes.baseAddress!
      while start < end, let found = memchr(base + start, 0x0d, end - start) {
        let position = UnsafeRawPointer(found) - base
        lines.append((start, position))
        start = position + 2
      }
    }
    func string(_ from: Int, _ to: Int) -> String {
      String(decoding: text[from..<to], as: UTF8.self)
    }
    guard let (lineStart, lineEnd) = lines.first,
      let first = text[lineStart..<lineEnd].firstIndex(of: 0x20),
      let second = text[(first + 1)..<lineEnd].firstIndex(of: 0x20)
    else { throw ParseFault(text: "start line '\(string(0, min(80, end)))'") }
    var head = MessageHead(
      start: (
        string(lineStart, first), string(first + 1, second), string(second + 1, lineEnd)
      ), fields: [])
    for (from, to) in lines.dropFirst() where to > from {
      guard let colon = text[from..<to].firstIndex(of: 0x3a), colon > from,
        text[from] != 0x20, text[from] != 0x09, text[colon - 1] != 0x20
      else { throw ParseFault(text: "field line '\(string(from, to))'") }
      var valueStart = colon + 1
      while valueStart < to, text[valueStart] == 0x20 { valueStart += 1 }
      head.fields.append((string(from, colon).lowercased(), string(valueStart, to)))
    }
    return head
  }

  private mutating func enterBody(
    _ head: MessageHead, answersHead: Bool
  ) throws(ParseFault) {
    let codings = head.count("transfer-encoding")
    let lengths = head.count("content-length")
    if codings > 0, lengths > 0 { throw ParseFault(text: "both a length and a coding") }
    if codings > 1 || lengths > 1 { throw ParseFault(text: "framing said twice") }
    let status = head.status
    switch kind {
    case .request:
      guard head.start.2 == "HTTP/1.1" else {
        throw ParseFault(text: "request version '\(head.start.2)'")
      }
    case .answer:
      guard head.start.0 == "HTTP/1.1", (100..<600).contains(status), head.start.1.count == 3 else {
        throw ParseFault(text: "status line '\(head.start.0) \(head.start.1)'")
      }
      if status == 101 {
        state = .tunnel
        return
      }
      if status < 200 {
        if codings + lengths > 0 { throw ParseFault(text: "framing in an interim answer") }
        state = .head
        return
      }
      if answersHead || status == 204 || status == 304 {
        state = .ended
        return
      }
    }
    if codings == 1 {
      guard head.value("transfer-encoding") == "chunked" else {
        throw ParseFault(text: "coding '\(head.value("transfer-encoding") ?? "")'")
      }
      state = .chunkSize
    } else if lengths == 1 {
      guard let text = head.value("content-length"), let length = Int(text), length >= 0,
        String(length) == text
      else { throw ParseFault(text: "length '\(head.value("content-length") ?? "")'") }
      state = length == 0 ? .ended : .length(length)
    } else {
      state = kind == .request ? .ended : .untilClose
    }
  }
}
