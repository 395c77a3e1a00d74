import EventLoop
import HTTP
import Primitives

/// The answer to one request: whole at once, streamed, or raw bytes of the handler's own.
///
/// ```
/// pending --respond------------------------------> ended
///    |  \---beginStream--> streaming ---end------> ended
///    |  \---takeOver-----> raw ----------end-----> ended (FIN)
///    '-- cut, reset, or the client leaves -------> gone: onClose is called
/// ```
/// Calls to one that is ended or gone do nothing, so a late timer is harmless. Lives on the
/// server's loop; `bound` is what a message to another loop may carry.
package final class HTTPResponder {
  private enum State {
    case pending
    case streaming(chunked: Bool)
    case raw
    case ended
  }

  private var state = State.pending
  private var connection: HTTPConnection?
  private weak var server: HTTPServer?
  private let isHead: Bool
  private let isHTTP11: Bool
  /// Called once when the answer cannot be finished any more: the client has left, a limit was hit,
  /// or the server closes. Not called after `end`, `respond`, `cut` or `reset`.
  package var onClose: (() -> Void)?
  /// Called when the output has drained after `write` returned false.
  package var onWritable: (() -> Void)?
  /// After `takeOver`: bytes as they come from the client, good for the call.
  private var onBytes: ((UnsafeRawBufferPointer) -> Void)?
  /// After `takeOver`: the client has sent FIN. It may still read.
  private var onInputEnd: (() -> Void)?

  init(_ connection: HTTPConnection, _ server: HTTPServer, isHead: Bool, isHTTP11: Bool) {
    self.connection = connection
    self.server = server
    self.isHead = isHead
    self.isHTTP11 = isHTTP11
  }

  /// What a message to another loop carries, to bring the answer home.
  package var bound: LoopBound<HTTPResponder>? {
    server.map { LoopBound(self, on: $0.loop) }
  }

  /// The loop that it lives on.
  package var loop: EventLoop? { server?.loop }

  /// The answer can still be given, or continued.
  package var isOpen: Bool { connection != nil }

  /// Bytes that the client has not taken yet.
  package var unsentBytes: Int { connection?.unsent ?? 0 }

  // MARK: Whole answers

  package func respond(
    _ status: Int, contentType: String = "text/plain; charset=utf-8",
    fields: [(String, String)] = [], _ body: String
  ) {
    answer(status, contentType, fields, body.utf8)
  }

  package func respond(
    _ status: Int, contentType: String, fields: [(String, String)] = [], body: [UInt8]
  ) {
    answer(status, contentType, fields, body)
  }

  private func answer(
    _ status: Int, _ contentType: String, _ fields: [(String, String)],
    _ body: some Collection<UInt8>
  ) {
    guard case .pending = state, let connection, let server else { return }
    server.turn {
      var all = fields
      let hasBody = status != 204 && status != 304
      if hasBody { all.append(("Content-Type", contentType)) }
      server.writeHead(
        connection, status, all, framing: hasBody ? .length(UInt64(body.count)) : .none,
        isHTTP11: isHTTP11)
      if hasBody, !isHead { connection.output += body }
      finish(connection, server)
    }
  }

  // MARK: Streamed answers

  /// Sends the head. The body follows by `write`, in chunks, and is over by `end`.
  package func beginStream(_ status: Int, contentType: String, fields: [(String, String)] = []) {
    guard case .pending = state, let connection, let server else { return }
    server.turn {
      // HTTP/1.0 has no chunks: there the end of the connection ends the body.
      if !isHTTP11 { connection.keepAlive = false }
      server.writeHead(
        connection, status, fields + [("Content-Type", contentType)],
        framing: isHTTP11 ? .chunked : .untilClose, isHTTP11: isHTTP11)
      state = .streaming(chunked: isHTTP11)
      server.touch(connection)
    }
  }

  /// Sends a piece of the body. False asks the stream to wait for `onWritable`; the piece is taken
  /// in any case.
  @discardableResult
  package func write(_ bytes: [UInt8]) -> Bool { append(bytes) }

  @discardableResult
  package func write(_ bytes: UnsafeRawBufferPointer) -> Bool { append(bytes) }

  @discardableResult
  package func write(_ text: String) -> Bool { append(text.utf8) }

  private func append(_ bytes: some Collection<UInt8>) -> Bool {
    guard let connection, let server, !bytes.isEmpty else { return isOpen }
    switch state {
    case .pending, .ended: return false
    case .streaming(let chunked):
      if isHead { return true }
      if chunked {
        AnswerText.appendHexadecimal(bytes.count, into: &connection.output)
        connection.output += "\r\n".utf8
      }
      connection.output += bytes
      if chunked { connection.output += "\r\n".utf8 }
    case .raw:
      connection.output += bytes
    }
    server.turn { server.touch(connection) }
    let hasRoom = connection.unsent <= server.limits.outputMark
    if !hasRoom { connection.isCongested = true }
    return hasRoom
  }

  /// Ends a streamed or raw answer.
  package func end() {
    guard let connection, let server else { return }
    switch state {
    case .pending, .ended: return
    case .streaming(let chunked):
      server.turn {
        if chunked, !isHead { connection.output += "0\r\n\r\n".utf8 }
        finish(connection, server)
      }
    case .raw:
      cut()
    }
  }

  // MARK: Other ends

  /// Takes the connection over before anything was answered: from now on bytes go both ways as they
  /// are. `head`, where given, is sent as an answer's head first (status and fields, no framing).
  package func takeOver(
    head: (status: Int, fields: [(String, String)])? = nil,
    onBytes: @escaping (UnsafeRawBufferPointer) -> Void = { _ in },
    onInputEnd: (() -> Void)? = nil
  ) {
    guard case .pending = state, let connection, let server else { return }
    server.turn {
      if let head {
        connection.keepAlive = true
        server.writeHead(connection, head.status, head.fields, framing: .none, isHTTP11: true)
      }
      state = .raw
      self.onBytes = onBytes
      self.onInputEnd = onInputEnd
      connection.phase = .raw
      server.touch(connection)
    }
  }

  /// Sends what was written and then FIN, whatever was promised: a chunked answer ends without its
  /// last chunk.
  package func cut() {
    guard let connection, let server else { return }
    server.turn {
      leave()
      server.beginClosing(connection)
    }
  }

  /// Sends what was written and then RST.
  package func reset() {
    guard let connection, let server else { return }
    server.turn {
      leave()
      _ = connection.flush()
      server.close(connection, byReset: true)
    }
  }

  // MARK: What the server tells

  private func finish(_ connection: HTTPConnection, _ server: HTTPServer) {
    leave()
    server.answered(connection)
  }

  /// Lets go of the connection and of everything that may hold this responder in a circle.
  private func leave() {
    state = .ended
    connection?.responder = nil
    connection = nil
    onClose = nil
    onWritable = nil
    onBytes = nil
    onInputEnd = nil
  }

  /// The connection is gone before the answer was.
  func gone() {
    let notice = onClose
    leave()
    notice?()
  }

  func drained() { onWritable?() }

  func received(_ bytes: UnsafeRawBufferPointer) { onBytes?(bytes) }

  /// Without a wish to go on writing, the client's FIN ends the connection.
  func inputEnded() {
    guard let onInputEnd else { return gone() }
    onInputEnd()
  }
}
