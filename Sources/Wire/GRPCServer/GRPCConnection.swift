import GRPC
import HTTP
import HTTP2
import HTTPServer
import Primitives

/// One HTTP/2 connection whose streams are calls.
///
/// ```
/// bytes > session > events > calls > handler
/// bytes < session < spans  < calls <---'        all frames of a turn leave together, in `settle`
/// ```
/// Lives on the server's loop.
final class GRPCConnection {
  enum Phase {
    case open
    /// GOAWAY is out; calls under way finish.
    case leaving
    case closed
  }

  unowned let server: GRPCServer
  let responder: HTTPResponder
  let session: HTTP2Session
  var phase = Phase.open
  var calls: [Int: GRPCCall] = [:]
  var isDirty = false
  /// Our settings are not acknowledged by then: no HTTP/2 client.
  var settingsDeadline: Instant
  /// Since when there are no calls; `never` while there are some.
  var idleSince: Instant
  /// When the goodbye is said, whether or not the client has answered.
  private(set) var goodbyeDeadline = Instant.never
  private var hasSaidGoodbye = false
  /// Messages that the session points into, until they are flushed.
  private var lent: [UnsafeMutableRawBufferPointer] = []

  init(_ server: GRPCServer, _ responder: HTTPResponder, at now: Instant) {
    self.server = server
    self.responder = responder
    session = HTTP2Session(.server, server.limits.http2, inbox: server.inbox, at: now)
    settingsDeadline = now + server.limits.settingsTimeout
    idleSince = now
  }

  deinit {
    for message in lent { message.deallocate() }
    session.free()
  }

  // MARK: In

  func received(_ bytes: UnsafeRawBufferPointer) {
    guard phase != .closed else { return }
    server.inbox.clear()
    let isSound = session.receive(bytes, at: server.now)
    for index in 0..<server.inbox.count where phase != .closed {
      if let event = server.inbox[index] { take(event) }
    }
    server.inbox.clear()
    server.touch(self)
    if !isSound {
      // What explains it is still sent.
      cutCalls()
    }
  }

  private func take(_ event: HTTP2Event) {
    switch event {
    case .head(let stream, let head): begin(stream, head)
    case .data(let stream, let bytes): received(bytes, on: stream)
    case .trailers: return
    case .ended(let stream):
      guard let call = calls[stream] else { return }
      call.isInputEnded = true
      deliver(call)
    case .closed(let stream, _):
      let call = calls.removeValue(forKey: stream)
      if let call { consumeAll(call) }
      session.release(stream)
      if let call { forget(call) }
      if calls.isEmpty { idleSince = server.now }
    case .settingsAcknowledged: settingsDeadline = .never
    case .pong: sayGoodbye()
    case .goAway, .settingsChanged: return
    }
  }

  private func begin(_ stream: Int, _ head: HTTP2Head) {
    idleSince = .never
    let text = server.inbox.text
    let fields = CallFields(lines: Array(head.lines.bytes(in: text)))
    let isPost = head.method.bytes(in: text).elementsEqual("POST".utf8)
    guard head.isTooLarge || isPost && GRPCFields.isGRPC(contentType: fields["content-type"] ?? "")
    else { return refuse(stream, status: isPost ? 415 : 405) }
    let timeout = fields["grpc-timeout"]
    let amount = timeout.flatMap { GRPCFields.timeout($0) }
    let call = GRPCCall(
      path: String(decoding: head.path.bytes(in: text), as: UTF8.self), fields: fields,
      deadline: amount.map { server.now + $0 } ?? .never, stream: stream, connection: self,
      messageBytes: server.limits.messageBytes)
    calls[stream] = call
    server.remember(call)
    if head.isTooLarge {
      call.finish(
        GRPCStatus(.resourceExhausted, "The call's fields are too long (header list limit)."))
    } else if let timeout, amount == nil {
      call.finish(
        GRPCStatus(.internal, "grpc-timeout is '\(timeout.prefix(20))'; it must be as 100m."))
    } else if let encoding = fields["grpc-encoding"], encoding != "identity" {
      call.finish(
        GRPCStatus(
          .unimplemented,
          "grpc-encoding '\(encoding.prefix(40))' is not spoken here; only 'identity' is."))
    } else if let handler = server.handler {
      handler.begin(call)
    } else {
      call.finish(GRPCStatus(.unavailable, "The server is ending; ask another."))
    }
  }

  /// To what is no gRPC: by HTTP's own means.
  private func refuse(_ stream: Int, status: Int) {
    var fields = HTTP2Fields()
    server.withText("\(status)") { status in
      fields.begin(nameBytes: 64)
      fields.add(":status", status)
      session.submitAnswer(stream, fields, ends: true)
    }
    session.settle(stream)
  }

  private func received(_ bytes: UnsafeRawBufferPointer, on stream: Int) {
    guard let call = calls[stream], call.isOpen else { return session.consume(stream, bytes.count) }
    call.reader.receive(bytes)
    call.unconsumed += bytes.count
    deliver(call)
    guard call.isOpen, server.partialBytes > server.limits.partialBytes else { return }
    server.refusals += 1
    call.finish(
      GRPCStatus(
        .resourceExhausted,
        "Too many messages are being received at once (partial message limit); try again later."))
  }

  /// Hands messages over as far as the call takes them, and opens the windows for more.
  private func deliver(_ call: GRPCCall) {
    do throws(MessageReader.Problem) {
      while call.isOpen, !call.isPaused, let message = try call.reader.next() {
        call.onMessage?(message)
      }
      if call.isOpen, !call.isPaused, call.isInputEnded, !call.isInputTold {
        try call.reader.end()
        call.isInputTold = true
        call.onEnd?()
      }
    } catch {
      if case .tooLarge = error { server.refusals += 1 }
      call.finish(error.status)
    }
    count(call)
    guard !call.isPaused || call.isOver else { return }
    consumeAll(call)
  }

  /// Brings the sum of what is held up to date.
  private func count(_ call: GRPCCall) {
    server.partialBytes += call.reader.heldBytes - call.countedBytes
    call.countedBytes = call.reader.heldBytes
  }

  private func consumeAll(_ call: GRPCCall) {
    guard call.unconsumed > 0, phase != .closed else { return }
    session.consume(call.stream, call.unconsumed)
    call.unconsumed = 0
    server.touch(self)
  }

  func resumed(_ call: GRPCCall) {
    guard phase != .closed else { return }
    deliver(call)
  }

  // MARK: Out

  func unsentBytes(_ call: GRPCCall) -> Int {
    phase == .closed ? 0 : session.waitingBytes(call.stream)
  }

  func send(_ message: [UInt8], on call: GRPCCall) -> Bool {
    guard phase != .closed else { return false }
    sendHead(call)
    var prefix: [UInt8] = []
    MessageReader.appendPrefix(message.count, to: &prefix)
    let copy = UnsafeMutableRawBufferPointer.allocate(
      byteCount: prefix.count + message.count, alignment: 1)
    copy.copyBytes(from: prefix)
    UnsafeMutableRawBufferPointer(rebasing: copy[prefix.count...]).copyBytes(from: message)
    lent.append(copy)
    session.send(call.stream, UnsafeRawBufferPointer(copy))
    server.touch(self)
    let hasRoom = session.waitingBytes(call.stream) <= server.limits.outputMark
    if !hasRoom { call.isCongested = true }
    return hasRoom
  }

  private func sendHead(_ call: GRPCCall) {
    guard !call.hasHead else { return }
    call.hasHead = true
    var fields = HTTP2Fields()
    server.withText("200") { status in
      server.withText("application/grpc") { type in
        fields.begin(nameBytes: 64)
        fields.add(":status", status)
        fields.add("content-type", type)
        session.submitAnswer(call.stream, fields, ends: false)
      }
    }
  }

  func finish(_ call: GRPCCall, _ status: GRPCStatus) {
    guard phase != .closed else { return }
    server.count(status.code)
    let code = "\(status.code.rawValue)"
    let message = GRPCFields.encode(message: status.message)
    if call.hasHead {
      var trailers = "grpc-status: \(code)\r\n"
      if !message.isEmpty { trailers += "grpc-message: \(message)\r\n" }
      server.withText(trailers) { session.end(call.stream, trailers: $0) }
    } else {
      // A status and nothing before it: all of it is the head.
      var head = "content-type: application/grpc\r\ngrpc-status: \(code)\r\n"
      if !message.isEmpty { head += "grpc-message: \(message)\r\n" }
      if status.code == .unimplemented { head += "grpc-accept-encoding: identity\r\n" }
      var fields = HTTP2Fields()
      server.withText("200") { status in
        server.withText(head) { head in
          fields.begin(nameBytes: head.count + 16)
          fields.add(":status", status)
          fields.add(lines: head)
          session.submitAnswer(call.stream, fields, ends: true)
        }
      }
    }
    // Who has its whole answer need not send the rest of its request.
    session.settle(call.stream)
    count(call)
    consumeAll(call)
    server.touch(self)
  }

  func reset(_ call: GRPCCall) {
    guard phase != .closed else { return }
    server.count(.cancelled)
    session.reset(call.stream, code: HTTP2Error.cancel)
    count(call)
    consumeAll(call)
    server.touch(self)
  }

  /// Writes the frames of this turn, as far as the client has taken the earlier ones.
  func flush() {
    guard phase != .closed else { return }
    if responder.unsentBytes <= server.connectionMark { write() }
    takeClosed()
    for call in calls.values where call.isCongested {
      guard session.waitingBytes(call.stream) <= server.limits.outputMark / 2 else { continue }
      call.isCongested = false
      call.onWritable?()
    }
    let isDone = hasSaidGoodbye && session.openStreams == 0 && !session.wantsToSend
    guard isDone || session.isOver else { return }
    lost()
    responder.cut()
  }

  private func write() {
    session.flush(into: &server.gather, at: server.now)
    // Who waits for room is found by looking at the calls, of which there are few.
    while session.nextChange() != nil {}
    for index in server.gather.cut() {
      let segment = server.gather.segments[index]
      responder.write(UnsafeRawBufferPointer(start: segment.base, count: segment.count))
    }
    server.gather.reset()
    for message in lent { message.deallocate() }
    lent.removeAll(keepingCapacity: true)
  }

  /// Sending closes streams too, and what nghttp2 says then stands in the inbox.
  private func takeClosed() {
    var closed: [HTTP2Event] = []
    for index in 0..<server.inbox.count {
      if let event = server.inbox[index] { closed.append(event) }
    }
    server.inbox.clear()
    for event in closed { take(event) }
  }

  // MARK: Ends

  /// The connection is gone, or about to be.
  func lost() {
    guard phase != .closed else { return }
    phase = .closed
    cutCalls()
    server.remove(self)
  }

  private func cutCalls() {
    let cut = calls
    calls = [:]
    for call in cut.values { forget(call) }
  }

  private func forget(_ call: GRPCCall) {
    server.forget(call)
    if call.isOpen { server.count(.cancelled) }
    call.close()
    count(call)
  }

  /// No more calls are taken; those under way finish. Calls that are on their way to us when the client
  /// hears of it are still taken: the goodbye follows when the client has heard, or at the deadline.
  func leave() {
    guard phase == .open else { return }
    phase = .leaving
    goodbyeDeadline = server.now + server.limits.lastWords
    session.announceEnd()
    server.touch(self)
  }

  func sayGoodbye() {
    guard phase == .leaving, !hasSaidGoodbye else { return }
    hasSaidGoodbye = true
    goodbyeDeadline = .never
    session.sayGoodbye()
    server.touch(self)
  }

  /// Ends what is still under way.
  func endCalls(_ status: GRPCStatus) {
    for call in Array(calls.values) { call.finish(status) }
  }
}
