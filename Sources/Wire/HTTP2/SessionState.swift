import CNghttp2
import HTTP
import Primitives

/// What callbacks of nghttp2 work on. Stands behind the pointer that they are given.
struct SessionState {
  /// Streams over the advertised limit that are refused one by one; past them the connection ends.
  /// Count. nghttp2 takes the first one too many for a fault of the connection, which would punish
  /// the streams beside it.
  private static let slack: UInt32 = 1_024
  /// A header list this many times over its limit ends the connection: somebody is making us decode.
  private static let listFactor = 16

  let role: HTTP2Role
  let settings: HTTP2Settings
  let inbox: UnsafeMutablePointer<HTTP2Inbox.Storage>
  var raw: OpaquePointer?
  var now: Instant
  var resets: Budget
  var glitches: Budget
  var isFlooded = false
  var hasSaidFlooded = false
  /// Of what clients send.
  var scan = FrameScan(preface: http2Preface.utf8CodeUnitCount)
  /// GOAWAY with an error has been sent.
  var hasFailed = false
  /// Streams over the limit. Count.
  var refused = 0
  var hasPeerSettings = false
  var hasSentSettings = false

  var streams: [OutgoingStream] = []
  var free: [Int] = []
  /// Places in use. Count.
  var used = 0

  /// The head that is being received.
  var head = HTTP2Head()
  var linesStart = 0
  var listBytes = 0
  var listFields = 0
  var isReceivingHead = false
  /// Its beginning, when it came in an earlier input. Offsets count from `headStart`.
  var headStart = 0
  var carry = TextBuffer()

  /// Streams whose backpressure has changed. Places.
  var changed: [Int] = []
  var spans: [Span] = []
  /// Streams that have spans. Places.
  var spanned: [Int] = []
  var sink: UnsafeMutablePointer<Gather>?

  init(_ role: HTTP2Role, _ settings: HTTP2Settings, _ inbox: HTTP2Inbox, _ now: Instant) {
    self.role = role
    self.settings = settings
    self.inbox = inbox.storage
    self.now = now
    resets = Budget(burst: settings.resetBurst, perSecond: settings.resetsPerSecond)
    glitches = Budget(burst: settings.glitchBurst, perSecond: settings.glitchesPerSecond)
    hasSentSettings = role == .client
  }

  /// Says how we want to be spoken to.
  mutating func begin() {
    func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
    }
    var entries = [
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(settings.streamWindow)),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(settings.headBytes)),
    ]
    switch role {
    case .server:
      entries.append(
        entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.streamLimit &+ Self.slack))
      // Nobody's priorities are followed (RFC 9113, 5.3.2), so nobody's are kept.
      entries.append(entry(nghttp2_settings_id(rawValue: 9), 1))
    case .client:
      entries.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
    }
    _ = nghttp2_submit_settings(
      raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count)
    _ = nghttp2_session_set_local_window_size(
      raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, settings.connectionWindow)
  }

  /// Tells the peer the limit that is meant: nghttp2 knows one with slack.
  mutating func correctSettings(in sink: UnsafeMutablePointer<Gather>, _ count: Int) {
    hasSentSettings = true
    guard let last = sink.pointee.segments.last, last.count >= count else { return }
    let frame = UnsafeMutableRawPointer(mutating: last.base + (last.count - count))
    var place = 9
    while place + 6 <= count {
      let id = frame.loadUnaligned(fromByteOffset: place, as: UInt16.self).bigEndian
      if UInt32(id) == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue {
        frame.storeBytes(
          of: settings.streamLimit.bigEndian, toByteOffset: place + 2, as: UInt32.self)
      }
      place += 6
    }
  }

  // MARK: Places

  /// nil stands for "none" in nghttp2, so places begin at 1 there.
  static func userData(_ stream: Int) -> UnsafeMutableRawPointer? {
    UnsafeMutableRawPointer(bitPattern: stream + 1)
  }

  func stream(_ id: Int32) -> Int? {
    guard let data = nghttp2_session_get_stream_user_data(raw, id) else { return nil }
    return Int(bitPattern: data) - 1
  }

  mutating func place() -> Int {
    used += 1
    if let place = free.popLast() {
      streams[place] = OutgoingStream()
      streams[place].isUsed = true
      return place
    }
    var stream = OutgoingStream()
    stream.isUsed = true
    streams.append(stream)
    return streams.count - 1
  }

  mutating func release(_ stream: Int) {
    guard streams[stream].isUsed else { return }
    streams[stream].pending.free()
    streams[stream].trailers.free()
    streams[stream].isUsed = false
    used -= 1
    free.append(stream)
  }

  // MARK: Events

  /// Appends an event, behind the last one of its stream.
  mutating func add(_ event: HTTP2Event, _ stream: Int?) {
    let place = Int32(inbox.pointee.items.count)
    inbox.pointee.items.append(HTTP2Inbox.Item(event: event))
    guard let stream else { return }
    if streams[stream].eventRound == inbox.pointee.round, streams[stream].lastEvent >= 0 {
      inbox.pointee.items[Int(streams[stream].lastEvent)].next = place
    }
    streams[stream].eventRound = inbox.pointee.round
    streams[stream].lastEvent = place
  }

  // MARK: Heads

  mutating func beginHead() {
    head = HTTP2Head()
    headStart = inbox.pointee.text.count
    linesStart = headStart
    listBytes = 0
    listFields = 0
    isReceivingHead = true
  }

  /// A field of the head that is being received. Its bytes are good during the call only.
  mutating func field(
    _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>,
    _ valueCount: Int
  ) {
    listBytes += nameCount + valueCount + 32
    listFields += 1
    if listBytes > settings.headBytes || listFields > settings.fields {
      head.isTooLarge = true
      if listBytes > Self.listFactor * settings.headBytes { isFlooded = true }
      return
    }
    let start = inbox.pointee.text.count - headStart
    if name[0] == 0x3a {
      inbox.pointee.text.append(value, valueCount)
      pseudo(name, nameCount, ByteRange(start, start + valueCount))
      linesStart = inbox.pointee.text.count
      return
    }
    switch nameCount {
    case 4: if Self.matches(name, "host") { head.hasHost = true }
    case 6: if Self.matches(name, "cookie") { head.cookies &+= 1 }
    case 12:
      if Self.matches(name, "content-type"), valueCount >= 16,
        Self.matches(value, "application/grpc")
      {
        head.isGRPC = true
      }
    case 14: if Self.matches(name, "content-length") { head.hasContentLength = true }
    default: break
    }
    inbox.pointee.text.append(name, nameCount)
    inbox.pointee.text.append(": ")
    inbox.pointee.text.append(value, valueCount)
    inbox.pointee.text.append("\r\n")
  }

  private mutating func pseudo(
    _ name: UnsafePointer<UInt8>, _ count: Int, _ range: ByteRange
  ) {
    switch count {
    case 5: if Self.matches(name, ":path") { head.path = range }
    case 7:
      if Self.matches(name, ":method") {
        head.method = range
      } else if Self.matches(name, ":scheme") {
        head.scheme = range
      } else if Self.matches(name, ":status") {
        head.status = range
      }
    case 10: if Self.matches(name, ":authority") { head.authority = range }
    default: break
    }
  }

  private static func matches(_ name: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
    for index in 0..<text.utf8CodeUnitCount where name[index] != text.utf8Start[index] {
      return false
    }
    return true
  }

  /// The head is whole: its ranges become places in the inbox.
  mutating func endHead() -> HTTP2Head {
    isReceivingHead = false
    let start = UInt32(headStart)
    head.method.start &+= start
    head.scheme.start &+= start
    head.authority.start &+= start
    head.path.start &+= start
    head.status.start &+= start
    head.lines = ByteRange(linesStart, inbox.pointee.text.count)
    return head
  }

  /// Keeps the beginning of a head whose rest comes in the next input: the inbox is everybody's.
  mutating func packCarry() {
    guard isReceivingHead else { return }
    let text = inbox.pointee.text.bytes
    carry.append(text.baseAddress.map { $0 + headStart }, text.count - headStart)
    linesStart -= headStart
    inbox.pointee.text.cut(to: headStart)
  }

  mutating func unpackCarry() {
    guard isReceivingHead else { return }
    headStart = inbox.pointee.text.count
    linesStart += headStart
    inbox.pointee.text.append(carry.bytes.baseAddress, carry.count)
    carry.free()
  }

  // MARK: Bodies

  /// Where nghttp2 asks for a body; nil where none follows.
  static func withSource<R>(
    unless ends: Bool, _ body: (UnsafePointer<nghttp2_data_provider>?) -> R
  ) -> R {
    if ends { return body(nil) }
    var provider = nghttp2_data_provider(
      source: nghttp2_data_source(), read_callback: SessionTables.read)
    return withUnsafePointer(to: &provider) { body($0) }
  }

  mutating func addSpan(_ stream: Int, _ bytes: UnsafeRawBufferPointer) {
    let place = Int32(spans.count)
    spans.append(Span(bytes: bytes))
    if streams[stream].lastSpan >= 0 {
      spans[Int(streams[stream].lastSpan)].next = place
    } else {
      streams[stream].firstSpan = place
      spanned.append(stream)
    }
    streams[stream].lastSpan = place
    streams[stream].spanBytes += bytes.count
    wake(stream)
  }

  mutating func wake(_ stream: Int) {
    guard streams[stream].isDeferred else { return }
    streams[stream].isDeferred = false
    _ = nghttp2_session_resume_data(raw, streams[stream].id)
  }

  /// What could not be sent in this turn is copied: its memory is about to be used again.
  mutating func keepSpans() {
    for stream in spanned {
      var place = streams[stream].firstSpan
      while place >= 0 {
        let span = spans[Int(place)]
        if !streams[stream].isClosed { streams[stream].pending.append(span.bytes) }
        place = span.next
      }
      if streams[stream].spanBytes > 0 { list(stream) }
      streams[stream].firstSpan = -1
      streams[stream].lastSpan = -1
      streams[stream].spanBytes = 0
    }
    spanned.removeAll(keepingCapacity: true)
    spans.removeAll(keepingCapacity: true)
  }

  private mutating func list(_ stream: Int) {
    guard !streams[stream].isListed else { return }
    streams[stream].isListed = true
    changed.append(stream)
  }

  /// Tells the peer not to go on, if that is due.
  func settled(_ stream: Int) {
    guard streams[stream].isSettling, streams[stream].hasSentEnd, !streams[stream].peerEnded else {
      return
    }
    _ = nghttp2_submit_rst_stream(
      raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), streams[stream].id, HTTP2Error.noError)
  }

  /// How much of a body goes into the next frame.
  mutating func offer(_ stream: Int, _ limit: Int, _ flags: inout UInt32) -> Int {
    let waiting = streams[stream].waitingBytes
    let count = min(waiting, limit)
    if count == waiting, streams[stream].ends {
      flags |= NGHTTP2_DATA_FLAG_EOF.rawValue
      if streams[stream].hasTrailers {
        flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
        submitTrailers(stream)
      } else {
        streams[stream].hasSentEnd = true
        settled(stream)
      }
    } else if count == 0 {
      streams[stream].isDeferred = true
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    return count
  }

  private mutating func submitTrailers(_ stream: Int) {
    var fields = HTTP2Fields()
    fields.add(lines: streams[stream].trailers.bytes)
    _ = nghttp2_submit_trailer(raw, streams[stream].id, fields.base, fields.count)
    streams[stream].trailers.free()
  }

  /// Puts the frame's header and so many bytes of the body into the output.
  mutating func send(_ stream: Int, _ header: UnsafePointer<UInt8>, _ count: Int) {
    guard let sink else { return }
    Self.put(UnsafeRawBufferPointer(start: header, count: 9), into: sink)
    var rest = count
    if streams[stream].pending.count > 0 {
      let part = min(rest, streams[stream].pending.count)
      let bytes = streams[stream].pending.bytes
      Self.put(UnsafeRawBufferPointer(rebasing: bytes[..<part]), into: sink)
      streams[stream].pending.consume(part)
      if streams[stream].pending.count == 0 { list(stream) }
      rest -= part
    }
    while rest > 0, streams[stream].firstSpan >= 0 {
      let place = Int(streams[stream].firstSpan)
      let bytes = spans[place].bytes
      let part = min(rest, bytes.count)
      sink.pointee.append(UnsafeRawBufferPointer(rebasing: bytes[..<part]))
      streams[stream].spanBytes -= part
      rest -= part
      if part == bytes.count {
        streams[stream].firstSpan = spans[place].next
        if spans[place].next < 0 { streams[stream].lastSpan = -1 }
      } else {
        spans[place].bytes = UnsafeRawBufferPointer(rebasing: bytes[part...])
      }
    }
  }

  /// Copies into the arena of the output.
  static func put(_ bytes: UnsafeRawBufferPointer, into sink: UnsafeMutablePointer<Gather>) {
    guard let from = bytes.baseAddress, bytes.count > 0 else { return }
    sink.pointee.reserve(bytes.count).baseAddress!.copyMemory(from: from, byteCount: bytes.count)
    sink.pointee.commit(bytes.count)
  }
}
