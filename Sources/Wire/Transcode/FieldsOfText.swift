import HTTP
import HTTP1
import HTTP2
import Primitives

/// The other way: heads that we have written for HTTP/1.1, as fields of HTTP/2.
extension HTTP2Fields {
  /// Bounds for our own heads: they were within bounds before we added to them.
  private static var limits: HeadLimits {
    HeadLimits(headBytes: 1 << 20, targetBytes: 1 << 20, fields: 1_024)
  }

  /// Takes an answer's head.
  ///
  /// - Parameters:
  ///   - head: where it is parsed.
  ///   - bytes: it stands at their beginning, whole.
  /// - Returns: false when it is none, which would be our own mistake.
  package mutating func take(
    answer head: inout ResponseHead, in bytes: UnsafeRawBufferPointer, to method: Method
  ) -> Bool {
    guard head.parse(bytes, limits: Self.limits, requestMethod: method) == .complete else {
      return false
    }
    begin(nameBytes: head.headBytes)
    add(":status", UnsafeRawBufferPointer(rebasing: bytes[9..<12]))
    for index in 0..<head.fields.count {
      let field = head.fields[index]
      if field.isHopByHop || field.known == .transferEncoding { continue }
      add(lowering: field.name.bytes(in: bytes), field.value.bytes(in: bytes))
    }
    return true
  }

  /// Takes a request's head.
  ///
  /// - Returns: false when it is none, which would be our own mistake.
  package mutating func take(
    request head: inout RequestHead, in bytes: UnsafeRawBufferPointer, isSecure: Bool
  ) -> Bool {
    guard head.parse(bytes, limits: Self.limits) == .complete else { return false }
    begin(nameBytes: head.headBytes)
    add(":method", head.methodRange.bytes(in: bytes))
    add(":scheme", isSecure ? Self.https : Self.http)
    add(":authority", head.authority.bytes(in: bytes))
    add(":path", head.target.bytes(in: bytes))
    for index in 0..<head.fields.count {
      let field = head.fields[index]
      switch field.known {
      case .host, .transferEncoding: continue
      case .te:
        // RFC 9113, 8.2.2: this is all that it may say.
        add("te", Self.trailers)
      default:
        if field.isHopByHop { continue }
        add(lowering: field.name.bytes(in: bytes), field.value.bytes(in: bytes))
      }
    }
    return true
  }

  private static func constant(_ text: StaticString) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
  }

  private static var http: UnsafeRawBufferPointer { constant("http") }
  private static var https: UnsafeRawBufferPointer { constant("https") }
  private static var trailers: UnsafeRawBufferPointer { constant("trailers") }
}
