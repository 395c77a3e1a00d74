import ModelFiles
import ShardPlan
import ShardRunner
import Terminal

/// `portico-embed`'s command line.
package enum EmbedCommand {
  static let program = Program(
    name: "portico-embed", version: WorkerCommand.version, help: help)

  static let help = """
    usage: portico-embed COMMAND [options]

    Serves an encoder that makes embeddings: a Hugging Face folder of the BERT family, such as
    all-MiniLM-L6-v2, on CPUs.

      serve --model PATH    OpenAI's embeddings API before the model
      check PATH            what a model is, and what memory it takes
      version               what this is

    portico-embed COMMAND --help tells more about each.

    """

  package static func run(_ arguments: [String]) -> Int32 {
    let hint = "--help tells the options"
    return program.run(
      arguments,
      [
        .options("serve", help: EmbedServeCommand.help, hint: hint, EmbedServeCommand.run),
        .options("check", help: checkHelp, hint: hint, check),
      ])
  }

  // MARK: Check

  private static let checkHelp = """
    usage: portico-embed check PATH

    Says what a model is and what memory it takes; or why it cannot be served, and exits with 1.
    Loads no weights.
    """

  private static func check(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    guard let path = try options.operands(atMost: 1).first else {
      throw Options.Misuse(problem: "check needs the path of a model")
    }
    do {
      let source = try ModelSource.open(path)
      let model = try EmbedServeCommand.model(source, name: nil)
      Console.put(try describe(source, tokenLimit: model.tokenLimit))
      return 0
    } catch {
      return program.failed("\(error)")
    }
  }

  private static func describe(_ source: ModelSource, tokenLimit: Int) throws -> String {
    let shape = source.shape
    guard let encoder = shape.encoder, case .grouped(let attention) = shape.attention else {
      throw LoadComplaint(EncoderBackend.isNoEncoder(source))
    }
    var lines = [
      "\(source.name): \(shape.family.rawValue), \(shape.layers) layers of \(shape.hidden), "
        + "\(attention.heads) heads \(attention.headSize) wide, vocabulary \(shape.vocabulary), "
        + "stored as \(shape.storedType.rawValue) (\(source.fileBytes >> 20) MiB)",
      "vectors: \(shape.hidden) floats, \(encoder.pooling == .mean ? "the mean" : "the first") of "
        + "the last layer\(encoder.normalised ? ", scaled to length 1" : ""); texts of more than "
        + "\(tokenLimit) tokens are cut",
    ]
    let plan = ModelPlan(shape, rank: 0, of: 1)
    for type in [WeightType.fp32, .bf16] {
      let bytes = try Rank.weightBytes(plan, source, type)
      lines.append("weights as \(type.rawValue): \((bytes + (1 << 19)) >> 20) MiB")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
