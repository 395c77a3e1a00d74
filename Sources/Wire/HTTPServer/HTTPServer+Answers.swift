import CLinux
import EventLoop
import Glibc
import HTTP
import Primitives

/// From answers to bytes, and to the end of a connection.
extension HTTPServer {
  func writeHead(
    _ connection: HTTPConnection, _ status: Int, _ fields: [(String, String)], framing: Framing,
    isHTTP11: Bool
  ) {
    answerText.head(
      status, fields: fields, framing: framing, keepAlive: connection.keepAlive,
      isHTTP10: !isHTTP11, into: &connection.output)
  }

  /// The answer is whole: the next request may come, or the end.
  func answered(_ connection: HTTPConnection) {
    if connection.keepAlive, !isDraining {
      connection.phase = .head
      expire(connection, after: connection.input.isEmpty ? limits.idleTimeout : limits.headTimeout)
      touch(connection)
    } else {
      beginClosing(connection)
    }
  }

  /// Answers a request that is wrong, and takes no further byte of the connection for a request.
  func refuse(_ connection: HTTPConnection, _ rejection: Rejection) {
    connection.keepAlive = false
    let body = "\(rejection.text)\n"
    writeHead(
      connection, rejection.status, [("Content-Type", "text/plain; charset=utf-8")],
      framing: .length(UInt64(body.utf8.count)), isHTTP11: true)
    connection.output += body.utf8
    beginClosing(connection)
  }

  /// Lets the output drain, then sends FIN and waits for the client's.
  func beginClosing(_ connection: HTTPConnection) {
    guard connection.phase != .closed, connection.phase != .closing else { return }
    connection.phase = .closing
    connection.body = []
    pool.give(&connection.input)
    expire(connection, after: limits.lingerTimeout)
    touch(connection)
  }

  func flush(_ connection: HTTPConnection) {
    guard connection.phase != .closed else { return }
    let before = connection.unsent
    if before > 0 {
      if connection.flush() < 0 { return close(connection) }
      if connection.unsent > 0 {
        if connection.unsent < before || !connection.isStalled {
          expire(connection, after: limits.sendTimeout)
        }
        connection.isStalled = true
      } else if connection.isStalled {
        connection.isStalled = false
        expire(connection, after: connection.phase == .head ? limits.idleTimeout : nil)
      }
      if connection.isCongested, connection.unsent <= limits.outputMark / 2 {
        connection.isCongested = false
        connection.responder?.drained()
      }
    }
    if connection.phase == .closing, connection.unsent == 0, !connection.isOutputEnded {
      if connection.isInputEnded { return close(connection) }
      connection.isOutputEnded = true
      _ = portico_shutdown_write(connection.descriptor)
      expire(connection, after: limits.lingerTimeout)
    }
    let wanted = connection.wanted(limits)
    guard connection.phase != .closed, wanted != connection.interest else { return }
    connection.interest = wanted
    loop.modify(connection.descriptor, wanted, token: connection.handle.bits)
  }

  /// Gives the descriptor back, and tells the handler when it had an answer under way.
  func close(_ connection: HTTPConnection, byReset: Bool = false) {
    guard connection.phase != .closed else { return }
    connection.phase = .closed
    if byReset { _ = portico_arm_reset(connection.descriptor) }
    loop.remove(connection.descriptor)
    _ = portico_close(connection.descriptor)
    pool.give(&connection.input)
    connections.remove(connection.handle)
    connection.responder?.gone()
  }

  // MARK: Deadlines

  /// Sets the connection's one deadline; nil: none.
  func expire(_ connection: HTTPConnection, after time: TimeAmount?) {
    guard let time else {
      connection.deadline = .never
      return
    }
    let now = EventLoop.now()
    connection.deadline = now + time
    scheduleVisit(connection, at: now)
  }

  func scheduleVisit(_ connection: HTTPConnection, at now: Instant) {
    let visit = DeadlineHeap.visit(connection.deadline, at: now)
    guard visit < connection.visit else { return }
    connection.visit = visit
    deadlines.schedule(connection.handle, at: visit)
  }

  func expired(_ connection: HTTPConnection) {
    if connection.unsent > 0 { return close(connection, byReset: true) }
    switch connection.phase {
    case .closed, .answering, .raw: return
    case .closing: close(connection)
    case .head:
      if connection.input.isEmpty {
        beginClosing(connection)
      } else {
        refuse(connection, .headTimeout)
      }
    case .body: refuse(connection, .bodyTooSlow)
    }
  }
}
