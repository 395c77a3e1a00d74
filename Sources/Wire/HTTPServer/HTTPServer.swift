import CLinux
import EventLoop
import Glibc
import HTTP
import HTTP1
import Primitives

/// A small HTTP/1.1 server for answers of our own: admin, mock engines, workers.
///
/// It has a loop for itself as the loop's delegate. Requests are collected whole and handed to the
/// handler one at a time per connection, so pipelined ones are answered in order. Everything that a
/// turn writes to a connection leaves in one `send` at the end of the turn.
///
/// Confined to its loop, and not Sendable on purpose: make it and add listeners before `start`, and
/// afterwards reach it through a `LoopBound`.
package final class HTTPServer {
  package let loop: EventLoop
  package let limits: HTTPServerLimits
  /// Asked about requests; not kept alive by the server.
  weak var handler: (any HTTPHandler)?
  /// Given connections that begin with its preface, on every listener; without one such a
  /// connection is refused like any other that does not speak HTTP/1.1. Set before `start`; not kept
  /// alive by the server.
  package weak var prefaceHandler: (any PrefaceHandler)?

  private struct Listener {
    let descriptor: Int32
    let tag: Int
  }
  private var listeners: [Listener?] = []
  /// Descriptors have run out: nobody is accepted before this.
  private var acceptFrom = Instant.zero
  /// No connection is kept after its answer.
  var isDraining = false

  var connections = Slab<HTTPConnection>()
  var deadlines = DeadlineHeap()
  var pool = BlockPool()
  let head: UnsafeMutablePointer<RequestHead>
  var gather = Gather()
  var answerText = AnswerText()
  let readBuffer = UnsafeMutableRawBufferPointer.allocate(
    byteCount: 64 << 10, alignment: 16)

  /// Connections with something to do at the end of the turn.
  private var dirty: [HTTPConnection] = []
  /// Calls of `turn` inside each other.
  private var depth = 0

  /// How long nobody is accepted after descriptors have run out.
  private static let acceptPause = TimeAmount.milliseconds(100)
  /// Connections accepted in one go, so that a flood of them does not hold up the others.
  private static let acceptsPerTurn = 64

  package init(
    loop: EventLoop, handler: any HTTPHandler, limits: HTTPServerLimits = HTTPServerLimits()
  ) {
    self.loop = loop
    self.handler = handler
    self.limits = limits
    head = .allocate(capacity: 1)
    head.initialize(to: RequestHead(fieldCapacity: 32))
  }

  deinit {
    for case let listener? in listeners { _ = portico_close(listener.descriptor) }
    for connection in allConnections { _ = portico_close(connection.descriptor) }
    head.deinitialize(count: 1)
    head.deallocate()
    readBuffer.deallocate()
  }

  /// Open connections. Count.
  package var connectionCount: Int { connections.count }

  /// Begins to take turns on the loop, which keeps the server until it has stopped; the handler is
  /// kept by whoever made it.
  package func start() { loop.start(self) }

  /// Opens a listener; its requests carry `tag`. Returns where it really is.
  @discardableResult
  package func listen(on address: SocketAddress, tag: Int = 0) throws(SystemError) -> SocketAddress
  {
    let descriptor = try Sockets.listen(address)
    let token = Self.listenerToken(listeners.count)
    let added = loop.add(descriptor, EPOLLIN.rawValue, token: token)
    if added < 0 {
      _ = portico_close(descriptor)
      throw SystemError(code: -added, action: "watch \(address)")
    }
    listeners.append(Listener(descriptor: descriptor, tag: tag))
    return Sockets.localAddress(of: descriptor) ?? address
  }

  /// Closes the listeners and every connection that waits for a request; answers under way finish.
  package func drain() {
    isDraining = true
    closeListeners()
    turn {
      for connection in allConnections where connection.phase == .head {
        beginClosing(connection)
      }
      prefaceHandler?.drain()
    }
  }

  /// Closes everything at once. Handlers are told through `onClose`.
  package func close() {
    isDraining = true
    closeListeners()
    turn {
      for connection in allConnections { close(connection) }
    }
  }

  private func closeListeners() {
    for case let listener? in listeners {
      loop.remove(listener.descriptor)
      _ = portico_close(listener.descriptor)
    }
    listeners = listeners.map { _ in nil }
  }

  private var allConnections: [HTTPConnection] {
    var all: [HTTPConnection] = []
    // A slab is no sequence.
    // swift-format-ignore: ReplaceForEachWithForLoop
    connections.visitAll { _, connection in all.append(connection.pointee) }
    return all
  }

  // MARK: Turns

  /// Runs a piece of work; the outermost one then sends what was written and goes on with requests
  /// that wait.
  package func turn(_ work: () -> Void) {
    depth += 1
    work()
    if depth == 1 { settle() }
    depth -= 1
  }

  private func settle() {
    repeat {
      while let connection = dirty.popLast() {
        connection.isDirty = false
        advance(connection)
        flush(connection)
      }
      prefaceHandler?.settle()
    } while !dirty.isEmpty
    pool.settle()
  }

  /// Remembers that the connection has something to do.
  func touch(_ connection: HTTPConnection) {
    guard !connection.isDirty, connection.phase != .closed else { return }
    connection.isDirty = true
    dirty.append(connection)
  }

  private func accept(_ index: Int) {
    guard index < listeners.count, let listener = listeners[index] else { return }
    for _ in 0..<Self.acceptsPerTurn {
      let (descriptor, peer) = Sockets.accept(listener.descriptor)
      if descriptor == -EMFILE || descriptor == -ENFILE || descriptor == -ENOBUFS
        || descriptor == -ENOMEM
      {
        return pauseAccepting()
      }
      if descriptor == -EAGAIN { return }
      // Others concern the one that came: it has left already.
      guard descriptor >= 0 else { continue }
      let connection = HTTPConnection(descriptor: descriptor, listener: listener.tag, peer: peer)
      connection.handle = connections.insert(connection)
      connection.interest = EPOLLIN.rawValue
      if loop.add(descriptor, EPOLLIN.rawValue, token: connection.handle.bits) < 0 {
        connections.remove(connection.handle)
        _ = portico_close(descriptor)
        return pauseAccepting()
      }
      expire(connection, after: limits.idleTimeout)
    }
  }

  /// A listener that cannot be served would be ready in every turn.
  private func pauseAccepting() {
    acceptFrom = EventLoop.now() + Self.acceptPause
    for case let listener? in listeners { loop.remove(listener.descriptor) }
  }

  private func resumeAccepting() {
    acceptFrom = .zero
    for (index, listener) in listeners.enumerated() {
      guard let listener else { continue }
      let token = Self.listenerToken(index)
      // A listener that nobody watches would be deaf for ever.
      if loop.add(listener.descriptor, EPOLLIN.rawValue, token: token) < 0 {
        return pauseAccepting()
      }
    }
  }

  private static func listenerToken(_ index: Int) -> UInt64 {
    Handle(index: UInt32(index), generation: 2).bits
  }
}

extension HTTPServer: LoopDelegate {
  package func ready(_ events: UnsafeBufferPointer<epoll_event>) {
    turn {
      for event in events {
        var event = event
        let handle = Handle(bits: portico_event_data(&event))
        if let place = connections.pointer(handle) {
          // Retained: the connection may end in this call.
          let connection = place.pointee
          serve(connection, portico_event_flags(&event))
        } else if handle.generation == 2 {
          accept(Int(handle.index))
        }
      }
    }
  }

  package var nextDeadline: Instant {
    let accepting = acceptFrom == .zero ? Instant.never : acceptFrom
    return min(
      min(deadlines.next, accepting), handler?.nextDeadline ?? .never,
      prefaceHandler?.nextDeadline ?? .never)
  }

  package func deadlinePassed(at now: Instant) {
    turn {
      while let (owner, visit) = deadlines.popDue(at: now) {
        guard let connection = connections.pointer(owner)?.pointee, connection.visit == visit
        else { continue }
        connection.visit = .never
        if connection.deadline <= now {
          expired(connection)
        } else if connection.deadline != .never {
          scheduleVisit(connection, at: now)
        }
      }
      if let handler, handler.nextDeadline <= now { handler.deadlinePassed(at: now) }
      if let prefaceHandler, prefaceHandler.nextDeadline <= now {
        prefaceHandler.deadlinePassed(at: now)
      }
      if acceptFrom != .zero, acceptFrom <= now { resumeAccepting() }
    }
  }
}
