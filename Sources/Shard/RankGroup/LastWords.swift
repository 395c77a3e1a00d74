/// What a rank writes to stderr, line by line: passed on, and the last of it kept.
struct LastWords {
  /// A longer line is cut into several, so that one write of a line to a pipe is one piece
  /// (`PIPE_BUF` is 4096, and a prefix comes before it).
  static let lineLimitBytes = 3_900
  /// Lines that are kept.
  static let keptLines = 5
  /// Bytes of a kept line; an operator reads the beginning of an error.
  static let keptBytes = 500

  private var line: [UInt8] = []
  private(set) var kept: [String] = []

  /// Takes bytes, gives the lines that they finish.
  mutating func receive(_ bytes: UnsafeRawBufferPointer) -> [String] {
    var lines: [String] = []
    for byte in bytes {
      if byte == UInt8(ascii: "\n") {
        finish(into: &lines)
      } else {
        // Terminals must not do what a rank says.
        line.append(byte < 32 && byte != UInt8(ascii: "\t") || byte == 127 ? 63 : byte)
        if line.count == Self.lineLimitBytes { finish(into: &lines) }
      }
    }
    return lines
  }

  /// The line that was not finished.
  mutating func end() -> [String] {
    var lines: [String] = []
    finish(into: &lines)
    return lines
  }

  private mutating func finish(into lines: inout [String]) {
    guard !line.isEmpty else { return }
    lines.append(String(decoding: line, as: UTF8.self))
    kept.append(String(decoding: line.prefix(Self.keptBytes), as: UTF8.self))
    if kept.count > Self.keptLines { kept.removeFirst() }
    line.removeAll(keepingCapacity: true)
  }
}
