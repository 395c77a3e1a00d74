import EventLoop
import GRPC
import GRPCServer
import HTTPServer
import KServe
import WorkerAPI

/// Who gets a job's vectors, in the shape of one API and by one way. Lives on the server's loop.
protocol EmbedReply: AnyObject {
  /// nil once the server is gone.
  var loop: EventLoop? { get }
  var isOpen: Bool { get }
  /// Called once when the client has left before the end.
  var onClose: (() -> Void)? { get set }
  /// How the answer is written.
  var shape: EmbedShape { get }
  /// Sends a whole answer, and calls back when it is out, however slowly the client takes it.
  func send(_ body: EmbedShape.Body, done: @escaping () -> Void)
  func refuse(_ error: APIError)
}

/// The shapes of answers. Pure, so that a long one is written away from the loop.
enum EmbedShape: Sendable {
  case openAI
  case infer
  case inferMessage
  case streamedMessage

  struct Body: Sendable {
    var bytes: [UInt8]
    /// Of KServe's binary answers: how many of the bytes are JSON.
    var jsonBytes: Int?
  }

  func body(_ request: EmbedRequest, _ vectors: [Float], _ model: EmbedModel) -> Body {
    guard let inference = request.inference else {
      return Body(bytes: EmbedAnswer.json(request, vectors, model))
    }
    let envelope = inference.envelope
    var tensor = InferTensor(
      EmbedAnswer.output, .fp32, [Int64(request.count), Int64(request.dimensions)])
    tensor.contents.floats.reserveCapacity(request.count * request.dimensions)
    for index in 0..<request.count {
      tensor.contents.floats += EmbedAnswer.vector(index, request, vectors, model)
    }
    var response = envelope.response([tensor])
    switch self {
    case .openAI, .infer:
      let (bytes, jsonBytes) = envelope.body(response)
      return Body(bytes: bytes, jsonBytes: jsonBytes)
    case .inferMessage: return Body(bytes: envelope.shaped(response).bytes)
    case .streamedMessage:
      response.parameters["triton_final_response"] = .bool(true)
      return Body(bytes: StreamInferResponse(envelope.shaped(response)).bytes)
    }
  }
}

/// Over HTTP: OpenAI's shapes, or KServe's.
final class HTTPEmbedReply: EmbedReply {
  private let responder: HTTPResponder
  let shape: EmbedShape

  /// Pieces of an answer that a client does not take faster. Bytes.
  private static let pieceBytes = 256 << 10

  init(_ responder: HTTPResponder, _ shape: EmbedShape) {
    self.responder = responder
    self.shape = shape
  }

  var loop: EventLoop? { responder.loop }
  var isOpen: Bool { responder.isOpen }
  var onClose: (() -> Void)? {
    get { responder.onClose }
    set { responder.onClose = newValue }
  }

  /// A long answer goes out piece by piece.
  func send(_ body: EmbedShape.Body, done: @escaping () -> Void) {
    let type = body.jsonBytes == nil ? "application/json" : "application/octet-stream"
    let fields = body.jsonBytes.map { [(InferEnvelope.lengthField, "\($0)")] } ?? []
    guard body.bytes.count > Self.pieceBytes else {
      responder.onClose = nil
      responder.respond(200, contentType: type, fields: fields, body: body.bytes)
      return done()
    }
    responder.beginStream(200, contentType: type, fields: fields)
    pour(body.bytes, from: 0, done)
  }

  private func pour(_ bytes: [UInt8], from start: Int, _ done: @escaping () -> Void) {
    var start = start
    while start < bytes.count {
      let end = min(bytes.count, start + Self.pieceBytes)
      let hasRoom = bytes[start..<end].withUnsafeBytes { responder.write($0) }
      guard isOpen else { return }
      start = end
      if !hasRoom, start < bytes.count {
        responder.onWritable = { [weak self, start] in self?.pour(bytes, from: start, done) }
        return
      }
    }
    responder.onClose = nil
    responder.end()
    done()
  }

  func refuse(_ error: APIError) {
    if shape == .openAI {
      error.answer(responder, allow: nil)
    } else {
      error.answerKServe(responder)
    }
  }
}

/// Over gRPC: `ModelInfer`.
final class CallEmbedReply: EmbedReply {
  private let call: GRPCCall
  let shape = EmbedShape.inferMessage

  init(_ call: GRPCCall) { self.call = call }

  var loop: EventLoop? { call.loop }
  var isOpen: Bool { call.isOpen }
  var onClose: (() -> Void)? {
    get { call.onClose }
    set { call.onClose = newValue }
  }

  /// A client that does not take it soon makes the server hold it, as in flight.
  func send(_ body: EmbedShape.Body, done: @escaping () -> Void) {
    let finish = { [call] in
      call.onClose = nil
      call.finish(.ok)
      done()
    }
    if call.send(body.bytes) { return finish() }
    call.onWritable = finish
  }

  func refuse(_ error: APIError) { call.finish(error.grpc) }
}

/// Over gRPC: one request of a `ModelStreamInfer`, which gets one answer.
final class StreamEmbedReply: EmbedReply {
  private let request: InferStream.Request
  let shape = EmbedShape.streamedMessage

  init(_ request: InferStream.Request) { self.request = request }

  /// Bytes that a client of a stream may leave unread. A client that has more waiting is given up.
  private static let heldBytes = 16 << 20

  var loop: EventLoop? { request.loop }
  var isOpen: Bool { request.isOpen }
  var onClose: (() -> Void)? {
    get { request.onClose }
    set { request.onClose = newValue }
  }

  func send(_ body: EmbedShape.Body, done: @escaping () -> Void) {
    request.send(body.bytes)
    if request.unsentBytes > Self.heldBytes { request.reset() } else { request.end() }
    done()
  }

  func refuse(_ error: APIError) {
    request.send(StreamInferResponse(error: error.message))
    request.end()
  }
}
