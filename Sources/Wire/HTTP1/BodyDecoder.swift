import HTTP
import Primitives

/// Bounds of what stands around the bytes of a body.
package struct BodyLimits: Sendable {
  /// Bytes of the extensions of one chunk. Nobody uses them; Go and Envoy stop at a few KiB.
  package var extensionBytes: Int
  /// Bytes of all trailers; at most 65,535.
  package var trailerBytes: Int
  /// Trailers. Count; at most 255.
  package var trailers: Int

  package init(extensionBytes: Int = 256, trailerBytes: Int = 8 * 1024, trailers: Int = 64) {
    self.extensionBytes = extensionBytes
    self.trailerBytes = trailerBytes
    self.trailers = trailers
  }
}

/// What became of one input.
@frozen
@usableFromInline
package struct BodyResult: Equatable, Sendable {
  /// Bytes used up. All of them, unless the body has ended or was refused before the end.
  @usableFromInline package var consumed: Int
  /// Bytes of the body itself among them.
  @usableFromInline package var payloadBytes: Int
  /// The body has ended; what was not consumed comes after it.
  @usableFromInline package var finished: Bool
  @usableFromInline package var rejected: Rejection?

  @inlinable init(consumed: Int, payloadBytes: Int, finished: Bool, rejected: Rejection? = nil) {
    self.consumed = consumed
    self.payloadBytes = payloadBytes
    self.finished = finished
    self.rejected = rejected
  }
}

/// Follows a body through its framing, and passes it on in another or the same one.
///
/// Nothing is buffered and nothing copied: what goes on as it came is appended to the gather as a
/// segment of the input, a thousand chunks as one. Text that the other side must not see, or that
/// came in pieces (the extensions of a chunk, a size line in two inputs), is replaced by its
/// canonical form from the gather's arena. However the input is cut, the same bytes leave, except that
/// a size in upper case stays so only when it came whole.
///
/// ```
/// size --CR LF--> data --CR LF--> size ...
///   '---- 0 CR LF --> trailer lines --CR LF--> finished
/// ```
@usableFromInline
package struct BodyDecoder: Sendable {
  enum State: UInt8, Sendable {
    case finished
    case failed
    case length
    case untilClose
    // Chunk size line.
    case size
    case sizeDigits
    case extensionName
    case extensionNameRest
    case extensionValue
    case extensionToken
    case extensionQuoted
    case extensionEscape
    case extensionEnd
    case sizeLF
    // Chunk data.
    case data
    case dataCR
    case dataLF
    // Trailers.
    case trailer
    case trailerName
    case trailerValue
    case trailerLF
    case endLF
  }

  /// Longest name of a trailer that is passed on. Bytes. A name must be known whole before the
  /// first byte of its line may leave, and may come in pieces: this is the room for them.
  static let trailerNameLimit = 24

  /// Of the body (`length`) or the chunk.
  var remaining: UInt64 = 0
  var state: State
  /// Digits of the size so far, leading zeros included. After a refusal: its reason.
  var digits: UInt8 = 0
  /// The size line cannot go on as it came.
  var isUncanonical = false
  /// The trailer line is not passed on.
  var dropsTrailer = false
  var trailers: UInt8 = 0
  var nameBytes: UInt8 = 0
  /// Bytes of the chunk's extensions, or of all trailers.
  var textBytes: UInt16 = 0
  var name = InlineArray<24, UInt8>(repeating: 0)

  package init(_ framing: Framing) {
    switch framing {
    case .none: state = .finished
    case .length(let bytes):
      state = bytes == 0 ? .finished : .length
      remaining = bytes
    case .chunked: state = .size
    case .untilClose: state = .untilClose
    }
  }

  /// The body has no framing of its own, and has not ended.
  package var endsAtClose: Bool { state == .untilClose }

  /// The whole body has come.
  package var isFinished: Bool { state == .finished }

  /// Takes bytes of the body and appends to the gather what goes to the other side.
  ///
  /// After a refusal what was appended before the mistake may be sent, but never completes a body.
  package mutating func decode(
    _ bytes: UnsafeRawBufferPointer, outFraming: Framing, limits: BodyLimits,
    into gather: inout Gather
  ) -> BodyResult {
    switch state {
    case .finished: return BodyResult(consumed: 0, payloadBytes: 0, finished: true)
    case .failed:
      return BodyResult(
        consumed: 0, payloadBytes: 0, finished: false, rejected: Rejection(rawValue: digits))
    case .length:
      let count = remaining < UInt64(bytes.count) ? Int(remaining) : bytes.count
      remaining &-= UInt64(count)
      if remaining == 0 { state = .finished }
      let payload = UnsafeRawBufferPointer(rebasing: bytes[..<count])
      Self.pass(payload, outFraming, isLast: remaining == 0, into: &gather)
      return BodyResult(consumed: count, payloadBytes: count, finished: remaining == 0)
    case .untilClose:
      Self.pass(bytes, outFraming, isLast: false, into: &gather)
      return BodyResult(consumed: bytes.count, payloadBytes: bytes.count, finished: false)
    default:
      return decodeChunked(bytes, isChunkedOut: outFraming == .chunked, limits, &gather)
    }
  }

  /// The peer has half-closed. True when the body is whole, now or before: it ended with the
  /// connection. False when it was cut.
  package mutating func finishAtClose(outFraming: Framing, into gather: inout Gather) -> Bool {
    guard state == .untilClose else { return state == .finished }
    state = .finished
    if outFraming == .chunked { gather.append("0\r\n\r\n") }
    return true
  }

  /// Passes plain bytes on: as they are, or as one chunk.
  private static func pass(
    _ payload: UnsafeRawBufferPointer, _ outFraming: Framing, isLast: Bool,
    into gather: inout Gather
  ) {
    guard case .chunked = outFraming else {
      gather.append(payload)
      return
    }
    if payload.count > 0 {
      putSize(UInt64(payload.count), into: &gather)
      gather.append(payload)
      gather.append(isLast ? "\r\n0\r\n\r\n" : "\r\n")
    } else if isLast {
      gather.append("0\r\n\r\n")
    }
  }

  static func putSize(_ size: UInt64, into gather: inout Gather) {
    var writer = TextWriter(gather.reserve(TextWriter.hexLimit + 2).baseAddress!)
    writer.put(hex: size)
    writer.put("\r\n")
    gather.commit(writer.count)
  }
}
