import Dispatch
import EventLoop
import Glibc
import HTTPServer
import Lifecycle
import ModelFiles
import Primitives
import SettingsFile
import ShardPlan
import ShardRunner
import Terminal
import Text
import WorkerServer

/// `portico-embed`'s command line: encoders behind `/v1/embeddings`.
package enum EmbedCommand {
  static var help: String {
    """
    usage: portico-embed serve --model PATH [options]
           portico-embed check PATH
           portico-embed version

    Serves an encoder of the BERT family, a Hugging Face folder with safetensors, behind OpenAI's
    /v1/embeddings. Texts that are too long are cut, as sentence-transformers cuts them.

      -c, --config FILE
          a YAML file with the same keys, with _ for -; flags count over it
      --port PORT
          short for --address 127.0.0.1:PORT
    \(SettingsReader.help(EmbedSchema.keys, defaults: EmbedSettings()))
    """
  }

  package static func run(_ arguments: [String]) -> Int32 {
    guard let command = arguments.first else {
      Console.printError(help + "\n")
      return 2
    }
    var options = Options(Array(arguments.dropFirst()))
    if options.asksForHelp || command == "help" || command == "--help" || command == "-h" {
      Console.put(help + "\n")
      return 0
    }
    do throws(Options.Misuse) {
      switch command {
      case "serve": return try serve(&options)
      case "check": return try check(&options)
      case "version", "--version":
        Console.put("portico-embed \(WorkerCommand.version)\n")
        return 0
      default:
        let near = nearest(to: command, among: ["serve", "check", "version"])
        throw Options.Misuse(
          problem: "unknown command '\(command)'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
      }
    } catch {
      Console.printError("portico-embed: \(error.problem)\n--help tells the options\n")
      return 2
    }
  }

  private static func failed(_ problem: String) -> Int32 {
    Console.printError("portico-embed: \(problem)\n")
    return 1
  }

  private static func serve(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    SignalSource.blockSignals()
    var settings = EmbedSettings()
    let port = try options.value("--port")
    if let refused = try SettingsReader.read(EmbedSchema.keys, into: &settings, &options) {
      Console.printError(refused.lines + "\n")
      return 1
    }
    if let port {
      guard let number = UInt16(port) else {
        throw Options.Misuse(problem: "--port needs a number from 0 to 65535")
      }
      settings.address = ServeSettings.local(port: number)
    }
    _ = try options.operands(atMost: 0)
    do {
      let worker = try EmbedWorker(settings)
      return withExtendedLifetime(worker) { dispatchMain() }
    } catch {
      return failed("\(error)")
    }
  }

  private static func check(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    guard let path = try options.operands(atMost: 1).first else {
      throw Options.Misuse(problem: "check needs the path of a model")
    }
    do {
      let source = try ModelSource.open(path)
      guard let encoder = source.shape.encoder else {
        return failed("\(source.name) is a language model; portico-worker serves those")
      }
      let shape = source.shape
      Console.put(
        "\(source.name): \(shape.layers) layers of \(shape.hidden), vocabulary "
          + "\(shape.vocabulary), texts up to \(shape.contextLimit) tokens, "
          + "\(encoder.pooling == .mean ? "the mean" : "the first") of the tokens' vectors"
          + "\(encoder.normalised ? ", scaled to length 1" : ""); "
          + "\(source.fileBytes >> 20) MiB of files\n")
      return 0
    } catch {
      return failed("\(error)")
    }
  }
}

/// What an embedding worker is told.
struct EmbedSettings {
  var model = ""
  var name: String?
  var address = ServeSettings.local(port: 8001)
  var type: WeightType?
  var threads = 0
  var batchTokens = 2_048
  var queue = 4_096
  var drain = TimeAmount.seconds(25)
}

enum EmbedSchema {
  static var keys: Keys<EmbedSettings> {
    Keys(
      noun: "an embedding worker's file",
      fields: [
        .value(
          "model", \.model, .path, required: true, sample: "models/all-MiniLM-L6-v2",
          "A Hugging Face folder of an encoder."),
        .optional(
          "name", \.name, .name("minilm"), sample: "minilm",
          "What clients call the model. Default: the folder's name."),
        .value("address", \.address, .listenAddress, "Where clients connect."),
        .optional(
          "dtype", \.type, .weightType, sample: "fp32",
          "How weights are held: fp32, bf16 or fp8. Default: as stored."),
        .value(
          "threads", \.threads, Kind.integer(0...1024).or("auto", 0, when: { $0 == 0 }),
          "Threads; auto is one per core."),
        .value(
          "batch_tokens", \.batchTokens, .integer(1...65_536),
          "Tokens of one batch: texts that wait while another is computed."),
        .value(
          "queue", \.queue, .integer(1...65_536),
          "Texts in flight beyond which clients get 503 and Retry-After."),
        .value(
          "drain", \.drain, .duration(TimeAmount.zero...TimeAmount.seconds(3_600)),
          "After SIGTERM: how long texts in flight may take."),
      ],
      ignoredPrefix: "x-")
  }
}

/// The encoder and its tokenizer, as the server wants them.
private struct EncoderText: TextEncoder {
  let backend: EncoderBackend
  let tokenizer: Tokenizer

  var textLimit: Int { backend.textLimit }
  var batchTokens: Int { backend.batchTokens }
  var width: Int { backend.width }
  var vocabularySize: Int { backend.source.shape.vocabulary }

  func encode(_ text: String) -> [Int32] {
    tokenizer.encode(text, addSpecial: true, parseSpecial: false)
  }

  func embed(_ texts: [[Int32]]) -> [[Float]] { backend.embed(texts) }
}

/// The life of an embedding worker: one process, its loop and its encoder's queue.
private final class EmbedWorker: @unchecked Sendable {
  private let loop: EventLoop
  private let server: EmbeddingServer
  private let http: HTTPServer
  private var signals: SignalSource?
  private var isEnding = false

  init(_ settings: EmbedSettings) throws {
    let start = EventLoop.now()
    let backend = try EncoderBackend(
      settings.model, type: settings.type,
      threads: settings.threads > 0 ? settings.threads : Console.cores,
      batchTokens: settings.batchTokens)
    guard case .huggingFace(let file, let config) = try backend.source.tokenizer() else {
      throw ModelTextComplaint(
        description: "\(backend.source.name) has no tokenizer.json; a worker needs one")
    }
    let encoder = EncoderText(
      backend: backend, tokenizer: try Tokenizer(huggingFace: file, config: config))
    loop = try EventLoop(index: 0, label: "portico.embed")
    var limits = WorkerSettings()
    limits.version = WorkerCommand.version
    limits.inFlightLimit = settings.queue
    limits.drainLimit = settings.drain
    let name = settings.name ?? backend.source.name
    server = EmbeddingServer(
      settings: limits, loop: loop, encoder: encoder,
      model: ModelCard(name: name, created: Int64(time(nil)), contextLimit: backend.textLimit))
    http = HTTPServer(loop: loop, handler: server, limits: limits.httpLimits)
    http.start()
    let bound = try http.listen(on: settings.address.address)
    Console.put(
      "portico-embed: \(name) on http://\(bound), ready after "
        + "\((EventLoop.now() - start).nanoseconds / 1_000_000) ms\n")
    loop.post { self.watch() }
  }

  private func watch() {
    do {
      signals = try SignalSource(loop: loop) { [weak self] signal in self?.heard(signal) }
    } catch {
      Console.printError("portico-embed: \(error)\n")
    }
  }

  private func heard(_ signal: Signal) {
    guard signal == .terminate || signal == .interrupt else { return }
    if isEnding { exit(1) }
    isEnding = true
    server.drain { exit(0) }
  }
}
