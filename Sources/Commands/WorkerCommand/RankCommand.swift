import CLinux
import Glibc
import Primitives
import RankGroup
import ShardPlan
import ShardRunner
import Terminal

/// `portico-worker rank`: what the supervisor starts, once for each rank. Not for people.
enum RankCommand {
  /// The words that give a rank its settings; `settings(from:)` reads them back.
  static func arguments(_ settings: EngineSettings) -> [String] {
    var words = ["rank", "--model", settings.model, "--threads", "\(settings.threads)"]
    if let type = settings.type { words += ["--dtype", type.rawValue] }
    if settings.pinsThreads { words.append("--pin-threads") }
    if let bytes = settings.kvBytes { words += ["--kv-bytes", "\(bytes)"] }
    if let limit = settings.contextLimit { words += ["--context", "\(limit)"] }
    if let known = settings.knownTokens { words += ["--known-tokens", "\(known)"] }
    words += [
      "--block-tokens", "\(settings.blockTokens)", "--max-sequences", "\(settings.maxSequences)",
      "--max-batch-tokens", "\(settings.maxBatchTokens)",
      "--gap-target", "\(settings.gapTarget.nanoseconds)", "--pace",
      "\(settings.pace.nanoseconds)",
    ]
    if !settings.prefixCaching { words.append("--no-prefix-cache") }
    return words
  }

  static func settings(from options: inout Options) throws(Options.Misuse) -> EngineSettings {
    func number(_ name: String, _ options: inout Options) throws(Options.Misuse) -> Int? {
      guard let text = try options.value(name) else { return nil }
      guard let number = Int(text), number >= 0 else {
        throw Options.Misuse(problem: "\(name) needs a number")
      }
      return number
    }
    guard let model = try options.value("--model") else {
      throw Options.Misuse(problem: "ranks are started by portico-worker serve")
    }
    var settings = EngineSettings(model: model, threads: try number("--threads", &options) ?? 1)
    settings.type = try options.value("--dtype").flatMap { WeightType(rawValue: $0) }
    settings.pinsThreads = options.flag("--pin-threads")
    settings.kvBytes = try number("--kv-bytes", &options)
    settings.contextLimit = try number("--context", &options)
    settings.knownTokens = try number("--known-tokens", &options)
    settings.blockTokens = try number("--block-tokens", &options) ?? settings.blockTokens
    settings.maxSequences = try number("--max-sequences", &options) ?? settings.maxSequences
    settings.maxBatchTokens =
      try number("--max-batch-tokens", &options) ?? settings.maxBatchTokens
    settings.gapTarget = TimeAmount(
      nanoseconds: Int64(try number("--gap-target", &options) ?? 100_000_000))
    settings.pace = TimeAmount(nanoseconds: Int64(try number("--pace", &options) ?? 0))
    settings.prefixCaching = !options.flag("--no-prefix-cache")
    return settings
  }

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    let start = Instant(nanoseconds: portico_monotonic_ns())
    let settings = try settings(from: &options)
    _ = try options.operands(atMost: 0)
    do {
      let context = try RankContext.join()
      do {
        try work(context, settings, since: start)
        return 0
      } catch {
        context.collective.abandon()
        throw error
      }
    } catch {
      Console.printError("\(error)\n")
      return 1
    }
  }

  private static func work(
    _ context: RankContext, _ settings: EngineSettings, since start: Instant
  ) throws {
    let rank = try Rank(settings, collective: context.collective)
    guard let channel = context.channel else {
      try rank.follow(context.collective)
      context.collective.leave()
      return
    }
    var engine = try Engine(rank, settings, collective: context.collective, channel: channel)
    try engine.run(since: start)
  }
}
