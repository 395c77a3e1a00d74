import HTTP
import Primitives

/// What is known of one request when it has ended. Trivial: numbers only, no text.
///
/// `ProxyCore` fills it in along the way and hands it over once, with the effect `record`.
package struct RequestRecord: Sendable, Equatable {
  /// Stands for an id where the request never got that far.
  package static let none: Int32 = -1

  /// Ids are dense, given by the core, and never used again for another name in a process.
  package var listener: Int32 = none
  package var route: Int32 = none
  package var pool: Int32 = none
  /// The member of the last attempt.
  package var member: Int32 = none
  /// The API key that let it in.
  package var key: Int32 = none
  /// Tokens as the engine counted them, or as they were estimated from bytes. Count.
  package var promptTokens: UInt32 = 0
  package var completionTokens: UInt32 = 0
  /// What the client was told; 0 when it left, or was cut, before any status was sent.
  package var status: UInt16 = 0
  package var method = Method.other
  package var reason = TerminationReason.completed
  /// Tries, the first included. Count; 0 when no backend was asked.
  package var attempts: UInt8 = 0
  /// The last attempt went out on a kept connection.
  package var upstreamConnectionReused = false
  /// The connection became a tunnel: its duration says nothing about the backend's speed.
  package var isUpgrade = false
  /// The client spoke HTTP/2.
  package var isHTTP2 = false
  /// The TLS that the client spoke; nil in clear.
  package var tls: TLSVersionSeen?
  /// Its session was resumed.
  package var tlsIsResumed = false
  /// The request head was complete.
  package var started = Instant.zero
  /// From `started` to the pick of the member of the last attempt: the time in queues of ours.
  package var queue = TimeAmount.zero
  /// How long the last attempt's connection took to be made; nil for a kept one.
  package var connect: TimeAmount?
  /// From the last attempt's request head on its connection to the first byte of the answer; nil
  /// when there was none. This is what the balancer learns from, so client and queue stay out.
  package var firstByte: TimeAmount?
  /// From `started` to the last byte of the answer, or to the end however it came.
  package var duration = TimeAmount.zero
  /// What Portico itself added: head complete to head written upstream, without queue and connect,
  /// plus first byte of the answer read to first byte written to the client. nil when it never
  /// came to both.
  package var added: TimeAmount?
  /// Bytes of the body, as they came, without framing.
  package var requestBytes: UInt64 = 0
  package var responseBytes: UInt64 = 0

  package init() {}
}
