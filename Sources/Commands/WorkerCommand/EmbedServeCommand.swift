import Dispatch
import EmbedServer
import EventLoop
import GRPCServer
import Glibc
import HTTPServer
import KServe
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
    /metrics for those who watch it. It speaks KServe's protocol too (/v2), and by gRPC, with
    grpc.health.v1. Texts that are too long are cut, as sentence-transformers does.
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
    if let code = try SettingsReader.serving(
      EmbedSchema.keys, into: &settings, address: \.address, &options)
    {
      return code
    }
    do {
      let worker = try EmbedWorker(settings)
      return withExtendedLifetime(worker) { dispatchMain() }
    } catch {
      return EmbedCommand.program.failed("\(error)")
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
  private let calls: InferenceCalls
  private let grpc: GRPCServer
  private let departure: Departure
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
    calls = InferenceCalls(server)
    grpc = GRPCServer(http: http)
    grpc.handler = calls
    server.grpc = grpc
    server.onReadiness = { [calls] in calls.stateChanged() }
    departure = Departure(
      EmbedCommand.program, loop, http,
      drain: { [server, grpc] completion in
        grpc.announceEnd()
        server.drain(completion: completion)
      })
    let home = LoopBound(server, on: loop)
    let thread = EncoderThread(
      make: { try EncoderBackend(source, encoder) },
      tell: { event in home.post { $0.heard(event) } })
    server.encoder = thread
    server.onState = { [unowned self] in tell($0) }
    http.start()
    let bound = try http.listen(on: settings.address.address)
    let second = try settings.grpc.map { try http.listen(on: $0.address) }
    Console.put(
      "portico-embed: \(model.name) on http://\(bound)"
        + (second.map { " and grpc://\($0)" } ?? "") + " with \(encoder.threads) "
        + "thread\(encoder.threads == 1 ? "" : "s"); loading\n")
    guard thread.start() else { throw LoadComplaint("cannot start a thread") }
    loop.post { [departure] in departure.listenForSignals() }
  }

  private func tell(_ event: EncoderEvent) {
    switch event {
    case .ready(let weightBytes):
      let time = EventLoop.now() - start
      Console.put(
        "portico-embed: ready after \(time.nanoseconds / 1_000_000) ms; "
          + "\(weightBytes >> 20) MiB of weights\n")
    case .failed(let why): exit(EmbedCommand.program.failed(why))
    case .done: return
    }
  }
}
