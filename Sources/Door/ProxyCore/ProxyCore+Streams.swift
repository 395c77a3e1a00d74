import Balancing
import Glibc
import HTTP
import HTTP1
import HTTP2
import Primitives
import Telemetry
import Transcode

/// What stands between frames and the core: streams look like connections that speak HTTP/1.1, so that
/// every rule of the core holds for them unchanged.
extension ProxyCore {
  /// Body bytes up to this many travel in one piece with the head before them. Bytes.
  private static var joinLimit: Int { 16 * 1024 }

  var connectionReset: Int32 { ECONNRESET }
  var connectTimedOut: Int32 { ETIMEDOUT }

  // MARK: From frames to the core

  /// Tells the core what a session has understood.
  mutating func takeInbox(_ session: Handle, _ now: Instant, _ effects: inout Effects) {
    var index = 0
    while index < inbox.count, let entry = sessions.pointer(session) {
      let current = index
      index += 1
      guard let event = inbox[current] else { continue }
      switch event {
      case .head(let place, let head):
        let body = lookAhead(from: current)
        if entry.pointee.role == .server {
          requestCame(session, entry, place, head, body, now, &effects)
        } else {
          answerCame(session, entry, place, head, body, now, &effects)
        }
      case .data(let place, let bytes):
        dataCame(session, entry, place, bytes, now, &effects)
      case .trailers(let place, let lines):
        trailersCame(entry, place, lines, now, &effects)
      case .ended(let place):
        streamEnded(entry, place, now, &effects)
      case .closed(let place, let code):
        streamClosed(entry, place, code, now, &effects)
      case .goAway(_, _):
        if entry.pointee.role == .client { retire(session, entry, now) }
      case .settingsChanged: break
      case .settingsAcknowledged: entry.pointee.isAcknowledged = true
      case .pong:
        if entry.pointee.farewell == .announced { sayGoodbye(entry, now) }
      }
      translate(now, &effects)
    }
    inbox.clear()
  }

  /// What came of a body in the same input as its head, perhaps behind frames of other streams.
  private struct Ahead {
    /// The event of the head.
    let head: Int
    var count = 0
    /// The peer has ended the stream behind it, without trailers.
    var isWhole = false
  }

  private func lookAhead(from head: Int) -> Ahead {
    var ahead = Ahead(head: head)
    var place = head
    while let next = inbox.next(after: place) {
      place = next
      switch inbox[place] {
      case .data(_, let bytes) where ahead.count + bytes.count <= Self.joinLimit:
        ahead.count += bytes.count
      case .ended:
        ahead.isWhole = true
        inbox.take(place)
        return ahead
      default: return ahead
      }
    }
    return ahead
  }

  /// Copies the bytes that were looked ahead for, and takes their events.
  private func copy(_ ahead: Ahead, to memory: UnsafeMutableRawBufferPointer) -> Int {
    var count = 0
    var place = ahead.head
    while count < ahead.count, let next = inbox.next(after: place) {
      place = next
      guard case .data(_, let bytes) = inbox[place], let from = bytes.baseAddress else { continue }
      (memory.baseAddress! + count).copyMemory(from: from, byteCount: bytes.count)
      count += bytes.count
      inbox.take(place)
    }
    return count
  }

  private mutating func requestCame(
    _ session: Handle, _ entry: UnsafeMutablePointer<SessionEntry>, _ place: Int,
    _ head: HTTP2Head, _ ahead: Ahead, _ now: Instant, _ effects: inout Effects
  ) {
    // Reset by the peer behind its head, in the same input: nobody waits for an answer.
    guard !entry.pointee.engine.isClosed(place) else { return }
    guard let transport = connections.pointer(entry.pointee.transport) else { return }
    var connection = Connection.client(
      listener: transport.pointee.listener, peer: transport.pointee.peer, phase: .idle, at: now)
    connection.isStream = true
    connection.security = transport.pointee.security
    if !transport.pointee.clientName.isEmpty {
      blocks.append(transport.pointee.clientName.bytes, to: &connection.clientName)
    }
    let handle = connections.insert(connection)
    var stream = StreamEntry(session: session, isServer: true, place: place)
    if head.method.bytes(in: inbox.text).elementsEqual("HEAD".utf8) { stream.method = .head }
    streams.insert(stream, for: handle)
    entry.pointee.streams += 1
    entry.pointee.engine.setOwner(handle, of: place)

    // What gRPC frames is left as it is: a length would say nothing to it.
    let isWhole = ahead.isWhole && (!head.isGRPC || ahead.count == 0)
    let known: RequestText.Body = isWhole ? .whole(ahead.count) : .open
    var copied = 0
    let outcome = RequestText.write(
      head, inbox.text, known, room: ahead.count, into: &effects.gather
    ) {
      copied = copy(ahead, to: $0)
      return copied
    }
    let pointer = connections.pointer(handle)!
    switch outcome {
    case .refused(let rejection):
      pointer.pointee.phase = .head
      refuse(handle, pointer, rejection, now, &effects)
    case .text(let text):
      clientReceived(handle, pointer, text, now, &effects)
      continueClients(now, &effects)
    }
    used(handle, place, copied, entry)
    if ahead.isWhole, !isWhole { endRequestBody(handle, now, &effects) }
  }

  private mutating func answerCame(
    _ session: Handle, _ entry: UnsafeMutablePointer<SessionEntry>, _ place: Int,
    _ head: HTTP2Head, _ ahead: Ahead, _ now: Instant, _ effects: inout Effects
  ) {
    let handle = entry.pointee.engine.owner(of: place)
    guard let connection = connections.pointer(handle), let stream = streams[handle] else {
      return
    }
    var copied = 0
    let text = AnswerText.write(
      head, inbox.text, length: ahead.isWhole ? ahead.count : nil,
      answersHead: stream.pointee.method == .head, room: ahead.count, into: &effects.gather
    ) {
      copied = copy(ahead, to: $0)
      return copied
    }
    if let text {
      upstreamReceived(handle, connection, text, now, &effects)
    } else if let exchange = exchanges.pointer(connection.pointee.exchange) {
      upstreamFailed(handle, connection, exchange, .upstreamMalformed, now, &effects)
    }
    used(handle, place, copied, entry)
    if ahead.isWhole { answerStreamEnded(handle, now, &effects) }
  }

  private mutating func dataCame(
    _ session: Handle, _ entry: UnsafeMutablePointer<SessionEntry>, _ place: Int,
    _ bytes: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) {
    let handle = entry.pointee.engine.owner(of: place)
    if !bytes.isEmpty, let connection = connections.pointer(handle) {
      if connection.pointee.isClient {
        clientReceived(handle, connection, bytes, now, &effects)
      } else {
        upstreamReceived(handle, connection, bytes, now, &effects)
      }
    }
    used(handle, place, bytes.count, entry)
  }

  /// The core has taken bytes of a body: the peer may send as many more, unless the core is asking for
  /// none at present.
  private mutating func used(
    _ handle: Handle, _ place: Int, _ count: Int, _ entry: UnsafeMutablePointer<SessionEntry>
  ) {
    guard count > 0 else { return }
    if let connection = connections.pointer(handle), !connection.pointee.pauses.isEmpty,
      let stream = streams[handle], stream.pointee.place != nil
    {
      stream.pointee.withheld += count
    } else {
      entry.pointee.engine.consume(place, count)
    }
  }

  private mutating func trailersCame(
    _ entry: UnsafeMutablePointer<SessionEntry>, _ place: Int, _ lines: ByteRange, _ now: Instant,
    _ effects: inout Effects
  ) {
    let handle = entry.pointee.engine.owner(of: place)
    guard let connection = connections.pointer(handle), !lines.isEmpty else { return }
    let text = lines.bytes(in: inbox.text)
    if connection.pointee.isClient {
      blocks.append(text, to: &connection.pointee.trailers)
    } else if let exchange = exchanges.pointer(connection.pointee.exchange),
      exchange.pointee.state == .answering, exchange.pointee.responseBody.endsAtClose
    {
      if exchange.pointee.isGRPC { judgeCall(exchange, trailers: text) }
      exchange.pointee.responseBody = BodyDecoder(.chunked)
      let last = Self.lastChunk(text, &effects)
      relayAnswer(handle, connection, exchange, last, headIsOut: true, now, &effects)
    }
  }

  /// The end of a chunked body with these trailers, good as long as the turn: so they pass the same
  /// judge as those of HTTP/1.1.
  private static func lastChunk(
    _ lines: UnsafeRawBufferPointer, _ effects: inout Effects
  ) -> UnsafeRawBufferPointer {
    let memory = effects.gather.reserve(lines.count + 5)
    memory[0] = 0x30
    memory[1] = 0x0d
    memory[2] = 0x0a
    UnsafeMutableRawBufferPointer(rebasing: memory[3...]).copyMemory(from: lines)
    memory[lines.count + 3] = 0x0d
    memory[lines.count + 4] = 0x0a
    return effects.gather.keep(lines.count + 5)
  }

  private mutating func streamEnded(
    _ entry: UnsafeMutablePointer<SessionEntry>, _ place: Int, _ now: Instant,
    _ effects: inout Effects
  ) {
    let handle = entry.pointee.engine.owner(of: place)
    if entry.pointee.role == .server {
      endRequestBody(handle, now, &effects)
    } else {
      answerStreamEnded(handle, now, &effects)
    }
  }

  /// The client has ended its side. Where the request said how long it is, nothing is new.
  private mutating func endRequestBody(
    _ handle: Handle, _ now: Instant, _ effects: inout Effects
  ) {
    guard let connection = connections.pointer(handle),
      let exchange = exchanges.pointer(connection.pointee.exchange),
      exchange.pointee.requestBody.endsAtClose
    else { return }
    connection.pointee.inputEnded = true
    if exchange.pointee.state == .inspecting {
      inspectEnd(handle, connection, exchange, now, &effects)
    } else if connection.pointee.input.isEmpty, exchange.pointee.state != .waiting {
      endStreamBody(handle, connection, now, &effects)
    }
  }

  /// All of a body without a length has been sent on: its end, and trailers, follow.
  mutating func endStreamBody(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ now: Instant,
    _ effects: inout Effects
  ) {
    guard let exchange = exchanges.pointer(connection.pointee.exchange),
      exchange.pointee.requestBody.endsAtClose
    else { return }
    connection.pointee.inputEnded = false
    if connection.pointee.trailers.isEmpty {
      _ = exchange.pointee.requestBody.finishAtClose(
        outFraming: exchange.pointee.requestFraming, into: &effects.gather)
    } else {
      exchange.pointee.requestBody = BodyDecoder(.chunked)
      let last = Self.lastChunk(connection.pointee.trailers.bytes, &effects)
      let result = gatherBody(connection, exchange, last, &effects)
      if let rejection = result.rejected {
        effects.gather.discardOpen()
        refuse(handle, connection, rejection, now, &effects)
        return
      }
    }
    remember(exchange, &effects)
    exchange.pointee.noteWrite()
    effects.write(to: exchange.pointee.upstream)
    bodyEnded(handle, connection, exchange, now, &effects)
  }

  /// The backend has ended its side.
  private mutating func answerStreamEnded(
    _ handle: Handle, _ now: Instant, _ effects: inout Effects
  ) {
    guard let connection = connections.pointer(handle), connection.pointee.phase == .exchanging
    else { return }
    upstreamEnded(handle, connection, code: 0, now, &effects)
  }

  /// The protocol is done with a stream.
  private mutating func streamClosed(
    _ entry: UnsafeMutablePointer<SessionEntry>, _ place: Int, _ code: UInt32, _ now: Instant,
    _ effects: inout Effects
  ) {
    let handle = entry.pointee.engine.owner(of: place)
    entry.pointee.engine.release(place)
    if let stream = streams[handle] {
      entry.pointee.engine.consumeConnection(stream.pointee.withheld)
      stream.pointee.place = nil
    }
    guard let connection = connections.pointer(handle) else { return }
    if connection.pointee.isClient {
      clientBroken(handle, connection, now, &effects)
    } else {
      if code == HTTP2Error.refusedStream,
        let exchange = exchanges.pointer(connection.pointee.exchange)
      {
        // RFC 9113, 8.7: it has not been looked at, so it may be sent again, whatever it asks for.
        exchange.pointee.hasSent = false
        exchange.pointee.wasRefused = true
      }
      upstreamEnded(handle, connection, code: connectionReset, now, &effects)
    }
  }

  /// A backend's session takes no more streams.
  private mutating func retire(
    _ session: Handle, _ entry: UnsafeMutablePointer<SessionEntry>, _ now: Instant
  ) {
    entry.pointee.farewell = .said
    entry.pointee.farewellAt = now
    pools[entry.pointee.pool]!.pointee.forget(session: session, slot: entry.pointee.slot)
  }

  // MARK: From the core to frames

  /// Takes what the core decided for streams out of the effects, and hands it to their sessions.
  mutating func translate(_ now: Instant, _ effects: inout Effects) {
    guard streams.count > 0 else {
      translated = effects.list.count
      return
    }
    var kept = translated
    var index = translated
    while index < effects.list.count {
      let effect = effects.list[index]
      index += 1
      if !take(effect, now, &effects) {
        effects.list[kept] = effect
        kept += 1
      }
    }
    effects.list.removeLast(effects.list.count - kept)
    translated = kept
  }

  /// True when the effect was one for a stream.
  private mutating func take(
    _ effect: Effect, _ now: Instant, _ effects: inout Effects
  ) -> Bool {
    switch effect {
    case .write(let handle, let segments):
      guard let stream = streams[handle] else { return false }
      write(handle, stream, segments, now, &effects)
    case .finish(let handle):
      guard let stream = streams[handle] else { return false }
      if let (session, place) = whereabouts(stream) {
        let engine = session.pointee.engine
        // An answer that will not be whole is told from one that is at once, not when the core has
        // listened long enough.
        if engine.hasEnded(place) {
          engine.settle(place)
        } else {
          engine.reset(place, code: HTTP2Error.internalError)
        }
        markDirty(stream.pointee.session)
      }
    case .close(let handle):
      guard let stream = streams[handle] else { return false }
      leave(handle, stream, isClean: true, now)
    case .drop(let handle), .reset(let handle):
      guard let stream = streams[handle] else { return false }
      leave(handle, stream, isClean: false, now)
    case .pause(let handle):
      return streams[handle] != nil
    case .resume(let handle):
      guard let stream = streams[handle] else { return false }
      if let (session, place) = whereabouts(stream), stream.pointee.withheld > 0 {
        session.pointee.engine.consume(place, stream.pointee.withheld)
        stream.pointee.withheld = 0
        markDirty(stream.pointee.session)
      }
    case .connect, .announce: return false
    }
    return true
  }

  private func whereabouts(
    _ stream: UnsafeMutablePointer<StreamEntry>
  ) -> (UnsafeMutablePointer<SessionEntry>, Int)? {
    guard let place = stream.pointee.place,
      let session = sessions.pointer(stream.pointee.session)
    else { return nil }
    return (session, place)
  }

  /// The core is done with a stream; the protocol may have bytes left to send on it.
  private mutating func leave(
    _ handle: Handle, _ stream: UnsafeMutablePointer<StreamEntry>, isClean: Bool, _ now: Instant
  ) {
    if let session = sessions.pointer(stream.pointee.session) {
      session.pointee.streams -= 1
      if session.pointee.streams == 0 { session.pointee.idleAt = now }
      if !session.pointee.isConnected { session.pointee.waiting.removeAll { $0 == handle } }
      if let place = stream.pointee.place {
        let engine = session.pointee.engine
        engine.setOwner(.none, of: place)
        engine.consume(place, stream.pointee.withheld)
        if !stream.pointee.isServer {
          // An answer that says its length is whole before its stream ends. That end is on its way: a
          // reset for each such answer would look to the backend like an attack (CVE-2023-44487).
          let isWhole = isClean || engine.peerHasEnded(place)
          if !isWhole || !engine.hasEnded(place) {
            engine.reset(place, code: HTTP2Error.cancel)
          }
        } else if isClean, engine.hasEnded(place) {
          engine.settle(place)
        } else {
          engine.reset(place, code: HTTP2Error.internalError)
        }
      }
      markDirty(stream.pointee.session)
    }
    blocks.give(&stream.pointee.trailers)
    streams.remove(handle)
  }

  /// Text that the core wrote for a stream.
  private mutating func write(
    _ handle: Handle, _ stream: UnsafeMutablePointer<StreamEntry>, _ segments: Range<Int>,
    _ now: Instant, _ effects: inout Effects
  ) {
    guard let session = sessions.pointer(stream.pointee.session),
      stream.pointee.place != nil || !stream.pointee.isServer
    else { return }
    markDirty(stream.pointee.session)
    for index in segments {
      let segment = effects.gather.segments[index]
      var bytes = UnsafeRawBufferPointer(start: segment.base, count: segment.count)
      while !bytes.isEmpty {
        switch stream.pointee.body {
        case .head:
          let used =
            stream.pointee.isServer
            ? writeAnswerHead(session, stream, bytes)
            : writeRequestHead(handle, session, stream, bytes)
          guard let used else {
            // The session takes no more streams, which it had not said before.
            if let connection = connections.pointer(handle), !connection.pointee.isClient {
              exchanges.pointer(connection.pointee.exchange)?.pointee.hasSent = false
              upstreamEnded(handle, connection, code: connectionReset, now, &effects)
            }
            return
          }
          bytes = UnsafeRawBufferPointer(rebasing: bytes[used...])
        case .length(let left):
          guard let place = stream.pointee.place else { return }
          let count = Int(min(left, UInt64(bytes.count)))
          session.pointee.engine.send(place, UnsafeRawBufferPointer(rebasing: bytes[..<count]))
          if UInt64(count) == left {
            session.pointee.engine.end(place)
            stream.pointee.body = .ended
          } else {
            stream.pointee.body = .length(left - UInt64(count))
          }
          bytes = UnsafeRawBufferPointer(rebasing: bytes[count...])
        case .chunked(var reader):
          guard let place = stream.pointee.place else { return }
          writeChunks(session, stream, place, &reader, &bytes)
        case .ended: return
        }
      }
    }
  }

  private mutating func writeChunks(
    _ session: UnsafeMutablePointer<SessionEntry>, _ stream: UnsafeMutablePointer<StreamEntry>,
    _ place: Int, _ reader: inout ChunkReader, _ bytes: inout UnsafeRawBufferPointer
  ) {
    while true {
      switch reader.next(&bytes) {
      case .data(let data): session.pointee.engine.send(place, data)
      case .trailers(let lines): blocks.append(lines, to: &stream.pointee.trailers)
      case .more:
        stream.pointee.body = .chunked(reader)
        return
      case .end:
        session.pointee.engine.end(place, trailers: stream.pointee.trailers.bytes)
        blocks.give(&stream.pointee.trailers)
        stream.pointee.body = .ended
        return
      }
    }
  }

  /// - Returns: the bytes of the head; nil when it is none.
  private mutating func writeAnswerHead(
    _ session: UnsafeMutablePointer<SessionEntry>, _ stream: UnsafeMutablePointer<StreamEntry>,
    _ bytes: UnsafeRawBufferPointer
  ) -> Int? {
    guard let place = stream.pointee.place,
      fields.take(answer: &responseHead, in: bytes, to: stream.pointee.method)
    else { return nil }
    if responseHead.isInterim {
      session.pointee.engine.submitInterim(place, fields)
      return responseHead.headBytes
    }
    begin(stream, responseHead.framing)
    var ends = false
    if case .ended = stream.pointee.body { ends = true }
    session.pointee.engine.submitAnswer(place, fields, ends: ends)
    return responseHead.headBytes
  }

  private mutating func writeRequestHead(
    _ handle: Handle, _ session: UnsafeMutablePointer<SessionEntry>,
    _ stream: UnsafeMutablePointer<StreamEntry>, _ bytes: UnsafeRawBufferPointer
  ) -> Int? {
    let isSecure = pools[session.pointee.pool]!.pointee.settings.tls != nil
    guard fields.take(request: &requestHead, in: bytes, isSecure: isSecure) else { return nil }
    begin(stream, requestHead.framing)
    var ends = false
    if case .ended = stream.pointee.body { ends = true }
    guard let place = session.pointee.engine.submitRequest(fields, ends: ends, owner: handle) else {
      return nil
    }
    stream.pointee.place = place
    stream.pointee.method = requestHead.method
    return requestHead.headBytes
  }

  private func begin(_ stream: UnsafeMutablePointer<StreamEntry>, _ framing: Framing) {
    switch framing {
    case .none, .length(0): stream.pointee.body = .ended
    case .length(let bytes): stream.pointee.body = .length(bytes)
    case .chunked, .untilClose: stream.pointee.body = .chunked(ChunkReader())
    }
  }
}
