import HTTP
import HTTPServer
import JSON
import Primitives
import WorkerAPI

/// What watchers ask: who is there, is it alive, is it ready, what has it done.
extension EmbedServer {
  func get(_ path: String, _ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    let known = ["/health", "/ready", "/metrics", "/version", "/v1/models"]
    let asked = path.hasPrefix("/v1/models/") ? String(path.dropFirst(11)) : nil
    guard known.contains(path) || asked != nil else {
      return refuse(
        responder,
        APIError(
          .unknownPath,
          "There is no \(path.prefix(200)) here; there are /v1/embeddings, /v1/models, /v2, "
            + "/health, /ready, /metrics and /version."))
    }
    guard request.method == .get || request.method == .head else {
      return refuse(
        responder, APIError(.wrongMethod, "\(path.prefix(200)) is asked with GET."),
        allow: "GET, HEAD")
    }
    switch path {
    case "/health": health(responder)
    case "/ready":
      if let (status, why) = notReady() { return responder.respondUnwell(status, why) }
      responder.respond(200) { $0.put("status", "ready") }
    case "/metrics":
      responder.respond(
        200, contentType: MetricsPage.contentType, metrics.text(self))
    case "/version": responder.respond(200) { $0.put("version", settings.version) }
    case "/v1/models":
      model.listing.respondList(responder)
    default:
      let name = (asked ?? "").removingPercent
      guard name == model.name else {
        return refuse(responder, .unknown(name, served: model.name))
      }
      responder.respond(200) { model.listing.put(&$0) }
    }
  }

  // MARK: Health

  /// Alive: it loads, or it can compute.
  private func health(_ responder: HTTPResponder) {
    switch state {
    case .loading: responder.respond(200) { $0.put("status", "starting") }
    case .ready: responder.respond(200) { $0.put("status", "ok") }
    case .failed(let why): responder.respondUnwell("ended", why)
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
}
