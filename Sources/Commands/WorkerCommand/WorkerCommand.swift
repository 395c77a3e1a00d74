import Terminal

/// `portico-worker`'s command line.
package enum WorkerCommand {
  static let version = "0.1.0"

  static let program = Program(name: "portico-worker", version: version, help: help)

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
    let hint = "--help tells the options"
    return program.run(
      arguments,
      [
        .options("serve", help: ServeCommand.help, hint: hint, ServeCommand.run),
        .options("check", help: CheckCommand.help, hint: hint, CheckCommand.run),
        .options("bench", help: BenchCommand.help, hint: hint, BenchCommand.run),
        .options("score", help: ScoreCommand.help, hint: hint, ScoreCommand.run),
        .options(
          "rank", help: "ranks are started by serve", hint: hint, isHidden: true, RankCommand.run),
      ])
  }
}
