import Balancing
import Configuration
import HTTP
import HTTP1
import Primitives
import Routing
import Telemetry

/// From a request head to a backend, and again when that backend failed.
extension ProxyCore {
  // MARK: Begin

  /// Routes the request whose head has just been parsed, and makes its first attempt.
  ///
  /// - Returns: the bytes used of `bytes`, head and perhaps body.
  mutating func beginExchange(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ bytes: UnsafeRawBufferPointer, _ limits: ListenerLimits, _ now: Instant,
    _ effects: inout Effects
  ) -> Int {
    let headBytes = requestHead.headBytes
    if limits.hasHealthPath, answerHealth(handle, connection, bytes, now, &effects) {
      return headBytes
    }
    if requestHead.target.bytes(in: bytes).elementsEqual([0x2a]) {
      answerAsterisk(handle, connection, now, &effects)
      return headBytes
    }
    if limits.isSecure, isMisdirected(connection, bytes) {
      answerLocally(
        handle, connection, .misdirected, status: 421, route: nil, bytes, now, &effects)
      return headBytes
    }
    guard let route = findRoute(bytes) else {
      answerLocally(
        handle, connection, .noRoute, status: 404, route: nil, bytes, now, &effects)
      return headBytes
    }
    guard case .pool(let pool) = route.target else {
      if case .refuse(let status) = route.target {
        answerLocally(
          handle, connection, .refusedByRule, status: status, route: route.id, bytes, now, &effects)
      }
      return headBytes
    }
    let bodyLimit = snapshot.guards.routes[route.id].bodyLimit ?? limits.bodyLimit
    if case .length(let length) = requestHead.framing, bodyLimit > 0, length > UInt64(bodyLimit) {
      refuse(handle, connection, .bodyTooLarge, now, &effects)
      return bytes.count
    }
    let entry = enter(handle, connection, route: route.id, limits, bytes, now, &effects)
    if case .answered(let used) = entry { return used }
    let exchangeHandle = exchanges.insert(
      makeExchange(
        handle, connection, route: route.id, pool: pool, bodyLimit: bodyLimit, bytes, now))
    let exchange = exchanges.pointer(exchangeHandle)!
    metrics.streamOpened()
    connection.pointee.exchange = exchangeHandle
    connection.pointee.phase = .exchanging
    connection.pointee.windowBytes = 0
    if exchange.pointee.isGRPC { takeCallDeadline(exchange, bytes, now) }
    if accessLog != nil { rememberForLog(exchange, bytes) }
    switch entry {
    case .open, .answered: break
    case .passed(let passage): exchange.pointee.passage = passage
    case .inspected(let passage):
      exchange.pointee.passage = passage
      awaitModel(handle, connection, exchange, bytes, now, &effects)
      return headBytes
    }
    pools[pool]!.pointee.budget.deposit(at: now)

    writeRequestHead(connection, exchange, bytes, &effects)
    let rest = UnsafeRawBufferPointer(rebasing: bytes[headBytes...])
    let found = attempt(exchangeHandle, exchange, now, &effects)
    guard case .connection(let upstreamHandle) = found else {
      // Either it failed and was answered, or a connection is on its way.
      guard case .connecting = found else { return headBytes }
      return headBytes
        + holdRequest(handle, connection, exchange, rest, now, &effects)
    }
    // Head and body in one write.
    var used = headBytes
    if !exchange.pointee.requestEnded {
      if exchange.pointee.expectsContinue, rest.isEmpty {
        remember(exchange, &effects)
        exchange.pointee.noteWrite()
        effects.write(to: upstreamHandle)
        sendContinue(handle, exchange, &effects)
        watchBody(handle, connection, now)
        return used
      }
      let result = gatherBody(connection, exchange, rest, &effects)
      if let rejection = result.rejected {
        effects.gather.discardOpen()
        refuse(handle, connection, rejection, now, &effects)
        return bytes.count
      }
      used += result.consumed
      if !result.finished { watchBody(handle, connection, now) }
    }
    remember(exchange, &effects)
    exchange.pointee.noteWrite()
    effects.write(to: upstreamHandle)
    if exchange.pointee.requestEnded {
      exchange.pointee.sentAt = now
      armAnswer(upstreamHandle, connections.pointer(upstreamHandle)!, exchange, now)
    }
    return used
  }

  private mutating func makeExchange(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, route: Int, pool: Int,
    bodyLimit: Int, _ bytes: UnsafeRawBufferPointer, _ now: Instant
  ) -> Exchange {
    let framing = requestHead.framing
    var record = RequestRecord()
    record.listener = Int32(connection.pointee.listener)
    record.route = Int32(route)
    record.pool = Int32(pool)
    record.method = requestHead.method
    record.isUpgrade = requestHead.upgrade == .websocket
    record.started = now
    record.isHTTP2 = connection.pointee.isStream
    record.tls = connection.pointee.security.version
    record.tlsIsResumed = connection.pointee.security.isResumed
    record.added = now - turnStart
    return Exchange(
      client: handle, snapshot: snapshot, method: requestHead.method,
      clientIsHTTP11: requestHead.isHTTP11,
      keepAlive: requestHead.keepAlive && !isDraining,
      wantsUpgrade: requestHead.upgrade == .websocket,
      isRepeatable: requestHead.method.isIdempotent || requestHead.hasIdempotencyKey
        || pools[pool]!.pointee.settings.retry.nonIdempotent,
      expectsContinue: requestHead.expectContinue,
      requestBody: BodyDecoder(connection.pointee.incoming(framing)),
      requestFraming: framing, bodyLimit: bodyLimit, isGRPC: requestIsGRPC(bytes), pool: pool,
      record: record,
      hashKey: pools[pool]!.pointee.hashKey(of: requestHead, in: bytes))
  }

  /// Gathers the head as it goes upstream: the same for every attempt.
  mutating func writeRequestHead(
    _ connection: UnsafeMutablePointer<Connection>, _ exchange: UnsafeMutablePointer<Exchange>,
    _ bytes: UnsafeRawBufferPointer, _ effects: inout Effects
  ) {
    let pool = pools[exchange.pointee.pool]!
    var id: InlineArray<32, UInt8> = .init(repeating: 0)
    Self.writeHex(random.next(), random.next(), to: &id)
    let isTrusted = connection.pointee.peer.isTrusted
    if !snapshot.clientNameFields.isEmpty { leaveOutClientNames(bytes) }
    let nameField = clientNameField(connection)
    connection.pointee.peer.withText { peer in
      withUnsafeBytes(of: id) { id in
        pool.pointee.fallbackAuthority.withUnsafeBytes { host in
          nameField.withUnsafeBytes { nameField in
            var forwarding = Forwarding(
              clientAddress: peer, keepForwarded: isTrusted,
              isSecure: connection.pointee.security.isSecure, requestID: id,
              fallbackHost: host, upgrade: exchange.pointee.wantsUpgrade,
              framing: exchange.pointee.requestFraming, extraFields: requestLines)
            forwarding.clientNameField = nameField
            forwarding.clientName = connection.pointee.clientName.bytes
            writeRequest(requestHead, from: bytes, forwarding, into: &effects.gather)
            rememberRequestID(exchange, requestHead.requestID?.bytes(in: bytes) ?? id)
          }
        }
      }
    }
  }

  /// Keeps the request until there is a connection: its head, and as much of its body as has come, if
  /// that is little. A large body waits in the client's input, and no more of it is read.
  ///
  /// - Returns: the bytes used of the body.
  private mutating func holdRequest(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ rest: UnsafeRawBufferPointer, _ now: Instant,
    _ effects: inout Effects
  ) -> Int {
    var used = 0
    let limit = pools[exchange.pointee.pool]!.pointee.settings.retry.bodyLimit
    if !exchange.pointee.requestEnded, !rest.isEmpty,
      effects.gather.openBytes + rest.count <= limit
    {
      let result = gatherBody(connection, exchange, rest, &effects)
      if let rejection = result.rejected {
        refuse(handle, connection, rejection, now, &effects)
        return rest.count
      }
      used = result.consumed
    }
    // Kept whatever its size: it has not been sent yet.
    effects.gather.copyOpen(to: &exchange.pointee.replay, of: &blocks)
    effects.gather.discardOpen()
    if !exchange.pointee.requestEnded { pause(handle, connection, .noUpstream, &effects) }
    return used
  }

  mutating func sendContinue(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ effects: inout Effects
  ) {
    guard exchange.pointee.expectsContinue else { return }
    exchange.pointee.expectsContinue = false
    writeContinue(into: &effects.gather)
    effects.write(to: handle)
  }

  // MARK: Attempt

  enum Attempt {
    /// An idle connection, ready to be written to.
    case connection(Handle)
    /// A connection is on its way.
    case connecting
    /// No member can serve; the client has been told.
    case failed
  }

  /// Chooses a member and finds a connection to it.
  mutating func attempt(
    _ exchangeHandle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant,
    _ effects: inout Effects
  ) -> Attempt {
    switch pick(exchange, now) {
    case .member(let ticket):
      return take(ticket, exchangeHandle, exchange, now, &effects)
    case .none(let refusal):
      failWithoutMember(exchangeHandle, exchange, refusal, now, &effects)
      return .failed
    }
  }

  private mutating func pick(_ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant) -> Pick {
    let pool = pools[exchange.pointee.pool]!
    return pool.pointee.balancer.pick(
      at: now, random: &random, hashKey: exchange.pointee.hashKey,
      avoiding: exchange.pointee.tried, inFlightLimit: pool.pointee.settings.limits.inFlight)
  }

  private mutating func take(
    _ ticket: Ticket, _ exchangeHandle: Handle, _ exchange: UnsafeMutablePointer<Exchange>,
    _ now: Instant, _ effects: inout Effects
  ) -> Attempt {
    let pool = pools[exchange.pointee.pool]!
    exchange.pointee.ticket = ticket
    exchange.pointee.hasTicket = true
    exchange.pointee.attempts += 1
    exchange.pointee.hasSent = false
    exchange.pointee.wasRefused = false
    exchange.pointee.writes = 0
    exchange.pointee.tried.insert(ticket.slot)
    exchange.pointee.record.member = Int32(pool.pointee.slots[ticket.slot]!.member.id)
    exchange.pointee.record.queue = now - exchange.pointee.record.started
    return connect(exchangeHandle, exchange, pool, slot: ticket.slot, now, &effects)
  }

  /// An idle connection of the member that is still alive, or a new one.
  mutating func connect(
    _ exchangeHandle: Handle, _ exchange: UnsafeMutablePointer<Exchange>,
    _ pool: UnsafeMutablePointer<PoolState>, slot: Int, _ now: Instant, _ effects: inout Effects
  ) -> Attempt {
    if pool.pointee.speaksHTTP2(slot) {
      return openStream(exchangeHandle, exchange, pool, slot: slot, now, &effects)
    }
    while let handle = pool.pointee.slots[slot]!.idle.popLast() {
      guard let connection = connections.pointer(handle), connection.pointee.phase == .idle
      else { continue }
      if now - max(connection.pointee.since, surveyedAt) > Self.freshIdle, !isAlive(handle) {
        metrics.upstreamConnection(from: .idle, to: nil)
        end(handle, connection, .gone, &effects)
        continue
      }
      metrics.upstreamConnection(from: .idle, to: .active)
      connection.pointee.phase = .exchanging
      connection.pointee.exchange = exchangeHandle
      disarm(connection)
      exchange.pointee.upstream = handle
      exchange.pointee.isReused = true
      exchange.pointee.state = .sending
      exchange.pointee.record.upstreamConnectionReused = true
      holdIfClientIsBlocked(handle, connection, exchange, &effects)
      return .connection(handle)
    }
    let handle = connections.insert(
      .upstream(
        pool: exchange.pointee.pool, slot: slot, tenancy: pool.pointee.slots[slot]!.tenancy,
        exchange: exchangeHandle, at: now))
    exchange.pointee.upstream = handle
    exchange.pointee.isReused = false
    exchange.pointee.state = .waiting
    exchange.pointee.record.upstreamConnectionReused = false
    metrics.upstreamConnection(from: nil, to: .connecting)
    effects.list.append(.connect(handle, pool: exchange.pointee.pool, slot: slot))
    let limit = pool.pointee.settings.timeouts.connect
    arm(handle, connections.pointer(handle)!, .connect, now + limit, now)
    holdIfClientIsBlocked(handle, connections.pointer(handle)!, exchange, &effects)
    return .connecting
  }

  /// A client that has not taken an earlier answer yet does not get the next one on top of it.
  mutating func holdIfClientIsBlocked(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ effects: inout Effects
  ) {
    guard let client = connections.pointer(exchange.pointee.client), client.pointee.isBlocked
    else { return }
    hold(handle, connection, &effects)
  }

  /// Sends what is to be sent first on a connection that has just been found: the whole replay, and
  /// then the part of the body that was kept.
  mutating func sendFromReplay(
    _ exchangeHandle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant,
    _ effects: inout Effects
  ) {
    exchange.pointee.state = .sending
    exchange.pointee.noteWrite()
    effects.gather.append(exchange.pointee.replay.bytes)
    effects.write(to: exchange.pointee.upstream)
    let replayLimit = pools[exchange.pointee.pool]!.pointee.settings.retry.bodyLimit
    if exchange.pointee.replay.count > replayLimit { forget(exchange) }
    guard let upstream = connections.pointer(exchange.pointee.upstream) else { return }
    if exchange.pointee.requestEnded {
      exchange.pointee.sentAt = now
      armAnswer(exchange.pointee.upstream, upstream, exchange, now)
      return
    }
    disarm(upstream)
    guard let client = connections.pointer(exchange.pointee.client) else { return }
    if client.pointee.input.isEmpty, exchange.pointee.requestPayload == 0 {
      sendContinue(exchange.pointee.client, exchange, &effects)
    }
    exchange.pointee.expectsContinue = false
    let clientHandle = exchange.pointee.client
    pumpHeldBody(clientHandle, client, now, &effects)
    if let client = connections.pointer(clientHandle),
      let exchange = exchanges.pointer(exchangeHandle),
      !exchange.pointee.requestEnded
    {
      watchBody(clientHandle, client, now)
    }
  }

  // MARK: Failure

  /// The present attempt has failed before any byte of an answer reached the client: another one,
  /// or the end.
  ///
  /// - Parameter nothingSent: the backend cannot have seen any of the request.
  mutating func attemptFailed(
    _ exchangeHandle: Handle, _ exchange: UnsafeMutablePointer<Exchange>,
    _ reason: TerminationReason, nothingSent: Bool, _ now: Instant, _ effects: inout Effects
  ) {
    // That we have no descriptor left says nothing about the member.
    // Nor does that a goodbye of it crossed our request.
    let isNeutral = reason == .connectNoResources || exchange.pointee.wasRefused
    exchange.pointee.verdict = isNeutral ? .neutral : .failure
    noteFailure(exchange, reason, now)
    if retry(exchangeHandle, exchange, reason, nothingSent: nothingSent, now, &effects) { return }
    failExchange(exchangeHandle, exchange, reason, now, &effects)
  }

  /// Tries another member, if the rules and the budget allow it. The present attempt and what is
  /// left of its connection end then; otherwise nothing changes.
  mutating func retry(
    _ exchangeHandle: Handle, _ exchange: UnsafeMutablePointer<Exchange>,
    _ reason: TerminationReason, nothingSent: Bool, _ now: Instant, _ effects: inout Effects
  ) -> Bool {
    let pool = pools[exchange.pointee.pool]!
    guard exchange.pointee.canReplay, nothingSent || exchange.pointee.isRepeatable,
      exchange.pointee.attempts < pool.pointee.settings.retry.attempts
    else { return false }
    guard pool.pointee.budget.withdraw(at: now) else {
      metrics.retryBudgetExhausted(pool: exchange.pointee.pool)
      return false
    }
    var choice = pick(exchange, now)
    if case .none = choice, exchange.pointee.wasRefused {
      exchange.pointee.tried.remove(exchange.pointee.ticket.slot)
      choice = pick(exchange, now)
    }
    guard case .member(let ticket) = choice else { return false }
    metrics.retried(pool: exchange.pointee.pool, reason: reason)
    settleTicket(exchange, now, &effects)
    // That the old connection took no more bytes is no reason not to read for the next one.
    if let client = connections.pointer(exchange.pointee.client) {
      unpause(exchange.pointee.client, client, .backpressure, &effects)
    }
    if let old = connections.pointer(exchange.pointee.upstream) {
      closeUpstream(exchange.pointee.upstream, old, .reset, &effects)
    }
    exchange.pointee.upstream = .none
    exchange.pointee.interims = 0
    if case .connection = take(ticket, exchangeHandle, exchange, now, &effects) {
      sendFromReplay(exchangeHandle, exchange, now, &effects)
    }
    return true
  }

  /// Reports the present attempt to the balancer. Every ticket comes back here exactly once.
  mutating func settleTicket(
    _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant, _ effects: inout Effects
  ) {
    guard exchange.pointee.hasTicket else { return }
    exchange.pointee.hasTicket = false
    let total = now - exchange.pointee.ticket.startedAt
    let change = pools[exchange.pointee.pool]!.pointee.balancer.finished(
      exchange.pointee.ticket, Outcome(verdict: exchange.pointee.verdict, total: total), at: now,
      random: &random)
    announce(change, exchange, &effects)
  }

  /// Remembers why the present member failed, for the admin side.
  mutating func noteFailure(
    _ exchange: UnsafeMutablePointer<Exchange>, _ reason: TerminationReason, _ now: Instant
  ) {
    guard exchange.pointee.hasTicket else { return }
    let pool = pools[exchange.pointee.pool]!
    pool.pointee.slots[exchange.pointee.ticket.slot]?.lastFailure = LastFailure(
      reason: reason, at: now)
  }

  /// Counts what a breaker did, and tells the other loops.
  mutating func announce(
    _ change: Transition?, _ exchange: UnsafeMutablePointer<Exchange>, _ effects: inout Effects
  ) {
    guard let change else { return }
    let pool = exchange.pointee.pool
    guard let member = pools[pool]!.pointee.slots[change.slot]?.member.id else { return }
    metrics.breakerEntered(MemberReading.Breaker(change.change), member: member)
    effects.list.append(.announce(pool: pool, member: member, change.change))
  }

  private static func writeHex(_ a: UInt64, _ b: UInt64, to text: inout InlineArray<32, UInt8>) {
    var high = a
    var low = b
    for index in 0..<16 {
      let h = UInt8(truncatingIfNeeded: high & 15)
      let l = UInt8(truncatingIfNeeded: low & 15)
      text[index] = h < 10 ? h + 0x30 : h + 0x57
      text[16 + index] = l < 10 ? l + 0x30 : l + 0x57
      high >>= 4
      low >>= 4
    }
  }
}
