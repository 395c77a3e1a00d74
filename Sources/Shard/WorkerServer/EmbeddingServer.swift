import Dispatch
import EventLoop
import Generation
import Glibc
import HTTP
import HTTPServer
import JSON
import Primitives

/// What makes vectors of texts: an encoder, or a fake of the tests. Called on one queue.
package protocol TextEncoder: Sendable {
  /// Tokens of one text, and of one batch.
  var textLimit: Int { get }
  var batchTokens: Int { get }
  /// Elements of a vector.
  var width: Int { get }
  var vocabularySize: Int { get }
  /// Tokens of a text, special ones included; called on any thread.
  func encode(_ text: String) -> [Int32]
  func embed(_ texts: [[Int32]]) -> [[Float]]
}

/// `/v1/embeddings` before an encoder.
///
/// ```
/// body > texts in tokens > waiting > batch > encoder (its own queue) > vectors > answer
/// ```
/// Batching is what happens while a batch runs: all texts that wait make up the next one, up to
/// `batchTokens`. So a text alone never waits for company. Lives on the HTTP server's loop.
package final class EmbeddingServer: HTTPHandler {
  private let settings: WorkerSettings
  private let card: ModelCard
  private let encoder: any TextEncoder
  private let queue = DispatchQueue(label: "portico.embed.encoder")
  private let loop: EventLoop
  /// Texts that wait, oldest first, and those of the batch under way.
  private var waiting: [Piece] = []
  private var isBusy = false
  private var metrics = EmbeddingMetrics()
  private var inFlight = 0
  private var draining: (() -> Void)?
  private var drainDeadline = Instant.never

  /// One text of a request.
  private struct Piece {
    let job: EmbeddingJob
    let index: Int
    let tokens: [Int32]
  }

  package init(
    settings: WorkerSettings, loop: EventLoop, encoder: any TextEncoder, model: ModelCard
  ) {
    self.settings = settings
    self.loop = loop
    self.encoder = encoder
    card = model
  }

  // MARK: Requests

  package func handle(_ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    let path = request.path
    guard path == "/v1/embeddings" else { return get(path, request.method, responder) }
    guard request.method == .post else {
      return refuse(
        responder, APIError(.wrongMethod, "\(path) is asked with POST."), allow: "POST")
    }
    if draining != nil {
      return refuse(
        responder,
        APIError(
          .draining, "This worker is ending; ask another.",
          retrySeconds: settings.queueRetrySeconds))
    }
    guard inFlight < settings.inFlightLimit else {
      return refuse(
        responder,
        APIError(
          .queueFull,
          "\(inFlight) texts are in flight, and this worker takes at most "
            + "\(settings.inFlightLimit); try again later, or ask another.",
          code: "queue_full", retrySeconds: settings.queueRetrySeconds))
    }
    let reading = EmbeddingReading(card: card, encoder: encoder, settings: settings)
    do throws(APIError) {
      submit(try reading.read(request.body), responder)
    } catch {
      refuse(responder, error)
    }
  }

  private func submit(_ request: EmbeddingRequest, _ responder: HTTPResponder) {
    let job = EmbeddingJob(request, responder, start: EventLoop.now())
    inFlight += request.texts.count
    metrics.requests += 1
    responder.onClose = { [weak job] in job?.hasLeft = true }
    for (index, tokens) in request.texts.enumerated() {
      metrics.tokens += UInt64(tokens.count)
      waiting.append(Piece(job: job, index: index, tokens: tokens))
    }
    next()
  }

  // MARK: Batches

  private func next() {
    guard !isBusy else { return }
    var batch: [Piece] = []
    var tokens = 0
    var taken = 0
    for piece in waiting {
      // Whose client has left costs nothing more.
      if !piece.job.hasLeft {
        guard tokens + piece.tokens.count <= encoder.batchTokens else { break }
        tokens += piece.tokens.count
        batch.append(piece)
      } else {
        inFlight -= 1
      }
      taken += 1
    }
    waiting.removeFirst(taken)
    guard !batch.isEmpty else { return drainedIfIdle() }
    isBusy = true
    metrics.batches += 1
    let texts = batch.map(\.tokens)
    let pieces = LoopBound(batch, on: loop)
    let home = LoopBound(WeakServer(self), on: loop)
    let encoder = encoder
    queue.async {
      let vectors = encoder.embed(texts)
      home.post { $0.server?.finished(pieces.value, vectors) }
    }
  }

  private struct WeakServer {
    weak var server: EmbeddingServer?

    init(_ server: EmbeddingServer) { self.server = server }
  }

  private func finished(_ batch: [Piece], _ vectors: [[Float]]) {
    isBusy = false
    inFlight -= batch.count
    for (piece, vector) in zip(batch, vectors) {
      let job = piece.job
      job.vectors[piece.index] = vector
      job.missing -= 1
      guard job.missing == 0, !job.hasLeft else { continue }
      job.responder.onClose = nil
      metrics.duration.record(EventLoop.now() - job.start)
      job.responder.respond(200, contentType: "application/json", body: job.answer())
    }
    next()
  }

  // MARK: Watchers

  private func get(_ path: String, _ method: Method, _ responder: HTTPResponder) {
    guard method == .get || method == .head else {
      return refuse(
        responder, APIError(.wrongMethod, "\(path.prefix(200)) is asked with GET."),
        allow: "GET, HEAD")
    }
    switch path {
    case "/health": json(responder, 200) { $0.put("status", "ok") }
    case "/ready":
      guard draining == nil else {
        return json(responder, 503) {
          $0.put("status", "draining")
          $0.put("why", "this worker is ending")
        }
      }
      json(responder, 200) { $0.put("status", "ready") }
    case "/version": json(responder, 200) { $0.put("version", settings.version) }
    case "/v1/models":
      json(responder, 200) {
        $0.put("object", "list")
        $0.array("data") { card.put(&$0) }
      }
    case "/metrics":
      responder.respond(
        200, contentType: WorkerMetrics.contentType,
        metrics.text(model: card.name, inFlight: inFlight, waiting: waiting.count))
    default:
      refuse(
        responder,
        APIError(
          .unknownPath,
          "There is no \(path.prefix(200)) here; there are /v1/embeddings, /v1/models, /health, "
            + "/ready, /metrics and /version."))
    }
  }

  private func json(
    _ responder: HTTPResponder, _ status: Int, _ members: (inout JSONText) -> Void
  ) {
    var text = JSONText()
    text.object(members)
    responder.respond(status, contentType: "application/json", body: text.bytes)
  }

  private func refuse(_ responder: HTTPResponder, _ error: APIError, allow: String? = nil) {
    metrics.refusals[error.reason, default: 0] += 1
    error.answer(responder, allow: allow)
  }

  // MARK: Ending

  /// Takes no more texts, and calls back when those in flight are answered, or after the limit.
  package func drain(completion: @escaping () -> Void) {
    guard draining == nil else { return }
    draining = completion
    drainDeadline = EventLoop.now() + settings.drainLimit
    drainedIfIdle()
  }

  private func drainedIfIdle() {
    guard !isBusy, waiting.isEmpty, let draining else { return }
    self.draining = {}
    drainDeadline = .never
    draining()
  }

  package var nextDeadline: Instant { drainDeadline }

  package func deadlinePassed(at now: Instant) {
    guard now >= drainDeadline, let draining else { return }
    self.draining = {}
    drainDeadline = .never
    draining()
  }
}

/// A request for embeddings under way. Lives on the server's loop.
private final class EmbeddingJob {
  private let request: EmbeddingRequest
  let responder: HTTPResponder
  let start: Instant
  var vectors: [[Float]]
  var missing: Int
  var hasLeft = false

  init(_ request: EmbeddingRequest, _ responder: HTTPResponder, start: Instant) {
    self.request = request
    self.responder = responder
    self.start = start
    vectors = Array(repeating: [], count: request.texts.count)
    missing = request.texts.count
  }

  func answer() -> [UInt8] {
    let tokens = request.texts.reduce(0) { $0 + $1.count }
    var json = JSONText(capacity: vectors.count * request.dimensions * 12 + 256)
    json.object {
      $0.put("object", "list")
      $0.array("data") {
        for (index, vector) in vectors.enumerated() {
          $0.object {
            $0.put("object", "embedding")
            $0.put("index", index)
            put(&$0, request.cut(vector))
          }
        }
      }
      $0.put("model", request.model)
      $0.object("usage") {
        $0.put("prompt_tokens", tokens)
        $0.put("total_tokens", tokens)
      }
    }
    return json.bytes
  }

  private func put(_ json: inout JSONText, _ vector: [Float]) {
    guard request.isBase64 else {
      return json.array("embedding") { for value in vector { $0.value(Double(value), places: 9) } }
    }
    let bytes = vector.flatMap { value in
      withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
    json.put("embedding", Base64.text(bytes))
  }
}
