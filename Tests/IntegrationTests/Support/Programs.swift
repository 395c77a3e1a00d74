import Glibc
import Primitives
import Testing

/// Where things are.
enum Programs {
  /// The `portico` that was built with these tests: it lies beside the test bundle. The environment's
  /// `PORTICO` names another one to be tried, such as a release build.
  static let portico: String = {
    if let other = getenv("PORTICO") { return String(cString: other) }
    return beside("portico")
  }()

  /// A program that was built with these tests.
  static func beside(_ name: String) -> String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let here = String(decoding: buffer[..<max(0, count)].map(UInt8.init), as: UTF8.self)
    let path = String(here[..<(here.lastIndex(of: "/") ?? here.startIndex)]) + "/\(name)"
    precondition(access(path, X_OK) == 0, "no \(name) at \(path)")
    return path
  }

  /// The Python with the clients that `Docker/bootstrap.sh` installs.
  static let python = "\(package)/.build/python/bin/python"

  /// The optimiser has been over it.
  static let porticoIsOptimized: Bool = {
    #if DEBUG
      return getenv("PORTICO") != nil
    #else
      return true
    #endif
  }()

  /// The top of the package.
  static let package: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(4).joined(separator: "/")
  }()
}

/// Runs `portico` to its end.
func portico(
  _ words: String..., folder: Folder = Folder()
) throws -> (ending: ChildProcess.Ending, output: String) {
  let process = try ChildProcess([Programs.portico] + words, output: folder["words"])
  defer { unlink(folder["words"]) }
  return (try process.waitForEnd(), process.output)
}

/// A configuration with one pool of these backends.
///
/// - Parameters:
///   - pool: further lines of the pool, indented by none.
///   - top: further lines at the top.
func configuration(
  _ backends: [SocketAddress], listener: String = "", pool: String = "", top: String = ""
) -> String {
  let members = backends.enumerated().map { index, address in
    "      - {name: b\(index), address: \"\(address)\"}\n"
  }
  return """
    \(top)
    listeners:
      - address: DOOR
    \(indented(listener, by: 4))
    admin: {address: ADMIN}
    pools:
      - name: chat
    \(indented(pool, by: 4))
        backends:
    \(members.joined())
    routes: [{pool: chat}]

    """
}

private func indented(_ lines: String, by spaces: Int) -> String {
  lines.split(separator: "\n").map { String(repeating: " ", count: spaces) + $0 }
    .joined(separator: "\n")
}

/// `portico run` with a configuration of the story's.
final class Portico {
  let folder = Folder()
  let door: Port
  let adminPort: Port
  let process: ChildProcess

  /// - Parameters:
  ///   - text: the configuration; `DOOR` and `ADMIN` in it become addresses of free ports.
  ///   - wrapper: a command to start it with, such as `prlimit`.
  ///   - lay: puts the configuration into the folder and returns the path to start with.
  init(
    _ text: String, wrapper: [String] = [], environment: [String: String] = [:],
    lay: (Folder, String) -> String = { folder, text in
      folder.write("portico.yaml", text)
      return folder["portico.yaml"]
    }
  ) throws {
    door = try Port()
    adminPort = try Port()
    let path = lay(folder, Self.fill(text, door, adminPort))
    process = try ChildProcess(
      wrapper + [Programs.portico, "run", "-c", path], output: folder["output"],
      environment: environment)
    try eventually("portico is ready", note: process.output) {
      if !process.isRunning { throw Died(output: process.output) }
      return process.output.contains(" info ready ")
    }
  }

  struct Died: Error {
    let output: String
  }

  private static func fill(_ text: String, _ door: Port, _ admin: Port) -> String {
    text.split(separator: "DOOR", omittingEmptySubsequences: false).joined(separator: door.text)
      .split(separator: "ADMIN", omittingEmptySubsequences: false).joined(separator: admin.text)
  }

  /// Writes another configuration over the file.
  func edit(_ text: String) { folder.write("portico.yaml", filled(text)) }

  func filled(_ text: String) -> String { Self.fill(text, door, adminPort) }

  var address: SocketAddress { door.address }
  var log: String { process.output }

  /// Lines of the log with this text.
  func logged(_ text: String) -> Int {
    log.split(separator: "\n").count { $0.contains(text) }
  }
}

/// `portico mock`, with no delays unless told otherwise.
final class Mock {
  let port: Port
  private let folder = Folder()
  private var process: ChildProcess
  private let words: [String]

  init(_ options: String = "", port: Port? = nil) throws {
    self.port = try port ?? Port()
    words =
      [Programs.portico, "mock", "--ttft", "0", "--gap", "0", "--tokens", "8", "--name", "m"]
      + ["--listen", self.port.text] + options.split(separator: " ").map(String.init)
    process = try ChildProcess(words, output: folder["output"])
    try waitUntilReady()
  }

  private func waitUntilReady() throws {
    try eventually("the mock listens", note: process.output) {
      process.output.contains("listens on")
    }
  }

  var address: SocketAddress { port.address }
  var text: String { port.text }

  /// `kill -9`: connections are reset, and the port refuses.
  func cut() { process.cut() }

  /// Starts again after `cut`, at the same address.
  func comeBack() throws {
    unlink(folder["output"])
    process = try ChildProcess(words, output: folder["output"])
    try waitUntilReady()
  }

  /// Changes it for all further requests.
  func change(_ query: String) throws {
    let response = try ask(address, "POST", "/mock?\(query)")
    #expect(response.status == 200, "\(response.body)")
  }

  /// A number of its own `/metrics`, summed over its labels.
  func metric(_ name: String, _ label: String = "") throws -> Double {
    Metrics(try ask(address, "GET", "/metrics").body).sum(name, label)
  }
}
