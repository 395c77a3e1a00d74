import Primitives
import SettingsFile
import ShardPlan
import ShardRunner

/// What an embedding worker is told, by a YAML file, by flags, or by both.
struct EmbedServeSettings {
  var model = ""
  var name: String?
  var address = ServeSettings.local(port: 8001)
  var grpc: WrittenAddress?
  var type: WeightType?
  /// 0 for the machine's cores.
  var threads = 0
  var pinsThreads = false
  var batchTokens = 512
  var queue = 8_192
  var drain = TimeAmount.seconds(30)

  func encoder(cores: Int) -> EncoderSettings {
    var encoder = EncoderSettings(threads: threads > 0 ? threads : cores)
    encoder.type = type
    encoder.pinsThreads = pinsThreads
    encoder.batchTokens = batchTokens
    return encoder
  }
}

/// The keys of the file, which are the flags too: `batch_tokens: 256` is `--batch-tokens 256`.
enum EmbedSchema {
  static var keys: Keys<EmbedServeSettings> {
    Keys(
      noun: "an embedding worker's file",
      fields: [
        .value(
          "model", \.model, .path, required: true, sample: "models/all-MiniLM-L6-v2",
          "A Hugging Face folder."),
        .optional(
          "name", \.name, .name("minilm"), sample: "minilm",
          "What clients call the model. Default: the folder's name."),
        .value(
          "address", \.address, .listenAddress,
          "Where clients connect, by HTTP/1.1 or by gRPC (HTTP/2 in clear text)."),
        .optional(
          "grpc", \.grpc, .listenAddress, sample: "127.0.0.1:8003",
          "A second address, for fleets that give gRPC a port of its own. Default: none."),
        .optional(
          "dtype", \.type, .word([("fp32", .fp32), ("bf16", .bf16)]), sample: "bf16",
          "How weights are held: fp32 or bf16. Default: as stored."),
        .value(
          "threads", \.threads, Kind.integer(0...1024).or("auto", 0, when: { $0 == 0 }),
          "Threads that compute; auto takes all cores."),
        .value(
          "pin_threads", \.pinsThreads, .flag,
          "Each thread on a core of its own; for machines that run nothing else."),
        .value(
          "batch_tokens", \.batchTokens, .integer(1...16_384),
          "Tokens that are computed together at most, of all texts that wait."),
        .value(
          "queue", \.queue, .integer(1...1 << 20),
          "Texts in flight beyond which clients get 503 and Retry-After."),
        .value(
          "drain", \.drain, .duration(TimeAmount.zero...TimeAmount.seconds(3_600)),
          "After SIGTERM: how long requests in flight may take to end."),
      ],
      ignoredPrefix: "x-")
  }
}
