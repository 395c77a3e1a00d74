import HTTP
import HTTP1
import Primitives

/// Answers requests. Called on the server's loop only.
package protocol HTTPHandler: AnyObject {
  /// A whole request. It is lent for this call; the responder may be kept and used later.
  func handle(_ request: borrowing HTTPRequest, _ responder: HTTPResponder)
  /// When the handler wants `deadlinePassed`; asked once at the end of each turn.
  var nextDeadline: Instant { get }
  func deadlinePassed(at now: Instant)
}

extension HTTPHandler {
  package var nextDeadline: Instant { .never }
  package func deadlinePassed(at now: Instant) {}
}

/// Speaks another protocol, HTTP/2, on connections that begin with its preface. Called on the server's
/// loop only.
package protocol PrefaceHandler: AnyObject {
  /// The first bytes of every such connection.
  var preface: StaticString { get }
  /// A new connection, to be taken over at once; its first bytes are the preface.
  func handle(_ responder: HTTPResponder, listener: Int, peer: SocketAddress?)
  /// At the end of a turn: what is to be sent is written now.
  func settle()
  /// The server takes no more connections, and its own requests have ended.
  func drain()
  /// When the handler wants `deadlinePassed`; asked once at the end of each turn.
  var nextDeadline: Instant { get }
  func deadlinePassed(at now: Instant)
}

/// A request as it stands in the connection's memory: good for one call of the handler.
package struct HTTPRequest: ~Copyable {
  private let head: UnsafeMutablePointer<RequestHead>
  private let bytes: UnsafeRawBufferPointer
  package let body: UnsafeRawBufferPointer
  /// The tag of the listener it came through.
  package let listener: Int
  /// nil where the kernel did not say.
  package let peer: SocketAddress?

  init(
    head: UnsafeMutablePointer<RequestHead>, bytes: UnsafeRawBufferPointer,
    body: UnsafeRawBufferPointer, listener: Int, peer: SocketAddress?
  ) {
    self.head = head
    self.bytes = bytes
    self.body = body
    self.listener = listener
    self.peer = peer
  }

  package var method: Method { head.pointee.method }

  /// Without the query, percent-encoded as it came.
  package var path: String { text(head.pointee.path.bytes(in: bytes)) }

  /// Behind the question mark, without it; empty when there is none.
  package var query: String { text(head.pointee.query.bytes(in: bytes)) }

  /// The value of the first field of that name, which is given in lower case.
  package func field(_ name: StaticString) -> String? {
    head.pointee.value(named: name, in: bytes).map { text($0.bytes(in: bytes)) }
  }

  /// A correct wish to speak WebSocket. To be answered with 101 and `takeOver`, or like any other.
  package var wantsWebSocket: Bool { head.pointee.upgrade == .websocket }

  private func text(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes, as: UTF8.self)
  }
}
