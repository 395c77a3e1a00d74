import Glibc
import JSON
import Primitives
import TestClient
import Testing

/// `portico-worker serve` on a tiny random model of the goldens, which has a tokenizer and a chat
/// template.
final class Worker {
  let port: Port
  let process: ChildProcess
  private let folder: Folder

  static let model = "\(Programs.package)/Tests/Shard/ShardRunnerTests/Goldens/llama"

  /// Beside `portico`.
  static let program =
    String(Programs.portico[..<Programs.portico.lastIndex(of: "/")!]) + "/portico-worker"

  init(_ options: String = "", port: Port? = nil) throws {
    let port = try port ?? Port()
    self.port = port
    let folder = Folder()
    self.folder = folder
    process = try ChildProcess(
      [
        Self.program, "serve", "--model", Self.model, "--name", "tiny", "--address", port.text,
        "--threads", "1",
      ] + (options.contains("--kv-memory") ? [] : ["--kv-memory", "4MiB"])
        + options.split(separator: " ").map(String.init), output: folder["worker"])
    try waitUntilReady()
  }

  func waitUntilReady() throws {
    try eventually("the worker is ready", within: 60, note: process.output) {
      guard process.isRunning else { throw Portico.Died(output: process.output) }
      guard process.output.contains("on http://") else { return false }
      return try ask(port.address, "GET", "/ready").status == 200
    }
  }

  func complete(
    _ prompt: String, tokens: Int, more: String = ""
  ) throws -> TestClient.Response {
    try ask(
      port.address, "POST", "/v1/completions",
      body: Self.body(prompt, tokens: tokens, more: more))
  }

  static func body(_ prompt: String, tokens: Int, more: String = "") -> String {
    #"{"prompt":"\#(prompt)","max_tokens":\#(tokens),"ignore_eos":true\#(more)}"#
  }

  /// The text of a whole answer.
  func text(_ prompt: String, tokens: Int, more: String = #","temperature":0"#) throws -> String {
    let response = try complete(prompt, tokens: tokens, more: more)
    guard response.status == 200,
      let text = try JSONValue(response.body)["choices"]?.elements?[0]["text"]?.text
    else { throw Refused(response: response) }
    return text
  }

  struct Refused: Error {
    let response: TestClient.Response
  }

  func metrics() throws -> Metrics { Metrics(try ask(port.address, "GET", "/metrics").body) }

  /// Processes of the ranks.
  var ranks: [Int32] { children(of: process.identifier) }
}

/// The children of a process, by what the kernel says.
func children(of parent: Int32) -> [Int32] {
  list("/proc").compactMap { Int32($0) }.filter { pid in
    let words = (contents(of: "/proc/\(pid)/stat") ?? "").split(separator: ")").last?
      .split(separator: " ")
    // State and parent are the first two behind the name; zombies are gone already.
    guard let words, words.count > 1, words[0] != "Z" else { return false }
    return Int32(words[1]) == parent
  }
}
