/// Request methods that the front door treats by name. Others are forwarded byte-exact as `other`.
@frozen
@usableFromInline
package enum Method: UInt8, Sendable, CaseIterable {
  case get
  case head
  case post
  case put
  case delete
  case options
  case patch
  case connect
  case trace
  case other

  /// As it stands on the wire; `other` has no name of its own.
  package var name: StaticString {
    switch self {
    case .get: "GET"
    case .head: "HEAD"
    case .post: "POST"
    case .put: "PUT"
    case .delete: "DELETE"
    case .options: "OPTIONS"
    case .patch: "PATCH"
    case .connect: "CONNECT"
    case .trace: "TRACE"
    case .other: "OTHER"
    }
  }

  /// May be sent twice without a second effect (RFC 9110, 9.2.2).
  @inlinable package var isIdempotent: Bool {
    switch self {
    case .get, .head, .put, .delete, .options, .trace: true
    case .post, .patch, .connect, .other: false
    }
  }
}
