/// Messages out of the bytes of a call, which may be cut anywhere: a byte that says whether it is
/// compressed, four of length (big-endian), and the message.
///
/// `receive`, then `next` until it is nil; so no more is held than one message and what came at once.
package struct MessageReader {
  package enum Problem: Error, Equatable, Sendable {
    /// Announced as larger than the limit. Bytes. Nothing of it is kept.
    case tooLarge(Int, limit: Int)
    /// Nobody has agreed on a compression.
    case compressed
    /// The first byte is neither 0 nor 1.
    case badFlag(UInt8)
    /// The call's bytes have ended inside a message.
    case truncated

    package var status: GRPCStatus {
      switch self {
      case .tooLarge(let bytes, let limit):
        GRPCStatus(
          .resourceExhausted,
          "The message has \(bytes) bytes; at most \(limit) are read (message limit).")
      case .compressed:
        GRPCStatus(
          .unimplemented, "The message is compressed; only 'identity' is spoken here.")
      case .badFlag(let flag):
        GRPCStatus(.internal, "A message begins with \(flag); it must be 0, or 1 when compressed.")
      case .truncated: GRPCStatus(.internal, "The call ended inside a message.")
      }
    }
  }

  /// Bytes in front of each message.
  package static let prefixBytes = 5

  private let limitBytes: Int
  private var buffer: [UInt8] = []
  /// Bytes of `buffer` that were handed out already.
  private var start = 0

  /// - Parameter limitBytes: of one message. 4 MiB is what gRPC's own libraries take by default.
  package init(limitBytes: Int = 4 << 20) { self.limitBytes = limitBytes }

  /// Bytes that wait to become a message.
  package var heldBytes: Int { buffer.count - start }

  package mutating func receive(_ bytes: UnsafeRawBufferPointer) {
    if start > 0, start == buffer.count || start >= 64 << 10 {
      buffer.removeFirst(start)
      start = 0
    }
    buffer += bytes
  }

  /// The next whole message; nil when more bytes are needed. After a problem the call is over.
  package mutating func next() throws(Problem) -> [UInt8]? {
    guard heldBytes >= Self.prefixBytes else { return nil }
    let flag = buffer[start]
    guard flag <= 1 else { throw .badFlag(flag) }
    guard flag == 0 else { throw .compressed }
    let length = buffer[start + 1..<start + 5].reduce(0) { $0 << 8 | Int($1) }
    guard length <= limitBytes else { throw .tooLarge(length, limit: limitBytes) }
    let body = start + Self.prefixBytes
    guard buffer.count - body >= length else { return nil }
    start = body + length
    return Array(buffer[body..<start])
  }

  /// The call's bytes are over.
  package func end() throws(Problem) {
    if heldBytes > 0 { throw .truncated }
  }

  /// A message as it travels.
  package static func frame(_ message: [UInt8]) -> [UInt8] {
    var framed: [UInt8] = []
    framed.reserveCapacity(prefixBytes + message.count)
    appendPrefix(message.count, to: &framed)
    framed += message
    return framed
  }

  /// The prefix of a message of so many bytes, uncompressed. Messages of 4 GiB are a mistake of ours.
  package static func appendPrefix(_ count: Int, to bytes: inout [UInt8]) {
    guard let length = UInt32(exactly: count) else {
      preconditionFailure("a message of \(count) bytes has no length in gRPC")
    }
    bytes.append(0)
    for shift in stride(from: 24, through: 0, by: -8) {
      bytes.append(UInt8(truncatingIfNeeded: length >> UInt32(shift)))
    }
  }
}
