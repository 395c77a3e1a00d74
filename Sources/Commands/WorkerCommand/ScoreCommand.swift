import CLinux
import Glibc
import ShardPlan
import Terminal

/// `portico-worker score`: the logits behind every token of given texts, for those who measure what a
/// kind of weights costs. Tests/Quality has the reader, and the format.
enum ScoreCommand {
  static let help = """
    usage: portico-worker score --model PATH --dtype TYPE --ids FILE [--out FILE]

    Writes the logits behind every token of the texts in FILE: one a line, as token ids in decimal.
    Binary, little-endian; the README of Tests/Quality says how.

      --out FILE       - for standard output, which is the default
      --threads COUNT  default: all cores
    """

  /// Rows of logits that wait in memory.
  private static let chunk = 64
  private static let contextLimit = 8_192

  static func run(_ options: inout Options) throws(Options.Misuse) -> Int32 {
    guard let model = try options.value("--model"), let ids = try options.value("--ids") else {
      throw Options.Misuse(problem: "score needs --model and --ids")
    }
    let type = try BenchCommand.weightType(&options)
    let threads = try BenchCommand.count("--threads", &options) ?? Console.cores
    let out = try options.value("--out") ?? "-"
    _ = try options.operands(atMost: 0)
    do {
      let texts = try read(ids)
      let longest = texts.map(\.count).max() ?? 0
      guard longest <= contextLimit else {
        return WorkerCommand.program.failed("a text of \(longest) tokens is beyond \(contextLimit)")
      }
      var local = try LocalModel(
        model, type: type, threads: threads, context: max(2, longest), batchTokens: chunk)
      guard let file = out == "-" ? fdopen(1, "w") : fopen(out, "w") else {
        return WorkerCommand.program.failed(
          "cannot write \(out): \(String(cString: strerror(errno)))")
      }
      try write(texts, &local, to: Output(file: file))
      return 0
    } catch {
      return WorkerCommand.program.failed("\(error)")
    }
  }

  private struct Output {
    let file: UnsafeMutablePointer<FILE>

    func put<Value>(_ value: Value) throws {
      try withUnsafeBytes(of: value) { try put($0) }
    }

    func put(_ bytes: UnsafeRawBufferPointer) throws {
      guard fwrite(bytes.baseAddress, 1, bytes.count, file) == bytes.count else {
        throw ModelTextComplaint(
          description: "cannot write: \(String(cString: strerror(errno)))")
      }
    }

    func end() throws {
      guard fflush(file) == 0 else {
        throw ModelTextComplaint(description: "cannot write: \(String(cString: strerror(errno)))")
      }
    }
  }

  private static func write(
    _ texts: [[Int32]], _ local: inout LocalModel, to output: Output
  ) throws {
    for byte in "PSCORE01".utf8 { try output.put(byte) }
    try output.put(UInt32(local.vocabulary))
    try output.put(UInt32(0))
    try output.put(UInt64(local.rank.backend.weightBytes))
    for text in texts {
      guard text.allSatisfy({ $0 >= 0 && Int($0) < local.vocabulary }) else {
        throw ModelTextComplaint(description: "a text has a token that the model does not know")
      }
      try output.put(UInt32(text.count))
      try text.withUnsafeBytes { try output.put($0) }
      for first in stride(from: 0, to: text.count, by: chunk) {
        let tokens = text[first..<min(first + chunk, text.count)]
        try local.run(tokens, at: first, wantsAll: true)
        try output.put(
          UnsafeRawBufferPointer(
            start: local.rank.backend.logits, count: tokens.count * local.vocabulary * 4))
      }
    }
    try output.put(UInt32(0))
    try output.end()
  }

  private static func read(_ path: String) throws -> [[Int32]] {
    guard let file = fopen(path, "r") else {
      throw ModelTextComplaint(
        description: "cannot read \(path): \(String(cString: strerror(errno)))")
    }
    defer { fclose(file) }
    var texts: [[Int32]] = []
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    while getline(&line, &capacity, file) >= 0, let text = line {
      let words = String(cString: text).split { $0 == " " || $0 == "\n" }
      let tokens = words.compactMap { Int32($0) }
      guard tokens.count == words.count else {
        throw ModelTextComplaint(
          description: "\(path), line \(texts.count + 1): not only numbers of tokens")
      }
      if !tokens.isEmpty { texts.append(tokens) }
    }
    return texts
  }
}
