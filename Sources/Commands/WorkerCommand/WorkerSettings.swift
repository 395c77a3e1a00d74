import Primitives
import SettingsFile
import ShardPlan
import ShardRunner

/// What a worker is told, by a YAML file, by flags, or by both.
package struct ServeSettings {
  package enum Sharing: String, CaseIterable {
    /// Ranks of this machine, over shared memory.
    case sharedMemory = "shared_memory"
    /// Ranks that mpirun starts, perhaps on several machines.
    case mpi
  }

  package var model = ""
  package var name: String?
  package var address = local(port: 8000)
  package var grpc: WrittenAddress?
  package var type: WeightType?
  package var ranks = 1
  /// Of each rank. 0 for the machine's cores, shared out among ranks.
  package var threads = 0
  package var pinsThreads = false
  package var context: Int?
  package var kvMemory: Int?
  package var blockTokens = 16
  package var maxSequences = 64
  package var maxBatchTokens = 512
  package var prefixCache = true
  package var gapTarget = TimeAmount.milliseconds(100)
  package var queue = 256
  package var sharing = Sharing.sharedMemory
  /// Put behind `mpirun -n RANKS`.
  package var mpirunArguments = ""
  package var drain = TimeAmount.seconds(30)
  package var pace = TimeAmount.zero

  package init() {}

  static func local(port: UInt16) -> WrittenAddress {
    WrittenAddress(address: .ipv4(0x7f00_0001, port: port), text: "127.0.0.1:\(port)")
  }

  /// What the ranks need of it.
  package func engine(cores: Int) -> EngineSettings {
    var engine = EngineSettings(
      model: model, threads: threads > 0 ? threads : max(1, cores / ranks))
    engine.type = type
    engine.pinsThreads = pinsThreads
    engine.kvBytes = kvMemory
    engine.blockTokens = blockTokens
    engine.contextLimit = context
    engine.maxSequences = maxSequences
    engine.maxBatchTokens = max(maxBatchTokens, maxSequences)
    engine.prefixCaching = prefixCache
    engine.gapTarget = gapTarget
    engine.pace = pace
    return engine
  }
}

/// The keys of the file, which are the flags too: `kv_memory: 1GiB` is `--kv-memory 1GiB`.
enum ServeSchema {
  private static let shortTime = TimeAmount.zero...TimeAmount.seconds(3_600)

  static var keys: Keys<ServeSettings> {
    Keys(
      noun: "a worker's file",
      fields: [
        .value(
          "model", \.model, .path, required: true, sample: "models/SmolLM2-135M",
          "A Hugging Face folder, or a .gguf file."),
        .optional(
          "name", \.name, .name("smollm2"), sample: "smollm2",
          "What clients call the model. Default: the folder's name."),
        .value(
          "address", \.address, .listenAddress,
          "Where clients connect, by HTTP/1.1 or by gRPC (HTTP/2 in clear text)."),
        .optional(
          "grpc", \.grpc, .listenAddress, sample: "127.0.0.1:8002",
          "A second address, for fleets that give gRPC a port of its own. Default: none."),
        .optional(
          "dtype", \.type, .weightType, sample: "bf16",
          "How weights are held: fp32, bf16 or fp8 (quantised at load). Default: as stored."),
        .value(
          "tp", \.ranks, .integer(1...RankRules.limit),
          "Ranks that share the model by tensor parallelism, a process each."),
        .value(
          "threads", \.threads, Kind.integer(0...1024).or("auto", 0, when: { $0 == 0 }),
          "Threads of each rank; auto shares out the cores."),
        .value(
          "pin_threads", \.pinsThreads, .flag,
          "Each thread on a core of its own; for machines that run nothing else."),
        .optional(
          "context", \.context, .integer(2...1 << 22), sample: "4096",
          "The longest sequence, in tokens. Default: the model's, at most 8192."),
        .optional(
          "kv_memory", \.kvMemory, .size(1 << 16...1 << 42), sample: "1GiB",
          "Memory of each rank for keys and values. Default: half a context for each sequence, at "
            + "most 1GiB."),
        .value("block_tokens", \.blockTokens, .integer(1...256), "Tokens of one KV block."),
        .value(
          "max_sequences", \.maxSequences, .integer(1...1024),
          "Sequences that run at a time; the batch law may admit fewer."),
        .value(
          "max_batch_tokens", \.maxBatchTokens, .integer(1...16_384),
          "Tokens that one step computes at most; long prompts are cut into chunks."),
        .value(
          "prefix_cache", \.prefixCache, .flag,
          "Keeps the blocks of prompts for those that begin alike."),
        .value(
          "gap_target", \.gapTarget, .duration(TimeAmount.milliseconds(1)...TimeAmount.seconds(60)),
          "The gap between two tokens of a stream that is still good: what the batch law aims at."),
        .value(
          "queue", \.queue, .integer(1...16_384),
          "Requests in flight beyond which clients get 503 and Retry-After."),
        .value(
          "collective", \.sharing, .sharing,
          "How ranks sum: shared_memory on one machine, mpi under mpirun."),
        .value(
          "mpirun", \.mpirunArguments, .command, "Further arguments of mpirun, with mpi."),
        .value(
          "drain", \.drain, .duration(shortTime),
          "After SIGTERM: how long requests in flight may take to end."),
        .value(
          "pace", \.pace, .duration(shortTime),
          "Waits so long after every step: a slow machine, for demos and tests."),
      ],
      ignoredPrefix: "x-")
  }
}

extension Kind where Value == String {
  static var path: Kind { text("a path such as models/SmolLM2-135M") }
  static var command: Kind { text("arguments such as --hostfile hosts") }

  private static func text(_ wanted: String) -> Kind {
    .scalar(
      wanted, json: [("type", .text("string")), ("minLength", .integer(1))],
      show: { .text($0) },
      parse: { text in text.isEmpty || text.utf8.contains(0) ? .unlike : .value(text) })
  }
}

extension Kind where Value == WeightType {
  static var weightType: Kind {
    word(WeightType.allCases.map { ($0.rawValue, $0) })
  }
}

extension Kind where Value == ServeSettings.Sharing {
  static var sharing: Kind { word(ServeSettings.Sharing.allCases.map { ($0.rawValue, $0) }) }
}

extension Kind where Value: Equatable {
  /// One of some words.
  static func word(_ words: [(word: String, value: Value)]) -> Kind {
    let names = words.map(\.word)
    return .scalar(
      names.dropLast().joined(separator: ", ") + " or " + (names.last ?? ""),
      json: [("enum", .list(names.map { .text($0) }))],
      show: { value in .word(words.first { $0.value == value }?.word ?? "") },
      parse: { text in
        if let found = words.first(where: { $0.word == text }) { return .value(found.value) }
        guard let near = nearest(to: text, among: names) else { return .unlike }
        return .problem("cannot be '\(shown(text))'; did you mean '\(near)'?")
      })
  }
}
