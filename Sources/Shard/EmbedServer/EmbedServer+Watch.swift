import HTTP
import HTTPServer
import JSON
import Primitives

/// What watchers ask: who is there, is it alive, is it ready, what has it done.
extension EmbedServer {
  func get(_ path: String, _ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    let known = ["/health", "/ready", "/metrics", "/version", "/v1/models"]
    let asked = path.hasPrefix("/v1/models/") ? String(path.dropFirst(11)) : nil
    guard known.contains(path) || asked != nil else {
      return refuse(
        responder,
        EmbedError(
          .unknownPath,
          "There is no \(path.prefix(200)) here; there are /v1/embeddings, /v1/models, /health, "
            + "/ready, /metrics and /version."))
    }
    guard request.method == .get || request.method == .head else {
      return refuse(
        responder, EmbedError(.wrongMethod, "\(path.prefix(200)) is asked with GET."),
        allow: "GET, HEAD")
    }
    switch path {
    case "/health": health(responder)
    case "/ready":
      if let (status, why) = notReady() { return unwell(responder, status, why) }
      json(responder, 200) { $0.put("status", "ready") }
    case "/metrics":
      responder.respond(
        200, contentType: EmbedMetrics.contentType, metrics.text(self))
    case "/version": json(responder, 200) { $0.put("version", settings.version) }
    case "/v1/models":
      json(responder, 200) {
        $0.put("object", "list")
        $0.array("data") { list in list.object { put(&$0) } }
      }
    default:
      let name = (asked ?? "").removingPercent
      guard name == model.name else {
        return refuse(responder, EmbedPreparation.unknown(name, model))
      }
      json(responder, 200) { put(&$0) }
    }
  }

  private func put(_ json: inout JSONText) {
    json.put("id", model.name)
    json.put("object", "model")
    json.put("created", Int(model.created))
    json.put("owned_by", "portico")
    json.put("max_model_len", model.tokenLimit)
  }

  // MARK: Health

  /// Alive: it loads, or it can compute.
  private func health(_ responder: HTTPResponder) {
    switch state {
    case .loading: json(responder, 200) { $0.put("status", "starting") }
    case .ready: json(responder, 200) { $0.put("status", "ok") }
    case .failed(let why): unwell(responder, "ended", why)
    }
  }

  /// Why no text should be sent here now.
  func notReady() -> (status: String, why: String)? {
    if isDraining { return ("draining", "this worker is ending") }
    switch state {
    case .loading: return ("loading", "the model is being loaded")
    case .failed(let why): return ("ended", why)
    case .ready:
      let since = now() - batchStart
      guard !running.isEmpty, since > settings.stallLimit else { return nil }
      return ("stuck", "a batch is being computed for \(since.nanoseconds / 1_000_000_000) s")
    }
  }

  private func unwell(_ responder: HTTPResponder, _ status: String, _ why: String) {
    json(responder, 503) {
      $0.put("status", status)
      $0.put("why", why)
    }
  }

  private func json(
    _ responder: HTTPResponder, _ status: Int, _ members: (inout JSONText) -> Void
  ) {
    var text = JSONText()
    text.object(members)
    responder.respond(status, contentType: "application/json", body: text.bytes)
  }
}

extension String {
  /// With `%2F` and the like replaced; names of models have slashes.
  fileprivate var removingPercent: String {
    var bytes: [UInt8] = []
    var rest = utf8[...]
    while let byte = rest.popFirst() {
      let digits = rest.prefix(2)
      if byte == UInt8(ascii: "%"), digits.count == 2,
        let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest.removeFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
