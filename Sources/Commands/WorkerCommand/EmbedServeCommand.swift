import Dispatch
import EmbedServer
import EventLoop
import Glibc
import HTTPServer
import Lifecycle
import ModelFiles
import Primitives
import ShardRunner
import Terminal
import Text

/// `portico-embed serve`: one process, whose server has a loop and whose encoder has a thread.
enum EmbedServeCommand {
  static var help: String {
    """
    usage: portico-embed serve --model PATH [options]

    Serves an encoder behind OpenAI's /v1/embeddings, with /v1/models, and /health, /ready and
    /metrics for those who watch it. Texts that are too long are cut, as sentence-transformers does.
    SIGTERM lets requests in flight end.

      -c, --config FILE
          a YAML file with the same keys, with _ for -; flags count over it
      --port PORT
          short for --address 127.0.0.1:PORT
    \(SettingsReader.help(EmbedSchema.keys, defaults: EmbedServeSettings()))
    """
  }

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    SignalSource.blockSignals()
    var settings = EmbedServeSettings()
    let port = try options.value("--port")
    if let refused = try SettingsReader.read(EmbedSchema.keys, into: &settings, &options) {
      Console.printError(refused.lines + "\n")
      return 1
    }
    if let port {
      guard let number = UInt16(port) else {
        throw Options.Misuse(problem: "--port needs a number from 0 to 65535")
      }
      settings.address = ServeSettings.local(port: number)
    }
    _ = try options.operands(atMost: 0)
    do {
      let worker = try EmbedWorker(settings)
      return withExtendedLifetime(worker) { dispatchMain() }
    } catch {
      return EmbedCommand.failed("\(error)")
    }
  }

  /// The model for the server, with its tokenizer; or why it cannot be served.
  static func model(_ source: ModelSource, name: String?) throws -> EmbedModel {
    let shape = source.shape
    guard let encoder = shape.encoder else {
      throw LoadComplaint(EncoderBackend.isNoEncoder(source))
    }
    guard case .huggingFace(let file, let config) = try source.tokenizer() else {
      throw LoadComplaint(
        "\(source.name) has no tokenizer.json; a worker needs one to read text")
    }
    return try EmbedModel(
      name: name ?? source.name, created: Int64(time(nil)), size: shape.hidden,
      tokenLimit: shape.contextLimit, vocabulary: shape.vocabulary,
      isNormalised: encoder.normalised, tokenizer: Tokenizer(huggingFace: file, config: config))
  }
}

extension EncoderBackend: TextEncoder {}

/// An embedding worker's life.
private final class EmbedWorker: @unchecked Sendable {
  private let loop: EventLoop
  private let server: EmbedServer
  private let http: HTTPServer
  private var signals: SignalSource?
  private var isEnding = false
  private let start = EventLoop.now()

  init(_ settings: EmbedServeSettings) throws {
    let source = try ModelSource.open(settings.model)
    let encoder = settings.encoder(cores: Console.cores)
    var limits = EmbedSettings()
    limits.version = WorkerCommand.version
    limits.queueTexts = settings.queue
    limits.batchTokens = encoder.batchTokens(of: source.shape)
    limits.drainLimit = settings.drain
    let model = try EmbedServeCommand.model(source, name: settings.name)
    loop = try EventLoop(index: 0, label: "portico.embed")
    server = EmbedServer(settings: limits, model: model)
    http = HTTPServer(loop: loop, handler: server, limits: limits.httpLimits)
    let home = LoopBound(server, on: loop)
    let thread = EncoderThread(
      make: { try EncoderBackend(source, encoder) },
      tell: { event in home.post { $0.heard(event) } })
    server.encoder = thread
    server.onState = { [unowned self] in tell($0) }
    http.start()
    let bound = try http.listen(on: settings.address.address)
    Console.put(
      "portico-embed: \(model.name) on http://\(bound) with \(encoder.threads) "
        + "thread\(encoder.threads == 1 ? "" : "s"); loading\n")
    guard thread.start() else { throw LoadComplaint("cannot start a thread") }
    loop.post { self.listenForSignals() }
  }

  private func listenForSignals() {
    do {
      signals = try SignalSource(loop: loop) { [weak self] signal in self?.heard(signal) }
    } catch {
      Console.printError("portico-embed: \(error)\n")
    }
  }

  private func tell(_ event: EncoderEvent) {
    switch event {
    case .ready(let weightBytes):
      let time = EventLoop.now() - start
      Console.put(
        "portico-embed: ready after \(time.nanoseconds / 1_000_000) ms; "
          + "\(weightBytes >> 20) MiB of weights\n")
    case .failed(let why): exit(EmbedCommand.failed(why))
    case .done: return
    }
  }

  // MARK: Ending

  /// For answers that are written but not yet taken. Connections that are idle end at once.
  private static let lastWords = TimeAmount.seconds(2)

  private func heard(_ signal: Signal) {
    guard signal == .terminate || signal == .interrupt else { return }
    if isEnding { exit(1) }
    isEnding = true
    server.drain { [self] in
      http.drain()
      leave(before: EventLoop.now() + Self.lastWords)
    }
  }

  private func leave(before limit: Instant) {
    if http.connectionCount == 0 || EventLoop.now() >= limit { exit(0) }
    loop.schedule(after: .milliseconds(10)) { self.leave(before: limit) }
  }
}
