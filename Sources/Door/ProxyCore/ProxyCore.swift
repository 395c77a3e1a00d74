import Balancing
import Configuration
import Glibc
import Guard
import HTTP
import HTTP1
import HTTP2
import Primitives
import Routing
import Telemetry

/// One loop's whole world as a value: its connections, exchanges, pools and deadlines.
///
/// `handle(event, at: now, into: effects)` is the only way in, and what it appends to `effects` the
/// only way out: the same code runs on sockets and in the simulator. Time is an argument,
/// randomness comes from the seed, and the one question that cannot be an event ("is this idle
/// connection still alive, now, before I write to it?") is a function given at the start.
package struct ProxyCore: ~Copyable {
  /// Bytes that are read from a client at once. A prompt of some hundred kilobytes then takes one
  /// read and one write, and wakes its backend once.
  package static var clientReadLimit: Int { 512 * 1024 }
  /// Bytes that are read from a backend at once: also what a client that stops reading can make us
  /// keep, so it is less.
  package static var upstreamReadLimit: Int { 128 * 1024 }
  /// Interim answers that a backend may send before the final one. Count. A handful is normal.
  static var interimLimit: Int { 64 }
  /// Idle connections are not asked whether they are alive when they are younger than this, or when
  /// the loop has looked at all of them so lately: had they been closed, that would have said so.
  static var freshIdle: TimeAmount { .milliseconds(2) }
  /// A first write up to this size is kept in case it is refused whole. Bytes.
  static var firstWriteLimit: Int { 16 * 1024 }
  /// Pipelined requests that are begun in one turn. Count. The rest follow in the next ones.
  static var pipelinedPerTurn: Int { 32 }
  /// Answered clients that still send are listened to for this long, then closed.
  static var lingerTime: TimeAmount { .seconds(2) }
  /// And for at most this many bytes.
  static var lingerBytes: Int { 16 << 20 }

  /// The code of `broken` where a peer ended its connection without saying by TLS that it has said
  /// everything.
  package static var truncated: Int32 { ECONNABORTED }

  package let loop: Int
  /// Loops of the process, this one included: limits of all are shared out among them.
  let loops: Int
  package var snapshot: CoreSnapshot
  /// Counters and histograms of this loop.
  package var metrics: LoopMetrics
  /// Where the lines of the access log go; nil while it is off.
  package var accessLog: AccessLogRing?
  /// Added to an instant it gives the wall clock, for the access log only.
  package var wallClockOffset: Int64 = 0
  /// When the loop learnt of what it is handling: latency of our own counts from here.
  package var turnStart = Instant.zero
  /// When the loop knew last of everything that had happened to its descriptors.
  package var surveyedAt = Instant.zero
  /// What sessions send is put together until `sendHeldOutput`: answers that come in one turn for one
  /// client then take one write.
  package var holdsOutput = false
  /// Draining has been announced: health paths say no.
  package internal(set) var isSettling = false
  /// Answers end their connections.
  package internal(set) var isDraining = false

  var random: SeededRandom
  var connections = Slab<Connection>()
  var exchanges = Slab<Exchange>()
  /// Of exchanges that a guard has something to do with until their end.
  var passages = Slab<Passage>()
  var tokenCache = TokenCache()
  /// Bodies are decoded once more into it where a guard reads them.
  var scratch = Gather()
  /// Field lines under construction.
  var lines = FieldLines()
  /// Lines that the present request gains on its way; they stand in the snapshot.
  var requestLines = UnsafeRawBufferPointer(start: nil, count: 0)
  /// By listener identity, those of former snapshots included: connections outlive them.
  var listeners: [CoreSnapshot.Listener?] = []
  /// By pool identity. A pool's state never moves: picks mutate it in place.
  var pools: [UnsafeMutablePointer<PoolState>?] = []
  var deadlines = DeadlineHeap()
  var blocks = BlockPool()
  var requestHead: RequestHead
  var responseHead: ResponseHead
  /// HTTP/2 sessions, and for each stream of them what stands between it and the frames.
  var sessions = Slab<SessionEntry>()
  var streams = StreamTable()
  /// Where sessions put what they have understood.
  let inbox = HTTP2Inbox()
  /// Sessions that may have something to send.
  var dirtySessions: [Handle] = []
  /// Sessions with output that is held.
  var heldSessions: [Handle] = []
  /// Effects that have been looked through for those of streams. Count.
  var translated = 0
  /// On its way into a session.
  var fields = HTTP2Fields()
  /// More about the failure that is being handled, for the answer to the client; else empty.
  var failureDetail = UnsafeRawBufferPointer(start: nil, count: 0)
  /// Clients whose exchange has ended during this event and who may have sent the next request.
  var continuing: [Handle] = []
  /// The answer is no when the kernel already knows that the peer has closed.
  let isAlive: (Handle) -> Bool

  package init(
    loop: Int, of loops: Int = 1, snapshot: CoreSnapshot, seed: UInt64, at now: Instant,
    isAlive: @escaping (Handle) -> Bool
  ) {
    self.loop = loop
    self.loops = loops
    self.snapshot = snapshot
    self.isAlive = isAlive
    random = SeededRandom(seed: seed)
    metrics = LoopMetrics()
    requestHead = RequestHead(fieldCapacity: 64)
    responseHead = ResponseHead(fieldCapacity: 64)
    apply(snapshot, at: now)
  }

  deinit {
    for pool in pools {
      pool?.deinitialize(count: 1)
      pool?.deallocate()
    }
    sessions.visitAll { _, session in session.pointee.engine.free() }
    inbox.free()
  }

  /// When `deadlinePassed` is wanted.
  package var nextDeadline: Instant { deadlines.next }

  /// Exchanges in progress. Count.
  package var openExchanges: Int { exchanges.count }
  /// Memory lent to connections and not yet given back. Blocks.
  package var lentBlocks: Int { blocks.lent }
  /// Most bytes that one connection keeps because they cannot be used yet. Looks at all of them: for
  /// the simulation.
  package var largestInput: Int {
    var most = 0
    connections.visitAll { _, connection in most = max(most, connection.pointee.input.count) }
    return most
  }
  /// Most bytes that are kept for one stream because its peer does not take them. For the simulation,
  /// as are the next two.
  package var largestWaiting: Int {
    var most = 0
    sessions.visitAll { _, session in most = max(most, session.pointee.engine.largestWaiting) }
    return most
  }
  /// Streams of HTTP/2 that the core serves. Count.
  package var openStreams: Int { streams.count }
  /// Connections that carry HTTP/2. Count.
  package var openSessions: Int { sessions.count }
  /// Connections with a descriptor. Count.
  package var openConnections: Int { connections.count - streams.count }
  /// The performer keeps `wallClockOffset` up to date: the log needs it, or tokens that expire do.
  package var needsWallClock: Bool { accessLog != nil || snapshot.guards.tokens != nil }
  /// Client connections among them. Count.
  package private(set) var openClients = 0

  /// Open connections of one listener on this loop. Count.
  package func openClients(of listener: Int) -> Int { metrics.openConnections(listener: listener) }

  // MARK: Events

  package mutating func handle(_ event: Event, at now: Instant, into effects: inout Effects) {
    blocks.settle()
    take(event, now, &effects)
    continueClients(now, &effects)
    if sessions.count > 0 || streams.count > 0 { settleSessions(now, &effects) }
  }

  private mutating func take(_ event: Event, _ now: Instant, _ effects: inout Effects) {
    switch event {
    case .received(let handle, let bytes):
      guard let connection = connections.pointer(handle) else { return }
      if connection.pointee.phase == .session {
        sessionReceived(handle, connection, bytes, now, &effects)
      } else if connection.pointee.isClient {
        clientReceived(handle, connection, bytes, now, &effects)
      } else {
        upstreamReceived(handle, connection, bytes, now, &effects)
      }
    case .accepted(let handle):
      guard let connection = connections.pointer(handle) else { return }
      let limits = listener(connection)
      if limits.isSecure {
        arm(handle, connection, .handshake, now + limits.handshakeTimeout, now)
      } else {
        arm(handle, connection, .head, now + limits.requestHeadTimeout, now)
      }
    case .secured(let handle, let security, let clientName):
      guard let connection = connections.pointer(handle) else { return }
      secured(handle, connection, security, clientName, now, &effects)
    case .securingFailed(let handle, let failure, let detail):
      guard let connection = connections.pointer(handle) else { return }
      securingFailed(handle, connection, failure, detail, now, &effects)
    case .connected(let handle):
      guard let connection = connections.pointer(handle) else { return }
      if connection.pointee.phase == .session {
        sessionConnected(handle, connection, now, &effects)
      } else {
        upstreamConnected(handle, connection, now, &effects)
      }
    case .connectFailed(let handle, let code):
      guard let connection = connections.pointer(handle) else { return }
      if connection.pointee.phase == .session {
        endSession(handle, connection, .gone, code: code, now, &effects)
      } else {
        upstreamConnectFailed(handle, connection, code, now, &effects)
      }
    case .ended(let handle):
      guard let connection = connections.pointer(handle) else { return }
      connection.pointee.hasEnded = true
      if connection.pointee.phase == .session {
        endSession(handle, connection, .gone, code: 0, now, &effects)
      } else if connection.pointee.isClient {
        clientEnded(handle, connection, now, &effects)
      } else {
        upstreamEnded(handle, connection, code: 0, now, &effects)
      }
    case .hungUp(let handle):
      guard let connection = connections.pointer(handle), connection.pointee.isClient else {
        return
      }
      if connection.pointee.phase == .session {
        endSession(handle, connection, .gone, code: 0, now, &effects)
        return
      }
      clientHungUp(handle, connection, now, &effects)
    case .broken(let handle, let code):
      guard let connection = connections.pointer(handle) else { return }
      connection.pointee.hasEnded = true
      if connection.pointee.phase == .session {
        endSession(handle, connection, .gone, code: code, now, &effects)
      } else if connection.pointee.isClient {
        clientBroken(handle, connection, now, &effects)
      } else {
        upstreamEnded(handle, connection, code: code, now, &effects)
      }
    case .refused(let handle):
      guard let connection = connections.pointer(handle),
        let exchange = exchanges.pointer(connection.pointee.exchange)
      else { return }
      // What was written before it may have arrived; the first write itself has not.
      if exchange.pointee.writes <= 1 { exchange.pointee.hasSent = false }
    case .blocked(let handle):
      guard let connection = connections.pointer(handle) else { return }
      outputBlocked(handle, connection, now, &effects)
    case .drained(let handle):
      guard let connection = connections.pointer(handle) else { return }
      outputDrained(handle, connection, now, &effects)
    case .deadlinePassed:
      passDeadlines(now, &effects)
    }
  }

  /// A place for a connection that has just been accepted; `accepted` follows with it.
  package mutating func reserveClient(listener: Int, peer: PeerAddress, at now: Instant) -> Handle {
    let awaitsHeader = listeners[listener]!.limits.awaitsProxyHeader
    metrics.connectionOpened(listener: listener)
    openClients += 1
    var connection = Connection.client(
      listener: listener, peer: peer, phase: awaitsHeader ? .proxyHeader : .idle, at: now)
    connection.isFresh = listeners[listener]!.limits.takesHTTP2
    return connections.insert(connection)
  }

  /// Where a connect effect leads.
  package func address(pool: Int, slot: Int) -> SocketAddress? {
    guard let state = pools[pool] else { return nil }
    return state.pointee.slots[slot]?.member.address
  }

  /// The name that the certificate at the end of a connect effect must have; nil in clear.
  package func serverName(pool: Int, slot: Int) -> String? {
    guard let state = pools[pool], state.pointee.settings.tls != nil else { return nil }
    return state.pointee.slots[slot]?.member.serverName
  }

  // MARK: Deadlines

  /// Sets the one deadline of a connection. Nearly always free: see `DeadlineHeap`.
  mutating func arm(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ kind: Connection.Deadline, _ deadline: Instant, _ now: Instant
  ) {
    connection.pointee.deadlineKind = kind
    connection.pointee.deadline = deadline
    if deadline < connection.pointee.visit {
      let visit = DeadlineHeap.visit(deadline, at: now)
      guard visit < connection.pointee.visit else { return }
      connection.pointee.visit = visit
      deadlines.schedule(handle, at: visit)
    }
  }

  mutating func disarm(_ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.deadlineKind = .none
    connection.pointee.deadline = .never
  }

  private mutating func passDeadlines(_ now: Instant, _ effects: inout Effects) {
    while let due = deadlines.popDue(at: now) {
      guard let connection = connections.pointer(due.owner), connection.pointee.visit == due.at
      else { continue }
      connection.pointee.visit = .never
      if connection.pointee.deadline <= now {
        let kind = connection.pointee.deadlineKind
        disarm(connection)
        if kind == .session {
          sessionDeadlinePassed(due.owner, connection, now, &effects)
        } else if connection.pointee.isClient {
          clientDeadlinePassed(due.owner, connection, kind, now, &effects)
        } else {
          upstreamDeadlinePassed(due.owner, connection, kind, now, &effects)
        }
      } else if connection.pointee.deadline != .never {
        let visit = DeadlineHeap.visit(connection.pointee.deadline, at: now)
        connection.pointee.visit = visit
        deadlines.schedule(due.owner, at: visit)
      }
    }
  }

  // MARK: Backpressure

  mutating func outputBlocked(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    connection.pointee.isBlocked = true
    if connection.pointee.phase == .session {
      sessionBlocked(handle, connection, now, &effects)
      return
    }
    guard let exchange = exchanges.pointer(connection.pointee.exchange) else {
      if connection.pointee.isClient, connection.pointee.phase != .lingering {
        arm(handle, connection, .send, now + listener(connection).sendTimeout, now)
        pause(handle, connection, .ownOutput, &effects)
      }
      return
    }
    let source =
      connection.pointee.isClient ? exchange.pointee.upstream : exchange.pointee.client
    if let other = connections.pointer(source) { hold(source, other, &effects) }
    if connection.pointee.isClient {
      arm(handle, connection, .send, now + listener(connection).sendTimeout, now)
    } else if exchange.pointee.state != .tunnel {
      let limit = pools[exchange.pointee.pool]!.pointee.settings.timeouts.betweenChunks
      arm(handle, connection, .betweenChunks, now + limit, now)
    }
  }

  mutating func outputDrained(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    connection.pointee.isBlocked = false
    if connection.pointee.phase == .session {
      sessionDrained(handle, connection, now, &effects)
      return
    }
    if connection.pointee.isClient, connection.pointee.deadlineKind == .send {
      disarm(connection)
    }
    guard let exchange = exchanges.pointer(connection.pointee.exchange) else {
      // What was being waited for before the output blocked is waited for again.
      guard connection.pointee.isClient else { return }
      unpause(handle, connection, .ownOutput, &effects)
      if connection.pointee.phase == .idle {
        arm(handle, connection, .idle, now + listener(connection).idleTimeout, now)
        continuing.append(handle)
      } else if connection.pointee.phase == .head {
        let limit = listener(connection).requestHeadTimeout
        arm(handle, connection, .head, connection.pointee.since + limit, now)
      }
      return
    }
    if connection.pointee.isClient {
      if let upstream = connections.pointer(exchange.pointee.upstream) {
        unpause(exchange.pointee.upstream, upstream, .backpressure, &effects)
        armAnswer(exchange.pointee.upstream, upstream, exchange, now)
      }
      if !exchange.pointee.requestEnded { watchBody(handle, connection, now) }
    } else {
      armAnswer(handle, connection, exchange, now)
      if let client = connections.pointer(exchange.pointee.client) {
        unpause(exchange.pointee.client, client, .backpressure, &effects)
        if !exchange.pointee.requestEnded {
          watchBody(exchange.pointee.client, client, now)
          pumpHeldBody(exchange.pointee.client, client, now, &effects)
        }
      }
    }
  }

  /// Reads no more from one side while the other takes nothing. What is not read cannot be late, for
  /// the silence is ours: only a connection that is still being made, and a client that takes nothing
  /// itself, keep their deadlines.
  mutating func hold(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ effects: inout Effects
  ) {
    pause(handle, connection, .backpressure, &effects)
    if connection.pointee.phase != .connecting, !connection.pointee.isBlocked {
      disarm(connection)
    }
  }

  mutating func pause(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ reason: Connection.PauseReasons, _ effects: inout Effects
  ) {
    if connection.pointee.pauses.isEmpty { effects.list.append(.pause(handle)) }
    connection.pointee.pauses.insert(reason)
  }

  mutating func unpause(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ reason: Connection.PauseReasons, _ effects: inout Effects
  ) {
    guard connection.pointee.pauses.contains(reason) else { return }
    connection.pointee.pauses.remove(reason)
    if connection.pointee.pauses.isEmpty { effects.list.append(.resume(handle)) }
  }

  // MARK: The ends of connections

  enum Ending {
    /// After everything written has been sent.
    case close
    /// At once and recognisably abnormal.
    case reset
    /// The descriptor is known to be broken or both sides have ended: nothing more to send.
    case gone
  }

  /// Ends a connection: its handle is dead when this returns.
  mutating func end(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ ending: Ending,
    _ effects: inout Effects
  ) {
    blocks.give(&connection.pointee.input)
    blocks.give(&connection.pointee.clientName)
    blocks.give(&connection.pointee.trailers)
    if connection.pointee.isClient, !connection.pointee.isStream {
      metrics.connectionClosed(listener: connection.pointee.listener)
      openClients -= 1
    }
    connections.remove(handle)
    switch ending {
    case .close: effects.list.append(.close(handle))
    case .reset: effects.list.append(.reset(handle))
    case .gone: effects.list.append(.drop(handle))
    }
  }

  @inline(__always)
  func listener(_ connection: UnsafeMutablePointer<Connection>) -> ListenerLimits {
    listeners[connection.pointee.listener]!.limits
  }
}
