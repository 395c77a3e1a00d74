import EventLoop
import GRPC
import GRPCServer

/// `ModelStreamInfer`: requests come as they like, and their answers go out as they are made, each with
/// the id of its request. An error concerns its request alone, as with Triton; the call ends when the
/// client has ended its side and every request is answered. Lives on the server's loop.
package final class InferStream {
  fileprivate let call: GRPCCall
  private var open: [ObjectIdentifier: Request] = [:]
  private var isInputEnded = false

  /// Takes a call over; `begin` is given each message with its request.
  package static func serve(_ call: GRPCCall, begin: @escaping ([UInt8], Request) -> Void) {
    let stream = InferStream(call)
    // The call keeps the stream, through what it calls.
    call.onMessage = { message in
      let request = Request(stream)
      stream.open[ObjectIdentifier(request)] = request
      begin(message, request)
    }
    call.onEnd = {
      stream.isInputEnded = true
      stream.finishIfDone()
    }
    call.onClose = { stream.lose() }
  }

  private init(_ call: GRPCCall) { self.call = call }

  private func lose(but one: Request? = nil) {
    let lost = open.values.filter { $0 !== one }
    open = [:]
    for request in lost { request.onClose?() }
  }

  private func finishIfDone() {
    if isInputEnded, open.isEmpty { call.finish(.ok) }
  }

  /// One request of a stream.
  package final class Request {
    private let stream: InferStream
    private var isOver = false
    /// Called once when the client has left before the request was over.
    package var onClose: (() -> Void)?

    fileprivate init(_ stream: InferStream) { self.stream = stream }

    package var loop: EventLoop? { stream.call.loop }
    package var isOpen: Bool { !isOver && stream.call.isOpen }
    /// Of the whole call.
    package var unsentBytes: Int { stream.call.unsentBytes }

    package func send(_ response: StreamInferResponse) { send(response.bytes) }

    package func send(_ message: [UInt8]) {
      if isOpen { stream.call.send(message) }
    }

    /// It is answered, or refused.
    package func end() {
      guard !isOver else { return }
      isOver = true
      onClose = nil
      stream.open.removeValue(forKey: ObjectIdentifier(self))
      stream.finishIfDone()
    }

    /// The client does not read: all of its requests are given up.
    package func reset() {
      isOver = true
      onClose = nil
      stream.call.reset()
      stream.lose(but: self)
    }
  }
}
