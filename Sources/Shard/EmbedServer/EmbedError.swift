import JSON

/// Why a request is not served, in the shape of OpenAI's errors.
struct EmbedError: Error, Equatable, Sendable {
  /// What refusals are counted by.
  enum Reason: String, CaseIterable, Sendable {
    case invalid
    case unknownModel = "unknown_model"
    case unknownPath = "unknown_path"
    case wrongMethod = "wrong_method"
    case queueFull = "queue_full"
    case notReady = "not_ready"
    case draining
    case broken
  }

  var reason: Reason
  /// What is wrong and what to do, as a sentence.
  var message: String
  /// The field that is to blame.
  var param: String?
  var code: String?
  /// Retry-After. Seconds.
  var retrySeconds: Int?

  init(
    _ reason: Reason, _ message: String, param: String? = nil, code: String? = nil,
    retrySeconds: Int? = nil
  ) {
    self.reason = reason
    self.message = message
    self.param = param
    self.code = code
    self.retrySeconds = retrySeconds
  }

  static func invalid(_ param: String, _ message: String) -> EmbedError {
    EmbedError(.invalid, message, param: param)
  }

  var status: Int {
    switch reason {
    case .invalid: 400
    case .unknownModel, .unknownPath: 404
    case .wrongMethod: 405
    case .queueFull, .notReady, .draining: 503
    case .broken: 500
    }
  }

  /// `{"error":{...}}`, without a line end.
  var json: [UInt8] {
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
}
