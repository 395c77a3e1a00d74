import GRPC
import GRPCServer
import HTTPServer
import JSON
import Primitives
import WorkerAPI

/// A worker, as KServe's protocol and gRPC's health service see it. Lives on the server's loop.
package protocol InferenceHost: AnyObject {
  var inferenceServer: ServerMetadata { get }
  var inferenceModel: ModelMetadata { get }
  func isNamed(_ model: String) -> Bool
  /// Alive: an engine that is lost for good is not.
  var isAlive: Bool { get }
  /// Why no text should be sent here now, as a sentence; nil when texts are welcome.
  var unreadiness: String? { get }
  func infer(_ call: GRPCCall)
  func streamInfer(_ call: GRPCCall)
  /// Counts what was refused.
  func refused(_ reason: APIError.Reason)
}

extension InferenceHost {
  /// Refuses models and versions that are not served here.
  package func check(model: String, version: String) throws(APIError) {
    guard isNamed(model) else { throw .unknown(model, served: inferenceModel.name) }
    try ModelVersion.check(version, of: inferenceModel.name)
  }

  // MARK: Over HTTP

  package func refuseMethod(
    _ path: String, _ method: String, _ responder: HTTPResponder, allow: String
  ) {
    refused(.wrongMethod)
    APIError(.wrongMethod, "\(path.prefix(200)) is asked with \(method).")
      .answerKServe(responder, allow: allow)
  }

  /// Answers everything of the protocol that is asked with GET.
  package func get(_ path: KServePath, _ responder: HTTPResponder) {
    switch path {
    case .server:
      let server = inferenceServer
      responder.respond(200) {
        $0.put("name", server.name)
        $0.put("version", server.version)
        $0.array("extensions") { for name in server.extensions { $0.value(name) } }
      }
    case .live:
      let isAlive = isAlive
      responder.respond(isAlive ? 200 : 503) { $0.put("live", isAlive) }
    case .ready: ready(responder)
    case .model(let name, let version, let action):
      do throws(APIError) {
        try check(model: name, version: version)
      } catch {
        refused(error.reason)
        return error.answerKServe(responder)
      }
      if action == .ready { ready(responder) } else { metadata(responder) }
    case .unknown:
      refused(.unknownPath)
      APIError(
        .unknownPath,
        "There is nothing of this name below /v2 here; there are /v2, /v2/health/live, "
          + "/v2/health/ready, and /v2/models/NAME with /ready and /infer."
      ).answerKServe(responder)
    }
  }

  private func ready(_ responder: HTTPResponder) {
    let why = unreadiness
    responder.respond(why == nil ? 200 : 503) {
      $0.put("ready", why == nil)
      if let why { $0.put("error", why) }
    }
  }

  private func metadata(_ responder: HTTPResponder) {
    let model = inferenceModel
    responder.respond(200) {
      $0.put("name", model.name)
      $0.array("versions") { for version in model.versions { $0.value(version) } }
      $0.put("platform", model.platform)
      Self.put("inputs", model.inputs, &$0)
      Self.put("outputs", model.outputs, &$0)
    }
  }

  private static func put(
    _ name: StaticString, _ tensors: [ModelMetadata.Tensor], _ json: inout JSONText
  ) {
    json.array(name) { list in
      for tensor in tensors {
        list.object {
          $0.put("name", tensor.name)
          $0.put("datatype", tensor.datatype.rawValue)
          $0.array("shape") { for length in tensor.shape { $0.value(Int(length)) } }
        }
      }
    }
  }
}

extension APIError {
  /// `{"error":"..."}`, as KServe has it.
  package var kserve: [UInt8] {
    Array(#"{"error":\#(JSONText.quoted(message))}"#.utf8)
  }

  package func answerKServe(_ responder: HTTPResponder, allow: String? = nil) {
    var fields: [(String, String)] = []
    if let retrySeconds { fields.append(("Retry-After", "\(retrySeconds)")) }
    if let allow { fields.append(("Allow", allow)) }
    responder.respond(status, contentType: "application/json", fields: fields, body: kserve)
  }

  /// As the status of a call. A full queue is UNAVAILABLE, as with Triton: another worker may take it.
  package var grpc: GRPCStatus {
    let code: GRPCStatus.Code =
      switch reason {
      case .invalid, .contextLength: .invalidArgument
      case .unknownModel: .notFound
      case .unknownPath, .wrongMethod: .unimplemented
      case .queueFull, .notReady, .draining, .engineLost: .unavailable
      case .timeout: .deadlineExceeded
      case .broken: .internal
      }
    return GRPCStatus(code, message)
  }
}
