import Admin
import CLinux
import EventLoop
import Glibc
import Primitives
import Terminal

/// The demo's real fleet: workers of our own as processes, which end with the demo however it ends.
struct DemoWorkers {
  struct Worker {
    let name: String
    let address: SocketAddress
    fileprivate let pid: Int32
    fileprivate let pidfd: Int32
  }

  let chat: [Worker]
  let embedding: Worker?
  /// What the workers say.
  let log: String

  /// The models as Docker/bootstrap.sh fetches them.
  private static let chatModel = "SmolLM2-135M-Instruct.gguf"
  private static let embeddingModel = "all-MiniLM-L6-v2"

  /// Of the three, one waits after every step: a machine that is slower than the others.
  private static let paces = [("fast", "0ms"), ("usual", "15ms"), ("slow", "80ms")]

  /// Where the models may be: where the environment says, or in the build folder of the checkout that
  /// we stand in, or that this program was built in.
  private static var folders: [String] {
    var folders: [String] = []
    if let named = Console.environment["PORTICO_MODELS"] { folders.append(named) }
    folders.append(".build/models")
    folders.append(Self.directory(of: program) + "/../../models")
    return folders
  }

  private static var program: String {
    var buffer = [CChar](repeating: 0, count: 4_096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    return count > 0
      ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : ""
  }

  private static func directory(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
  }

  private static func find(_ model: String) -> String? {
    folders.map { $0 + "/" + model }.first { access($0, R_OK) == 0 }
  }

  /// nil with the reason when there is no model, or no worker to serve it.
  static func start() throws -> (workers: DemoWorkers?, why: String) {
    guard let model = find(chatModel) else {
      return (
        nil, "no model: Docker/bootstrap.sh fetches SmolLM2 (93 MB) into .build/models"
      )
    }
    let worker = directory(of: program) + "/portico-worker"
    guard access(worker, X_OK) == 0 else {
      return (nil, "no portico-worker beside this program: swift build makes it")
    }
    let log = "\(Console.environment["TMPDIR"] ?? "/tmp")/portico-demo-\(getpid()).log"
    let out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard out >= 0 else { throw SystemError(code: errno, action: "write \(log)") }
    defer { close(out) }
    let chat = try paces.map { name, pace in
      try start(
        worker, name: name,
        [
          "serve", "--model", model, "--name", "smollm2", "--threads", "1", "--context", "4096",
          "--kv-memory", "192MiB", "--pace", pace,
        ], out)
    }
    let embed = directory(of: program) + "/portico-embed"
    var embedding: Worker?
    if let model = find(embeddingModel), access(embed, X_OK) == 0 {
      embedding = try start(
        embed, name: "minilm",
        ["serve", "--model", model, "--name", "all-MiniLM-L6-v2", "--threads", "1"], out)
    }
    return (DemoWorkers(chat: chat, embedding: embedding, log: log), "")
  }

  private static func start(
    _ program: String, name: String, _ words: [String], _ out: Int32
  ) throws -> Worker {
    let address = try freeAddress()
    let words = [program] + words + ["--address", "\(address)"]
    var passes = [
      portico_pass(from: out, to: 1), portico_pass(from: out, to: 2),
    ]
    var pidfd: Int32 = -1
    let arguments = words.map { strdup($0) } + [nil]
    defer { for case let argument? in arguments { free(argument) } }
    // By the main thread, which never ends: the death signal is tied to it.
    let pid = portico_spawn(
      program, arguments, environ, &passes, Int32(passes.count), SIGTERM, &pidfd)
    _ = try SystemError.check(pid, "start \(program)")
    return Worker(name: name, address: address, pid: pid, pidfd: pidfd)
  }

  /// A port that nobody has just now.
  private static func freeAddress() throws -> SocketAddress {
    let listener = try Sockets.listen(.ipv4(0x7f00_0001, port: 0))
    defer { _ = portico_close(listener) }
    guard let address = Sockets.localAddress(of: listener) else {
      throw SystemError(code: EADDRNOTAVAIL, action: "find a free port")
    }
    return address
  }

  private var all: [Worker] { chat + (embedding.map { [$0] } ?? []) }

  /// Waits until all have loaded their models: what the demo says to try then works at once.
  func waitUntilReady() throws {
    let end = EventLoop.now() + Self.loadingLimit
    for worker in all {
      let client = AdminClient(address: worker.address, token: nil)
      while (try? client.ask("GET", "/ready"))?.status != 200 {
        guard EventLoop.now() < end, portico_reap(worker.pidfd, 0) == -EAGAIN else {
          throw NotReady(description: "the worker '\(worker.name)' did not start; see \(log)")
        }
        usleep(50_000)
      }
    }
  }

  struct NotReady: Error, CustomStringConvertible {
    let description: String
  }

  /// Debug builds on a busy machine take some seconds for what takes half of one.
  private static let loadingLimit = TimeAmount.seconds(120)

  /// Lets the workers end, and waits for them.
  func stop() {
    for worker in all { _ = portico_pidfd_signal(worker.pidfd, SIGTERM) }
    for worker in all { _ = portico_reap(worker.pidfd, 1) }
    unlink(log)
  }
}
