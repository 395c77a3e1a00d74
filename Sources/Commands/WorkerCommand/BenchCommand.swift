import CLinux
import Glibc
import Primitives
import ShardPlan
import Terminal

/// `portico-worker bench`: how fast this machine computes a model, without a server.
enum BenchCommand {
  static let help = """
    usage: portico-worker bench PATH [options]

    Measures prefill (a prompt in steps of 512 tokens) and decoding (token by token behind it), in
    tokens a second: the best of several runs, since others use the machine too.

      --dtype TYPE     fp32, bf16 or fp8 (default: as stored)
      --threads COUNT  default: all cores
      --prompt COUNT   tokens of the prompt (512)
      --tokens COUNT   tokens decoded (64)
      --runs COUNT     runs of each (5)
      --pin-threads    each thread on a core of its own
    """

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    let type = try weightType(&options)
    let threads = try count("--threads", &options) ?? Console.cores
    let prompt = try count("--prompt", &options) ?? 512
    let tokens = try count("--tokens", &options) ?? 64
    let runs = try count("--runs", &options) ?? 5
    let pins = options.flag("--pin-threads")
    guard let path = try options.operands(atMost: 1).first else {
      throw Options.Misuse(problem: "bench needs the path of a model")
    }
    do {
      let start = now()
      var local = try LocalModel(
        path, type: type, threads: threads, context: prompt + tokens + 1, batchTokens: step,
        pinsThreads: pins)
      let loaded = now()
      let text = (0..<prompt).map { Int32(($0 * 7_919 + 13) % local.vocabulary) }
      var prefill = Double.infinity
      var decode = Double.infinity
      for _ in 0..<max(1, runs) {
        var begin = now()
        for first in stride(from: 0, to: prompt, by: step) {
          try local.run(text[first..<min(first + step, prompt)], at: first, wantsAll: false)
        }
        prefill = min(prefill, seconds(since: begin))
        var last = local.likeliest()
        begin = now()
        for index in 0..<tokens {
          try local.run([last], at: prompt + index, wantsAll: false)
          last = local.likeliest()
        }
        decode = min(decode, seconds(since: begin))
      }
      Console.put(
        "\(local.rank.source.name), \(threads) thread\(threads == 1 ? "" : "s"), weights "
          + "\(local.rank.backend.weightBytes >> 20) MiB: loaded in "
          + "\((loaded - start).nanoseconds / 1_000_000) ms; prefill of \(prompt): "
          + "\(tenths(Double(prompt) / prefill)) tokens/s; decode of \(tokens): "
          + "\(tenths(Double(tokens) / decode)) tokens/s\n")
      return 0
    } catch {
      return WorkerCommand.program.failed("\(error)")
    }
  }

  private static let step = 512

  private static func now() -> Instant { Instant(nanoseconds: portico_monotonic_ns()) }

  private static func seconds(since start: Instant) -> Double {
    Double((now() - start).nanoseconds) / 1e9
  }

  private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

  static func count(_ name: String, _ options: inout Options) throws(Options.Misuse) -> Int? {
    guard let text = try options.value(name) else { return nil }
    guard let number = Int(text), (1...1 << 20).contains(number) else {
      throw Options.Misuse(problem: "\(name) needs a number from 1")
    }
    return number
  }

  static func weightType(_ options: inout Options) throws(Options.Misuse) -> WeightType? {
    guard let text = try options.value("--dtype") else { return nil }
    guard let type = WeightType(rawValue: text) else {
      throw Options.Misuse(problem: "--dtype is fp32, bf16 or fp8, not '\(text)'")
    }
    return type
  }
}
