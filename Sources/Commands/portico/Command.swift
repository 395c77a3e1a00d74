import Configuration
import Lifecycle
import Load
import Primitives
import Simulation
import Terminal

/// The front door's command line.
enum Command {
  static let version = "0.1.0"

  static let program = Program(name: "portico", version: version, help: help)

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
      hash-key        the hash of an API key, for api_keys
      schema          the JSON Schema of the configuration, for editors
      version         what this is

    portico COMMAND --help tells more about each.

    """

  /// Runs what the arguments say and returns the exit code.
  static func run(_ arguments: [String]) -> Int32 {
    program.run(
      arguments,
      [
        .options("run", help: RunCommand.help, RunCommand.run),
        .options("check", help: CheckCommand.help, CheckCommand.run),
        .options("status", help: StatusCommand.help, StatusCommand.run),
        .options("demo", help: DemoCommand.help, DemoCommand.run),
        .plain("mock", MockCommand.run),
        .plain("sim", SimulationCommand.run(arguments:)),
        .options("hash-key", help: HashKeyCommand.help, HashKeyCommand.run),
        .plain("schema", schema),
      ])
  }

  private static let schemaHelp =
    "usage: portico schema > portico.schema.json\n\nPrints the JSON Schema of the configuration."

  private static func schema(_ words: [String]) -> Int32 {
    if let unexpected = words.first(where: { $0 != "--help" && $0 != "-h" }) {
      return program.misused("schema takes no arguments, but got '\(unexpected)'", help: schemaHelp)
    }
    Console.put(words.isEmpty ? jsonSchema() : schemaHelp + "\n")
    return 0
  }
}
