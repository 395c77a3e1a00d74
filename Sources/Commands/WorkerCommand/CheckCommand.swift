import ModelFiles
import ShardPlan
import ShardRunner
import Terminal

/// `portico-worker check`.
enum CheckCommand {
  static let help = """
    usage: portico-worker check PATH

    Says what a model is, into how many ranks it may be cut, and what memory a rank takes with each
    kind of weights; or why it cannot be served, and exits with 1. Loads no weights.
    """

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    guard let path = try options.operands(atMost: 1).first else {
      throw Options.Misuse(problem: "check needs the path of a model")
    }
    do {
      let source = try ModelSource.open(path)
      guard source.shape.encoder == nil else { throw LoadComplaint(Rank.isEncoder(source)) }
      Console.put(try describe(source, path))
      return 0
    } catch {
      return WorkerCommand.program.failed("\(error)")
    }
  }

  private static func describe(_ source: ModelSource, _ path: String) throws -> String {
    let shape = source.shape
    var lines = [
      "\(source.name): \(shape.family.rawValue), \(shape.layers) layers of \(shape.hidden), "
        + "\(attention(shape)), vocabulary \(shape.vocabulary), "
        + "context \(shape.contextLimit), stored as \(shape.storedType.rawValue) "
        + "(\(mebibytes(source.fileBytes)) in \(source.files.count) "
        + "file\(source.files.count == 1 ? "" : "s"))"
    ]
    if let experts = shape.experts {
      lines.append(
        "experts: \(experts.count), \(experts.perToken) for each token"
          + (experts.shared > 0 ? ", \(experts.shared) shared" : ""))
    }
    let counts = RankRules.legalCounts(for: shape)
    lines.append("ranks (--tp): " + counts.map(String.init).joined(separator: ", "))
    for type in WeightType.allCases {
      let sizes = try counts.prefix(4).map { ranks in
        let plan = ModelPlan(shape, rank: 0, of: ranks)
        let bytes = try Rank.weightBytes(plan, source, type)
        return "\(ranks): \(mebibytes(bytes))"
      }
      lines.append("weights of a rank as \(type.rawValue): " + sizes.joined(separator: "; "))
    }
    let settings = EngineSettings(model: path, threads: 1)
    let plan = ModelPlan(shape, rank: 0, of: 1)
    let block = CPUBackend.blockBytes(plan, settings.blockTokens, .bf16)
    lines.append(
      "keys and values in bf16: \(block / settings.blockTokens) bytes a token; by default "
        + "\(mebibytes(settings.blocks(plan, .bf16) * block)) for a context of "
        + "\(settings.context(of: shape))")
    return lines.joined(separator: "\n") + "\n"
  }

  private static func attention(_ shape: ModelShape) -> String {
    switch shape.attention {
    case .grouped(let grouped):
      "\(grouped.heads) heads over \(grouped.kvHeads) of keys and values, \(grouped.headSize) wide"
    case .latent(let latent): "\(latent.heads) heads over a latent of \(latent.latent)"
    }
  }

  private static func mebibytes(_ bytes: Int) -> String {
    bytes >= 1 << 20 ? "\((bytes + (1 << 19)) >> 20) MiB" : "\((bytes + 512) >> 10) KiB"
  }
}
