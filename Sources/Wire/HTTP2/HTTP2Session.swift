import CNghttp2
import HTTP
import Primitives

/// One HTTP/2 connection as an engine on nghttp2: bytes in, events out; heads and bodies in, bytes
/// out. No socket, no clock.
///
/// ```
/// receive(bytes) -> inbox: head, data, trailers, ended, closed ...    (the caller looks, then acts)
/// submit..., send(span) ----------> flush(into: gather) -> frames
/// ```
/// Callbacks only append to the inbox and return; nobody calls back into nghttp2 from one, but for
/// trailers, which it allows. Bodies are not copied: what arrives stands in the input, what leaves is
/// gathered from where it stands, and only what the peer's window does not take is kept.
///
/// A reference without a class, so that callbacks cost no exclusivity checks. Belongs to one loop,
/// whose owner ends it with `free`.
package struct HTTP2Session {
  let state: UnsafeMutablePointer<SessionState>

  /// - Parameters:
  ///   - inbox: shared by the sessions of a loop.
  package init(_ role: HTTP2Role, _ settings: HTTP2Settings, inbox: HTTP2Inbox, at now: Instant) {
    state = .allocate(capacity: 1)
    state.initialize(to: SessionState(role, settings, inbox, now))
    var raw: OpaquePointer?
    let made: Int32
    let tables = SessionTables.shared
    switch role {
    case .server:
      made = nghttp2_session_server_new2(&raw, tables.callbacks, state, tables.options)
    case .client:
      made = nghttp2_session_client_new2(&raw, tables.callbacks, state, tables.options)
    }
    // nghttp2 fails here for want of memory only, and Swift itself ends a program that has none.
    precondition(made == 0, "nghttp2 could not make a session: \(made)")
    state.pointee.raw = raw
    state.pointee.begin()
  }

  package func free() {
    nghttp2_session_del(state.pointee.raw)
    for index in state.pointee.streams.indices { state.pointee.streams[index].pending.free() }
    state.pointee.carry.free()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  // MARK: Receiving

  /// Takes bytes of the peer; what they mean is in the inbox afterwards.
  ///
  /// - Returns: false when the connection is beyond repair. What `flush` gives may still be sent.
  package func receive(_ bytes: UnsafeRawBufferPointer, at now: Instant) -> Bool {
    state.pointee.now = now
    // What stands before a faulty frame still counts; the frame and what follows do not.
    let fault = state.pointee.look(bytes)
    state.pointee.unpackCarry()
    let used = nghttp2_session_mem_recv(
      state.pointee.raw, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
      fault?.at ?? bytes.count)
    state.pointee.packCarry()
    if used < 0 {
      if used == Int(NGHTTP2_ERR_FLOODED.rawValue) { state.pointee.isFlooded = true }
      terminate(NGHTTP2_PROTOCOL_ERROR.rawValue)
      return false
    }
    if state.pointee.isFlooded {
      terminate(HTTP2Error.enhanceYourCalm)
      return false
    }
    if let fault {
      terminate(fault.code)
      return false
    }
    return true
  }

  /// The peer did what only an attacker or a broken program does, too often.
  package var isFlooded: Bool { state.pointee.isFlooded }

  /// The peer broke the protocol.
  package var hasFailed: Bool { state.pointee.hasFailed }

  /// Streams refused since the last call because there were too many. Count.
  package func takeRefused() -> Int {
    defer { state.pointee.refused = 0 }
    return state.pointee.refused
  }

  /// A head has begun to come and is not whole: meanwhile no stream of the connection goes on.
  package var isInsideHead: Bool { state.pointee.scan.isInsideHead }

  /// Nothing more is to be read or sent: the connection may be closed.
  package var isOver: Bool {
    nghttp2_session_want_read(state.pointee.raw) == 0
      && nghttp2_session_want_write(state.pointee.raw) == 0
  }

  /// No bytes of the peer are wanted any more; what waits may still be sent.
  package var isDeaf: Bool { nghttp2_session_want_read(state.pointee.raw) == 0 }

  /// The owner has used these bytes of a body: the peer may send as many more.
  package func consume(_ stream: Int, _ bytes: Int) {
    let id = state.pointee.streams[stream].id
    if state.pointee.streams[stream].isClosed {
      nghttp2_session_consume_connection(state.pointee.raw, bytes)
    } else {
      nghttp2_session_consume(state.pointee.raw, id, bytes)
    }
  }

  // MARK: Streams

  package func owner(of stream: Int) -> Handle { state.pointee.streams[stream].owner }

  package func setOwner(_ owner: Handle, of stream: Int) {
    state.pointee.streams[stream].owner = owner
  }

  /// Of the protocol.
  package func id(of stream: Int) -> Int32 { state.pointee.streams[stream].id }

  /// The protocol is done with it.
  package func isClosed(_ stream: Int) -> Bool { state.pointee.streams[stream].isClosed }

  /// The peer sends nothing more on it.
  package func peerHasEnded(_ stream: Int) -> Bool { state.pointee.streams[stream].peerEnded }

  /// Streams that have not been released. Count.
  package var openStreams: Int { state.pointee.used }

  /// Frees the place of a stream that has closed.
  package func release(_ stream: Int) { state.pointee.release(stream) }

  /// How many streams the peer takes at once. Count; 100 until it has said so, as RFC 9113 advises.
  package var peerStreamLimit: Int {
    guard state.pointee.hasPeerSettings else { return 100 }
    return Int(
      nghttp2_session_get_remote_settings(
        state.pointee.raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
  }

  /// Identities of streams are not used up, and the peer has not said goodbye.
  package var takesRequests: Bool {
    nghttp2_session_check_request_allowed(state.pointee.raw) != 0
  }

  /// Bytes of a body that the peer does not take yet.
  package func waitingBytes(_ stream: Int) -> Int { state.pointee.streams[stream].waitingBytes }

  // MARK: Sending

  /// Sends an interim answer.
  package func submitInterim(_ stream: Int, _ fields: borrowing HTTP2Fields) {
    let id = state.pointee.streams[stream].id
    guard !state.pointee.streams[stream].isClosed else { return }
    _ = nghttp2_submit_headers(
      state.pointee.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, nil, fields.base, fields.count, nil)
  }

  /// Sends the head of an answer. A body follows by `send` and `end`, unless it ends here.
  package func submitAnswer(_ stream: Int, _ fields: borrowing HTTP2Fields, ends: Bool) {
    guard !state.pointee.streams[stream].isClosed else { return }
    state.pointee.streams[stream].hasHead = true
    state.pointee.streams[stream].ends = ends
    state.pointee.streams[stream].hasSource = !ends
    SessionState.withSource(unless: ends) { source in
      _ = nghttp2_submit_response(
        state.pointee.raw, state.pointee.streams[stream].id, fields.base, fields.count, source)
    }
  }

  /// Opens a stream with a request. A body follows by `send` and `end`, unless it ends here.
  ///
  /// - Returns: the place of the stream; nil when the session takes no more.
  package func submitRequest(
    _ fields: borrowing HTTP2Fields, ends: Bool, owner: Handle
  ) -> Int? {
    let stream = state.pointee.place()
    let id = SessionState.withSource(unless: ends) { source in
      nghttp2_submit_request(
        state.pointee.raw, nil, fields.base, fields.count, source, SessionState.userData(stream))
    }
    guard id > 0 else {
      state.pointee.release(stream)
      return nil
    }
    state.pointee.streams[stream].id = id
    state.pointee.streams[stream].owner = owner
    state.pointee.streams[stream].hasHead = true
    state.pointee.streams[stream].ends = ends
    state.pointee.streams[stream].hasSource = !ends
    return stream
  }

  /// Bytes of a body. They must stay where they are until `flush` has returned.
  package func send(_ stream: Int, _ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty, !state.pointee.streams[stream].isClosed else { return }
    state.pointee.addSpan(stream, bytes)
  }

  /// Our side ends, behind what was sent before.
  ///
  /// - Parameter trailers: as `name: value` with a line end each; empty for none.
  package func end(
    _ stream: Int, trailers: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
  ) {
    guard !state.pointee.streams[stream].isClosed, !state.pointee.streams[stream].ends else {
      return
    }
    state.pointee.streams[stream].ends = true
    if !trailers.isEmpty {
      // Submitted with the last of the data: before it they would overtake it.
      state.pointee.streams[stream].hasTrailers = true
      state.pointee.streams[stream].trailers.append(trailers)
    }
    state.pointee.wake(stream)
  }

  /// Our side has ended, or will behind what waits.
  package func hasEnded(_ stream: Int) -> Bool { state.pointee.streams[stream].ends }

  /// Ends a stream at once; what waits on it is dropped.
  package func reset(_ stream: Int, code: UInt32) {
    guard !state.pointee.streams[stream].isClosed else { return }
    state.pointee.streams[stream].pending.free()
    _ = nghttp2_submit_rst_stream(
      state.pointee.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), state.pointee.streams[stream].id, code)
  }

  /// Refuses a stream that has just been opened: the peer may send the request elsewhere.
  package func refuse(_ stream: Int) { reset(stream, code: HTTP2Error.refusedStream) }

  // MARK: The end of the connection

  /// Says that no more streams are welcome, without refusing those under way to us; `pong` tells when
  /// to say which was the last one. RFC 9113, 6.8.
  package func announceEnd() {
    _ = nghttp2_submit_shutdown_notice(state.pointee.raw)
    ping()
  }

  /// Says which stream was the last one that is served.
  package func sayGoodbye() {
    _ = nghttp2_submit_goaway(
      state.pointee.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue),
      nghttp2_session_get_last_proc_stream_id(state.pointee.raw), HTTP2Error.noError, nil, 0)
  }

  package func ping() {
    _ = nghttp2_submit_ping(state.pointee.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
  }

  /// Ends everything, with a reason for the peer.
  package func terminate(_ code: UInt32) {
    _ = nghttp2_session_terminate_session(state.pointee.raw, code)
  }

  // MARK: Output

  /// Appends every frame that may be sent now. What streams could not send is kept.
  package func flush(into gather: inout Gather, at now: Instant) {
    state.pointee.now = now
    withUnsafeMutablePointer(to: &gather) { sink in
      state.pointee.sink = sink
      while true {
        var bytes: UnsafePointer<UInt8>?
        let count = nghttp2_session_mem_send(state.pointee.raw, &bytes)
        guard count > 0, let bytes else { break }
        SessionState.put(UnsafeRawBufferPointer(start: bytes, count: count), into: sink)
        if !state.pointee.hasSentSettings { state.pointee.correctSettings(in: sink, count) }
      }
      state.pointee.sink = nil
    }
    state.pointee.keepSpans()
    if state.pointee.isFlooded, !state.pointee.hasSaidFlooded {
      state.pointee.hasSaidFlooded = true
      terminate(HTTP2Error.enhanceYourCalm)
      flush(into: &gather, at: now)
    }
  }

  /// There may be something for `flush` to do.
  package var wantsToSend: Bool {
    nghttp2_session_want_write(state.pointee.raw) != 0
  }
}

// MARK: Backpressure, and the ends of streams

extension HTTP2Session {
  /// A stream whose peer takes no more than it has, or does again.
  package struct Change {
    package let owner: Handle
    package let isStuck: Bool
  }

  /// The next of the changes since the last `flush` or `hold`; nil when all have been told.
  package func nextChange() -> Change? {
    while let stream = state.pointee.changed.popLast() {
      state.pointee.streams[stream].isListed = false
      guard state.pointee.streams[stream].isUsed else { continue }
      return Change(
        owner: state.pointee.streams[stream].owner,
        isStuck: state.pointee.streams[stream].pending.count > 0)
    }
    return nil
  }

  /// Keeps what was to be sent in this turn, because nothing can be.
  package func hold() { state.pointee.keepSpans() }

  /// Nothing that comes on the stream is wanted any more: once our side has been sent to its end, the
  /// peer is told so, without an error (RFC 9113, 8.1).
  package func settle(_ stream: Int) {
    guard !state.pointee.streams[stream].isClosed else { return }
    state.pointee.streams[stream].isSettling = true
    state.pointee.settled(stream)
  }

  /// Gives back what a stream that has closed had withheld.
  package func consumeConnection(_ bytes: Int) {
    guard bytes > 0 else { return }
    nghttp2_session_consume_connection(state.pointee.raw, bytes)
  }

  /// Most bytes that one stream's peer does not take yet. Looks at all of them.
  package var largestWaiting: Int {
    state.pointee.streams.reduce(0) { $1.isUsed ? max($0, $1.waitingBytes) : $0 }
  }

  /// Whose streams are open.
  package var owners: [Handle] {
    state.pointee.streams.compactMap { $0.isUsed && !$0.owner.isNone ? $0.owner : nil }
  }
}
