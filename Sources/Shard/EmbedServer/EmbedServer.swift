import Dispatch
import EventLoop
import GRPCServer
import HTTP
import HTTPServer
import KServe
import Primitives
import Synchronization
import WorkerAPI

/// OpenAI's embeddings API before an encoder.
///
/// ```
/// body > EmbedPreparation (here, or elsewhere when it is long) > EmbedJob > batches > answer
///                                                          texts of all jobs in turn, one batch at a time
/// ```
/// Every job ends once: with its answer, with an error, or because its client has left. Lives on the
/// loop of the HTTP server that it handles for.
package final class EmbedServer: HTTPHandler {
  enum State: Equatable {
    case loading
    case ready(weightBytes: Int)
    case failed(String)
  }

  let settings: EmbedSettings
  let model: EmbedModel
  /// Whoever made the server joins the two: the thread's events go to `heard`.
  package var encoder: EncoderThread?

  var state = State.loading
  /// Jobs with texts that are in no batch; each gives one text in its turn.
  var waiting: [EmbedJob] = []
  /// Texts of the batch that is being computed.
  var running: [(job: EmbedJob, text: Int)] = []
  var batchStart = Instant.zero
  var batchTokens = 0
  /// Jobs, and their texts, whose answers are not out.
  var jobs = 0
  var texts = 0
  /// Requests whose bodies are read elsewhere, and the bytes of these bodies.
  var preparing = 0
  var preparingBytes = 0
  var metrics = EmbedMetrics()
  /// Called when the encoder is there, and when it cannot be; for the operator's log.
  package var onState: ((EncoderEvent) -> Void)?
  /// For its numbers; not kept alive.
  package weak var grpc: GRPCServer?
  /// Called when texts may have become welcome, or unwelcome.
  package var onReadiness: (() -> Void)?
  private var draining: (() -> Void)?
  private var drainDeadline = Instant.never

  package init(settings: EmbedSettings, model: EmbedModel) {
    self.settings = settings
    self.model = model
  }

  var isDraining: Bool { draining != nil }

  func now() -> Instant { EventLoop.now() }

  // MARK: Requests

  package func handle(_ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    let path = request.path
    guard path == "/v1/embeddings" else {
      guard let path = KServePath(path) else { return get(path, request, responder) }
      return kserve(path, request, responder)
    }
    guard request.method == .post else {
      return refuse(
        responder, APIError(.wrongMethod, "\(path) is asked with POST."), allow: "POST")
    }
    prepare(.embeddings, request.body, HTTPEmbedReply(responder, .openAI))
  }

  /// Reads a request, here or elsewhere, and goes on with what it asks for.
  func prepare(
    _ endpoint: EmbedPreparation.Endpoint, _ body: UnsafeRawBufferPointer, _ reply: any EmbedReply
  ) {
    if let refusal = refusal(adding: 0) { return refuse(reply, refusal) }
    let preparation = EmbedPreparation(endpoint: endpoint, model: model, settings: settings)
    let start = now()
    guard body.count > settings.inlineBytes else {
      return prepared(preparation.run(body), reply, since: start)
    }
    prepareElsewhere(preparation, body, reply, since: start)
  }

  /// Why no more texts are taken now.
  private func refusal(adding count: Int) -> APIError? {
    let retry = settings.retrySeconds
    if isDraining {
      return APIError(
        .draining, "This worker is ending; ask another.", retrySeconds: retry)
    }
    switch state {
    case .ready: break
    case .loading:
      return APIError(
        .notReady, "The model is being loaded; try again shortly.", code: "model_not_ready",
        retrySeconds: retry)
    case .failed(let why):
      return APIError(
        .notReady, "The model cannot be loaded: \(why)", code: "engine_ended",
        retrySeconds: retry)
    }
    guard texts == 0 || texts + max(1, count) <= settings.queueTexts else {
      return APIError(
        .queueFull,
        "\(texts) texts are in flight, and this worker takes at most \(settings.queueTexts); try "
          + "again later, or ask another.", code: "queue_full", retrySeconds: retry)
    }
    return nil
  }

  private func prepared(
    _ result: Result<EmbedRequest, APIError>, _ reply: any EmbedReply, since start: Instant
  ) {
    switch result {
    case .failure(let error): refuse(reply, error)
    case .success(let request):
      if let refusal = refusal(adding: request.count) { return refuse(reply, refusal) }
      submit(EmbedJob(request, reply, size: model.size, start: start))
    }
  }

  /// An error as the whole answer.
  func refuse(_ responder: HTTPResponder, _ error: APIError, allow: String? = nil) {
    metrics.refusals[error.reason, default: 0] += 1
    error.answer(responder, allow: allow)
  }

  func refuse(_ reply: any EmbedReply, _ error: APIError) {
    metrics.refusals[error.reason, default: 0] += 1
    reply.refuse(error)
  }

  // MARK: Long bodies and answers, away from the loop

  private static let queue = DispatchQueue(
    label: "portico.embed.elsewhere", attributes: .concurrent)

  private func prepareElsewhere(
    _ preparation: EmbedPreparation, _ body: UnsafeRawBufferPointer, _ reply: any EmbedReply,
    since start: Instant
  ) {
    guard preparingBytes + body.count <= settings.preparingBytes, let loop = reply.loop else {
      return refuse(
        reply,
        APIError(
          .queueFull, "Too many long requests are being read; try again later.",
          code: "queue_full", retrySeconds: settings.retrySeconds))
    }
    let bytes = [UInt8](body)
    preparing += 1
    preparingBytes += bytes.count
    let cancellation = Cancellation()
    reply.onClose = { cancellation.cancel() }
    let bound = LoopBound(reply, on: loop)
    let home = Home(server: self)
    Self.queue.async {
      // Who has left while others were read costs nothing.
      let result: Result<EmbedRequest, APIError>? =
        cancellation.isCancelled ? nil : bytes.withUnsafeBytes { preparation.run($0) }
      bound.post { reply in
        guard let server = home.server else { return }
        server.preparing -= 1
        server.preparingBytes -= bytes.count
        reply.onClose = nil
        if let result, reply.isOpen { server.prepared(result, reply, since: start) }
        server.drainedIfIdle()
      }
    }
  }

  /// Writes the answer of a job whose vectors are all there, and sends it.
  func answer(_ job: EmbedJob) {
    let (request, vectors, model) = (job.request, job.vectors, self.model)
    let shape = job.reply.shape
    guard vectors.count > settings.inlineFloats, let loop = job.reply.loop else {
      return send(shape.body(request, vectors, model), job)
    }
    let home = Home(server: self, job: job)
    Self.queue.async {
      let body = shape.body(request, vectors, model)
      loop.post {
        guard let server = home.server, let job = home.job, !job.isOver else { return }
        server.send(body, job)
      }
    }
  }

  /// What belongs to the loop, for a message that comes back to it: it is touched there only.
  private final class Home: @unchecked Sendable {
    weak var server: EmbedServer?
    let job: EmbedJob?

    init(server: EmbedServer, job: EmbedJob? = nil) {
      self.server = server
      self.job = job
    }
  }

  /// Nobody waits for a result any more. Set on the loop, read where the work is done.
  private final class Cancellation: Sendable {
    private let flag = Atomic(false)

    func cancel() { flag.store(true, ordering: .relaxed) }
    var isCancelled: Bool { flag.load(ordering: .relaxed) }
  }

  // MARK: Ending

  /// Takes no more texts, and calls back when those in flight have ended, or after the limit.
  package func drain(completion: @escaping () -> Void) {
    guard draining == nil else { return }
    draining = completion
    onReadiness?()
    drainDeadline = now() + settings.drainLimit
    drainedIfIdle()
  }

  func drainedIfIdle() {
    guard jobs == 0, preparing == 0, let draining else { return }
    self.draining = {}
    drainDeadline = .never
    draining()
  }

  package var nextDeadline: Instant { drainDeadline }

  package func deadlinePassed(at now: Instant) {
    guard now >= drainDeadline, let draining else { return }
    drainDeadline = .never
    self.draining = {}
    failAll(
      APIError(
        .draining, "This worker is ending, and waits no longer; ask another.",
        retrySeconds: settings.retrySeconds))
    draining()
  }
}
