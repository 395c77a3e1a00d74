import EventLoop
import GRPCServer
import Generation
import Glibc
import HTTP
import HTTPServer
import KServe
import Primitives
import WorkerAPI

/// The OpenAI API before an engine.
///
/// ```
/// body > Preparation (here, or elsewhere when it is long) > Job > engine
///                                                            tokens > Choice > responder
/// ```
/// Every job ends once: with its answer, with an error, or because its client has left. Lives on the
/// loop of the HTTP server that it handles for; so does the engine.
package final class WorkerServer: HTTPHandler {
  let settings: WorkerSettings
  let engine: any TokenEngine
  let text: any TextModel
  let card: ModelCard
  let answers: AnswerText
  /// Bytes that the longest token stands for.
  private let longestToken: Int

  /// By the engine's names of their choices.
  var jobs: [UInt64: (job: Job, choice: Int)] = [:]
  /// Requests whose bodies are read elsewhere, and the bytes of these bodies.
  var preparing = 0
  var preparingBytes = 0
  var metrics = WorkerMetrics()
  var report = EngineReport()
  /// When the engine was heard of last, and when it last got on with its work.
  var lastHeard = Instant.zero
  var lastProgress = Instant.zero
  private var lastSteps: UInt64 = 0
  private var isUp = false
  /// For the operator's log.
  package var onState: ((EngineState) -> Void)?
  private var nextID: UInt64 = 0
  private(set) var isDraining = false
  /// For its numbers; not kept alive.
  package weak var grpc: GRPCServer?
  /// Called when texts may have become welcome, or unwelcome.
  package var onReadiness: (() -> Void)?
  /// Called once when the drain is over.
  private var drained: (() -> Void)?
  private var drainDeadline = Instant.never

  package init(
    settings: WorkerSettings, engine: any TokenEngine, text: any TextModel, model: ModelCard
  ) {
    var settings = settings
    // More than fit at once would be told to come back for ever.
    settings.choiceLimit = min(settings.choiceLimit, settings.inFlightLimit)
    self.settings = settings
    self.engine = engine
    self.text = text
    card = model
    answers = AnswerText(text: text)
    longestToken = (0..<text.vocabularySize).reduce(1) { max($0, text.bytes(of: Int32($1)).count) }
    // Ids of an earlier process must not look like ours.
    nextID = UInt64.random(in: 0...UInt64.max >> 1) & ~0xffff
    engine.onEvent = { [weak self] in self?.heard($0) }
    engine.onState = { [weak self] in self?.changed($0) }
  }

  package var modelName: String { card.name }

  /// Time, which tests move by hand.
  var clock: () -> Instant = EventLoop.now

  func now() -> Instant { clock() }

  // MARK: Requests

  package func handle(_ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    let path = request.path
    switch path {
    case "/v1/chat/completions": post(.chat, request, responder)
    case "/v1/completions": post(.completion, request, responder)
    case "/tokenize": post(.tokenize, request, responder)
    case "/detokenize": post(.detokenize, request, responder)
    default:
      guard let path = KServePath(path) else { return get(path, request, responder) }
      kserve(path, request, responder)
    }
  }

  private func post(
    _ endpoint: Preparation.Endpoint, _ request: borrowing HTTPRequest, _ responder: HTTPResponder
  ) {
    guard request.method == .post else {
      return refuse(
        responder,
        APIError(.wrongMethod, "\(request.path) is asked with POST."), allow: "POST")
    }
    let format = LoadReport.format(request.field("endpoint-load-metrics-format"))
    let reply = OpenAIReply(responder, answers) { [weak self] in self?.loadFields(format) ?? [] }
    prepare(endpoint, request.body, reply)
  }

  private func loadFields(_ format: LoadReport.Format?) -> [(String, String)] {
    guard let format, case .ready(let facts) = engine.state else { return [] }
    return [(LoadReport.field, LoadReport.value(format, report, facts))]
  }

  /// Reads a request, here or elsewhere, and goes on with what it asks for.
  func prepare(
    _ endpoint: Preparation.Endpoint, _ body: UnsafeRawBufferPointer, _ reply: any TextReply
  ) {
    if endpoint.generates, let refusal = refusal() { return refuse(reply, refusal) }
    let preparation = Preparation(
      endpoint: endpoint, card: card, text: text, settings: settings, bounds: bounds)
    let start = now()
    guard body.count > settings.inlineBytes else {
      return prepared(preparation.run(body), reply, since: start)
    }
    prepareElsewhere(preparation, body, reply, since: start)
  }

  /// Why so many texts may not be asked for now.
  private func refusal(of wanted: Int = 1) -> APIError? {
    if isDraining {
      return APIError(
        .draining, "This worker is ending; ask another.", retrySeconds: settings.queueRetrySeconds)
    }
    switch engine.state {
    case .ready: break
    case .starting(let why):
      return APIError(
        .notReady,
        why.isEmpty
          ? "The model is being loaded; try again shortly."
          : "The model is being loaded again, because \(why); try again shortly.",
        code: "model_not_ready", retrySeconds: settings.loadingRetrySeconds)
    case .ended(let why):
      return APIError(
        .notReady, "The engine has ended: \(why).", code: "engine_ended",
        retrySeconds: settings.loadingRetrySeconds)
    }
    let inFlight = jobs.count + preparing
    guard inFlight + wanted <= settings.inFlightLimit else {
      let more = wanted == 1 ? "" : " \(wanted) more are asked for,"
      return APIError(
        .queueFull,
        "\(inFlight) texts are in flight,\(more) and this worker takes at most "
          + "\(settings.inFlightLimit); try again later, or ask another.",
        code: "queue_full", retrySeconds: settings.queueRetrySeconds)
    }
    return nil
  }

  private var bounds: ContextBounds {
    guard case .ready(let facts) = engine.state else {
      return ContextBounds(context: card.contextLimit, longestToken: longestToken, facts: nil)
    }
    return ContextBounds(context: card.contextLimit, longestToken: longestToken, facts: facts)
  }

  func prepared(
    _ result: Result<Preparation.Outcome, APIError>, _ reply: any TextReply, since start: Instant
  ) {
    switch result {
    case .failure(let error): refuse(reply, error)
    case .success(.answer(let json)): reply.respond(json)
    case .success(.generation(let request)):
      // It may have taken its time, and asks for more than one text perhaps.
      let wanted = request.prompts.count * request.choices
      if let refusal = refusal(of: wanted) { return refuse(reply, refusal) }
      submit(request, reply, since: start)
    }
  }

  /// An error as the whole answer.
  func refuse(_ responder: HTTPResponder, _ error: APIError, allow: String? = nil) {
    metrics.refusals[error.reason, default: 0] += 1
    error.answer(responder, allow: allow)
  }

  func refuse(_ reply: any TextReply, _ error: APIError) {
    metrics.refusals[error.reason, default: 0] += 1
    reply.refuse(error)
  }

  func makeID() -> UInt64 {
    nextID += 1
    return nextID
  }

  // MARK: The engine

  private func heard(_ event: EngineEvent) {
    lastHeard = now()
    switch event {
    case .ready: break
    case .token(let token): took(token)
    case .finished(let id, let reason): finished(id, reason)
    case .report(let report):
      // Running nothing while texts wait is no progress either.
      if report.steps != lastSteps { lastProgress = lastHeard }
      lastSteps = report.steps
      self.report = report
    }
  }

  private func changed(_ state: EngineState) {
    lastHeard = now()
    lastProgress = lastHeard
    let wasReady = isUp
    isUp = if case .ready = state { true } else { false }
    onState?(state)
    defer { onReadiness?() }
    switch state {
    case .ready: return
    case .starting(let why), .ended(let why):
      report = EngineReport()
      if wasReady { metrics.restarts += 1 }
      loseAll(
        APIError(
          .engineLost,
          "The engine was lost while it made this text: \(why). It is safe to try again.",
          code: "engine_lost", retrySeconds: settings.loadingRetrySeconds))
    }
  }

  // MARK: Ending

  /// Takes no more texts, and calls back when those in flight have ended, or after the limit. The call
  /// comes in a turn of its own, so what ended them has been handed to the kernel.
  package func drain(completion: @escaping () -> Void) {
    guard !isDraining else { return }
    isDraining = true
    onReadiness?()
    drained = completion
    drainDeadline = now() + settings.drainLimit
    drainedIfIdle()
  }

  private var isIdle: Bool { jobs.isEmpty && preparing == 0 }

  func drainedIfIdle() {
    if drained != nil, isIdle { drainDeadline = .zero }
  }

  package var nextDeadline: Instant { drainDeadline }

  package func deadlinePassed(at now: Instant) {
    guard now >= drainDeadline else { return }
    drainDeadline = .never
    if isIdle {
      let completion = drained
      drained = nil
      completion?()
      return
    }
    loseAll(
      APIError(
        .draining, "This worker is ending, and waits no longer; ask another.",
        retrySeconds: settings.queueRetrySeconds))
  }
}
