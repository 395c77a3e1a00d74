import Admin
import CLinux
import Configuration
import Control
import Dispatch
import EventLoop
import Glibc
import Lifecycle
import Load
import Primitives
import Telemetry
import Terminal

/// `portico demo`: three workers with a real model, one of them slow, and one for embeddings, with a
/// front door before them; or fake engines, where the model was not fetched. Nothing is left behind
/// however it ends.
enum DemoCommand {
  static let help = """
    usage: portico demo [--port PORT] [--admin-port PORT]

    Starts three workers that serve SmolLM2, one of them slow, an embedding worker, and Portico before
    them; says what to try, and shows live how requests are spread. Without the model, which
    Docker/bootstrap.sh fetches, the engines are fake. Ctrl-C ends everything.

      --port PORT         where clients connect (default 8080)
      --admin-port PORT   where the dashboard is (default 9900)
      --plain             no live table: print what to try, and wait
      --mock              fake engines, also where the model is there
    """

  /// Time to first token of each engine: fast, usual, and one that is four times slower.
  private static let engines: [(name: String, ttft: String, gap: String)] = [
    ("fast", "60ms", "12ms"), ("usual", "120ms", "20ms"), ("slow", "480ms", "45ms"),
  ]

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    let port = try options.value("--port") ?? "8080"
    let adminPort = try options.value("--admin-port") ?? "9900"
    let isPlain = options.flag("--plain") || isatty(1) == 0
    let wantsMocks = options.flag("--mock")
    _ = try options.operands(atMost: 0)
    guard UInt16(port) != nil, UInt16(adminPort) != nil else {
      throw Options.Misuse(problem: "ports are numbers from 0 to 65535")
    }
    return start(port: port, adminPort: adminPort, isPlain: isPlain, wantsMocks: wantsMocks)
  }

  /// What stands behind the door.
  private enum Fleet {
    case workers(DemoWorkers)
    case mocks(MockEngine, why: String)

    func stop() {
      switch self {
      case .workers(let workers): workers.stop()
      case .mocks: break
      }
    }
  }

  private static func start(
    port: String, adminPort: String, isPlain: Bool, wantsMocks: Bool
  ) -> Int32 {
    SignalSource.blockSignals()
    do {
      let fleet = try fleet(wantsMocks: wantsMocks)
      let loaded = try load(configuration(port: port, adminPort: adminPort, fleet))
      let control = try Control(
        ControlOptions(
          path: loaded.path, environment: [:], cores: Console.cores, version: Command.version),
        loaded.setup, log: OperatorLog())
      control.onEnd = {
        loaded.remove()
        fleet.stop()
        Console.put("\nThe demo has ended; nothing is left behind.\n")
        exit(0)
      }
      try control.start(loadedAt: nil)
      guard let door = control.addresses.values.first, let admin = control.adminAddress else {
        return Command.program.failed("the demo's listeners did not open")
      }
      switch fleet {
      case .workers(let workers): Console.put(story(door, admin, workers, file: loaded.path))
      case .mocks(let mock, let why):
        Console.put(story(door, admin, mock.engines, why: why, file: loaded.path))
      }
      if !isPlain { draw(AdminClient(address: admin, token: nil)) }
      withExtendedLifetime((control, fleet)) { dispatchMain() }
    } catch {
      return Command.program.failed("\(error)")
    }
  }

  private static func fleet(wantsMocks: Bool) throws -> Fleet {
    var why = ""
    if !wantsMocks {
      let (workers, missing) = try DemoWorkers.start()
      if let workers {
        try workers.waitUntilReady()
        return .workers(workers)
      }
      why = missing
    }
    let mock = try MockEngine.start(MockOptions.parse(arguments: mockArguments))
    return .mocks(mock, why: why)
  }

  private static var mockArguments: [String] {
    engines.flatMap {
      [
        "--listen", "127.0.0.1:0", "--name", $0.name, "--ttft", $0.ttft, "--gap", $0.gap,
        "--slowdown", "0.15",
      ]
    }
  }

  private static func configuration(
    port: String, adminPort: String, _ fleet: Fleet
  ) -> String {
    func backend(_ name: String, _ address: SocketAddress) -> String {
      "      - {name: \(name), address: \"\(address)\"}"
    }
    let backends: [String]
    var health = "/health"
    var embedding: DemoWorkers.Worker?
    switch fleet {
    case .workers(let workers):
      backends = workers.chat.map { backend($0.name, $0.address) }
      health = "/ready"
      embedding = workers.embedding
    case .mocks(let mock, _): backends = mock.engines.map { backend($0.name, $0.address) }
    }
    var pools = """
        - name: chat
          balance: weighted_score
          health: {path: \(health), interval: 1s}
          backends:
      \(backends.joined(separator: "\n"))

      """
    var routes = ""
    if let embedding {
      pools += """
          - name: embeddings
            health: {path: /ready, interval: 1s}
            backends:
        \(backend(embedding.name, embedding.address))

        """
      routes += "  - {path: /v1/embeddings, pool: embeddings}\n"
    }
    return """
      # The demo's own configuration. Edit it while the demo runs: it is taken over at once.
      listeners:
        - address: 127.0.0.1:\(port)
      admin:
        address: 127.0.0.1:\(adminPort)
      drain: {settle: 0s, deadline: 2s}
      pools:
      \(pools)
      routes:
      \(routes)  - pool: chat

      """
  }

  private struct Written {
    let path: String
    let setup: Setup

    func remove() { unlink(path) }
  }

  /// Writes the configuration where the user can edit it, and reads it as `run` would.
  private static func load(_ text: String) throws -> Written {
    let path = "\(Console.environment["TMPDIR"] ?? "/tmp")/portico-demo-\(getpid()).yaml"
    guard let file = fopen(path, "w") else {
      throw SystemError(code: errno, action: "write \(path)")
    }
    fputs(text, file)
    fclose(file)
    switch Setup.load(path: path, environment: [:]) {
    case .loaded(let setup): return Written(path: path, setup: setup)
    case .refused(let refused):
      unlink(path)
      throw refused
    }
  }

  private static func story(
    _ door: SocketAddress, _ admin: SocketAddress, _ workers: DemoWorkers, file: String
  ) -> String {
    let embedding = """

        an embedding of a text:
        curl http://\(door)/v1/embeddings -H 'Content-Type: application/json' \\
          -d '{"model":"all-MiniLM-L6-v2","input":"A front door for inference fleets."}'

      """
    return """

      Portico is at http://\(door), with three workers behind it that serve SmolLM2-135M: \
      \(workers.chat.map { "\($0.name) (\($0.address))" }.joined(separator: ", ")).

      Try, in another terminal:

        curl http://\(door)/v1/chat/completions -H 'Content-Type: application/json' \\
          -d '{"model":"smollm2","messages":[{"role":"user","content":"What is the capital of France?"}]}'

        the same, streamed:
        curl -N http://\(door)/v1/chat/completions -H 'Content-Type: application/json' \\
          -d '{"model":"smollm2","stream":true,"messages":[{"role":"user","content":"Tell me a story."}]}'
      \(workers.embedding == nil ? "" : embedding)
        load, to see the slow worker get less:
        for i in $(seq 60); do curl -s -o /dev/null http://\(door)/v1/completions \\
          -d '{"model":"smollm2","prompt":"Hello","max_tokens":16}' & sleep 0.2; done; wait

        kill a worker's rank, and see requests go elsewhere until it is back:
        pkill -9 -o -f 'portico-worker rank'

      \(places(admin, file: file))
        workers     \(workers.log)

      Ctrl-C ends the demo.

      """
  }

  private static func story(
    _ door: SocketAddress, _ admin: SocketAddress, _ engines: [MockEngine.Listening], why: String,
    file: String
  ) -> String {
    """

    Portico is at http://\(door), with three fake engines behind it: \
    \(engines.map { "\($0.name) (\($0.address))" }.joined(separator: ", ")).
    \(why.isEmpty ? "" : "They are fake because there is \(why).\n")
    Try, in another terminal:

      curl http://\(door)/v1/chat/completions -H 'Content-Type: application/json' \\
        -d '{"model":"mock","messages":[{"role":"user","content":"Hello"}]}'

      the same, streamed:
      curl -N http://\(door)/v1/chat/completions -H 'Content-Type: application/json' \\
        -d '{"model":"mock","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

      load, to see the slow engine get less:
      for i in $(seq 300); do curl -s -o /dev/null http://\(door)/v1/completions \\
        -d '{"model":"mock","prompt":"Hello","max_tokens":5}' & sleep 0.03; done; wait

      break an engine, and see its breaker open:
      curl -X POST 'http://\(engines[0].address)/mock?status=500'
      curl -X POST 'http://\(engines[0].address)/mock?fault=none'

    \(places(admin, file: file))

    Ctrl-C ends the demo.

    """
  }

  private static func places(_ admin: SocketAddress, file: String) -> String {
    """
      dashboard   http://\(admin)/
      metrics     http://\(admin)/metrics
      the fleet   portico status --admin \(admin) --watch
      edit me     \(file)
    """
  }

  /// Draws the table below the story, again and again, on a thread of its own.
  private static func draw(_ client: AdminClient) {
    DispatchQueue(label: "portico.demo").async {
      var before: FleetView?
      var height = 0
      while true {
        guard let drawn = try? StatusCommand.table(client, since: before) else {
          usleep(500_000)
          continue
        }
        before = drawn.view
        var text = height > 0 ? "\u{1b}[\(height)A\u{1b}[J" : ""
        text += drawn.lines.joined(separator: "\n") + "\n"
        height = drawn.lines.count
        Console.put(text)
        usleep(1_000_000)
      }
    }
  }
}
