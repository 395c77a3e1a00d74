import EventLoop
import GRPC
import GRPCServer
import KServe
import WorkerAPI

/// `ModelInfer`: whole texts as one message.
final class InferCallReply: TextReply {
  private let call: GRPCCall

  init(_ call: GRPCCall) { self.call = call }

  var loop: EventLoop? { call.loop }
  var isOpen: Bool { call.isOpen }
  var unsentBytes: Int { call.unsentBytes }
  var onClose: (() -> Void)? {
    get { call.onClose }
    set { call.onClose = newValue }
  }

  func begin(_ job: Job) {}
  func show(_ job: Job, _ choice: Choice, _ shown: String) {}
  func close(_ job: Job, _ choice: Choice) {}

  func end(_ job: Job) {
    guard let inference = job.request.inference else { return }
    respond(inference.envelope.shaped(InferAnswer.whole(job, inference)).bytes)
  }

  func respond(_ body: [UInt8]) {
    call.send(body)
    call.finish(.ok)
  }

  func refuse(_ error: APIError) { call.finish(error.grpc) }
  func fail(_ error: APIError) { refuse(error) }
  func reset() { call.reset() }
}

/// `ModelStreamInfer`: one request of a stream, whose pieces go out as they are made.
final class StreamInferReply: TextReply {
  private let request: InferStream.Request
  /// The last piece waits for the end of its text, so that it can say that it is the last.
  private var last = ""

  init(_ request: InferStream.Request) { self.request = request }

  var loop: EventLoop? { request.loop }
  var isOpen: Bool { request.isOpen }
  var unsentBytes: Int { request.unsentBytes }
  var onClose: (() -> Void)? {
    get { request.onClose }
    set { request.onClose = newValue }
  }

  func begin(_ job: Job) {
    for choice in job.choices where !choice.text.isEmpty { send(job, choice, choice.text, false) }
  }

  func show(_ job: Job, _ choice: Choice, _ shown: String) {
    guard !choice.isOver else {
      last = shown
      return
    }
    send(job, choice, shown, false)
  }

  func close(_ job: Job, _ choice: Choice) {
    guard job.request.inference?.wantsEmptyFinal == true else {
      return send(job, choice, last, true)
    }
    if !last.isEmpty { send(job, choice, last, false) }
    sendEmptyFinal(job)
  }

  private func send(_ job: Job, _ choice: Choice, _ text: String, _ isFinal: Bool) {
    guard let inference = job.request.inference else { return }
    var response = InferAnswer.piece(job, inference, choice, text)
    response.parameters["triton_final_response"] = .bool(isFinal)
    request.send(StreamInferResponse(inference.envelope.shaped(response)))
  }

  private func sendEmptyFinal(_ job: Job) {
    guard let inference = job.request.inference else { return }
    var response = inference.envelope.response([])
    response.parameters["triton_final_response"] = .bool(true)
    request.send(StreamInferResponse(response))
  }

  func end(_ job: Job) { request.end() }

  func respond(_ body: [UInt8]) {
    request.send(body)
    request.end()
  }

  func refuse(_ error: APIError) {
    request.send(StreamInferResponse(error: error.message))
    request.end()
  }

  func fail(_ error: APIError) { refuse(error) }

  func reset() { request.reset() }
}
