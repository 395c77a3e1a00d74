/// How the end of a body is found.
@frozen
@usableFromInline
package enum Framing: Equatable, Sendable {
  /// No body at all, and nothing said about one.
  case none
  /// Exactly so many bytes, which may be zero.
  case length(UInt64)
  case chunked
  /// Answers only: the body ends where the connection does.
  case untilClose

  /// Written out, since a synthesised one cannot be inlined into other rooms.
  @inlinable package static func == (a: Framing, b: Framing) -> Bool {
    switch (a, b) {
    case (.none, .none), (.chunked, .chunked), (.untilClose, .untilClose): true
    case (.length(let a), .length(let b)): a == b
    case (.none, _), (.length, _), (.chunked, _), (.untilClose, _): false
    }
  }

  /// Bytes may follow the head.
  @inlinable package var hasBody: Bool {
    switch self {
    case .none: false
    case .length(let bytes): bytes > 0
    case .chunked, .untilClose: true
    }
  }
}
