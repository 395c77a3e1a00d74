import HTTP
import HTTP2
import Primitives

/// A client's session and a server's, with two pipes between them. Time stands still unless moved.
final class Pair {
  let inbox = HTTP2Inbox()
  let client: HTTP2Session
  let server: HTTP2Session
  var now = Instant(nanoseconds: 1)
  /// How many bytes the server gets at once; 0: all there are.
  var cut = 0
  /// What each side has understood, as words.
  var clientLog: [String] = []
  var serverLog: [String] = []
  /// The server gives body bytes back as soon as they have come.
  var serverConsumes = true
  private var gather = Gather()

  init(server settings: HTTP2Settings = HTTP2Settings(), client: HTTP2Settings = HTTP2Settings()) {
    self.client = HTTP2Session(.client, client, inbox: inbox, at: now)
    server = HTTP2Session(.server, settings, inbox: inbox, at: now)
  }

  deinit {
    client.free()
    server.free()
    inbox.free()
  }

  /// Moves bytes to and fro until neither has any more.
  func settle() {
    for _ in 0..<10_000 {
      let toServer = drain(client)
      takeInbox(client, &clientLog)
      var start = 0
      while start < toServer.count {
        let end = cut == 0 ? toServer.count : min(start + cut, toServer.count)
        toServer[start..<end].withUnsafeBytes { _ = server.receive($0, at: now) }
        takeInbox(server, &serverLog)
        start = end
      }
      let toClient = drain(server)
      takeInbox(server, &serverLog)
      toClient.withUnsafeBytes { if !$0.isEmpty { _ = client.receive($0, at: now) } }
      takeInbox(client, &clientLog)
      if toServer.isEmpty, toClient.isEmpty { return }
    }
  }

  /// Bytes that do not come from a client of ours.
  func receive(_ bytes: [UInt8]) -> Bool {
    let isGood = bytes.withUnsafeBytes { server.receive($0, at: now) }
    takeInbox(server, &serverLog)
    return isGood
  }

  func drain(_ session: HTTP2Session) -> [UInt8] {
    session.flush(into: &gather, at: now)
    var bytes: [UInt8] = []
    for segment in gather.segments[gather.cut()] {
      bytes += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
    }
    gather.reset()
    return bytes
  }

  private func takeInbox(_ session: HTTP2Session, _ log: inout [String]) {
    for index in 0..<inbox.count {
      guard let event = inbox[index] else { continue }
      switch event {
      case .head(let stream, let head):
        let start = text(head.status.isEmpty ? head.method : head.status)
        let path = head.path.isEmpty ? "" : " " + text(head.path)
        log.append(
          "\(session.id(of: stream)) \(start)\(path)\(head.isTooLarge ? " too large" : "")")
        if !head.lines.isEmpty { log.append(text(head.lines)) }
      case .data(let stream, let bytes):
        let id = session.id(of: stream)
        if let last = log.last, last.hasPrefix("\(id) data ") {
          log[log.count - 1] = last + String(decoding: bytes, as: UTF8.self)
        } else {
          log.append("\(id) data " + String(decoding: bytes, as: UTF8.self))
        }
        if serverConsumes { session.consume(stream, bytes.count) }
      case .trailers(let stream, let lines):
        log.append("\(session.id(of: stream)) trailers " + text(lines))
      case .ended(let stream): log.append("\(session.id(of: stream)) ended")
      case .closed(let stream, let code):
        log.append("\(session.id(of: stream)) closed \(code)")
        session.release(stream)
      case .goAway(let last, let code): log.append("goaway \(last) \(code)")
      case .settingsChanged, .settingsAcknowledged, .pong: break
      }
    }
    inbox.clear()
  }

  private func text(_ range: ByteRange) -> String {
    String(decoding: range.bytes(in: inbox.text), as: UTF8.self)
  }
}

/// Opens a stream with these fields.
func request(
  _ session: HTTP2Session, _ fields: [(StaticString, String)] = [], method: String = "GET",
  ends: Bool = true
) -> Int? {
  var list = HTTP2Fields()
  return withTexts([method, "http", "a", "/"] + fields.map(\.1)) { texts in
    list.add(":method", texts[0])
    list.add(":scheme", texts[1])
    list.add(":authority", texts[2])
    list.add(":path", texts[3])
    for (index, field) in fields.enumerated() { list.add(field.0, texts[4 + index]) }
    return session.submitRequest(list, ends: ends, owner: .none)
  }
}

func answer(_ session: HTTP2Session, _ stream: Int, ends: Bool) {
  var list = HTTP2Fields()
  withTexts(["200"]) { texts in
    list.add(":status", texts[0])
    session.submitAnswer(stream, list, ends: ends)
  }
}

/// Texts at places that stay during the call.
func withTexts<R>(_ texts: [String], _ body: ([UnsafeRawBufferPointer]) -> R) -> R {
  var buffers: [UnsafeMutableRawBufferPointer] = []
  for text in texts {
    let bytes = Array(text.utf8)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    buffer.copyBytes(from: bytes)
    buffers.append(buffer)
  }
  defer { for buffer in buffers { buffer.deallocate() } }
  return body(buffers.map { UnsafeRawBufferPointer($0) })
}

/// One frame (RFC 9113, 4.1).
func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8]) -> [UInt8] {
  let count = payload.count
  return [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags]
    + (0..<4).map { UInt8(stream >> (24 - 8 * $0) & 255) } + payload
}

/// The preface and empty settings: what every client begins with.
let greeting = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, [])

/// `GET http://a/` in HPACK, from the static table and literals.
let getRequest: [UInt8] = [0x82, 0x86, 0x84, 0x41, 0x01, 0x61]
