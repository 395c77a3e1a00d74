import SettingsFile
import Terminal

/// `portico-worker`'s command line. Exit codes: 0 done, 1 failed, 2 misused.
package enum WorkerCommand {
  static let version = "0.1.0"

  static let help = """
    usage: portico-worker COMMAND [options]

    Serves a language model: a Hugging Face folder of the Llama, Qwen or DeepSeek families, or a
    .gguf file, on CPUs, by one process or by several that share the model.

      serve --model PATH    the OpenAI API before the model
      check PATH            what a model is, how it may be cut, what memory it takes
      bench PATH            how fast this machine computes it
      score                 logits of texts, for measuring quality
      version               what this is

    portico-worker COMMAND --help tells more about each.

    """

  package static func run(_ arguments: [String]) -> Int32 {
    guard let command = arguments.first else {
      Console.printError(help)
      return 2
    }
    let rest = Array(arguments.dropFirst())
    switch command {
    case "serve": return run(ServeCommand.run, rest, help: ServeCommand.help)
    case "check": return run(CheckCommand.run, rest, help: CheckCommand.help)
    case "bench": return run(BenchCommand.run, rest, help: BenchCommand.help)
    case "score": return run(ScoreCommand.run, rest, help: ScoreCommand.help)
    case "rank": return run(RankCommand.run, rest, help: "ranks are started by serve")
    case "version", "--version":
      Console.put("portico-worker \(version)\n")
      return 0
    case "help", "--help", "-h":
      Console.put(help)
      return 0
    default:
      let hint =
        nearest(to: command, among: ["serve", "check", "bench", "score", "version"]).map {
          "; did you mean '\($0)'?"
        }
        ?? ""
      return misused(
        "unknown command '\(command)'\(hint)", help: "portico-worker --help lists them")
    }
  }

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
      return misused(error.problem, help: "--help tells the options")
    }
  }

  private static func misused(_ problem: String, help: String) -> Int32 {
    Console.printError("portico-worker: \(problem)\n\(help)\n")
    return 2
  }

  static func failed(_ problem: String) -> Int32 {
    Console.printError("portico-worker: \(problem)\n")
    return 1
  }
}
