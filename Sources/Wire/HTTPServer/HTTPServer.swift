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
  private weak var handler: (any HTTPHandler)?

  private struct Listener {
    let descriptor: Int32
    let tag: Int
  }
  private var listeners: [Listener?] = []
  /// Descriptors have run out: nobody is accepted before this.
  private var acceptFrom = Instant.zero
  /// No connection is kept after its answer.
  private var isDraining = false

  private var connections = Slab<HTTPConnection>()
  private var deadlines = DeadlineHeap()
  private var pool = BlockPool()
  private let head: UnsafeMutablePointer<RequestHead>
  private var gather = Gather()
  private var answerText = AnswerText()
  private let readBuffer = UnsafeMutableRawBufferPointer.allocate(
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
    connections.forEach { _, connection in
      if connection.pointee.phase != .closed { _ = portico_close(connection.pointee.descriptor) }
    }
    head.deinitialize(count: 1)
    head.deallocate()
    readBuffer.deallocate()
  }

  /// Open connections. Count.
  package var connectionCount: Int { connections.count }

  /// Begins to take turns on the loop. The loop does not keep the server alive.
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
    connections.forEach { _, connection in all.append(connection.pointee) }
    return all
  }

  // MARK: Turns

  /// Runs a piece of work; the outermost one then sends what was written and goes on with requests
  /// that wait.
  func turn(_ work: () -> Void) {
    depth += 1
    work()
    if depth == 1 { settle() }
    depth -= 1
  }

  private func settle() {
    while let connection = dirty.popLast() {
      connection.isDirty = false
      advance(connection)
      flush(connection)
    }
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
      _ = loop.add(listener.descriptor, EPOLLIN.rawValue, token: Self.listenerToken(index))
    }
  }

  private static func listenerToken(_ index: Int) -> UInt64 {
    Handle(index: UInt32(index), generation: 2).bits
  }

  // MARK: Reading

  private func serve(_ connection: HTTPConnection, _ flags: UInt32) {
    if flags & EPOLLIN.rawValue != 0 { read(connection) }
    if connection.phase != .closed, flags & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 {
      // Nothing can be sent any more. What a taken-over connection still brings is read first.
      if connection.phase != .raw || flags & EPOLLIN.rawValue == 0 { return close(connection) }
    }
    if flags & EPOLLRDHUP.rawValue != 0, flags & EPOLLIN.rawValue == 0 { inputEnded(connection) }
    if flags & EPOLLOUT.rawValue != 0 { touch(connection) }
  }

  private func read(_ connection: HTTPConnection) {
    let count = portico_receive(
      connection.descriptor, readBuffer.baseAddress!, readBuffer.count)
    if count == -Int(EAGAIN) { return }
    if count < 0 { return close(connection) }
    if count == 0 { return inputEnded(connection) }
    let bytes = UnsafeRawBufferPointer(rebasing: readBuffer[..<count])
    switch connection.phase {
    case .closed: return
    case .closing:
      connection.dropped += count
      if connection.dropped > limits.lingerBytes { close(connection) }
      return
    case .raw:
      connection.responder?.received(bytes)
      return
    case .head:
      if connection.input.isEmpty { expire(connection, after: limits.headTimeout) }
      let isWorthParsing = RequestHead.worthParsing(
        newBytes: bytes, seen: connection.input.count, limits: limits.head)
      pool.append(bytes, to: &connection.input)
      if !isWorthParsing { return }
    case .body, .answering:
      pool.append(bytes, to: &connection.input)
    }
    touch(connection)
  }

  private func inputEnded(_ connection: HTTPConnection) {
    guard !connection.isInputEnded else { return }
    connection.isInputEnded = true
    switch connection.phase {
    case .closed: return
    case .closing:
      // What waits to be sent is still wanted; the FIN is the last thing we waited for.
      if connection.isOutputEnded { close(connection) } else { touch(connection) }
    case .raw:
      connection.responder?.inputEnded()
      if connection.responder == nil, connection.phase == .raw { close(connection) }
      touch(connection)
    case .answering:
      if limits.leavingAborts { close(connection) } else { touch(connection) }
    case .head, .body:
      // Half a request is nothing that anybody waits for.
      touch(connection)
    }
  }

  /// Goes on with what has come, until more is needed or the handler has the word.
  private func advance(_ connection: HTTPConnection) {
    while true {
      switch connection.phase {
      case .answering, .closing, .closed: return
      case .raw:
        guard !connection.input.isEmpty else { return }
        let early = connection.input
        pool.give(&connection.input)
        connection.responder?.received(early.bytes)
      case .head:
        guard !connection.input.isEmpty else {
          if connection.input.isLent { pool.give(&connection.input) }
          if connection.isInputEnded || isDraining { beginClosing(connection) }
          return
        }
        guard takeHead(connection) else { return }
      case .body:
        guard takeBody(connection) else { return }
      }
    }
  }

  /// Parses a head. False: more bytes are needed, or the request was refused.
  private func takeHead(_ connection: HTTPConnection) -> Bool {
    let bytes = connection.input.bytes
    switch head.pointee.parse(bytes, limits: limits.head) {
    case .incomplete:
      if connection.isInputEnded { beginClosing(connection) }
      return false
    case .rejected(let rejection):
      refuse(connection, rejection)
      return false
    case .complete: break
    }
    let headBytes = head.pointee.headBytes
    let framing = head.pointee.framing
    let behind = UnsafeRawBufferPointer(rebasing: bytes[headBytes...])
    // A body that is here already is lent to the handler where it stands.
    if !framing.hasBody {
      connection.input.consume(headBytes)
      dispatch(connection, head: bytes, body: UnsafeRawBufferPointer(rebasing: bytes[..<0]))
      return true
    }
    if case .length(let length) = framing {
      if length > UInt64(limits.bodyBytes) {
        refuse(connection, .bodyTooLarge)
        return false
      }
      if behind.count >= Int(length) {
        connection.input.consume(headBytes + Int(length))
        dispatch(
          connection, head: bytes,
          body: UnsafeRawBufferPointer(rebasing: behind[..<Int(length)]))
        return true
      }
      connection.body.reserveCapacity(Int(length))
    }
    if head.pointee.expectContinue, behind.isEmpty {
      connection.output += "HTTP/1.1 100 Continue\r\n\r\n".utf8
    }
    connection.headBytes = Array(bytes[..<headBytes])
    connection.input.consume(headBytes)
    connection.decoder = BodyDecoder(framing)
    connection.phase = .body
    expire(connection, after: limits.bodyTimeout)
    return true
  }

  /// Collects a body. False: more bytes are needed, or the request was refused.
  private func takeBody(_ connection: HTTPConnection) -> Bool {
    let result = connection.decoder.decode(
      connection.input.bytes, outFraming: .untilClose, limits: BodyLimits(), into: &gather)
    for index in gather.cut() {
      let segment = gather.segments[index]
      connection.body += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
    }
    gather.reset()
    connection.input.consume(result.consumed)
    if let rejection = result.rejected {
      refuse(connection, rejection)
      return false
    }
    if connection.body.count > limits.bodyBytes {
      refuse(connection, .bodyTooLarge)
      return false
    }
    guard result.finished else {
      if connection.input.isEmpty { pool.give(&connection.input) }
      if connection.isInputEnded { refuse(connection, .bodyTruncated) }
      return false
    }
    let headBytes = connection.headBytes
    let body = connection.body
    connection.headBytes = []
    connection.body = []
    headBytes.withUnsafeBytes { head in
      body.withUnsafeBytes { body in
        // It was parsed when it came; another connection's head has been parsed since.
        guard self.head.pointee.parse(head, limits: limits.head) == .complete else {
          preconditionFailure("a head that was complete is not any more")
        }
        dispatch(connection, head: head, body: body)
      }
    }
    return true
  }

  private func dispatch(
    _ connection: HTTPConnection, head bytes: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer
  ) {
    connection.phase = .answering
    connection.keepAlive = head.pointee.keepAlive && !isDraining
    expire(connection, after: nil)
    let responder = HTTPResponder(
      connection, self, isHead: head.pointee.method == .head, isHTTP11: head.pointee.isHTTP11)
    connection.responder = responder
    let request = HTTPRequest(
      head: head, bytes: bytes, body: body, listener: connection.listener, peer: connection.peer)
    guard let handler else { return close(connection) }
    handler.handle(request, responder)
  }

  // MARK: Answering

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
  private func refuse(_ connection: HTTPConnection, _ rejection: Rejection) {
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

  private func flush(_ connection: HTTPConnection) {
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
  private func expire(_ connection: HTTPConnection, after time: TimeAmount?) {
    guard let time else {
      connection.deadline = .never
      return
    }
    let now = EventLoop.now()
    connection.deadline = now + time
    scheduleVisit(connection, at: now)
  }

  private func scheduleVisit(_ connection: HTTPConnection, at now: Instant) {
    let visit = DeadlineHeap.visit(connection.deadline, at: now)
    guard visit < connection.visit else { return }
    connection.visit = visit
    deadlines.schedule(connection.handle, at: visit)
  }

  private func expired(_ connection: HTTPConnection) {
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
    return min(deadlines.next, handler?.nextDeadline ?? .never, accepting)
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
      if acceptFrom != .zero, acceptFrom <= now { resumeAccepting() }
    }
  }
}
