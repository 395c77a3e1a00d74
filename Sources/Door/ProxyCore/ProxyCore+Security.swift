import HTTP
import HTTP1
import Primitives
import Telemetry

/// What TLS means for connections and requests. The handshake itself is the performer's.
extension ProxyCore {
  /// The handshake is done. A client may begin its request now; for a backend `connected` follows.
  mutating func secured(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ security: Security,
    _ clientName: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) {
    connection.pointee.security = security
    guard let version = security.version else { return }
    guard connection.pointee.isClient else {
      pools[connection.pointee.pool]!.pointee.slots[connection.pointee.slot]?.agreedHTTP2 =
        security.isHTTP2
      metrics.handshakeDone(
        pool: connection.pointee.pool, version, isResumed: security.isResumed)
      return
    }
    metrics.handshakeDone(
      listener: connection.pointee.listener, version, isResumed: security.isResumed)
    blocks.append(clientName, to: &connection.pointee.clientName)
    if security.isHTTP2 {
      beginSession(handle, connection, now, &effects)
    } else {
      arm(handle, connection, .head, now + listener(connection).requestHeadTimeout, now)
    }
  }

  /// The handshake has failed: the connection is of no use. To a backend nothing has been sent, so
  /// that another one may be asked.
  ///
  /// - Parameter detail: for a person; without quotes and backslashes.
  mutating func securingFailed(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ failure: HandshakeFailure, _ detail: UnsafeRawBufferPointer, _ now: Instant,
    _ effects: inout Effects
  ) {
    if connection.pointee.isClient {
      metrics.handshakeFailed(listener: connection.pointee.listener, failure)
      let isPlain = failure == .plaintextHTTP
      recordRefusal(
        connection, isPlain ? .plainHTTP : .clientHandshakeFailed, status: isPlain ? 400 : 0, now)
      if failure == .closed {
        end(handle, connection, .gone, &effects)
        return
      }
      // What the client still sends must not destroy the answer, or the alert that was sent.
      if isPlain { answerInClear(handle, &effects) }
      linger(handle, connection, now, &effects)
      return
    }
    metrics.handshakeFailed(pool: connection.pointee.pool, failure)
    failureDetail = detail
    let reason: TerminationReason =
      failure == .certificateInvalid ? .upstreamCertificate : .upstreamHandshakeFailed
    let ending: Ending = failure == .closed ? .gone : .close
    if connection.pointee.phase == .session {
      for stream in takeWaiting(connection) {
        guard let waiter = connections.pointer(stream) else { continue }
        securingFailed(stream, waiter, .gone, reason, now, &effects)
      }
      endSession(handle, connection, ending, code: 0, now, &effects)
    } else {
      securingFailed(handle, connection, ending, reason, now, &effects)
    }
    failureDetail = UnsafeRawBufferPointer(start: nil, count: 0)
  }

  /// The attempt that waited for this connection to a backend has failed.
  mutating func securingFailed(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ ending: Ending,
    _ reason: TerminationReason, _ now: Instant, _ effects: inout Effects
  ) {
    let exchangeHandle = connection.pointee.exchange
    closeUpstream(handle, connection, ending, &effects)
    guard let exchange = exchanges.pointer(exchangeHandle) else { return }
    exchange.pointee.upstream = .none
    attemptFailed(exchangeHandle, exchange, reason, nothingSent: true, now, &effects)
  }

  /// Tells a client that speaks HTTP to a TLS port what it should do.
  private mutating func answerInClear(_ handle: Handle, _ effects: inout Effects) {
    let reason = TerminationReason.plainHTTP
    writeErrorResponse(
      SimpleResponse(status: 400, close: true), code: reason.label, message: reason.text,
      into: &effects.gather)
    effects.write(to: handle)
  }

  /// The client has not finished its handshake in time.
  mutating func handshakeTimedOut(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    metrics.handshakeFailed(listener: connection.pointee.listener, .timeout)
    recordRefusal(connection, .clientTimeoutHandshake, status: 0, now)
    end(handle, connection, .gone, &effects)
  }

  // MARK: Requests

  /// Whether the request whose head has just been parsed is for a host that asks another thing of
  /// its clients than the one that the handshake named (RFC 9110, 7.4). Such a request could pass by
  /// the certificate that its host asks for.
  func isMisdirected(
    _ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeRawBufferPointer
  ) -> Bool {
    guard connection.pointee.security.isSecure,
      let hosts = listeners[connection.pointee.listener]!.hostBoundaries, hosts.matter,
      !requestHead.authority.isEmpty
    else { return false }
    let wanted = hosts.boundary(of: requestHead.authority.bytes(in: bytes))
    return wanted != connection.pointee.security.boundary
  }

  /// Takes out of the head what only we may say: fields that tell backends a verified name.
  mutating func leaveOutClientNames(_ bytes: UnsafeRawBufferPointer) {
    for name in snapshot.clientNameFields {
      name.withUnsafeBytes { requestHead.leaveOut(named: $0, in: bytes) }
    }
  }

  /// The field that tells the backend who the client is; empty where nobody has been verified.
  func clientNameField(_ connection: UnsafeMutablePointer<Connection>) -> [UInt8] {
    guard !connection.pointee.clientName.isEmpty else { return [] }
    let boundary = Int(connection.pointee.security.boundary)
    return snapshot.boundaries.indices.contains(boundary)
      ? snapshot.boundaries[boundary].header : []
  }
}
