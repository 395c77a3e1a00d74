/// Why an HTTP/2 connection has ended.
package enum SessionEnd: UInt8, CaseIterable, Sendable {
  /// Its transport did, or both sides were done.
  case closed
  case idle
  case age
  /// It did not acknowledge our settings.
  case settingsTimeout
  /// It took no bytes.
  case sendTimeout
  case protocolError
  /// It did what only attackers do, too often.
  case flood

  package var label: StaticString {
    switch self {
    case .closed: "closed"
    case .idle: "idle"
    case .age: "age"
    case .settingsTimeout: "settings_timeout"
    case .sendTimeout: "send_timeout"
    case .protocolError: "protocol_error"
    case .flood: "flood"
    }
  }
}

/// What is counted of the HTTP/2 connections of one side.
package struct SessionCells: Sendable, Equatable {
  static let sides: [StaticString] = ["client", "backend"]

  var open: Int64 = 0
  var ended = [UInt64](repeating: 0, count: SessionEnd.allCases.count)

  mutating func add(_ other: SessionCells) {
    open += other.open
    for index in ended.indices { ended[index] += other.ended[index] }
  }
}
