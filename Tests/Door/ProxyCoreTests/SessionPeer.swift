import HTTP
import HTTP2
import Primitives

/// A client or a backend that speaks HTTP/2, and what it understands of what it gets, as words: `1
/// 200`, `1 data hello`, `1 ended`, `1 reset 8`, `goaway 3 0`.
final class SessionPeer {
  private let inbox = HTTP2Inbox()
  private let session: HTTP2Session
  private var now: Instant
  private var gather = Gather()
  private var places: [Int32: Int] = [:]
  private var memory: [[UInt8]] = []
  /// Gives windows back as bytes come.
  var consumes = true
  /// Field lines of the last head that came.
  private(set) var lines = ""

  init(_ role: HTTP2Role, at now: Instant) {
    self.now = now
    session = HTTP2Session(role, HTTP2Settings(streamWindow: 65_535), inbox: inbox, at: now)
  }

  deinit {
    session.free()
    inbox.free()
  }

  // MARK: Sending

  /// Everything that it wants to send.
  func output() -> [UInt8] {
    session.flush(into: &gather, at: now)
    var bytes: [UInt8] = []
    for segment in gather.segments[gather.cut()] {
      bytes += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
    }
    gather.reset()
    return bytes
  }

  /// Asks for something; the number of the stream is the next odd one.
  func ask(
    _ method: String = "GET", _ path: String = "/x", _ fields: [(String, String)] = [],
    body: String? = nil, ends: Bool = true
  ) {
    let pseudo = [
      (":method", method), (":scheme", "http"), (":authority", "a"), (":path", path),
    ]
    let place = withFields(pseudo + fields) {
      session.submitRequest($0, ends: body == nil && ends, owner: .none)
    }
    guard let place else { return }
    places[session.id(of: place)] = place
    if let body { say(session.id(of: place), body, ends: ends) }
  }

  func answer(
    _ stream: Int32, _ status: String = "200", _ fields: [(String, String)] = [],
    body: String? = nil, ends: Bool = true
  ) {
    guard let place = places[stream] else { return }
    withFields([(":status", status)] + fields) {
      session.submitAnswer(place, $0, ends: body == nil && ends)
    }
    if let body { say(stream, body, ends: ends) }
  }

  func say(_ stream: Int32, _ body: String, ends: Bool = false, trailers: String = "") {
    guard let place = places[stream] else { return }
    memory.append(Array(body.utf8))
    memory[memory.count - 1].withUnsafeBytes { session.send(place, $0) }
    // What is not sent at once is kept by the session.
    session.hold()
    guard ends || !trailers.isEmpty else { return }
    Array(trailers.utf8).withUnsafeBytes { session.end(place, trailers: $0) }
  }

  func reset(_ stream: Int32, code: UInt32 = HTTP2Error.cancel) {
    if let place = places[stream] { session.reset(place, code: code) }
  }

  private func withFields<R>(
    _ fields: [(String, String)], _ body: (borrowing HTTP2Fields) -> R
  ) -> R {
    var list = HTTP2Fields()
    let texts = fields.map { (Array($0.0.utf8), Array($0.1.utf8)) }
    list.begin(nameBytes: texts.reduce(0) { $0 + $1.0.count })
    func add(_ index: Int) -> R {
      guard index < texts.count else { return body(list) }
      return texts[index].0.withUnsafeBytes { name in
        texts[index].1.withUnsafeBytes { value in
          list.add(lowering: name, value)
          return add(index + 1)
        }
      }
    }
    return add(0)
  }

  /// The stream has not been closed by either side.
  func isOpen(_ id: Int32) -> Bool { places[id] != nil }

  // MARK: Receiving

  func take(_ bytes: [UInt8], at now: Instant) -> [String] {
    self.now = now
    bytes.withUnsafeBytes { _ = session.receive($0, at: now) }
    var words: [String] = []
    for index in 0..<inbox.count {
      guard let event = inbox[index] else { continue }
      switch event {
      case .head(let place, let head):
        let id = session.id(of: place)
        places[id] = place
        lines = text(head.lines)
        words.append("\(id) " + text(head.status.isEmpty ? head.method : head.status))
      case .data(let place, let bytes):
        let id = session.id(of: place)
        let data = String(decoding: bytes, as: UTF8.self)
        if let last = words.last, last.hasPrefix("\(id) data ") {
          words[words.count - 1] = last + data
        } else {
          words.append("\(id) data " + data)
        }
        if consumes { session.consume(place, bytes.count) }
      case .trailers(let place, let lines):
        words.append("\(session.id(of: place)) trailers " + text(lines))
      case .ended(let place): words.append("\(session.id(of: place)) ended")
      case .closed(let place, let code):
        let id = session.id(of: place)
        if code != 0 || !session.peerHasEnded(place) { words.append("\(id) reset \(code)") }
        places[id] = nil
        session.release(place)
      case .goAway(let last, let code): words.append("goaway \(last) \(code)")
      case .settingsChanged, .settingsAcknowledged, .pong: break
      }
    }
    inbox.clear()
    return words
  }

  private func text(_ range: ByteRange) -> String {
    String(decoding: range.bytes(in: inbox.text), as: UTF8.self)
  }
}

/// A frame that says: streams above this one have not been looked at.
func goAway(last: UInt8, code: UInt8 = 0) -> [UInt8] {
  [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, code]
}
