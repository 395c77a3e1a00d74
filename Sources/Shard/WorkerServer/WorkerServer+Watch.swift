import Generation
import HTTP
import HTTPServer
import JSON
import Primitives

/// What watchers ask: who is there, is it alive, is it ready, what has it done.
extension WorkerServer {
  func get(_ path: String, _ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    let known = ["/health", "/ready", "/metrics", "/version", "/v1/models"]
    let model = path.hasPrefix("/v1/models/") ? String(path.dropFirst(11)) : nil
    guard known.contains(path) || model != nil else {
      return refuse(
        responder,
        APIError(
          .unknownPath,
          "There is no \(path.prefix(200)) here; there are /v1/chat/completions, /v1/completions, "
            + "/v1/models, /tokenize, /detokenize, /health, /ready, /metrics and /version."))
    }
    guard request.method == .get || request.method == .head else {
      return refuse(
        responder, APIError(.wrongMethod, "\(path.prefix(200)) is asked with GET."),
        allow: "GET, HEAD")
    }
    switch path {
    case "/health": health(responder)
    case "/ready": ready(responder)
    case "/metrics":
      responder.respond(
        200, contentType: WorkerMetrics.contentType,
        metrics.text(
          state: engine.state, report: report, inFlight: jobs.count,
          isReady: notReady() == nil, model: card.name))
    case "/version":
      json(responder, 200) { $0.put("version", settings.version) }
    case "/v1/models":
      json(responder, 200) {
        $0.put("object", "list")
        $0.array("data") { card.put(&$0) }
      }
    default:
      guard let model, card.isNamed(model.removingPercent) else {
        return refuse(
          responder,
          APIError(
            .unknownModel,
            "The model '\((model ?? "").prefix(200))' does not exist here; this worker serves "
              + "'\(card.name)'.", param: "model", code: "model_not_found"))
      }
      var text = JSONText()
      card.put(&text)
      responder.respond(200, contentType: "application/json", body: text.bytes)
    }
  }

  // MARK: Health

  /// Alive: the engine speaks. While it loads, the process that watches it is what must be alive.
  private func health(_ responder: HTTPResponder) {
    switch engine.state {
    case .ended(let why): unwell(responder, "ended", why)
    case .starting: json(responder, 200) { $0.put("status", "starting") }
    case .ready:
      let silence = now() - lastHeard
      guard silence > settings.heartbeatLimit else {
        return json(responder, 200) { $0.put("status", "ok") }
      }
      unwell(
        responder, "silent",
        "the engine has said nothing for \(silence.nanoseconds / 1_000_000_000) s")
    }
  }

  private func ready(_ responder: HTTPResponder) {
    guard let (status, why) = notReady() else {
      return json(responder, 200) { $0.put("status", "ready") }
    }
    unwell(responder, status, why)
  }

  /// Why no text should be sent here now.
  func notReady() -> (status: String, why: String)? {
    if isDraining { return ("draining", "this worker is ending") }
    switch engine.state {
    case .starting(let why):
      return why.isEmpty
        ? ("loading", "the model is being loaded") : ("restarting", "the group was lost: \(why)")
    case .ended(let why): return ("ended", why)
    case .ready:
      let silence = now() - lastProgress
      guard !jobs.isEmpty, silence > settings.stallLimit else { return nil }
      return (
        "stuck",
        "texts are being made, but none has got on for \(silence.nanoseconds / 1_000_000_000) s"
      )
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
