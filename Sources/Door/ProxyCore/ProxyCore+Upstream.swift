import Balancing
import Configuration
import HTTP
import HTTP1
import Primitives
import Telemetry

/// What backends do.
extension ProxyCore {
  // MARK: Connecting

  mutating func upstreamConnected(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    guard connection.pointee.phase == .connecting else { return }
    if connection.pointee.security.isHTTP2, !connection.pointee.isStream {
      upgraded(handle, connection, now, &effects)
      return
    }
    if !connection.pointee.isStream {
      metrics.upstreamConnection(from: .connecting, to: .active)
    }
    connection.pointee.phase = .exchanging
    disarm(connection)
    guard let exchange = exchanges.pointer(connection.pointee.exchange) else {
      end(handle, connection, .close, &effects)
      return
    }
    exchange.pointee.record.connect = now - connection.pointee.since
    sendFromReplay(connection.pointee.exchange, exchange, now, &effects)
  }

  mutating func upstreamConnectFailed(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ code: Int32,
    _ now: Instant, _ effects: inout Effects
  ) {
    let exchangeHandle = connection.pointee.exchange
    closeUpstream(handle, connection, .gone, &effects)
    guard let exchange = exchanges.pointer(exchangeHandle) else { return }
    attemptFailed(
      exchangeHandle, exchange, .connectFailed(code), nothingSent: true, now, &effects)
  }

  // MARK: Bytes

  mutating func upstreamReceived(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ bytes: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) {
    switch connection.pointee.phase {
    case .exchanging:
      guard let exchange = exchanges.pointer(connection.pointee.exchange) else { return }
      switch exchange.pointee.state {
      case .answering:
        relayAnswer(handle, connection, exchange, bytes, headIsOut: true, now, &effects)
      case .sending, .waiting:
        readAnswerHead(handle, connection, exchange, bytes, now, &effects)
      case .tunnel, .inspecting:
        preconditionFailure("no connection is exchanging in state \(exchange.pointee.state)")
      }
    case .tunnel:
      relayTunnel(connection, bytes, now, &effects)
    case .idle:
      // An answer that nobody asked for must reach nobody.
      metrics.glitched()
      closeUpstream(handle, connection, .reset, &effects)
    case .connecting, .session, .proxyHeader, .head, .lingering:
      preconditionFailure("a backend connection is never in phase \(connection.pointee.phase)")
    }
  }

  private mutating func readAnswerHead(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ fresh: UnsafeRawBufferPointer, _ now: Instant,
    _ effects: inout Effects
  ) {
    var bytes = fresh
    if !connection.pointee.input.isEmpty {
      blocks.append(fresh, to: &connection.pointee.input)
      bytes = connection.pointee.input.bytes
      guard
        RequestHead.worthParsing(
          newBytes: fresh, seen: bytes.count - fresh.count, limits: Self.answerHeadLimits)
      else { return }
    }
    while true {
      switch responseHead.parse(
        bytes, limits: Self.answerHeadLimits, requestMethod: exchange.pointee.method)
      {
      case .incomplete:
        keepAnswerHead(handle, connection, exchange, bytes, now)
        return
      case .rejected(let rejection):
        metrics.rejected(rejection.rawValue)
        upstreamFailed(handle, connection, exchange, .upstreamMalformed, now, &effects)
        return
      case .complete:
        let used = responseHead.headBytes
        let rest = UnsafeRawBufferPointer(rebasing: bytes[used...])
        guard responseHead.isInterim else {
          answer(handle, connection, exchange, bytes, rest, now, &effects)
          return
        }
        exchange.pointee.interims += 1
        if exchange.pointee.interims > Self.interimLimit {
          upstreamFailed(handle, connection, exchange, .upstreamMalformed, now, &effects)
          return
        }
        forwardInterim(exchange, bytes, &effects)
        if rest.isEmpty {
          blocks.give(&connection.pointee.input)
          return
        }
        bytes = rest
      }
    }
  }

  /// Limits within bodies, both ways.
  static var bodyLimits: BodyLimits { BodyLimits() }

  /// Limits of an answer's head. Backends are known, but not trusted: the same as for clients.
  static var answerHeadLimits: HeadLimits {
    HeadLimits(headBytes: 32 * 1024, targetBytes: 0, fields: 128)
  }

  private mutating func keepAnswerHead(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, _ now: Instant
  ) {
    if connection.pointee.input.isEmpty {
      blocks.append(bytes, to: &connection.pointee.input)
    } else {
      // Interim heads before it have been read.
      connection.pointee.input.consume(connection.pointee.input.count - bytes.count)
    }
    if connection.pointee.deadlineKind != .responseHead {
      let limit = pools[exchange.pointee.pool]!.pointee.settings.timeouts.responseHead
      arm(handle, connection, .responseHead, now + limit, now)
    }
  }

  /// 103 goes on to the client; 100 was or will be said by us; others mean nothing here.
  private mutating func forwardInterim(
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer,
    _ effects: inout Effects
  ) {
    guard responseHead.status == 103, exchange.pointee.clientIsHTTP11 else { return }
    writeInterim(responseHead, from: bytes, into: &effects.gather)
    effects.write(to: exchange.pointee.client)
  }

  // MARK: Answer

  /// The final head has come whole.
  private mutating func answer(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer,
    _ rest: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) {
    let status = responseHead.status
    let pool = pools[exchange.pointee.pool]!
    judge(exchange, status)
    if exchange.pointee.isGRPC { judgeCall(exchange, bytes) }
    if pool.pointee.settings.retry.statuses.contains(status),
      retry(
        connection.pointee.exchange, exchange, .upstreamStatus, nothingSent: false, now, &effects)
    {
      return
    }
    // What was kept of the head has been read; it stays good while this event is handled.
    blocks.give(&connection.pointee.input)
    // What the backend took: from the end of the request, or from the pick when it did not wait.
    let begin =
      exchange.pointee.requestEnded ? exchange.pointee.sentAt : exchange.pointee.ticket.startedAt
    exchange.pointee.record.firstByte = now - begin
    exchange.pointee.record.status = UInt16(status)
    if let added = exchange.pointee.record.added {
      exchange.pointee.record.added = added + (now - turnStart)
    }
    if exchange.pointee.hasTicket {
      let change = pool.pointee.balancer.firstByte(
        &exchange.pointee.ticket, latency: now - begin,
        isHealthy: exchange.pointee.verdict == .success, at: now)
      announce(change, exchange, &effects)
    }
    if let seconds = responseHead.keepAliveSeconds {
      pool.pointee.slots[connection.pointee.slot]?.learnedIdle = .seconds(Int64(seconds))
    }
    if status == 101 {
      beginTunnel(handle, connection, exchange, bytes, rest, now, &effects)
      return
    }
    beginAnswer(connection, exchange, bytes, now, &effects)
    relayAnswer(handle, connection, exchange, rest, headIsOut: false, now, &effects)
  }

  /// What a status says about the member.
  func judge(_ exchange: UnsafeMutablePointer<Exchange>, _ status: Int) {
    switch status {
    case 429, 503:
      exchange.pointee.verdict = .backpressure(
        retryAfter: responseHead.retryAfterSeconds.map { .seconds(Int64($0)) })
    case 500...: exchange.pointee.verdict = .failure
    default: exchange.pointee.verdict = .success
    }
  }

  /// Gathers the head of the answer; the first body bytes join it in the same write.
  private mutating func beginAnswer(
    _ connection: UnsafeMutablePointer<Connection>, _ exchange: UnsafeMutablePointer<Exchange>,
    _ bytes: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) {
    forget(exchange)
    exchange.pointee.state = .answering
    exchange.pointee.upstreamKeepAlive = responseHead.keepAlive && !connection.pointee.isStream
    exchange.pointee.responseBody = BodyDecoder(responseHead.framing)
    exchange.pointee.responseFraming = Self.clientFraming(responseHead.framing, exchange)
    if exchange.pointee.responseFraming == .untilClose { exchange.pointee.keepAlive = false }
    // An answer that comes before its request has ended ends the connection: what the client still
    // sends belongs to a request that nobody reads.
    if !exchange.pointee.requestEnded, responseHead.status >= 400 {
      exchange.pointee.keepAlive = false
    }
    if isDraining { exchange.pointee.keepAlive = false }
    if !exchange.pointee.passage.isNone { prepareAnswer(exchange, bytes, now) }
    writeResponse(
      responseHead, from: bytes, framing: exchange.pointee.responseFraming,
      close: !exchange.pointee.keepAlive, clientIsHTTP11: exchange.pointee.clientIsHTTP11,
      extraFields: lines.bytes, into: &effects.gather)
    lines.clear()
  }

  private static func clientFraming(
    _ framing: Framing, _ exchange: UnsafeMutablePointer<Exchange>
  ) -> Framing {
    switch framing {
    case .none, .length: framing
    case .chunked, .untilClose: exchange.pointee.clientIsHTTP11 ? .chunked : .untilClose
    }
  }

  /// Sends body bytes to the client, together with what has been gathered before them.
  mutating func relayAnswer(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, headIsOut: Bool,
    _ now: Instant, _ effects: inout Effects
  ) {
    let result = exchange.pointee.responseBody.decode(
      bytes, outFraming: exchange.pointee.responseFraming, limits: Self.bodyLimits,
      into: &effects.gather)
    exchange.pointee.record.responseBytes += UInt64(result.payloadBytes)
    if !exchange.pointee.passage.isNone { countAnswer(exchange, bytes, result.consumed) }
    if result.rejected != nil {
      effects.gather.discardOpen()
      // The client has seen nothing yet, and so can be told in an answer.
      if !headIsOut { exchange.pointee.state = .sending }
      upstreamFailed(handle, connection, exchange, .upstreamMalformed, now, &effects)
      return
    }
    effects.write(to: exchange.pointee.client)
    if result.finished {
      if result.consumed < bytes.count {
        // More than was announced: the rest reaches nobody, and the connection ends.
        exchange.pointee.upstreamKeepAlive = false
        metrics.glitched()
      }
      answerEnded(connection.pointee.exchange, exchange, now, &effects)
    } else if connection.pointee.pauses.isEmpty {
      armAnswer(handle, connection, exchange, now)
    }
  }

  private mutating func answerEnded(
    _ exchangeHandle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant,
    _ effects: inout Effects
  ) {
    exchange.pointee.responseEnded = true
    finishExchange(exchangeHandle, exchange, .completed, now, &effects)
  }

  /// The silence that is allowed now.
  mutating func armAnswer(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant
  ) {
    if connection.pointee.pauses.contains(.backpressure) { return }
    let timeouts = pools[exchange.pointee.pool]!.pointee.settings.timeouts
    var kind: Connection.Deadline
    var deadline: Instant
    switch exchange.pointee.state {
    case .waiting, .inspecting: return
    case .sending:
      if !exchange.pointee.requestEnded {
        guard exchange.pointee.callEnds != .never else {
          disarm(connection)
          return
        }
        arm(handle, connection, .total, exchange.pointee.callEnds, now)
        return
      }
      if connection.pointee.deadlineKind == .responseHead { return }
      kind = .firstByte
      deadline = now + timeouts.firstByte
    case .answering:
      kind = .betweenChunks
      deadline = now + timeouts.betweenChunks
    case .tunnel:
      kind = .tunnel
      deadline = now + timeouts.tunnelIdle
    }
    if exchange.pointee.state != .tunnel {
      var end = exchange.pointee.callEnds
      if let total = timeouts.total { end = min(end, exchange.pointee.record.started + total) }
      if end < deadline {
        kind = .total
        deadline = end
      }
    }
    arm(handle, connection, kind, deadline, now)
  }

  // MARK: Ends and failures

  /// The backend has closed, or its connection broke.
  mutating func upstreamEnded(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, code: Int32, _ now: Instant,
    _ effects: inout Effects
  ) {
    switch connection.pointee.phase {
    case .idle:
      closeUpstream(handle, connection, .gone, &effects)
    case .connecting:
      upstreamConnectFailed(handle, connection, code, now, &effects)
    case .tunnel:
      if code == 0 {
        tunnelEnded(handle, connection, now, &effects)
      } else if let exchange = exchanges.pointer(connection.pointee.exchange) {
        finishTunnel(connection.pointee.exchange, exchange, .upstreamReset, now, &effects)
      }
    case .exchanging:
      guard let exchange = exchanges.pointer(connection.pointee.exchange) else { return }
      if exchange.pointee.state == .answering, code == 0,
        exchange.pointee.responseBody.finishAtClose(
          outFraming: exchange.pointee.responseFraming, into: &effects.gather)
      {
        effects.write(to: exchange.pointee.client)
        exchange.pointee.upstreamKeepAlive = false
        answerEnded(connection.pointee.exchange, exchange, now, &effects)
        return
      }
      effects.gather.discardOpen()
      let reason: TerminationReason
      if exchange.pointee.state == .answering {
        reason = .upstreamTruncated
      } else {
        reason = code == 0 || code == Self.truncated ? .upstreamClosedEarly : .upstreamReset
      }
      upstreamFailed(handle, connection, exchange, reason, now, &effects)
    case .session, .proxyHeader, .head, .lingering:
      preconditionFailure("a backend connection is never in phase \(connection.pointee.phase)")
    }
  }

  /// The attempt on this connection has failed, and the connection with it.
  mutating func upstreamFailed(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ reason: TerminationReason, _ now: Instant,
    _ effects: inout Effects
  ) {
    let exchangeHandle = connection.pointee.exchange
    let nothingSent = !exchange.pointee.hasSent
    closeUpstream(handle, connection, .reset, &effects)
    exchange.pointee.upstream = .none
    if exchange.pointee.state == .answering {
      exchange.pointee.verdict = .failure
      noteFailure(exchange, reason, now)
      cutAnswer(exchangeHandle, exchange, reason, now, &effects)
    } else {
      attemptFailed(
        exchangeHandle, exchange, reason, nothingSent: nothingSent, now, &effects)
    }
  }

  mutating func upstreamDeadlinePassed(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ kind: Connection.Deadline, _ now: Instant, _ effects: inout Effects
  ) {
    guard let exchange = exchanges.pointer(connection.pointee.exchange) else {
      closeUpstream(handle, connection, .close, &effects)
      return
    }
    switch kind {
    case .connect:
      let exchangeHandle = connection.pointee.exchange
      closeUpstream(handle, connection, .reset, &effects)
      attemptFailed(exchangeHandle, exchange, .connectTimeout, nothingSent: true, now, &effects)
    case .firstByte:
      upstreamFailed(handle, connection, exchange, .firstByteTimeout, now, &effects)
    case .responseHead:
      upstreamFailed(handle, connection, exchange, .responseHeadTimeout, now, &effects)
    case .betweenChunks:
      upstreamFailed(handle, connection, exchange, .betweenChunksTimeout, now, &effects)
    case .total where exchange.pointee.callEnds <= now:
      endCall(handle, connection, exchange, now, &effects)
    case .total:
      // No time is left for another attempt either.
      forget(exchange)
      upstreamFailed(handle, connection, exchange, .totalTimeout, now, &effects)
    case .tunnel:
      finishTunnel(connection.pointee.exchange, exchange, .tunnelIdleTimeout, now, &effects)
    case .none, .idle, .handshake, .head, .resume, .bodyRate, .send, .linger, .session:
      preconditionFailure("a backend connection has no deadline \(kind)")
    }
  }

  // MARK: Connections after their exchange

  /// Keeps the connection for the next request to its member, or closes it.
  mutating func releaseUpstream(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant,
    _ effects: inout Effects
  ) {
    guard let connection = connections.pointer(handle) else { return }
    let pool = pools[exchange.pointee.pool]!
    let isReusable =
      exchange.pointee.upstreamKeepAlive && exchange.pointee.requestEnded
      && exchange.pointee.responseEnded && !connection.pointee.hasEnded
      && !connection.pointee.isBlocked && pool.pointee.isCurrent
    let slot = connection.pointee.slot
    // Its member may have moved to another address meanwhile, or gone.
    guard isReusable, let limit = pool.pointee.idleLimit(slot),
      pool.pointee.slots[slot]!.tenancy == connection.pointee.tenancy,
      pool.pointee.slots[slot]!.idle.count < pool.pointee.settings.limits.idleConnections
    else {
      closeUpstream(handle, connection, exchange.pointee.responseEnded ? .close : .reset, &effects)
      return
    }
    unpause(handle, connection, .backpressure, &effects)
    blocks.give(&connection.pointee.input)
    connection.pointee.phase = .idle
    connection.pointee.exchange = .none
    connection.pointee.since = now
    connection.pointee.answers += 1
    pool.pointee.slots[slot]!.idle.append(handle)
    metrics.upstreamConnection(from: .active, to: .idle)
    arm(handle, connection, .idle, now + limit, now)
  }

  /// Ends a backend connection. Its place in the stack of idle ones is skipped when met.
  mutating func closeUpstream(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ ending: Ending,
    _ effects: inout Effects
  ) {
    if connection.pointee.phase == .idle {
      pools[connection.pointee.pool]!.pointee.forgetIdle(handle, slot: connection.pointee.slot)
    }
    if !connection.pointee.isStream {
      metrics.upstreamConnection(from: connection.pointee.telemetryState, to: nil)
    }
    end(handle, connection, ending, &effects)
  }
}
