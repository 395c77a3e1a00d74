import GRPC
import GRPCServer
import HTTP
import HTTPServer
import JSON
import KServe
import WorkerAPI

/// What a request of KServe's protocol has beside its texts.
struct EmbedInference: Equatable, Sendable {
  var envelope: InferEnvelope
}

extension EmbedPreparation {
  static let textInputs = ["text_input", "input", "text", "prompt"]

  /// KServe's `infer`: texts in, one vector each out.
  func infer(_ query: InferQuery) throws(APIError) -> EmbedRequest {
    try query.envelope.check(outputs: [EmbedAnswer.output])
    var request = EmbedRequest(dimensions: model.size)
    request.inference = EmbedInference(envelope: query.envelope)
    var parameters = query.parameters
    var texts: [String]?
    for input in query.inputs {
      guard Self.textInputs.contains(input.name) else {
        parameters[input.name] = try input.parameter()
        continue
      }
      guard texts == nil else {
        throw .invalid(
          input.name,
          "The texts come twice; one of the inputs "
            + Self.textInputs.joined(separator: ", ") + " may be there.")
      }
      guard input.shape.count <= 2, input.shape.count < 2 || input.shape[1] == 1 else {
        throw .invalid(
          input.name, "The shape of '\(input.name)' must be [n] or [n,1], not \(input.shownShape).")
      }
      texts = try input.texts()
    }
    guard let texts, !texts.isEmpty else {
      throw .invalid("text_input", "The input 'text_input' is missing, or has no elements.")
    }
    try readDimensions(parameters["dimensions"], into: &request)
    try check(count: texts.count)
    for text in texts { request.append(model.encode(text)) }
    return request
  }
}

/// KServe's protocol over HTTP and gRPC.
extension EmbedServer: InferenceHost {
  package var inferenceServer: ServerMetadata {
    ServerMetadata(
      name: "portico-embed", version: settings.version,
      extensions: ["binary_tensor_data", "parameters"])
  }

  package var inferenceModel: ModelMetadata {
    ModelMetadata(
      name: model.name, versions: [ModelVersion.only], platform: "portico_embed",
      inputs: [ModelMetadata.Tensor("text_input", .bytes, [-1])],
      outputs: [ModelMetadata.Tensor(EmbedAnswer.output, .fp32, [-1, Int64(model.size)])])
  }

  package func isNamed(_ asked: String) -> Bool { asked == model.name }

  package var isAlive: Bool { if case .failed = state { false } else { true } }

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
    let reply = HTTPEmbedReply(responder, .infer)
    guard action == .infer else {
      return refuse(
        reply,
        APIError(
          .unknownPath, "'\(model.name)' makes no texts: it has /infer, not \(action.rawValue)."))
    }
    guard request.method == .post else {
      return refuseMethod(request.path, "POST", responder, allow: "POST")
    }
    do throws(APIError) {
      try check(model: name, version: version)
      let jsonBytes = try InferQuery.jsonBytes(request)
      prepare(.infer(model: name, version: version, jsonBytes: jsonBytes), request.body, reply)
    } catch {
      refuse(reply, error)
    }
  }

  // MARK: gRPC

  package func infer(_ call: GRPCCall) {
    call.unary { [weak self, unowned call] message in
      self?.prepare(message, CallEmbedReply(call))
    }
  }

  package func streamInfer(_ call: GRPCCall) {
    InferStream.serve(call) { [weak self] message, request in
      self?.prepare(message, StreamEmbedReply(request))
    }
  }

  private func prepare(_ message: [UInt8], _ reply: any EmbedReply) {
    message.withUnsafeBytes { prepare(.inferMessage, $0, reply) }
  }
}
