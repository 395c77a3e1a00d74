import Balancing
import Configuration
import HTTP
import HTTP1
import Primitives
import Routing
import Telemetry

/// What the front door answers by itself, and what it writes to the log.
extension ProxyCore {
  /// Answers the listener's own health path. True when it was asked for.
  mutating func answerHealth(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ bytes: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) -> Bool {
    let path = requestHead.path.bytes(in: bytes)
    guard listeners[connection.pointee.listener]!.healthPath.elementsEqual(path) else {
      return false
    }
    let keepAlive = requestHead.keepAlive && !isDraining && requestHead.framing == .none
    let text: StaticString = isSettling ? "draining\n" : "ok\n"
    writeSimpleResponse(
      SimpleResponse(
        status: isSettling ? 503 : 200, contentType: "text/plain", close: !keepAlive,
        answersHead: requestHead.method == .head, clientIsHTTP11: requestHead.isHTTP11),
      body: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount),
      into: &effects.gather)
    effects.write(to: handle)
    recordRefusal(connection, .answeredLocally, status: isSettling ? 503 : 200, now)
    settleLocal(handle, connection, keepAlive: keepAlive, now, &effects)
    return true
  }

  /// Answers `OPTIONS *`, which asks about the server as a whole: that is us, not some backend.
  mutating func answerAsterisk(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    let keepAlive = requestHead.keepAlive && !isDraining && requestHead.framing == .none
    writeSimpleResponse(
      SimpleResponse(
        status: 204, contentType: "", close: !keepAlive, clientIsHTTP11: requestHead.isHTTP11),
      body: UnsafeRawBufferPointer(start: nil, count: 0), into: &effects.gather)
    effects.write(to: handle)
    recordRefusal(connection, .answeredLocally, status: 204, now)
    settleLocal(handle, connection, keepAlive: keepAlive, now, &effects)
  }

  /// Answers a request that goes to no pool.
  mutating func answerLocally(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ reason: TerminationReason, status: Int, route: Int?, _ bytes: UnsafeRawBufferPointer,
    _ now: Instant, _ effects: inout Effects
  ) {
    let keepAlive = requestHead.keepAlive && !isDraining && requestHead.framing == .none
    writeErrorResponse(
      SimpleResponse(
        status: status, close: !keepAlive, answersHead: requestHead.method == .head,
        clientIsHTTP11: requestHead.isHTTP11, isGRPC: requestIsGRPC(bytes)),
      code: reason.label, message: reason.text, into: &effects.gather)
    effects.write(to: handle)
    recordRefusal(connection, reason, status: status, route: route, head: bytes, now)
    settleLocal(handle, connection, keepAlive: keepAlive, now, &effects)
  }

  /// A body behind a request that is not forwarded is thrown away with its connection.
  mutating func settleLocal(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, keepAlive: Bool,
    _ now: Instant, _ effects: inout Effects
  ) {
    if keepAlive {
      connection.pointee.phase = .idle
      connection.pointee.since = now
      arm(handle, connection, .idle, now + listener(connection).idleTimeout, now)
      continuing.append(handle)
    } else {
      linger(handle, connection, now, &effects)
    }
  }

  /// Records the end of what never became an exchange.
  ///
  /// - Parameter head: what `requestHead` was parsed from, when it was parsed whole.
  mutating func recordRefusal(
    _ connection: UnsafeMutablePointer<Connection>, _ reason: TerminationReason, status: Int,
    route: Int? = nil, key: Int? = nil, head: UnsafeRawBufferPointer? = nil, _ now: Instant
  ) {
    var record = RequestRecord()
    record.listener = Int32(connection.pointee.listener)
    if let route { record.route = Int32(route) }
    if let key { record.key = Int32(key) }
    record.status = UInt16(status)
    record.reason = reason
    record.isHTTP2 = connection.pointee.isStream
    record.tls = connection.pointee.security.version
    record.tlsIsResumed = connection.pointee.security.isResumed
    record.started = connection.pointee.since
    record.duration = now - connection.pointee.since
    var texts = RequestTexts()
    if let head {
      record.method = requestHead.method
      texts.method = requestHead.methodRange.bytes(in: head)
      texts.target = requestHead.target.bytes(in: head)
      texts.host = requestHead.authority.bytes(in: head)
    }
    metrics.requestFinished(record)
    guard let accessLog else { return }
    texts.clientName = connection.pointee.clientName.bytes
    let names = snapshot.logNames
    let wall = now.nanoseconds &+ wallClockOffset
    connection.pointee.peer.withText { peer in
      texts.client = peer
      accessLog.append(record, wall: wall, texts: texts, names: names)
    }
  }
}
