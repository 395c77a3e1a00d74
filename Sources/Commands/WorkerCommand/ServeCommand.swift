import Dispatch
import EventLoop
import GRPCServer
import Generation
import Glibc
import HTTPServer
import KServe
import Lifecycle
import ModelFiles
import Primitives
import RankGroup
import ShardPlan
import ShardRunner
import Terminal
import WorkerServer

/// `portico-worker serve`: the server, which starts and watches the ranks.
enum ServeCommand {
  static var help: String {
    """
    usage: portico-worker serve --model PATH [options]

    Serves a model behind the OpenAI API: /v1/chat/completions, /v1/completions, /v1/models,
    /tokenize, /detokenize, and /health, /ready and /metrics for those who watch it. It speaks KServe's
    protocol too (/v2, with Triton's generate), and by gRPC, with grpc.health.v1. SIGTERM lets requests
    in flight end.

      -c, --config FILE
          a YAML file with the same keys, with _ for -; flags count over it
      --port PORT
          short for --address 127.0.0.1:PORT
    \(SettingsReader.help(ServeSchema.keys, defaults: ServeSettings()))
    """
  }

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    SignalSource.blockSignals()
    var settings = ServeSettings()
    if let code = try SettingsReader.serving(
      ServeSchema.keys, into: &settings, address: \.address, &options)
    {
      return code
    }
    do {
      let worker = try Worker(settings)
      return withExtendedLifetime(worker) { dispatchMain() }
    } catch {
      return WorkerCommand.program.failed("\(error)")
    }
  }
}

/// A worker's life: the server on its loop, the group of ranks, and the signals that end both.
private final class Worker: @unchecked Sendable {
  private let loop: EventLoop
  private let supervisor: RankSupervisor
  private let server: WorkerServer
  private let http: HTTPServer
  private let calls: InferenceCalls
  private let grpc: GRPCServer
  private let departure: Departure

  init(_ settings: ServeSettings) throws {
    let source = try ModelSource.open(settings.model)
    let shape = source.shape
    guard shape.encoder == nil else { throw LoadComplaint(Rank.isEncoder(source)) }
    if let complaint = RankRules.complaint(settings.ranks, for: shape) {
      throw LoadComplaint(complaint)
    }
    let text = try ModelText(source) { WorkerCommand.program.say($0) }
    var wanted = settings.engine(cores: Console.cores)
    wanted.knownTokens = text.vocabularySize
    let engine = wanted
    let loop = try EventLoop(index: 0, label: "portico.worker")
    self.loop = loop
    supervisor = try RankSupervisor(
      Self.group(settings, engine, shape), loop: loop)
    var limits = WorkerSettings()
    limits.version = WorkerCommand.version
    limits.inFlightLimit = settings.queue
    limits.drainLimit = settings.drain
    let card = ModelCard(
      name: settings.name ?? source.name, created: Int64(time(nil)),
      contextLimit: engine.context(of: shape), defaults: source.defaults)
    server = WorkerServer(settings: limits, engine: supervisor, text: text, model: card)
    http = HTTPServer(loop: loop, handler: server, limits: limits.httpLimits)
    calls = InferenceCalls(server)
    grpc = GRPCServer(http: http)
    grpc.handler = calls
    server.grpc = grpc
    server.onReadiness = { [calls] in calls.stateChanged() }
    departure = Departure(
      WorkerCommand.program, loop, http,
      drain: { [server, grpc] completion in
        grpc.announceEnd()
        server.drain(completion: completion)
      },
      finish: { [supervisor] in supervisor.stop($0) })
    http.start()
    let bound = try http.listen(on: settings.address.address)
    let second = try settings.grpc.map { try http.listen(on: $0.address) }
    loop.post { self.start(bound, second, settings, engine) }
  }

  private func start(
    _ bound: SocketAddress, _ second: SocketAddress?, _ settings: ServeSettings,
    _ engine: EngineSettings
  ) {
    departure.listenForSignals()
    server.onState = { Self.tell($0) }
    supervisor.start()
    Console.put(
      "portico-worker: \(server.modelName) on http://\(bound)"
        + (second.map { " and grpc://\($0)" } ?? "") + " with \(settings.ranks) "
        + "rank\(settings.ranks == 1 ? "" : "s") of \(engine.threads) "
        + "thread\(engine.threads == 1 ? "" : "s"); loading\n")
  }

  private static func tell(_ state: EngineState) {
    switch state {
    case .starting(let why):
      if !why.isEmpty { WorkerCommand.program.say("the group was lost: \(why)") }
    case .ready(let facts):
      Console.put(
        "portico-worker: ready after \(facts.startNanoseconds / 1_000_000) ms; "
          + "\(facts.weightBytes >> 20) MiB of weights a rank, room for "
          + "\(facts.blocks * facts.blockTokens) tokens\n")
    case .ended(let why):
      WorkerCommand.program.say("the engine has ended: \(why)")
    }
  }

  private static func group(
    _ settings: ServeSettings, _ engine: EngineSettings, _ shape: ModelShape
  ) -> RankGroupSettings {
    let words = ["portico-worker"] + RankCommand.arguments(engine)
    var group = RankGroupSettings(
      ranks: settings.ranks,
      floatsPerExchange: Rank.exchangeFloats(engine, shape, ranks: settings.ranks),
      arguments: { _ in words })
    if settings.sharing == .mpi {
      group.transport = .mpi
      group.mpirunArguments = settings.mpirunArguments.split(separator: " ").map(String.init)
    }
    return group
  }
}
