import Configuration
import SettingsFile

/// Answers admin requests from what its source tells. Touches no loop and no socket itself.
///
/// ```
/// token? --no--> 401      method? --no--> 405      another site's page? --yes--> 403
///   | yes or open path      | yes                    | no, or nothing is changed
///   '-----------------------'------------------------'--> answer
/// ```
/// Confined to the control loop, as its source is; not Sendable on purpose.
package final class AdminHandler {
  private unowned let source: any AdminSource
  private var guardian: AdminGuard

  /// - Parameters:
  ///   - source: must outlive the handler.
  ///   - token: `admin.token`; nil lets in who reaches the listener.
  package init(source: any AdminSource, token: String?) {
    self.source = source
    guardian = AdminGuard(token: token)
  }

  /// After a reload that changed `admin.token`.
  package func setToken(_ token: String?) { guardian.token = token }

  /// Answers one request. `done` is called once, during the call or later.
  package func answer(_ request: AdminRequest, _ done: @escaping (AdminAnswer) -> Void) {
    let path = AdminPath(target: request.target)
    let isAuthorized = guardian.isAuthorized(request)
    guard isAuthorized || path.isOpen else { return done(.tokenNeeded(request)) }
    switch path {
    case .unknown(let raw):
      return done(AdminAnswer(404, lines: ["there is no \(shown(raw)) here; try", AdminPath.list]))
    case .malformed(let raw):
      return done(
        AdminAnswer(
          400, lines: ["\(shown(raw)): '%' needs two hexadecimal digits, and all must be UTF-8"]))
    case .dashboard, .health, .readiness, .metrics, .fleet, .configuration: break
    case .reload, .drain, .drainBackend: break
    }
    let methods = path.isChange ? ["POST"] : ["GET", "HEAD"]
    guard methods.contains(request.method) else {
      let allowed = methods.joined(separator: ", ")
      return done(
        AdminAnswer(
          405, lines: ["\(shown(request.method)) is not for this path; use \(methods[0])"],
          [.init(name: "Allow", value: allowed)]))
    }
    if path.isChange, let refusal = guardian.refusal(request) {
      return done(AdminAnswer(403, lines: [refusal]))
    }
    switch path {
    case .dashboard: done(.dashboard)
    case .health: done(AdminAnswer(200, lines: ["ok"]))
    case .readiness: done(.readiness(source.readiness, showsComplaints: isAuthorized))
    case .metrics: source.report { done(AdminAnswer(200, .prometheus, $0.prometheusText())) }
    case .fleet:
      // The control side outlives what it answers, so `source` is still there.
      source.report { [source] in done(AdminAnswer(200, .json, $0.json(source.readiness))) }
    case .configuration:
      done(AdminAnswer(200, .yaml, Array(source.effectiveConfiguration().utf8)))
    case .reload: source.reload { done(.reloaded($0)) }
    case .drain: done(drain())
    case .drainBackend(let pool, let backend, let draining):
      done(setDraining(draining, pool: pool, backend: backend))
    case .unknown, .malformed: preconditionFailure("admin: a path that was refused came back")
    }
  }

  private func drain() -> AdminAnswer {
    if source.readiness.isDraining { return AdminAnswer(200, lines: ["was draining already"]) }
    source.beginDrain()
    return AdminAnswer(
      200, lines: ["draining: what is under way is finished, nothing new is taken"])
  }

  private func setDraining(_ draining: Bool, pool: String, backend: String) -> AdminAnswer {
    let result = source.setDraining(draining, pool: pool, backend: backend)
    if result == .unknown { return unknown(pool: pool, backend: backend) }
    let now = draining ? "drains" : "takes requests"
    var lines = [
      result == .changed
        ? "pool '\(shown(pool))': backend '\(shown(backend))' now \(now)"
        : "pool '\(shown(pool))': backend '\(shown(backend))' \(now) already"
    ]
    if draining, let left = source.readiness.pools.first(where: { $0.name == pool }),
      left.usable == 0
    {
      lines.append("warning: pool '\(shown(pool))' has no usable backend left")
    }
    return AdminAnswer(200, lines: lines)
  }

  private func unknown(pool: String, backend: String) -> AdminAnswer {
    let pools = source.backendNames
    guard let known = pools.first(where: { $0.pool == pool }) else {
      return AdminAnswer(
        404, lines: [Self.unknown("pool '\(shown(pool))'", near: pool, among: pools.map(\.pool))])
    }
    let what = "backend '\(shown(backend))' in pool '\(shown(pool))'"
    return AdminAnswer(404, lines: [Self.unknown(what, near: backend, among: known.backends)])
  }

  /// Names listed when none of them is near. Count.
  private static let listed = 20

  private static func unknown(_ what: String, near typed: String, among names: [String]) -> String {
    if let near = nearest(to: typed, among: names) {
      return "there is no \(what); did you mean '\(shown(near))'?"
    }
    if names.isEmpty { return "there is no \(what), nor any other" }
    let known = names.prefix(listed).map { "'\(shown($0))'" }.joined(separator: ", ")
    let more = names.count > listed ? " and \(names.count - listed) more" : ""
    return "there is no \(what); there is \(known)\(more)"
  }
}

extension AdminAnswer {
  fileprivate static func tokenNeeded(_ request: AdminRequest) -> AdminAnswer {
    let isWrong = request.authorization != nil
    return AdminAnswer(
      401,
      lines: [
        isWrong
          ? "the token is not the one in admin.token"
          : "a token is needed: send 'Authorization: Bearer TOKEN' with the one in admin.token"
      ],
      [
        .init(
          name: "WWW-Authenticate",
          value: isWrong
            ? #"Bearer realm="portico", error="invalid_token""# : #"Bearer realm="portico""#)
      ])
  }

  fileprivate static func readiness(_ state: Readiness, showsComplaints: Bool) -> AdminAnswer {
    var lines = [state.isReady ? "ready" : "not ready"]
    if state.isDraining { lines.append("draining: nothing new is taken") }
    for pool in state.pools { lines.append(pool.sentence) }
    if let error = state.lastReloadError {
      lines.append("the last reload was refused; the configuration before it is in use")
      // Complaints may quote the file, and this path is open to who has no token.
      if showsComplaints { lines += error.split(separator: "\n").map { shown(String($0)) } }
    }
    return AdminAnswer(state.isReady ? 200 : 503, lines: lines)
  }

  fileprivate static func reloaded(_ result: ReloadResult) -> AdminAnswer {
    switch result {
    case .applied(let changes) where changes.isEmpty:
      AdminAnswer(200, lines: ["reloaded; nothing changed"])
    case .applied(let changes):
      AdminAnswer(200, lines: ["reloaded"] + changes)
    case .refused(let complaints):
      AdminAnswer(
        422, lines: ["not reloaded; the configuration before it stays in use"] + complaints)
    }
  }

  fileprivate static var dashboard: AdminAnswer {
    AdminAnswer(
      200, .html, Array(DashboardPage.html.utf8),
      [
        // The page is one file and talks to this address alone, so whatever else a name or an error
        // text might smuggle in is not run, and no other site may frame the page and borrow clicks.
        .init(
          name: "Content-Security-Policy",
          value: "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
            + "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
            + "frame-ancestors 'none'"),
        .init(name: "Referrer-Policy", value: "no-referrer"),
      ])
  }
}

extension Readiness.Pool {
  /// `pool chat: 1 of 3 backends usable (1 unhealthy, 1 draining)`.
  fileprivate var sentence: String {
    let all = usable + unhealthy + draining
    if all == 0 { return "pool \(shown(name)): has no backends" }
    var reasons: [String] = []
    if unhealthy > 0 { reasons.append("\(unhealthy) unhealthy") }
    if draining > 0 { reasons.append("\(draining) draining") }
    let why = reasons.isEmpty ? "" : " (\(reasons.joined(separator: ", ")))"
    return "pool \(shown(name)): \(usable == 0 ? "none" : "\(usable)") of \(all) "
      + "backend\(all == 1 ? "" : "s") usable\(why)"
  }
}
