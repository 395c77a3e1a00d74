import EventLoop
import GRPC
import GRPCServer
import HTTP
import HTTPServer
import KServe
import WorkerAPI

/// KServe's protocol over HTTP and gRPC.
extension WorkerServer: InferenceHost {
  package var inferenceServer: ServerMetadata {
    ServerMetadata(
      name: "portico-worker", version: settings.version,
      extensions: ["binary_tensor_data", "generate", "parameters"])
  }

  package var inferenceModel: ModelMetadata {
    ModelMetadata(
      name: card.name, versions: [ModelVersion.only], platform: "portico_text",
      inputs: [ModelMetadata.Tensor("text_input", .bytes, [-1])],
      outputs: [
        ModelMetadata.Tensor(InferAnswer.textOutput, .bytes, [-1]),
        ModelMetadata.Tensor(InferAnswer.finishOutput, .bytes, [-1]),
        ModelMetadata.Tensor(InferAnswer.promptTokensOutput, .uint32, [-1]),
        ModelMetadata.Tensor(InferAnswer.tokensOutput, .uint32, [-1]),
      ])
  }

  package func isNamed(_ model: String) -> Bool { card.isNamed(model) }

  package var isAlive: Bool { unwellness() == nil }

  package var unreadiness: String? { notReady()?.why }

  package func refused(_ reason: APIError.Reason) { metrics.refusals[reason, default: 0] += 1 }

  // MARK: HTTP

  func kserve(
    _ path: KServePath, _ request: borrowing HTTPRequest, _ responder: HTTPResponder
  ) {
    guard case .model(let name, let version, let action) = path,
      action != .metadata, action != .ready
    else {
      guard request.method == .get || request.method == .head else {
        return refuseMethod(request.path, "GET", responder, allow: "GET, HEAD")
      }
      return get(path, responder)
    }
    let isTensors = action == .infer
    let reply: any TextReply = isTensors ? InferReply(responder) : GenerateReply(responder)
    guard request.method == .post else {
      return refuseMethod(request.path, "POST", responder, allow: "POST")
    }
    do throws(APIError) {
      try check(model: name, version: version)
      let jsonBytes = isTensors ? try InferQuery.jsonBytes(request) : nil
      let endpoint: Preparation.Endpoint =
        isTensors
        ? .infer(model: name, version: version, jsonBytes: jsonBytes)
        : .generate(model: name, version: version, isStreamed: action == .generateStream)
      prepare(endpoint, request.body, reply)
    } catch {
      refuse(reply, error)
    }
  }

  // MARK: gRPC

  package func infer(_ call: GRPCCall) {
    call.unary { [weak self, unowned call] message in
      self?.prepare(.inferMessage(isStreamed: false), message, InferCallReply(call))
    }
  }

  package func streamInfer(_ call: GRPCCall) {
    InferStream.serve(call) { [weak self] message, request in
      self?.prepare(.inferMessage(isStreamed: true), message, StreamInferReply(request))
    }
  }

  private func prepare(
    _ endpoint: Preparation.Endpoint, _ message: [UInt8], _ reply: any TextReply
  ) {
    message.withUnsafeBytes { prepare(endpoint, $0, reply) }
  }
}
