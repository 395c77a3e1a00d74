import HTTP1
import Primitives

/// What a server of our own lets its clients do.
package struct HTTPServerLimits: Sendable {
  package var head = HeadLimits()
  /// From the first byte of a head to its last. HAProxy recommends 5 to 10 s.
  package var headTimeout = TimeAmount.seconds(10)
  /// From the end of a head to the end of its body: bodies are small here, or come from next door.
  package var bodyTimeout = TimeAmount.seconds(60)
  /// Between requests of a connection. Longer than the 60 s of common load balancers.
  package var idleTimeout = TimeAmount.seconds(75)
  /// A client that takes no byte of an answer for this long is given up.
  package var sendTimeout = TimeAmount.seconds(60)
  /// After our last byte a client may go on sending for this long, and is not reset: a reset would
  /// destroy an answer that it has not read yet. FIN is sent at once in any case.
  package var lingerTimeout = TimeAmount.seconds(2)
  /// Bytes that are read and dropped meanwhile.
  package var lingerBytes = 4 << 20
  /// Bytes of a request body, which is collected whole before the handler sees it; more is 413.
  package var bodyBytes = 1 << 20
  /// Bytes read ahead of the request that is being answered.
  package var pipelineBytes = 64 << 10
  /// Bytes of unsent answer above which a stream should wait: `write` says so, `onWritable` ends it.
  package var outputMark = 256 << 10
  /// A client that closes its side is taken to have left, also when its request was whole. On the
  /// wire the two look alike; engines need this, since an answer nobody reads costs a slot.
  package var leavingAborts = false

  package init() {}
}
