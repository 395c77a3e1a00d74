import EventLoop
import GRPC
import HTTP2
import HTTPServer
import Primitives

/// gRPC over cleartext HTTP/2, on the listeners and the loop of an HTTP server: a connection that
/// begins with HTTP/2's preface is handed over to it, all others are HTTP/1.1.
///
/// Confined to the loop of its HTTP server, and not Sendable on purpose.
package final class GRPCServer {
  package let limits: GRPCServerLimits
  /// Not kept alive by the server.
  package weak var handler: (any GRPCHandler)?
  private weak var http: HTTPServer?

  let inbox = HTTP2Inbox()
  var gather = Gather()
  private var connections: [ObjectIdentifier: GRPCConnection] = [:]
  private var dirty: [GRPCConnection] = []
  private var calls = Slab<GRPCCall>()
  private var deadlines = DeadlineHeap()
  /// When connections are looked at next.
  private var inspection = Instant.never
  private var isLeaving = false
  private var cutDeadline = Instant.never

  /// Bytes of messages that are not whole, of all calls.
  var partialBytes = 0
  /// Messages that were too large. Count.
  package internal(set) var refusals: UInt64 = 0
  /// Calls that have ended, by their status.
  package private(set) var statuses: [GRPCStatus.Code: UInt64] = [:]

  private static let inspectionInterval = TimeAmount.seconds(1)

  package init(http: HTTPServer, limits: GRPCServerLimits = GRPCServerLimits()) {
    self.http = http
    self.limits = limits
    http.prefaceHandler = self
  }

  deinit {
    connections = [:]
    inbox.free()
  }

  /// Calls under way. Count.
  package var callCount: Int { calls.count }

  /// Bytes of a connection that the kernel has not taken, above which its streams wait: those above
  /// which the HTTP server tells when there is room again.
  var connectionMark: Int { http?.limits.outputMark ?? 0 }

  var now: Instant { EventLoop.now() }

  /// Says goodbye to every connection, so that clients go elsewhere with their next calls; calls under
  /// way finish.
  package func announceEnd() {
    isLeaving = true
    for connection in Array(connections.values) { connection.leave() }
  }

  // MARK: What connections tell

  /// Remembers that the connection has something to send, at the end of the turn.
  func touch(_ connection: GRPCConnection) {
    guard !connection.isDirty else { return }
    connection.isDirty = true
    dirty.append(connection)
    http?.turn {}
  }

  func remove(_ connection: GRPCConnection) {
    connections.removeValue(forKey: ObjectIdentifier(connection))
  }

  func remember(_ call: GRPCCall) {
    call.handle = calls.insert(call)
    guard call.deadline != .never else { return }
    deadlines.schedule(call.handle, at: DeadlineHeap.visit(call.deadline, at: now))
  }

  func forget(_ call: GRPCCall) {
    calls.remove(call.handle)
    call.handle = .none
  }

  func count(_ code: GRPCStatus.Code) { statuses[code, default: 0] += 1 }

  func withText(_ text: String, _ body: (UnsafeRawBufferPointer) -> Void) {
    Array(text.utf8).withUnsafeBytes(body)
  }
}

extension GRPCServer: PrefaceHandler {
  package var preface: StaticString { http2Preface }

  package func handle(_ responder: HTTPResponder, listener: Int, peer: SocketAddress?) {
    let now = now
    let connection = GRPCConnection(self, responder, at: now)
    connections[ObjectIdentifier(connection)] = connection
    responder.onClose = { [weak connection] in connection?.lost() }
    responder.onWritable = { [weak self, weak connection] in
      guard let self, let connection else { return }
      touch(connection)
    }
    responder.takeOver(onBytes: { [weak connection] in connection?.received($0) })
    touch(connection)
    if isLeaving { connection.leave() }
    inspection = min(inspection, now + Self.inspectionInterval)
  }

  package func settle() {
    while let connection = dirty.popLast() {
      connection.isDirty = false
      connection.flush()
    }
  }

  package func drain() {
    announceEnd()
    handler?.drain()
    cutDeadline = now + limits.lastWords
  }

  package var nextDeadline: Instant {
    min(
      min(deadlines.next, inspection), handler?.nextDeadline ?? .never, cutDeadline)
  }

  package func deadlinePassed(at now: Instant) {
    while let (owner, _) = deadlines.popDue(at: now) {
      guard let call = calls.pointer(owner)?.pointee else { continue }
      if call.deadline <= now {
        expire(call)
      } else {
        deadlines.schedule(owner, at: DeadlineHeap.visit(call.deadline, at: now))
      }
    }
    if inspection <= now { inspect(at: now) }
    if cutDeadline <= now {
      cutDeadline = .never
      for connection in Array(connections.values) {
        connection.endCalls(GRPCStatus(.unavailable, "The server is ending; ask another."))
      }
    }
    if let handler, handler.nextDeadline <= now { handler.deadlinePassed(at: now) }
  }

  /// The client waits no longer, and whoever works on the answer need not go on.
  private func expire(_ call: GRPCCall) {
    let notice = call.onClose
    call.onClose = nil
    notice?()
    call.finish(GRPCStatus(.deadlineExceeded, "The call was not answered by its deadline."))
  }

  private func inspect(at now: Instant) {
    for connection in Array(connections.values) {
      if connection.settingsDeadline <= now {
        connection.session.terminate(HTTP2Error.settingsTimeout)
        touch(connection)
      } else if connection.idleSince != .never,
        now - connection.idleSince > limits.idleTimeout
      {
        connection.leave()
      }
      if connection.goodbyeDeadline <= now { connection.sayGoodbye() }
    }
    inspection = connections.isEmpty ? .never : now + Self.inspectionInterval
  }
}
