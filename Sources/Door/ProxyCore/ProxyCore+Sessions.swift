import HTTP
import HTTP1
import HTTP2
import Primitives
import Telemetry

/// Connections that carry HTTP/2, to clients and to backends.
///
/// ```
/// bytes -> session -> inbox -> events of streams -> the core, which takes each for a connection
/// frames <- session <- what the core decided for streams <-'
/// ```
extension ProxyCore {
  // MARK: To clients

  /// Looks whether a fresh connection begins with the preface of HTTP/2.
  ///
  /// - Returns: true when the bytes have been taken: by a session, or kept because they may be one's.
  mutating func takePreface(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ bytes: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) -> Bool {
    let mayBe = beginsPreface(bytes, from: connection.pointee.input.count)
    if !mayBe, !listener(connection).takesOnlyHTTP2 {
      connection.pointee.isFresh = false
      return false
    }
    blocks.append(bytes, to: &connection.pointee.input)
    prefaceKept(handle, connection, isWrong: !mayBe, now, &effects)
    return true
  }

  /// The same for what came in one read with a PROXY header, and is kept already.
  mutating func takeKeptPreface(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) -> Bool {
    let mayBe = beginsPreface(connection.pointee.input.bytes, from: 0)
    if !mayBe, !listener(connection).takesOnlyHTTP2 {
      connection.pointee.isFresh = false
      return false
    }
    prefaceKept(handle, connection, isWrong: !mayBe, now, &effects)
    return true
  }

  private func beginsPreface(_ bytes: UnsafeRawBufferPointer, from seen: Int) -> Bool {
    let count = min(http2Preface.utf8CodeUnitCount - seen, bytes.count)
    for index in 0..<count where bytes[index] != http2Preface.utf8Start[seen + index] {
      return false
    }
    return true
  }

  /// - Parameter isWrong: it is none; the session says so, in the only words that are spoken here.
  private mutating func prefaceKept(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, isWrong: Bool,
    _ now: Instant, _ effects: inout Effects
  ) {
    if connection.pointee.phase == .idle {
      connection.pointee.phase = .head
      connection.pointee.since = now
    }
    if isWrong || connection.pointee.input.count >= http2Preface.utf8CodeUnitCount {
      beginSession(handle, connection, now, &effects)
    } else if connection.pointee.deadlineKind != .head {
      let limit = listener(connection).requestHeadTimeout
      arm(handle, connection, .head, connection.pointee.since + limit, now)
    }
  }

  /// From now on a client's connection speaks HTTP/2. What came of it already is read as such.
  mutating func beginSession(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    let entry = SessionEntry(
      .server, transport: handle, listener(connection).http2, inbox: inbox, at: now)
    let session = sessions.insert(entry)
    metrics.sessionBegan(isClient: true)
    connection.pointee.isFresh = false
    connection.pointee.phase = .session
    connection.pointee.session = session
    connection.pointee.exchange = .none
    disarm(connection)
    let bytes = connection.pointee.input.bytes
    blocks.give(&connection.pointee.input)
    if bytes.isEmpty {
      markDirty(session)
    } else {
      sessionReceived(handle, connection, bytes, now, &effects)
    }
    if isDraining, let entry = sessions.pointer(session) { announceEnd(entry, now) }
  }

  // MARK: To backends

  /// A stream to the member, on a session that stands, or on one that is being made.
  mutating func openStream(
    _ exchangeHandle: Handle, _ exchange: UnsafeMutablePointer<Exchange>,
    _ pool: UnsafeMutablePointer<PoolState>, slot: Int, _ now: Instant, _ effects: inout Effects
  ) -> Attempt {
    let tenancy = pool.pointee.slots[slot]!.tenancy
    let handle = connections.insert(
      .upstream(
        pool: exchange.pointee.pool, slot: slot, tenancy: tenancy, exchange: exchangeHandle,
        at: now))
    let connection = connections.pointer(handle)!
    connection.pointee.isStream = true
    exchange.pointee.upstream = handle
    exchange.pointee.isReused = false
    var making: Handle?
    for session in pool.pointee.slots[slot]!.sessions {
      guard let entry = sessions.pointer(session) else { continue }
      if entry.pointee.isConnected, entry.pointee.hasRoom {
        attach(handle, to: session, entry)
        connection.pointee.phase = .exchanging
        exchange.pointee.state = .sending
        exchange.pointee.record.upstreamConnectionReused = true
        holdIfClientIsBlocked(handle, connection, exchange, &effects)
        return .connection(handle)
      }
      if !entry.pointee.isConnected, entry.pointee.waiting.count < SessionEntry.waitingLimit {
        making = session
      }
    }
    exchange.pointee.state = .waiting
    exchange.pointee.record.upstreamConnectionReused = false
    let session = making ?? connectSession(pool, exchange.pointee.pool, slot, now, &effects)
    let entry = sessions.pointer(session)!
    attach(handle, to: session, entry)
    entry.pointee.waiting.append(handle)
    let limit = pool.pointee.settings.timeouts.connect
    arm(handle, connection, .connect, now + limit, now)
    holdIfClientIsBlocked(handle, connection, exchange, &effects)
    return .connecting
  }

  private mutating func connectSession(
    _ pool: UnsafeMutablePointer<PoolState>, _ id: Int, _ slot: Int, _ now: Instant,
    _ effects: inout Effects
  ) -> Handle {
    let tenancy = pool.pointee.slots[slot]!.tenancy
    let transport = connections.insert(
      .upstream(pool: id, slot: slot, tenancy: tenancy, exchange: .none, at: now))
    var entry = SessionEntry(
      .client, transport: transport, HTTP2Settings(headBytes: Self.answerHeadLimits.headBytes),
      inbox: inbox, at: now)
    entry.pool = id
    entry.slot = slot
    entry.tenancy = tenancy
    let session = sessions.insert(entry)
    let connection = connections.pointer(transport)!
    connection.pointee.phase = .session
    connection.pointee.session = session
    pool.pointee.slots[slot]!.sessions.append(session)
    metrics.upstreamConnection(from: nil, to: .active)
    metrics.sessionBegan(isClient: false)
    effects.list.append(.connect(transport, pool: id, slot: slot))
    armSession(session, now)
    return session
  }

  private mutating func attach(
    _ handle: Handle, to session: Handle, _ entry: UnsafeMutablePointer<SessionEntry>
  ) {
    streams.insert(StreamEntry(session: session, isServer: false, place: nil), for: handle)
    entry.pointee.streams += 1
  }

  /// The transport stands: streams that waited for it begin.
  mutating func sessionConnected(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    let session = connection.pointee.session
    guard let entry = sessions.pointer(session) else { return }
    let pool = pools[entry.pointee.pool]!
    if pool.pointee.settings.tls != nil, !connection.pointee.security.isHTTP2 {
      refuseSession(handle, connection, pool, now, &effects)
      return
    }
    entry.pointee.isConnected = true
    entry.pointee.idleAt = now
    for stream in takeWaiting(connection) {
      guard let waiter = connections.pointer(stream) else { continue }
      upstreamConnected(stream, waiter, now, &effects)
      translate(now, &effects)
    }
    markDirty(session)
    armSession(session, now)
  }

  /// TLS has not agreed on HTTP/2. Where the operator leaves the choice, the streams that waited
  /// become connections of their own; that costs the first of them one handshake more, once.
  private mutating func refuseSession(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ pool: UnsafeMutablePointer<PoolState>, _ now: Instant, _ effects: inout Effects
  ) {
    let slot = connection.pointee.slot
    let waiting = takeWaiting(connection)
    endSession(handle, connection, .close, code: 0, now, &effects)
    for stream in waiting {
      guard let waiter = connections.pointer(stream) else { continue }
      let exchangeHandle = waiter.pointee.exchange
      guard !pool.pointee.speaksHTTP2(slot), let exchange = exchanges.pointer(exchangeHandle)
      else {
        securingFailed(stream, waiter, .gone, .upstreamHandshakeFailed, now, &effects)
        continue
      }
      closeUpstream(stream, waiter, .gone, &effects)
      if case .connection = connect(exchangeHandle, exchange, pool, slot: slot, now, &effects) {
        sendFromReplay(exchangeHandle, exchange, now, &effects)
      }
    }
  }

  /// A member that spoke HTTP/1.1 until now has agreed on HTTP/2: the request becomes a stream.
  mutating func upgraded(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    let exchangeHandle = connection.pointee.exchange
    let slot = connection.pointee.slot
    closeUpstream(handle, connection, .close, &effects)
    guard let exchange = exchanges.pointer(exchangeHandle) else { return }
    let pool = pools[exchange.pointee.pool]!
    if case .connection = connect(exchangeHandle, exchange, pool, slot: slot, now, &effects) {
      sendFromReplay(exchangeHandle, exchange, now, &effects)
    }
  }

  /// The streams that wait for the session to be ready.
  mutating func takeWaiting(_ connection: UnsafeMutablePointer<Connection>) -> [Handle] {
    guard let entry = sessions.pointer(connection.pointee.session) else { return [] }
    defer { entry.pointee.waiting = [] }
    return entry.pointee.waiting
  }

  // MARK: Bytes

  mutating func sessionReceived(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ bytes: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) {
    let session = connection.pointee.session
    guard let entry = sessions.pointer(session) else { return }
    // What fails here has been told to the peer; `settleSessions` closes when that has been sent.
    _ = entry.pointee.engine.receive(bytes, at: now)
    if !entry.pointee.engine.isInsideHead {
      entry.pointee.headSince = .never
    } else if entry.pointee.headSince == .never {
      entry.pointee.headSince = now
    }
    for _ in 0..<entry.pointee.engine.takeRefused() { metrics.limitReached(.streams) }
    takeInbox(session, now, &effects)
    markDirty(session)
  }

  mutating func markDirty(_ session: Handle) {
    guard let entry = sessions.pointer(session), !entry.pointee.isDirty else { return }
    entry.pointee.isDirty = true
    dirtySessions.append(session)
  }

  /// Does everything that the core decided for streams, and lets the sessions send. The end of every
  /// event.
  mutating func settleSessions(_ now: Instant, _ effects: inout Effects) {
    translate(now, &effects)
    while let session = dirtySessions.popLast() {
      guard let entry = sessions.pointer(session) else { continue }
      entry.pointee.isDirty = false
      let transport = entry.pointee.transport
      if entry.pointee.isConnected, !entry.pointee.isBlocked {
        entry.pointee.engine.flush(into: &effects.gather, at: now)
        send(session, entry, &effects)
      } else {
        entry.pointee.engine.hold()
      }
      takeInbox(session, now, &effects)
      reportBackpressure(session, now, &effects)
      translate(now, &effects)
      guard let entry = sessions.pointer(session), !entry.pointee.isDirty else { continue }
      if entry.pointee.isConnected, isOver(entry), let connection = connections.pointer(transport) {
        sendOutbox(entry, &effects)
        endSession(transport, connection, .close, code: 0, now, &effects)
        translate(now, &effects)
      } else {
        armSession(session, now)
      }
    }
    translated = 0
  }

  /// Sends what a session has gathered, or holds it until the turn ends.
  private mutating func send(
    _ session: Handle, _ entry: UnsafeMutablePointer<SessionEntry>, _ effects: inout Effects
  ) {
    let bytes = effects.gather.openBytes
    guard bytes > 0 else { return }
    guard holdsOutput, entry.pointee.outbox.count + bytes <= SessionEntry.outboxLimit else {
      let segments = effects.gather.cut()
      sendOutbox(entry, &effects)
      effects.list.append(.write(entry.pointee.transport, segments: segments))
      return
    }
    if entry.pointee.outbox.isEmpty { heldSessions.append(session) }
    effects.gather.copyOpen(to: &entry.pointee.outbox, of: &blocks)
    effects.gather.discardOpen()
  }

  private mutating func sendOutbox(
    _ entry: UnsafeMutablePointer<SessionEntry>, _ effects: inout Effects
  ) {
    guard !entry.pointee.outbox.isEmpty else { return }
    effects.gather.append(entry.pointee.outbox.bytes)
    effects.write(to: entry.pointee.transport)
    blocks.give(&entry.pointee.outbox)
  }

  /// There is output for `sendHeldOutput`.
  package var hasHeldOutput: Bool { !heldSessions.isEmpty }

  /// The turn ends: what sessions held goes out.
  package mutating func sendHeldOutput(at now: Instant, into effects: inout Effects) {
    blocks.settle()
    while let session = heldSessions.popLast() {
      if let entry = sessions.pointer(session) { sendOutbox(entry, &effects) }
    }
  }

  /// Both sides are done, or it has said goodbye and nothing is under way any more.
  private func isOver(_ entry: UnsafeMutablePointer<SessionEntry>) -> Bool {
    if entry.pointee.engine.isOver { return true }
    return entry.pointee.farewell == .said && entry.pointee.streams == 0
      && entry.pointee.engine.openStreams == 0
  }

  /// Streams whose peer takes no more, or does again.
  private mutating func reportBackpressure(
    _ session: Handle, _ now: Instant, _ effects: inout Effects
  ) {
    guard let entry = sessions.pointer(session) else { return }
    while let change = entry.pointee.engine.nextChange() {
      guard let connection = connections.pointer(change.owner),
        let stream = streams[change.owner], stream.pointee.isBlocked != change.isStuck
      else { continue }
      stream.pointee.isBlocked = change.isStuck
      if change.isStuck {
        outputBlocked(change.owner, connection, now, &effects)
      } else {
        outputDrained(change.owner, connection, now, &effects)
      }
    }
  }

  /// A peer that takes no frames is not asked for more: what it wants in answer would pile up.
  mutating func sessionBlocked(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    guard let entry = sessions.pointer(connection.pointee.session) else { return }
    entry.pointee.isBlocked = true
    entry.pointee.blockedAt = now
    pause(handle, connection, .ownOutput, &effects)
    armSession(connection.pointee.session, now)
  }

  mutating func sessionDrained(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    guard let entry = sessions.pointer(connection.pointee.session) else { return }
    entry.pointee.isBlocked = false
    entry.pointee.blockedAt = .never
    unpause(handle, connection, .ownOutput, &effects)
    markDirty(connection.pointee.session)
  }

  // MARK: Ends

  /// The transport has ended, or must: every stream on it ends with it.
  ///
  /// - Parameter code: errno, or 0, of the transport.
  mutating func endSession(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ ending: Ending,
    code: Int32, _ now: Instant, _ effects: inout Effects
  ) {
    let session = connection.pointee.session
    guard let entry = sessions.pointer(session) else { return }
    if entry.pointee.role == .client {
      pools[entry.pointee.pool]!.pointee.forget(session: session, slot: entry.pointee.slot)
      metrics.upstreamConnection(from: .active, to: nil)
    }
    let reason: SessionEnd =
      entry.pointee.engine.isFlooded
      ? .flood : entry.pointee.engine.hasFailed ? .protocolError : entry.pointee.end
    metrics.sessionEnded(isClient: entry.pointee.role == .server, reason)
    let owners = entry.pointee.engine.owners
    let waiting = entry.pointee.waiting
    entry.pointee.engine.free()
    // What is held was to be sent before the end.
    if ending == .close { sendOutbox(entry, &effects) }
    blocks.give(&entry.pointee.outbox)
    sessions.remove(session)
    end(handle, connection, ending, &effects)
    for owner in owners {
      guard let stream = connections.pointer(owner) else { continue }
      streams[owner]?.pointee.place = nil
      if stream.pointee.isClient {
        clientBroken(owner, stream, now, &effects)
      } else {
        upstreamEnded(owner, stream, code: code == 0 ? connectionReset : code, now, &effects)
      }
    }
    for owner in waiting {
      guard let stream = connections.pointer(owner) else { continue }
      upstreamConnectFailed(owner, stream, code, now, &effects)
    }
  }

  /// Tells clients that other connections are better for new requests.
  mutating func announceEnd(at now: Instant, _ effects: inout Effects) {
    sessions.visitAll { _, entry in
      if entry.pointee.role == .server { announceEnd(entry, now) }
    }
    var open: [Handle] = []
    sessions.visitAll { session, _ in open.append(session) }
    for session in open {
      markDirty(session)
    }
    settleSessions(now, &effects)
  }

  func announceEnd(_ entry: UnsafeMutablePointer<SessionEntry>, _ now: Instant) {
    guard entry.pointee.farewell == .none else { return }
    entry.pointee.farewell = .announced
    entry.pointee.farewellAt = now
    entry.pointee.engine.announceEnd()
  }

  func sayGoodbye(_ entry: UnsafeMutablePointer<SessionEntry>, _ now: Instant) {
    guard entry.pointee.farewell != .said else { return }
    entry.pointee.farewell = .said
    entry.pointee.farewellAt = now
    entry.pointee.engine.sayGoodbye()
  }

  // MARK: Deadlines

  private enum SessionDeadline {
    /// The connection to a backend does not come about.
    case connect
    case settings
    /// A head that has begun to come is not whole yet.
    case head
    case send
    case idle
    case age
    case farewell
  }

  /// What a session waits for next, and until when. Each of these is a step towards its end, so that
  /// none is met twice.
  private func sessionDeadline(
    _ entry: UnsafeMutablePointer<SessionEntry>, _ connection: UnsafeMutablePointer<Connection>
  ) -> (SessionDeadline, Instant) {
    let began = entry.pointee.began
    var next = (SessionDeadline.idle, Instant.never)
    func consider(_ kind: SessionDeadline, _ deadline: Instant) {
      if deadline < next.1 { next = (kind, deadline) }
    }
    let idle: TimeAmount
    let send: TimeAmount
    let head: TimeAmount
    var age: TimeAmount?
    switch entry.pointee.role {
    case .server:
      let limits = listener(connection)
      idle = limits.idleTimeout
      send = limits.sendTimeout
      age = limits.sessionAge
      head = limits.requestHeadTimeout
    case .client:
      let timeouts = pools[entry.pointee.pool]!.pointee.settings.timeouts
      if !entry.pointee.isConnected { return (.connect, began + timeouts.connect) }
      idle = timeouts.idle
      send = timeouts.betweenChunks
      head = timeouts.responseHead
    }
    if entry.pointee.headSince != .never { consider(.head, entry.pointee.headSince + head) }
    if entry.pointee.isBlocked { consider(.send, entry.pointee.blockedAt + send) }
    if entry.pointee.farewell != .said, !entry.pointee.isAcknowledged {
      consider(.settings, began + SessionEntry.settingsTimeout)
    }
    switch entry.pointee.farewell {
    case .none:
      if let age { consider(.age, began + age) }
      if entry.pointee.streams == 0 { consider(.idle, entry.pointee.idleAt + idle) }
    case .announced:
      consider(.farewell, entry.pointee.farewellAt + SessionEntry.farewellGrace)
    case .said:
      // Served are all; what their peer does not take does not keep the session for ever.
      if entry.pointee.streams == 0 {
        consider(.send, max(entry.pointee.idleAt, entry.pointee.farewellAt) + send)
      }
    }
    return next
  }

  mutating func armSession(_ session: Handle, _ now: Instant) {
    guard let entry = sessions.pointer(session),
      let connection = connections.pointer(entry.pointee.transport)
    else { return }
    let (_, deadline) = sessionDeadline(entry, connection)
    if deadline == .never {
      disarm(connection)
    } else {
      arm(entry.pointee.transport, connection, .session, deadline, now)
    }
  }

  mutating func sessionDeadlinePassed(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    let session = connection.pointee.session
    guard let entry = sessions.pointer(session) else { return }
    let (kind, deadline) = sessionDeadline(entry, connection)
    guard deadline <= now else {
      armSession(session, now)
      return
    }
    switch kind {
    case .connect:
      // Its streams have the same deadline and say so themselves.
      endSession(handle, connection, .reset, code: connectTimedOut, now, &effects)
      return
    case .settings:
      entry.pointee.farewell = .said
      entry.pointee.farewellAt = now
      entry.pointee.end = .settingsTimeout
      entry.pointee.engine.terminate(HTTP2Error.settingsTimeout)
    case .head:
      entry.pointee.end = .headTimeout
      guard entry.pointee.role == .server else {
        endSession(handle, connection, .reset, code: connectTimedOut, now, &effects)
        return
      }
      entry.pointee.engine.terminate(HTTP2Error.enhanceYourCalm)
    case .send:
      entry.pointee.end = .sendTimeout
      endSession(handle, connection, .reset, code: connectTimedOut, now, &effects)
      return
    case .age:
      entry.pointee.end = .age
      announceEnd(entry, now)
    case .idle:
      entry.pointee.end = .idle
      sayGoodbye(entry, now)
    case .farewell: sayGoodbye(entry, now)
    }
    markDirty(session)
  }
}
