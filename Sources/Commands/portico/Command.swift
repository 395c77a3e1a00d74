import CommandLine
import Configuration
import Lifecycle
import Load
import Primitives
import SettingsFile
import Simulation

/// The front door's command line: which words mean what, and how each ends.
///
/// Exit codes are the ones people script against: 0 done, 1 failed, 2 misused.
enum Command {
  static let version = "0.1.0"

  static let help = """
    usage: portico COMMAND [options]

    Portico is the front door for inference fleets: a reverse proxy that routes by measured latency
    and queue depth.

      run -c FILE     serve; the file may be edited while it runs
      check FILE      say what is wrong with a file, or what it means
      status          draw the fleet as a table; --watch to follow it
      demo            three fake engines and a front door, to try
      mock            fake inference engines, for tests and demos
      sim             the fleet in a bottle: a simulation from a seed
      schema          the JSON Schema of the configuration, for editors
      version         what this is

    portico COMMAND --help tells more about each.

    """

  /// Runs what the arguments say and returns the exit code.
  static func run(_ arguments: [String]) -> Int32 {
    guard let command = arguments.first else {
      Console.printError(help)
      return 2
    }
    let rest = Array(arguments.dropFirst())
    switch command {
    case "run": return run(RunCommand.run, rest, help: RunCommand.help)
    case "check": return run(CheckCommand.run, rest, help: CheckCommand.help)
    case "status": return run(StatusCommand.run, rest, help: StatusCommand.help)
    case "demo": return run(DemoCommand.run, rest, help: DemoCommand.help)
    case "mock": return MockCommand.run(rest)
    case "sim": return SimulationCommand.run(arguments: rest)
    case "schema":
      if let unexpected = rest.first(where: { $0 != "--help" && $0 != "-h" }) {
        return misused("schema takes no arguments, but got '\(unexpected)'", help: schemaHelp)
      }
      Console.put(rest.isEmpty ? jsonSchema() : schemaHelp + "\n")
      return 0
    case "version", "--version":
      Console.put("portico \(version)\n")
      return 0
    case "help", "--help", "-h":
      Console.put(help)
      return 0
    default:
      let known = ["run", "check", "status", "demo", "mock", "sim", "schema", "version"]
      let hint = nearest(to: command, among: known).map { "; did you mean '\($0)'?" } ?? ""
      return misused("unknown command '\(command)'\(hint)", help: "portico --help lists them")
    }
  }

  /// One command with its options: help where somebody asks for it, and a word to whom misuses it.
  private static func run(
    _ command: (inout Options) throws(Options.Misuse) -> Int32, _ words: [String], help: String
  ) -> Int32 {
    var options = Options(words)
    if options.asksForHelp {
      Console.put(help + "\n")
      return 0
    }
    do {
      return try command(&options)
    } catch {
      return misused(error.problem, help: help)
    }
  }

  private static let schemaHelp =
    "usage: portico schema > portico.schema.json\n\nPrints the JSON Schema of the configuration."

  /// Says what was wrong with the words, and how they go.
  static func misused(_ problem: String, help: String) -> Int32 {
    Console.printError("portico: \(problem)\n\(help)\n")
    return 2
  }

  /// Says what went wrong.
  static func failed(_ problem: String) -> Int32 {
    Console.printError("portico: \(problem)\n")
    return 1
  }
}
