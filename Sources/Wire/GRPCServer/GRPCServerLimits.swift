import HTTP2
import Primitives

/// What a gRPC server of ours lets its clients do.
package struct GRPCServerLimits: Sendable {
  package var http2 = HTTP2Settings()
  /// Bytes of one message; more is RESOURCE_EXHAUSTED. What gRPC's own libraries read by default.
  package var messageBytes = 4 << 20
  /// Bytes of messages that have begun to come and are not whole, of all calls together; a call that
  /// goes over it is RESOURCE_EXHAUSTED.
  package var partialBytes = 64 << 20
  /// Bytes that a call may keep for a client that does not take them before `send` asks it to wait.
  package var outputMark = 256 << 10
  /// A connection without calls is told to go, and closed, after this. Clients open another at once.
  package var idleTimeout = TimeAmount.seconds(300)
  /// A client that does not acknowledge our settings within this is no HTTP/2 client.
  package var settingsTimeout = TimeAmount.seconds(10)
  /// After the server has said goodbye, calls may go on for this long; then they are cut.
  package var lastWords = TimeAmount.seconds(2)

  package init() {}
}
