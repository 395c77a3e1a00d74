import Primitives

/// One side of a connection that is not the front door.
protocol Peer: AnyObject {
  /// Bytes can be read.
  func arrived(_ link: Link)
  /// The front door sends no more, and everything before has arrived.
  func ended(_ link: Link)
  func wasReset(_ link: Link)
  /// A send that was taken in part, or not at all, may go on.
  func hasRoom(_ link: Link)
}

/// One direction of a connection: bytes that were sent and not yet read.
///
/// ```
///  read <- [ arrived | on the wire ] <- send        at most `capacity` bytes between them
/// ```
final class Pipe {
  let queue = ByteQueue()
  /// Bytes at the front of the queue that can be read.
  var arrived = 0
  /// Window: socket buffers of both ends and the wire between. Bytes.
  let capacity: Int
  /// Nothing may overtake.
  var lastArrival = Instant.zero
  var finSent = false
  var finArrived = false
  var resetArrived = false
  /// The sender has been told to wait.
  var senderWaits = false
  /// Bytes ever sent and read.
  var sent = 0
  var read = 0

  init(capacity: Int) { self.capacity = capacity }

  var room: Int { capacity - queue.count }
}

/// A simulated TCP connection between the front door and a client or a backend.
final class Link {
  let id: Int
  let loop: Int
  /// Which the front door gave it.
  var handle = Handle.none
  let toProxy: Pipe
  let fromProxy: Pipe
  /// One way.
  let latency: TimeAmount
  let jitter: TimeAmount
  /// Chance that what is sent at once arrives in pieces.
  let fragmentation: Double
  let isUpstream: Bool
  var peer: (any Peer)?
  var proxyClosed = false
  var peerClosed = false
  /// The next system call of the front door still reports the reset.
  var resetIsNews = true
  var closedByProxyAt = Instant.never
  /// RST has wiped out bytes that had arrived and were not read.
  var hasLostBytes = false
  /// When the latest request was written to it.
  var attemptAt = Instant.zero
  /// The same for each stream of HTTP/2.
  var streamsAt: [Int: Instant] = [:]
  /// Bytes that the client sends in all, as far as it is planned.
  var lastRequestEnd = 0
  /// A tunnel: one side may end long before the other.
  var isTunnel = false

  init(
    id: Int, loop: Int, isUpstream: Bool, latency: TimeAmount, jitter: TimeAmount,
    fragmentation: Double, windows: (toProxy: Int, fromProxy: Int)
  ) {
    self.id = id
    self.loop = loop
    self.isUpstream = isUpstream
    self.latency = latency
    self.jitter = jitter
    self.fragmentation = fragmentation
    toProxy = Pipe(capacity: windows.toProxy)
    fromProxy = Pipe(capacity: windows.fromProxy)
  }
}
