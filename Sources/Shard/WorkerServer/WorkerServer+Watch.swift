import Generation
import HTTP
import HTTPServer
import JSON
import Primitives
import WorkerAPI

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
            + "/v1/models, /tokenize, /detokenize, /v2, /health, /ready, /metrics and /version."))
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
        200, contentType: MetricsPage.contentType,
        metrics.text(
          state: engine.state, report: report, inFlight: jobs.count,
          isReady: notReady() == nil, model: card.name, grpc: grpc))
    case "/version":
      responder.respond(200) { $0.put("version", settings.version) }
    case "/v1/models":
      card.listing.respondList(responder)
    default:
      guard let model, card.isNamed(model.removingPercent) else {
        return refuse(responder, .unknown(model ?? "", served: card.name))
      }
      responder.respond(200) { card.listing.put(&$0) }
    }
  }

  // MARK: Health

  private func health(_ responder: HTTPResponder) {
    if let (status, why) = unwellness() { return responder.respondUnwell(status, why) }
    let isStarting = if case .starting = engine.state { true } else { false }
    responder.respond(200) { $0.put("status", isStarting ? "starting" : "ok") }
  }

  /// Why it is not alive; nil when the engine speaks. While it loads, the process that watches it is
  /// what must be alive.
  func unwellness() -> (status: String, why: String)? {
    switch engine.state {
    case .ended(let why): return ("ended", why)
    case .starting: return nil
    case .ready:
      let silence = now() - lastHeard
      guard silence > settings.heartbeatLimit else { return nil }
      return (
        "silent", "the engine has said nothing for \(silence.nanoseconds / 1_000_000_000) s"
      )
    }
  }

  private func ready(_ responder: HTTPResponder) {
    guard let (status, why) = notReady() else {
      return responder.respond(200) { $0.put("status", "ready") }
    }
    responder.respondUnwell(status, why)
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
}
