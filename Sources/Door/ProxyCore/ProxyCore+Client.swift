import Balancing
import Configuration
import HTTP
import HTTP1
import Primitives
import Telemetry

/// What clients do.
extension ProxyCore {
  // MARK: Bytes

  mutating func clientReceived(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ bytes: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) {
    if connection.pointee.isFresh, connection.pointee.phase != .proxyHeader,
      takePreface(handle, connection, bytes, now, &effects)
    {
      return
    }
    switch connection.pointee.phase {
    case .idle where connection.pointee.input.isEmpty:
      // The usual case: a whole head, and perhaps its body, in one read.
      connection.pointee.phase = .head
      connection.pointee.since = now
      let used = readHead(handle, connection, bytes, now, &effects)
      keep(bytes, from: used, handle, &effects)
    case .idle, .head, .proxyHeader:
      if connection.pointee.phase == .idle {
        connection.pointee.phase = .head
        connection.pointee.since = now
      }
      blocks.append(bytes, to: &connection.pointee.input)
      resumeInput(handle, connection, now, &effects)
    case .exchanging:
      guard let exchange = exchanges.pointer(connection.pointee.exchange) else { return }
      if exchange.pointee.state == .inspecting {
        inspectMore(handle, connection, exchange, bytes, now, &effects)
      } else if exchange.pointee.requestEnded || !connection.pointee.input.isEmpty
        || exchange.pointee.state == .waiting || exchange.pointee.wantsUpgrade
      {
        // Pipelined, or a body that has nowhere to go yet: kept, and no more is read.
        blocks.append(bytes, to: &connection.pointee.input)
        pause(
          handle, connection, exchange.pointee.requestEnded ? .pipelined : .noUpstream, &effects)
      } else {
        let used = forwardBody(handle, connection, exchange, bytes, now, &effects)
        keep(bytes, from: used, handle, &effects)
      }
    case .tunnel:
      relayTunnel(connection, bytes, now, &effects)
    case .lingering:
      connection.pointee.windowBytes += bytes.count
      if connection.pointee.windowBytes > Self.lingerBytes {
        end(handle, connection, .reset, &effects)
      }
    case .connecting, .session:
      preconditionFailure("a client in phase \(connection.pointee.phase) is not read as HTTP/1.1")
    }
  }

  /// Keeps what was not used, and reads no more of it while an exchange is in progress. The
  /// connection may have died meanwhile, or be done with listening.
  private mutating func keep(
    _ bytes: UnsafeRawBufferPointer, from used: Int, _ handle: Handle, _ effects: inout Effects
  ) {
    guard used < bytes.count, let connection = connections.pointer(handle),
      connection.pointee.phase != .lingering
    else { return }
    blocks.append(UnsafeRawBufferPointer(rebasing: bytes[used...]), to: &connection.pointee.input)
    if let exchange = exchanges.pointer(connection.pointee.exchange) {
      guard exchange.pointee.state != .inspecting else { return }
      pause(
        handle, connection, exchange.pointee.requestEnded ? .pipelined : .noUpstream, &effects)
    } else if connection.pointee.phase == .idle {
      // Answered within this event: what is kept may be the next request.
      continuing.append(handle)
    }
  }

  /// Goes on with kept bytes: a head that was incomplete, or a pipelined request.
  mutating func resumeInput(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    if connection.pointee.phase == .proxyHeader {
      guard readProxyHeader(handle, connection, now, &effects) else { return }
      if connection.pointee.isFresh, takeKeptPreface(handle, connection, now, &effects) { return }
    }
    let bytes = connection.pointee.input.bytes
    guard !bytes.isEmpty else { return }
    if connection.pointee.phase == .idle {
      connection.pointee.phase = .head
      connection.pointee.since = now
    }
    // A head that comes in drops is parsed again only where that can change the answer.
    let seen = Int(connection.pointee.parsedBytes)
    if seen > 0,
      !RequestHead.worthParsing(
        newBytes: UnsafeRawBufferPointer(rebasing: bytes[seen...]), seen: seen,
        limits: listener(connection).head)
    {
      connection.pointee.parsedBytes = UInt32(bytes.count)
      return
    }
    let used = readHead(handle, connection, bytes, now, &effects)
    guard let connection = connections.pointer(handle) else { return }
    connection.pointee.input.consume(min(used, connection.pointee.input.count))
    if connection.pointee.input.isEmpty { blocks.give(&connection.pointee.input) }
  }

  /// Reads a request head from the front of `bytes` and begins its exchange.
  ///
  /// - Returns: the bytes used: 0 when the head is not complete.
  private mutating func readHead(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ bytes: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) -> Int {
    let limits = listener(connection)
    switch requestHead.parse(bytes, limits: limits.head) {
    case .incomplete:
      connection.pointee.parsedBytes = UInt32(bytes.count)
      if connection.pointee.deadlineKind != .head {
        arm(handle, connection, .head, connection.pointee.since + limits.requestHeadTimeout, now)
      }
      return 0
    case .rejected(let rejection):
      refuse(handle, connection, rejection, now, &effects)
      return bytes.count
    case .complete:
      connection.pointee.parsedBytes = 0
      disarm(connection)
      if connection.pointee.isStream { requestHead.keepAlive = false }
      return beginExchange(handle, connection, bytes, limits, now, &effects)
    }
  }

  private mutating func readProxyHeader(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) -> Bool {
    switch ProxyProtocol.parse(connection.pointee.input.bytes) {
    case .incomplete:
      return false
    case .invalid:
      // Closed without a byte: whoever speaks here is not the load balancer that was announced.
      metrics.glitched()
      recordRefusal(connection, .rejectedSyntax, status: 0, now)
      end(handle, connection, .close, &effects)
      return false
    case .complete(let consumed, let source):
      connection.pointee.input.consume(consumed)
      connection.pointee.phase = .idle
      if let source { connection.pointee.peer = Self.peerAddress(source, connection) }
      if connection.pointee.input.isEmpty {
        blocks.give(&connection.pointee.input)
        // Its handshake comes next, and has a deadline already.
        if listener(connection).isSecure { return false }
        arm(handle, connection, .idle, now + listener(connection).idleTimeout, now)
        return false
      }
      return true
    }
  }

  private static func peerAddress(
    _ source: ProxyProtocol.Source, _ connection: UnsafeMutablePointer<Connection>
  ) -> PeerAddress {
    var peer = source.withText { PeerAddress(text: $0) }
    peer.isTrusted = connection.pointee.peer.isTrusted
    return peer
  }

  // MARK: The request body

  /// Sends body bytes upstream.
  ///
  /// - Returns: the bytes used. What follows the body is the next request, and is not used.
  mutating func forwardBody(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, _ now: Instant,
    _ effects: inout Effects
  ) -> Int {
    let result = gatherBody(connection, exchange, bytes, &effects)
    if let rejection = result.rejected {
      effects.gather.discardOpen()
      refuse(handle, connection, rejection, now, &effects)
      return bytes.count
    }
    remember(exchange, &effects)
    exchange.pointee.noteWrite()
    let upstreamHandle = exchange.pointee.upstream
    effects.write(to: upstreamHandle)
    if result.finished {
      bodyEnded(handle, connection, exchange, now, &effects)
    } else if connection.pointee.deadlineKind != .bodyRate {
      watchBody(handle, connection, now)
    }
    return result.consumed
  }

  /// Decodes body bytes into the gather and counts them.
  mutating func gatherBody(
    _ connection: UnsafeMutablePointer<Connection>, _ exchange: UnsafeMutablePointer<Exchange>,
    _ bytes: UnsafeRawBufferPointer, _ effects: inout Effects
  ) -> BodyResult {
    var result = exchange.pointee.requestBody.decode(
      bytes, outFraming: exchange.pointee.requestFraming, limits: Self.bodyLimits,
      into: &effects.gather)
    exchange.pointee.requestPayload += result.payloadBytes
    connection.pointee.windowBytes += result.payloadBytes
    let limit = exchange.pointee.bodyLimit
    if limit > 0, exchange.pointee.requestPayload > limit {
      result.rejected = Rejection.bodyTooLarge
    } else if !exchange.pointee.passage.isNone, !scanOn(exchange, bytes, result.consumed) {
      result.rejected = Rejection.memberTwice
    }
    return result
  }

  /// Keeps a copy of what is about to be sent, as long as another attempt may need it.
  ///
  /// A request that may not be repeated is only ever sent again when its very first write was refused
  /// whole. So its first write is kept, if it is small, and nothing after it: prompts of hundreds of
  /// kilobytes are not copied for a case that the check before reuse nearly excludes.
  mutating func remember(_ exchange: UnsafeMutablePointer<Exchange>, _ effects: inout Effects) {
    guard exchange.pointee.canReplay, exchange.pointee.state != .answering else { return }
    var limit = pools[exchange.pointee.pool]!.pointee.settings.retry.bodyLimit
    if !exchange.pointee.isRepeatable {
      // A backend of HTTP/2 may refuse a stream when its body has come already.
      let isStream = connections.pointer(exchange.pointee.upstream)?.pointee.isStream ?? false
      limit = exchange.pointee.hasSent && !isStream ? 0 : min(limit, Self.firstWriteLimit)
    }
    if exchange.pointee.replay.count + effects.gather.openBytes > limit {
      forget(exchange)
    } else {
      effects.gather.copyOpen(to: &exchange.pointee.replay, of: &blocks)
    }
  }

  mutating func forget(_ exchange: UnsafeMutablePointer<Exchange>) {
    exchange.pointee.canReplay = false
    blocks.give(&exchange.pointee.replay)
  }

  mutating func bodyEnded(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant, _ effects: inout Effects
  ) {
    if connection.pointee.deadlineKind == .bodyRate { disarm(connection) }
    exchange.pointee.sentAt = now
    if let upstream = connections.pointer(exchange.pointee.upstream) {
      armAnswer(exchange.pointee.upstream, upstream, exchange, now)
      if exchange.pointee.responseEnded {
        finishExchange(connection.pointee.exchange, exchange, .completed, now, &effects)
      }
    }
  }

  /// Sends the part of a body that was kept while it had nowhere to go, and asks for more.
  mutating func pumpHeldBody(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    guard let exchange = exchanges.pointer(connection.pointee.exchange) else { return }
    if !connection.pointee.input.isEmpty, !exchange.pointee.requestEnded {
      let used = forwardBody(
        handle, connection, exchange, connection.pointee.input.bytes, now, &effects)
      guard let connection = connections.pointer(handle) else { return }
      connection.pointee.input.consume(min(used, connection.pointee.input.count))
      if connection.pointee.input.isEmpty { blocks.give(&connection.pointee.input) }
    }
    guard let connection = connections.pointer(handle) else { return }
    if connection.pointee.inputEnded, connection.pointee.input.isEmpty {
      endStreamBody(handle, connection, now, &effects)
    }
    unpause(handle, connection, .noUpstream, &effects)
  }

  /// Begins a window in which the client's body must keep its minimum rate.
  mutating func watchBody(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant
  ) {
    let limits = listener(connection)
    guard limits.bodyRate > 0, connection.pointee.pauses.isEmpty, !connection.pointee.isBlocked
    else { return }
    connection.pointee.windowBytes = 0
    arm(handle, connection, .bodyRate, now + limits.bodyGrace, now)
  }

  // MARK: Leaving

  mutating func clientEnded(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    switch connection.pointee.phase {
    case .proxyHeader, .idle, .lingering:
      end(handle, connection, connection.pointee.isBlocked ? .close : .gone, &effects)
    case .head:
      recordRefusal(connection, .clientClosed, status: 0, now)
      end(handle, connection, .gone, &effects)
    case .exchanging:
      abortByClient(handle, connection, now, &effects)
    case .tunnel:
      tunnelEnded(handle, connection, now, &effects)
    case .connecting, .session:
      preconditionFailure("a client in phase \(connection.pointee.phase) does not end as one")
    }
  }

  /// FIN has come while nothing more is asked for. The client has left, whether or not its request is
  /// whole: a body that is held back for want of a connection must not hide that.
  mutating func clientHungUp(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    if connection.pointee.phase == .idle || connection.pointee.phase == .head {
      // It is not asked for more because it has not taken its answers.
      end(handle, connection, .close, &effects)
      return
    }
    guard connection.pointee.phase == .exchanging,
      let exchange = exchanges.pointer(connection.pointee.exchange),
      !exchange.pointee.wantsUpgrade
    else { return }
    abortByClient(handle, connection, now, &effects)
  }

  mutating func clientBroken(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    switch connection.pointee.phase {
    case .exchanging:
      abortByClient(handle, connection, now, &effects)
    case .tunnel:
      if let exchange = exchanges.pointer(connection.pointee.exchange) {
        finishTunnel(connection.pointee.exchange, exchange, .clientClosed, now, &effects)
      }
    case .proxyHeader, .idle, .head, .lingering, .connecting, .session:
      end(handle, connection, .gone, &effects)
    }
  }

  private mutating func abortByClient(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    var ending = Ending.gone
    if let exchange = exchanges.pointer(connection.pointee.exchange) {
      // It may have closed one way only and still read: it must not take the part for the whole.
      if exchange.pointee.state == .answering { ending = .reset }
      exchange.pointee.verdict = .neutral
      abandon(connection.pointee.exchange, exchange, .clientClosed, now, &effects)
    }
    end(handle, connection, ending, &effects)
  }

  // MARK: Deadlines

  mutating func clientDeadlinePassed(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ kind: Connection.Deadline, _ now: Instant, _ effects: inout Effects
  ) {
    switch kind {
    case .idle:
      end(handle, connection, .close, &effects)
    case .head:
      if connection.pointee.phase == .proxyHeader || connection.pointee.input.isEmpty {
        // Nothing was asked, so nothing is answered.
        recordRefusal(connection, .clientTimeoutHead, status: 0, now)
        end(handle, connection, .close, &effects)
      } else {
        refuse(handle, connection, .headTimeout, now, &effects)
      }
    case .bodyRate:
      let limits = listener(connection)
      let wanted = Double(limits.bodyRate) * limits.bodyGrace.seconds
      if Double(connection.pointee.windowBytes) < wanted {
        refuse(handle, connection, .bodyTooSlow, now, &effects)
      } else {
        watchBody(handle, connection, now)
      }
    case .send:
      if let exchange = exchanges.pointer(connection.pointee.exchange) {
        exchange.pointee.verdict = .neutral
        abandon(connection.pointee.exchange, exchange, .clientReadTimeout, now, &effects)
      }
      end(handle, connection, .reset, &effects)
    case .linger:
      end(handle, connection, .close, &effects)
    case .handshake:
      handshakeTimedOut(handle, connection, now, &effects)
    case .resume:
      continuing.append(handle)
    case .none, .connect, .firstByte, .responseHead, .betweenChunks, .total, .tunnel, .session:
      preconditionFailure("a client has no deadline \(kind)")
    }
  }

  // MARK: After an answer

  /// The next pipelined request, or a wait for one. Iterative: a client with a thousand pipelined
  /// requests must not deepen the stack. Nor must it get a thousand answers into memory before it is
  /// known whether it takes the first: few are answered in one turn, and none while its output blocks.
  mutating func continueClients(_ now: Instant, _ effects: inout Effects) {
    var rest = Self.pipelinedPerTurn
    while let handle = continuing.popLast() {
      guard let connection = connections.pointer(handle), connection.pointee.phase == .idle,
        !connection.pointee.isBlocked
      else { continue }
      if !connection.pointee.input.isEmpty {
        rest -= 1
        if rest < 0 {
          pause(handle, connection, .pipelined, &effects)
          arm(handle, connection, .resume, now + .microseconds(1), now)
          continue
        }
        resumeInput(handle, connection, now, &effects)
      }
      guard let connection = connections.pointer(handle) else { continue }
      switch connection.pointee.phase {
      case .idle, .head:
        unpause(handle, connection, .pipelined, &effects)
        unpause(handle, connection, .noUpstream, &effects)
        unpause(handle, connection, .backpressure, &effects)
      case .exchanging:
        // The next request has begun and its body has not come whole: its rest must be asked for.
        guard let exchange = exchanges.pointer(connection.pointee.exchange),
          !exchange.pointee.requestEnded
        else { continue }
        unpause(handle, connection, .pipelined, &effects)
        if exchange.pointee.state != .waiting { watchBody(handle, connection, now) }
      case .proxyHeader, .connecting, .tunnel, .session, .lingering: continue
      }
    }
  }

  /// Half-closes and listens for a bounded while, so that the answer arrives before any RST.
  mutating func linger(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    connection.pointee.phase = .lingering
    connection.pointee.exchange = .none
    connection.pointee.windowBytes = 0
    blocks.give(&connection.pointee.input)
    effects.list.append(.finish(handle))
    if !connection.pointee.pauses.isEmpty {
      connection.pointee.pauses = []
      effects.list.append(.resume(handle))
    }
    arm(handle, connection, .linger, now + Self.lingerTime, now)
  }
}
