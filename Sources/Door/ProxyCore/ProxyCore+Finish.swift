import Balancing
import Configuration
import HTTP
import HTTP1
import Primitives
import Telemetry

/// How exchanges end: each exactly once, with one record.
extension ProxyCore {
  /// The answer has ended, or will not go on: settles what the exchange held and lets the client go
  /// on. When the request has not ended yet, the rest of it is read and thrown away by `linger`.
  mutating func finishExchange(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ reason: TerminationReason,
    _ now: Instant, _ effects: inout Effects
  ) {
    let clientHandle = exchange.pointee.client
    let goesOn = exchange.pointee.keepAlive && exchange.pointee.requestEnded
    let requestEnded = exchange.pointee.requestEnded
    close(handle, exchange, reason, now, &effects)
    guard let client = connections.pointer(clientHandle) else { return }
    client.pointee.exchange = .none
    // An answer that began before the drain has promised to keep the connection: nothing more is
    // taken from it than what has come already, and what is on its way must not destroy the answer.
    if goesOn, !isDraining || !client.pointee.input.isEmpty {
      // The backend that took no more bytes is not the next one's.
      unpause(clientHandle, client, .backpressure, &effects)
      client.pointee.phase = .idle
      client.pointee.since = now
      if client.pointee.isBlocked {
        pause(clientHandle, client, .ownOutput, &effects)
      } else {
        arm(clientHandle, client, .idle, now + listener(client).idleTimeout, now)
      }
      if !client.pointee.input.isEmpty || !client.pointee.pauses.isEmpty {
        continuing.append(clientHandle)
      }
    } else if goesOn {
      linger(clientHandle, client, now, &effects)
    } else {
      endAfterAnswer(clientHandle, client, requestEnded: requestEnded, now, &effects)
    }
  }

  /// The client has left or must go: the attempt is aborted, so that the backend stops working for
  /// nobody. The client's connection is the caller's.
  mutating func abandon(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ reason: TerminationReason,
    _ now: Instant, _ effects: inout Effects
  ) {
    exchange.pointee.upstreamKeepAlive = false
    close(handle, exchange, reason, now, &effects)
  }

  /// The answer broke off after its head had gone: an end that the client can tell from a clean
  /// one. With length or chunks, a close without the rest is one; without either, only RST is.
  mutating func cutAnswer(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ reason: TerminationReason,
    _ now: Instant, _ effects: inout Effects
  ) {
    let clientHandle = exchange.pointee.client
    let isFramed = exchange.pointee.responseFraming != .untilClose
    let requestEnded = exchange.pointee.requestEnded
    close(handle, exchange, reason, now, &effects)
    guard let client = connections.pointer(clientHandle) else { return }
    if !isFramed {
      end(clientHandle, client, .reset, &effects)
    } else {
      endAfterAnswer(clientHandle, client, requestEnded: requestEnded, now, &effects)
    }
  }

  /// Ends a connection on which no other answer follows. Bytes that wait to be read would make the
  /// kernel send RST over what the client has not read yet, earlier answers included.
  private mutating func endAfterAnswer(
    _ handle: Handle, _ client: UnsafeMutablePointer<Connection>, requestEnded: Bool,
    _ now: Instant, _ effects: inout Effects
  ) {
    if requestEnded, client.pointee.input.isEmpty, client.pointee.pauses.isEmpty {
      end(handle, client, .close, &effects)
    } else {
      linger(handle, client, now, &effects)
    }
  }

  /// No attempt is left: the client gets an answer of ours.
  mutating func failExchange(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ reason: TerminationReason,
    _ now: Instant, _ effects: inout Effects
  ) {
    let clientHandle = exchange.pointee.client
    if !exchange.pointee.requestEnded || isDraining { exchange.pointee.keepAlive = false }
    exchange.pointee.record.status = UInt16(reason.status)
    var answer = Self.ownAnswer(exchange, status: reason.status)
    if !exchange.pointee.passage.isNone { prepareOwnAnswer(exchange, &answer) }
    writeErrorResponse(
      answer, code: reason.label, message: reason.text, detail: failureDetail,
      into: &effects.gather)
    lines.clear()
    effects.write(to: clientHandle)
    finishExchange(handle, exchange, reason, now, &effects)
  }

  /// No member can be asked: 503, and when to come again if that is known.
  mutating func failWithoutMember(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ refusal: NoMember,
    _ now: Instant, _ effects: inout Effects
  ) {
    let clientHandle = exchange.pointee.client
    if !exchange.pointee.requestEnded || isDraining { exchange.pointee.keepAlive = false }
    effects.gather.discardOpen()
    let reason = TerminationReason(refusal)
    var answer = Self.ownAnswer(exchange, status: 503)
    if case .allCooling(let until) = refusal {
      answer.retryAfterSeconds = UInt32(max(1, (until - now).seconds.rounded(.up)))
    } else if case .allFull = refusal {
      answer.retryAfterSeconds = 1
      metrics.limitReached(.inFlight)
    }
    exchange.pointee.record.status = 503
    if !exchange.pointee.passage.isNone { prepareOwnAnswer(exchange, &answer) }
    writeErrorResponse(answer, code: reason.label, message: reason.text, into: &effects.gather)
    lines.clear()
    effects.write(to: clientHandle)
    finishExchange(handle, exchange, reason, now, &effects)
  }

  private static func ownAnswer(
    _ exchange: UnsafeMutablePointer<Exchange>, status: Int
  ) -> SimpleResponse {
    SimpleResponse(
      status: status, close: !exchange.pointee.keepAlive,
      answersHead: exchange.pointee.method == .head,
      clientIsHTTP11: exchange.pointee.clientIsHTTP11, isGRPC: exchange.pointee.isGRPC)
  }

  /// Refuses what a client sent: the answer is delivered whole, nothing that follows is read as a
  /// request, and an attempt under way is aborted.
  mutating func refuse(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ rejection: Rejection,
    _ now: Instant, _ effects: inout Effects
  ) {
    metrics.rejected(rejection.rawValue)
    if let limit = LimitName(rejection) { metrics.limitReached(limit) }
    var headIsOut = false
    let reason = TerminationReason(rejection)
    if let exchange = exchanges.pointer(connection.pointee.exchange) {
      headIsOut = exchange.pointee.state == .answering
      exchange.pointee.verdict = .neutral
      if !headIsOut { exchange.pointee.record.status = UInt16(rejection.status) }
      abandon(connection.pointee.exchange, exchange, reason, now, &effects)
    } else {
      recordRefusal(connection, reason, status: rejection.status, now)
    }
    if headIsOut {
      end(handle, connection, .reset, &effects)
      return
    }
    effects.gather.discardOpen()
    writeRejection(rejection, into: &effects.gather)
    effects.write(to: handle)
    linger(handle, connection, now, &effects)
  }

  /// Settles everything that an exchange holds, records it, and forgets it.
  private mutating func close(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ reason: TerminationReason,
    _ now: Instant, _ effects: inout Effects
  ) {
    settleTicket(exchange, now, &effects)
    releaseUpstream(exchange.pointee.upstream, exchange, now, &effects)
    blocks.give(&exchange.pointee.replay)
    exchange.pointee.record.reason = reason
    exchange.pointee.record.attempts = UInt8(exchange.pointee.attempts)
    exchange.pointee.record.requestBytes = UInt64(exchange.pointee.requestPayload)
    exchange.pointee.record.duration = now - exchange.pointee.record.started
    if !exchange.pointee.passage.isNone { leave(exchange, now) }
    metrics.requestFinished(exchange.pointee.record)
    if exchange.pointee.logText.isLent { log(exchange, now) }
    blocks.give(&exchange.pointee.logText)
    forgetPassage(exchange)
    metrics.streamEnded()
    exchanges.remove(handle)
  }

  // MARK: Tunnels

  /// The backend accepts the upgrade that the client asked for.
  mutating func beginTunnel(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer,
    _ rest: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) {
    guard exchange.pointee.wantsUpgrade else {
      upstreamFailed(handle, connection, exchange, .upstreamMalformed, now, &effects)
      return
    }
    forget(exchange)
    exchange.pointee.state = .tunnel
    connection.pointee.phase = .tunnel
    writeResponse(
      responseHead, from: bytes, framing: .none, close: false, clientIsHTTP11: true,
      into: &effects.gather)
    effects.gather.append(rest)
    exchange.pointee.record.responseBytes += UInt64(rest.count)
    effects.write(to: exchange.pointee.client)
    armAnswer(handle, connection, exchange, now)
    guard let client = connections.pointer(exchange.pointee.client) else { return }
    client.pointee.phase = .tunnel
    disarm(client)
    if !client.pointee.input.isEmpty {
      // What the client sent right behind its request waited for this answer.
      effects.gather.append(client.pointee.input.bytes)
      exchange.pointee.requestPayload += client.pointee.input.count
      effects.write(to: handle)
      blocks.give(&client.pointee.input)
    }
    unpause(exchange.pointee.client, client, .noUpstream, &effects)
    unpause(exchange.pointee.client, client, .pipelined, &effects)
  }

  mutating func relayTunnel(
    _ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeRawBufferPointer,
    _ now: Instant, _ effects: inout Effects
  ) {
    guard let exchange = exchanges.pointer(connection.pointee.exchange) else { return }
    effects.gather.append(bytes)
    if connection.pointee.isClient {
      exchange.pointee.requestPayload += bytes.count
      effects.write(to: exchange.pointee.upstream)
    } else {
      exchange.pointee.record.responseBytes += UInt64(bytes.count)
      effects.write(to: exchange.pointee.client)
    }
    if let upstream = connections.pointer(exchange.pointee.upstream) {
      armAnswer(exchange.pointee.upstream, upstream, exchange, now)
    }
  }

  /// One side sends no more: the other is told, and may go on sending.
  mutating func tunnelEnded(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    guard let exchange = exchanges.pointer(connection.pointee.exchange) else { return }
    let other =
      connection.pointee.isClient ? exchange.pointee.upstream : exchange.pointee.client
    guard let peer = connections.pointer(other), !peer.pointee.hasEnded else {
      finishTunnel(connection.pointee.exchange, exchange, .tunnelClosed, now, &effects)
      return
    }
    peer.pointee.isFinished = true
    effects.list.append(.finish(other))
  }

  mutating func finishTunnel(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ reason: TerminationReason,
    _ now: Instant, _ effects: inout Effects
  ) {
    let clientHandle = exchange.pointee.client
    exchange.pointee.upstreamKeepAlive = false
    exchange.pointee.responseEnded = true
    close(handle, exchange, reason, now, &effects)
    if let client = connections.pointer(clientHandle) {
      end(clientHandle, client, .close, &effects)
    }
  }
}
