import HTTP
import HTTP1
import Primitives
import Telemetry

/// One connection of a loop, to a client or to a backend. Trivial, about 150 bytes: it is all that
/// an idle connection costs besides the kernel's part.
///
/// ```
/// client:    proxyHeader -> idle -> head -> exchanging -> idle ...
///                                     |         |-> tunnel -> (closed)
///                                     '---------'-> lingering -> (closed)
/// upstream:  connecting -> exchanging -> idle -> exchanging ...
///                                 '-> tunnel -> (closed)
/// either:    session: HTTP/2, whose streams are connections of their own
/// ```
struct Connection {
  enum Phase: UInt8 {
    /// Client: the PROXY protocol header has not come whole.
    case proxyHeader
    /// Client: between requests. Upstream: in its member's stack of idle connections.
    case idle
    /// Client: a head has begun and not ended.
    case head
    /// Upstream: on its way.
    case connecting
    /// In the service of an exchange.
    case exchanging
    /// Upgraded: bytes pass both ways unread.
    case tunnel
    /// It carries an HTTP/2 session. Streams of it are in the other phases.
    case session
    /// Client: answered and half-closed; what still comes is thrown away, so that the kernel does
    /// not send RST over an answer that has not been read.
    case lingering
  }

  /// Why bytes are not asked for. Several parties may pause one reader.
  struct PauseReasons: OptionSet {
    let rawValue: UInt8
    /// The other side takes bytes more slowly than this one sends.
    static let backpressure = PauseReasons(rawValue: 1)
    /// A body that has no connection to go to yet.
    static let noUpstream = PauseReasons(rawValue: 2)
    /// Pipelined bytes: the exchange before them has not ended.
    static let pipelined = PauseReasons(rawValue: 4)
    /// A client that has not taken its answers yet is not asked for more requests.
    static let ownOutput = PauseReasons(rawValue: 8)
  }

  /// What a passed deadline means.
  enum Deadline: UInt8 {
    case none
    case idle
    case handshake
    case head
    /// Pipelined requests were left for the next turn.
    case resume
    case bodyRate
    case send
    case linger
    case connect
    case firstByte
    case responseHead
    case betweenChunks
    case total
    case tunnel
    /// What a session waits for: see `ProxyCore.sessionDeadline`.
    case session
  }

  let isClient: Bool
  /// It is a stream of an HTTP/2 session: its effects become frames. Its bodies have no framing of
  /// their own: where HTTP/1.1 would need one, they end where the stream does.
  var isStream = false
  /// Client: nothing has come yet that tells HTTP/1.1 from HTTP/2.
  var isFresh = false
  /// Stream of a client: the request's body ends behind what is kept of it.
  var inputEnded = false
  /// Stream of a client: lines behind the body, kept with it.
  var trailers = Block()
  /// What it carries in phase `session`.
  var session = Handle.none
  var phase: Phase
  var deadlineKind = Deadline.none
  var pauses: PauseReasons = []
  /// The peer takes bytes more slowly than we write; the performer keeps the rest.
  var isBlocked = false
  /// No bytes will come any more.
  var hasEnded = false
  /// Client: half-closed by us in a tunnel. Upstream: likewise.
  var isFinished = false
  var deadline = Instant.never
  /// For when the deadline heap will look at this connection.
  var visit = Instant.never
  var exchange = Handle.none
  /// Bytes that came and cannot be used yet: the begin of a head, a body without an upstream.
  var input = Block()
  /// When the phase began: head timeouts and idle ages count from here.
  var since: Instant

  /// What TLS has agreed on; nothing in clear.
  var security = Security()

  // Client.
  /// The verified name of its certificate.
  var clientName = Block()
  /// Place of its listener among those of the loop.
  var listener = 0
  var peer = PeerAddress()
  /// Bytes seen of the head at the last attempt to parse it.
  var parsedBytes: UInt32 = 0
  /// Body bytes in the window whose rate is judged, or bytes thrown away while lingering.
  var windowBytes = 0

  // Upstream.
  var pool = 0
  var slot = 0
  /// Of the slot when the connection was made.
  var tenancy: UInt32 = 0
  /// Answers received on this connection. Count.
  var answers = 0

  static func client(listener: Int, peer: PeerAddress, phase: Phase, at now: Instant) -> Connection
  {
    var connection = Connection(isClient: true, phase: phase, since: now)
    connection.listener = listener
    connection.peer = peer
    return connection
  }

  static func upstream(
    pool: Int, slot: Int, tenancy: UInt32, exchange: Handle, at now: Instant
  ) -> Connection {
    var connection = Connection(isClient: false, phase: .connecting, since: now)
    connection.pool = pool
    connection.slot = slot
    connection.tenancy = tenancy
    connection.exchange = exchange
    return connection
  }

  /// How a body comes whose head says this: a stream ends bodies itself.
  func incoming(_ framing: Framing) -> Framing {
    isStream && framing == .chunked ? .untilClose : framing
  }

  /// As which it is counted while it leads to a backend.
  var telemetryState: UpstreamState {
    switch phase {
    case .connecting: .connecting
    case .idle: .idle
    case .exchanging, .tunnel, .session, .proxyHeader, .head, .lingering: .active
    }
  }

  private init(isClient: Bool, phase: Phase, since: Instant) {
    self.isClient = isClient
    self.phase = phase
    self.since = since
  }
}

/// The address of a client as text, which is what forwarded fields and the log need. Up to 45 bytes
/// (an IPv6 address with an embedded IPv4 one); empty for a Unix socket.
package struct PeerAddress: Sendable {
  private var bytes: InlineArray<46, UInt8> = .init(repeating: 0)
  private var length: UInt8 = 0
  /// Its forwarded fields are believed.
  package var isTrusted = false
  /// It has one of these addresses, not an IPv6 one in brackets.
  package var isIPv6 = false

  package init() {}

  package init(text: UnsafeRawBufferPointer) {
    length = UInt8(min(text.count, 46))
    for index in 0..<Int(length) {
      bytes[index] = text[index]
      if text[index] == 0x3a { isIPv6 = true }
    }
  }

  /// A peer that the kernel named; nil and Unix sockets have no text.
  package init(_ address: SocketAddress?) {
    switch address {
    case nil, .unix: return
    case .ipv4(let bits, port: _):
      for shift in [24, 16, 8, 0] as [UInt32] {
        if shift < 24 { append(0x2e) }
        let part = UInt8(truncatingIfNeeded: bits >> shift)
        if part >= 100 { append(0x30 + part / 100) }
        if part >= 10 { append(0x30 + part / 10 % 10) }
        append(0x30 + part % 10)
      }
    case .ipv6:
      isIPv6 = true
      for byte in (address?.host ?? "").utf8.prefix(46) where byte != 0x5b && byte != 0x5d {
        append(byte)
      }
    }
  }

  private mutating func append(_ byte: UInt8) {
    bytes[Int(length)] = byte
    length += 1
  }

  /// Calls with the text; the pointer is good during the call only.
  package func withText<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    withUnsafeBytes(of: bytes) { body(UnsafeRawBufferPointer(rebasing: $0[..<Int(length)])) }
  }
}
