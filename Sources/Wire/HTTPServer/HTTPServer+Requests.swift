import CLinux
import Glibc
import HTTP
import HTTP1
import Primitives

/// From readiness to requests.
extension HTTPServer {
  func serve(_ connection: HTTPConnection, _ flags: UInt32) {
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
  func advance(_ connection: HTTPConnection) {
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
    switch preface(connection, bytes) {
    case .none: break
    case .begun:
      if connection.isInputEnded { beginClosing(connection) }
      return false
    case .whole:
      handOver(connection)
      return true
    }
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

  private enum Preface {
    case none
    /// What has come is its beginning, and may be that of `POST` as well.
    case begun
    case whole
  }

  private func preface(_ connection: HTTPConnection, _ bytes: UnsafeRawBufferPointer) -> Preface {
    guard let wanted = prefaceHandler?.preface, !connection.hasServed, !isDraining else {
      return .none
    }
    for index in 0..<min(bytes.count, wanted.utf8CodeUnitCount)
    where bytes[index] != wanted.utf8Start[index] {
      return .none
    }
    return bytes.count < wanted.utf8CodeUnitCount ? .begun : .whole
  }

  /// The connection speaks another protocol; its bytes, the preface among them, are the handler's
  /// from now on.
  private func handOver(_ connection: HTTPConnection) {
    connection.phase = .answering
    connection.hasServed = true
    expire(connection, after: nil)
    let responder = HTTPResponder(connection, self, isHead: false, isHTTP11: true)
    connection.responder = responder
    prefaceHandler?.handle(responder, listener: connection.listener, peer: connection.peer)
    // Whoever does not take it over does not want it.
    if connection.phase == .answering { close(connection) }
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
    connection.hasServed = true
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
}
