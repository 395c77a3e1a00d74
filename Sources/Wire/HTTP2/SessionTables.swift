import CNghttp2
import Primitives

/// The callbacks and options that all sessions share. Made once; nghttp2 only reads them.
struct SessionTables: @unchecked Sendable {
  // Sendable since nobody writes to either after they have been made.
  static let shared = SessionTables()

  /// Acknowledgements that may wait because the peer does not read. Count. nghttp2's default of 1,000
  /// is for peers that read.
  private static let acknowledgementLimit = 256
  /// Entries of one SETTINGS frame. Count; six are defined.
  private static let settingsLimit = 32
  /// CONTINUATION frames behind one HEADERS. Count. With frames of 16 KB a head of the default limit
  /// needs two.
  private static let continuationLimit = 8

  let callbacks: OpaquePointer?
  let options: OpaquePointer?

  private init() {
    var callbacks: OpaquePointer?
    var options: OpaquePointer?
    precondition(
      nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0,
      "nghttp2 could not make its tables")
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Self.beginHeaders)
    nghttp2_session_callbacks_set_on_header_callback(callbacks, Self.header)
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, Self.invalidHeader)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Self.dataChunk)
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Self.frameReceived)
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Self.frameSent)
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Self.streamClosed)
    nghttp2_session_callbacks_set_send_data_callback(callbacks, Self.sendData)
    // Windows open when bytes have been used, not when they have come: that is backpressure.
    nghttp2_option_set_no_auto_window_update(options, 1)
    nghttp2_option_set_max_outbound_ack(options, Self.acknowledgementLimit)
    nghttp2_option_set_max_settings(options, Self.settingsLimit)
    nghttp2_option_set_max_continuations(options, Self.continuationLimit)
    // Our own budget counts what it does not, and by the loop's clock: this one only stands behind it.
    nghttp2_option_set_stream_reset_rate_limit(options, 100_000, 1_000)
    // A closed stream costs nothing; `FrameScan` knows as much of it as is needed.
    nghttp2_option_set_no_closed_streams(options, 1)
    self.callbacks = callbacks
    self.options = options
  }

  private static func state(_ data: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<SessionState>
  {
    data!.assumingMemoryBound(to: SessionState.self)
  }

  private static let beginHeaders: nghttp2_on_begin_headers_callback = { raw, frame, data in
    let state = state(data)
    let header = frame!.pointee.hd
    if state.pointee.role == .server,
      frame!.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
    {
      let stream = state.pointee.place()
      state.pointee.streams[stream].id = header.stream_id
      nghttp2_session_set_stream_user_data(
        raw, header.stream_id, SessionState.userData(stream))
      if state.pointee.used > Int(state.pointee.settings.streamLimit) {
        state.pointee.streams[stream].isRefused = true
        state.pointee.refused += 1
        _ = nghttp2_submit_rst_stream(
          raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), header.stream_id, HTTP2Error.refusedStream)
      }
    }
    state.pointee.beginHead()
    return 0
  }

  private static let header: nghttp2_on_header_callback = {
    _, _, name, nameCount, value, valueCount, _, data in
    state(data).pointee.field(name!, nameCount, value!, valueCount)
    return 0
  }

  /// nghttp2 would leave the field out and go on; what is not a field is refused instead.
  private static let invalidHeader: nghttp2_on_invalid_header_callback = {
    _, _, _, _, _, _, _, _ in
    NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
  }

  private static let dataChunk: nghttp2_on_data_chunk_recv_callback = {
    raw, _, id, bytes, count, data in
    let state = state(data)
    guard let stream = state.pointee.stream(id), !state.pointee.streams[stream].isRefused else {
      nghttp2_session_consume_connection(raw, count)
      return 0
    }
    state.pointee.add(
      .data(stream: stream, UnsafeRawBufferPointer(start: bytes, count: count)), stream)
    return 0
  }

  private static let frameReceived: nghttp2_on_frame_recv_callback = { _, frame, data in
    state(data).pointee.received(frame!)
    return 0
  }

  private static let frameSent: nghttp2_on_frame_send_callback = { _, frame, data in
    state(data).pointee.sent(frame!)
    return 0
  }

  private static let streamClosed: nghttp2_on_stream_close_callback = { _, id, code, data in
    let state = state(data)
    guard let stream = state.pointee.stream(id) else { return 0 }
    state.pointee.streams[stream].isClosed = true
    state.pointee.streams[stream].pending.free()
    state.pointee.add(.closed(stream: stream, code: code), stream)
    return 0
  }

  static let read: nghttp2_data_source_read_callback = { _, id, _, limit, flags, _, data in
    let state = state(data)
    guard let stream = state.pointee.stream(id) else {
      return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
    }
    return state.pointee.offer(stream, limit, &flags!.pointee)
  }

  private static let sendData: nghttp2_send_data_callback = { _, frame, header, count, _, data in
    let state = state(data)
    if let stream = state.pointee.stream(frame!.pointee.hd.stream_id) {
      state.pointee.send(stream, header!, count)
    }
    return 0
  }
}

extension SessionState {
  /// Looks at frames before nghttp2 does. It says nothing of PRIORITY, so those are counted here.
  mutating func look(_ bytes: UnsafeRawBufferPointer) -> (code: UInt32, at: Int)? {
    let fault = scan.scan(bytes)
    while scan.priorities > 0 {
      scan.priorities -= 1
      glitched()
    }
    return fault
  }

  /// A frame has come whole and is in order.
  mutating func received(_ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    let ends = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue:
      let head = endHead()
      guard let stream = stream(header.stream_id), !streams[stream].isRefused else { return }
      if frame.pointee.headers.cat == NGHTTP2_HCAT_HEADERS, head.status.isEmpty {
        add(.trailers(stream: stream, lines: head.lines), stream)
      } else {
        add(.head(stream: stream, head), stream)
      }
      if ends { ended(stream) }
    case NGHTTP2_DATA.rawValue:
      guard let stream = stream(header.stream_id), !streams[stream].isRefused else { return }
      if ends {
        ended(stream)
      } else if header.length == 0 {
        glitched()
      }
    case NGHTTP2_RST_STREAM.rawValue:
      if role == .server, !resets.take(at: now) { isFlooded = true }
    case NGHTTP2_SETTINGS.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
        add(.settingsAcknowledged, nil)
      } else {
        hasPeerSettings = true
        add(.settingsChanged, nil)
        glitched()
      }
    case NGHTTP2_GOAWAY.rawValue:
      let goAway = frame.pointee.goaway
      add(.goAway(lastStream: goAway.last_stream_id, code: goAway.error_code), nil)
    case NGHTTP2_PING.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
        add(.pong, nil)
      }
    default: break
    }
  }

  private mutating func ended(_ stream: Int) {
    streams[stream].peerEnded = true
    add(.ended(stream: stream), stream)
  }

  private mutating func glitched() {
    if !glitches.take(at: now) { isFlooded = true }
  }

  /// Streams that we had to reset for the peer's faults count like those that it reset itself:
  /// otherwise it could make us do the resetting (CVE-2025-8671).
  mutating func sent(_ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    if UInt32(header.type) == NGHTTP2_HEADERS.rawValue,
      header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0,
      let stream = stream(header.stream_id)
    {
      streams[stream].hasSentEnd = true
      settled(stream)
    }
    if UInt32(header.type) == NGHTTP2_GOAWAY.rawValue, frame.pointee.goaway.error_code != 0 {
      hasFailed = true
    }
    guard role == .server, UInt32(header.type) == NGHTTP2_RST_STREAM.rawValue else { return }
    switch frame.pointee.rst_stream.error_code {
    case HTTP2Error.noError, HTTP2Error.cancel, HTTP2Error.internalError: break
    default: if !resets.take(at: now) { isFlooded = true }
    }
  }
}
