import Configuration
import Control
import Dispatch
import EventLoop
import Glibc
import Lifecycle
import Primitives
import Telemetry
import Terminal

/// `portico run` and `portico check`.
enum RunCommand {
  static let help = """
    usage: portico run -c FILE

    Serves what FILE describes. Edits of the file are taken over while it runs, once they are valid;
    SIGHUP and POST /reload on the admin listener do the same. SIGTERM drains and ends, a second one
    ends at once; SIGUSR1 reopens the access log.

      -c, --config FILE   the configuration, YAML; see Config/ for examples
    """

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    serve(try options.configurationFile(for: "run"))
  }

  private static func serve(_ path: String) -> Int32 {
    SignalSource.blockSignals()
    let log = OperatorLog()
    let clock = FileWatcher.clock()
    let environment = Console.environment
    switch Setup.load(path: path, environment: environment) {
    case .refused(let refused):
      Console.printError("\(refused)\n")
      return 1
    case .loaded(let setup):
      do {
        let control = try Control(
          ControlOptions(
            path: path, environment: environment, cores: Console.cores, version: Command.version),
          setup, log: log)
        control.onEnd = { exit(0) }
        try control.start(loadedAt: clock)
        withExtendedLifetime(control) { dispatchMain() }
      } catch {
        return Command.program.failed("\(error)")
      }
    }
  }
}

/// `portico check`.
enum CheckCommand {
  static let help = """
    usage: portico check FILE [--print]

    Says what is wrong with a configuration file, with line and column, and exits with 1; or says
    that it is good. Reads certificates and keys too. Opens nothing.

      --print   print the effective configuration, with every default
    """

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    let prints = options.flag("--print")
    let path = try options.configurationFile(for: "check")
    switch Setup.load(path: path, environment: Console.environment) {
    case .refused(let refused):
      Console.printError("\(refused)\n")
      return 1
    case .loaded(let loaded):
      for warning in loaded.warnings { Console.printError("\(warning)\n") }
      if prints {
        Console.put(render(loaded.settings, showSecrets: false))
      } else {
        let backends = loaded.settings.pools.reduce(0) { $0 + $1.backends.count }
        Console.put(
          "\(path): good: \(count(loaded.settings.listeners.count, "listener")), "
            + "\(count(loaded.settings.pools.count, "pool")) with "
            + "\(count(backends, "backend")), \(count(loaded.settings.routes.count, "route"))\n")
      }
      return 0
    }
  }

  private static func count(_ number: Int, _ noun: String) -> String {
    "\(number) \(noun)\(number == 1 ? "" : "s")"
  }
}
