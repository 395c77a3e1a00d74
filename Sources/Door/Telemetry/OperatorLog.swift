import CLinux

/// The process's own log, for the person who runs it: one event, one line, on standard error.
///
/// ```
/// 2026-11-25T00:54:42.123Z warn configuration refused file=/etc/portico.yaml line=7
/// ```
/// Not for requests: those are in the access log. A line is written with one system call, so lines of
/// different threads never mix.
package struct OperatorLog: Sendable {
  package enum Level: Sendable {
    case info
    case warn
    case error

    var label: StaticString {
      switch self {
      case .info: " info "
      case .warn: " warn "
      case .error: " error "
      }
    }
  }

  private let clock: @Sendable () -> Int64
  private let sink: @Sendable (UnsafeRawBufferPointer) -> Void

  /// Writes to a descriptor; a line that cannot be written is lost, for there is nobody to tell.
  package init(descriptor: Int32 = 2) {
    self.init(
      clock: { portico_realtime_ns() },
      sink: { bytes in _ = portico_write(descriptor, bytes.baseAddress, bytes.count) })
  }

  /// - Parameters:
  ///   - clock: Nanoseconds since 1970.
  ///   - sink: Takes one line with its line feed.
  package init(
    clock: @escaping @Sendable () -> Int64,
    sink: @escaping @Sendable (UnsafeRawBufferPointer) -> Void
  ) {
    self.clock = clock
    self.sink = sink
  }

  package func info(_ message: String, _ facts: KeyValuePairs<String, String> = [:]) {
    say(.info, message, facts)
  }

  package func warn(_ message: String, _ facts: KeyValuePairs<String, String> = [:]) {
    say(.warn, message, facts)
  }

  package func error(_ message: String, _ facts: KeyValuePairs<String, String> = [:]) {
    say(.error, message, facts)
  }

  private func say(_ level: Level, _ message: String, _ facts: KeyValuePairs<String, String>) {
    var text = ByteText(capacity: 512)
    text.reserve(32)
    text.put(timeOf: clock())
    text.put(level.label)
    text.append(spoken: message)
    for (key, value) in facts {
      text.reserve(1)
      text.put(byte: UInt8(ascii: " "))
      text.append(spoken: key)
      text.reserve(1)
      text.put(byte: UInt8(ascii: "="))
      text.append(fact: value)
    }
    text.reserve(1)
    text.put(byte: UInt8(ascii: "\n"))
    sink(text.bytes)
  }
}

extension ByteText {
  /// A text that stays on one line: control characters are written as JSON would, the rest as it is.
  fileprivate mutating func append(spoken value: String) {
    reserve(Self.jsonBound(value.utf8.count))
    for byte in value.utf8 {
      if byte < 0x20 || byte == 0x7F { put(jsonByte: byte) } else { put(byte: byte) }
    }
  }

  /// A value that ends at the next space, or stands in quotes.
  fileprivate mutating func append(fact value: String) {
    let isPlain =
      !value.isEmpty
      && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x5C && $0 != 0x7F && $0 != 0x3D }
    if isPlain { return append(spoken: value) }
    reserve(Self.jsonBound(value.utf8.count) + 2)
    put(byte: UInt8(ascii: "\""))
    var value = value
    value.withUTF8 { put(jsonText: UnsafeRawBufferPointer($0)) }
    put(byte: UInt8(ascii: "\""))
  }
}
