import HTTPServer
import JSON

/// Why a request is not served, in the shape of OpenAI's errors.
package struct APIError: Error, Equatable, Sendable {
  /// What refusals are counted by.
  package enum Reason: String, CaseIterable, Sendable {
    case invalid
    case contextLength = "context_length"
    case unknownModel = "unknown_model"
    case unknownPath = "unknown_path"
    case wrongMethod = "wrong_method"
    case queueFull = "queue_full"
    case notReady = "not_ready"
    case draining
    /// The engine ended while it worked on the request.
    case engineLost = "engine_lost"
    case timeout
    case broken
  }

  package var reason: Reason
  /// What is wrong and what to do, as a sentence.
  package var message: String
  /// The field that is to blame.
  package var param: String?
  package var code: String?
  /// Retry-After. Seconds.
  package var retrySeconds: Int?

  package init(
    _ reason: Reason, _ message: String, param: String? = nil, code: String? = nil,
    retrySeconds: Int? = nil
  ) {
    self.reason = reason
    self.message = message
    self.param = param
    self.code = code
    self.retrySeconds = retrySeconds
  }

  package static func invalid(_ param: String, _ message: String) -> APIError {
    APIError(.invalid, message, param: param)
  }

  package static func unknown(_ model: String, served: String) -> APIError {
    APIError(
      .unknownModel,
      "The model '\(model.prefix(200))' does not exist here; this worker serves '\(served)'.",
      param: "model", code: "model_not_found")
  }

  package var status: Int {
    switch reason {
    case .invalid, .contextLength: 400
    case .unknownModel, .unknownPath: 404
    case .wrongMethod: 405
    case .queueFull, .notReady, .draining, .engineLost: 503
    case .timeout: 504
    case .broken: 500
    }
  }

  /// `{"error":{...}}`, without a line end.
  package var json: [UInt8] {
    var text = JSONText(capacity: 160 + message.utf8.count)
    text.object {
      $0.object("error") {
        $0.put("message", message)
        $0.put("type", status < 500 ? "invalid_request_error" : "server_error")
        $0.put("param", param)
        $0.put("code", code)
      }
    }
    return text.bytes
  }

  /// As the whole answer.
  package func answer(_ responder: HTTPResponder, allow: String?) {
    var fields: [(String, String)] = []
    if let retrySeconds { fields.append(("Retry-After", "\(retrySeconds)")) }
    if let allow { fields.append(("Allow", allow)) }
    responder.respond(status, contentType: "application/json", fields: fields, body: json)
  }
}
