import CLinux
import Glibc
import HTTP
import HTTP1
import Primitives

/// One client connection: its bytes on both sides and where in a request it is.
///
/// ```
/// head --whole--> body --whole--> answering --ended--> head (keep-alive) | closing
///   \--rejected----\--rejected-----------------------------------------> closing
///                                      \--taken over--> raw -----------> closing
/// closing: the output drains, FIN, what still comes is dropped until the client's FIN.
/// ```
/// Lives and dies on one loop; not Sendable on purpose.
final class HTTPConnection {
  enum Phase {
    /// Between requests, or inside a head.
    case head
    /// The head is whole and kept; its body is being collected.
    case body
    /// The handler has the request; bytes of the next one wait.
    case answering
    /// The handler took the connection over: bytes go to it as they come.
    case raw
    /// Nothing more is written than what waits.
    case closing
    /// The descriptor is closed.
    case closed
  }

  let descriptor: Int32
  let listener: Int
  let peer: SocketAddress?
  var handle = Handle.none
  var phase = Phase.head
  /// A request has come: what follows is HTTP/1.1.
  var hasServed = false

  /// What came and was not taken yet.
  var input = Block()
  /// The head of the request whose body is being collected.
  var headBytes: [UInt8] = []
  var body: [UInt8] = []
  var decoder = BodyDecoder(.none)
  /// The client has sent FIN.
  var isInputEnded = false
  /// Bytes dropped while closing.
  var dropped = 0

  var output: [UInt8] = []
  /// Bytes of `output` that are sent already.
  var outputStart = 0
  /// `write` has answered that the stream should wait.
  var isCongested = false
  /// The kernel has not taken all of the output; the deadline is that of sending.
  var isStalled = false
  /// Our FIN is sent.
  var isOutputEnded = false

  var responder: HTTPResponder?
  /// After this answer the connection may serve another request.
  var keepAlive = true

  /// What the descriptor is watched for at present.
  var interest: UInt32 = 0
  /// Waits for its turn in the server's list.
  var isDirty = false
  var deadline = Instant.never
  /// When the heap will bring it up.
  var visit = Instant.never

  init(descriptor: Int32, listener: Int, peer: SocketAddress?) {
    self.descriptor = descriptor
    self.listener = listener
    self.peer = peer
  }

  var unsent: Int { output.count - outputStart }

  /// What to watch the descriptor for.
  func wanted(_ limits: HTTPServerLimits) -> UInt32 {
    var wanted: UInt32 = 0
    if !isInputEnded {
      let mayRead =
        switch phase {
        case .head, .body, .raw, .closing: true
        case .answering: input.count < limits.pipelineBytes
        case .closed: false
        }
      // RDHUP comes with data still unread, so it is asked for only where reading has stopped.
      wanted |= mayRead ? EPOLLIN.rawValue : limits.leavingAborts ? EPOLLRDHUP.rawValue : 0
    }
    if unsent > 0 { wanted |= EPOLLOUT.rawValue }
    return wanted
  }

  /// Hands as much of the output to the kernel as it takes. `-errno` when the client is gone.
  func flush() -> Int32 {
    while unsent > 0 {
      let sent = output.withUnsafeBytes { bytes in
        portico_send(descriptor, bytes.baseAddress! + outputStart, bytes.count - outputStart)
      }
      if sent == -Int(EAGAIN) { return 0 }
      if sent < 0 { return Int32(sent) }
      outputStart += sent
    }
    outputStart = 0
    // A stream's events are small; a large answer's memory is not kept for them.
    if output.capacity > 4_096 { output = [] } else { output.removeAll(keepingCapacity: true) }
    return 0
  }
}
