import CLinux
import Glibc

/// A process that a story starts, and that ends with it at the latest.
///
/// Its output goes to a file, so that it never waits for a reader. It starts with no signal blocked
/// or ignored, whatever the test process has done to its own, since portico blocks those that it
/// takes as messages.
final class ChildProcess {
  let identifier: pid_t
  let command: String
  private let outputPath: String
  private var ending: Ending?

  enum Ending: Equatable {
    case exited(Int32)
    case killed(by: Int32)
  }

  struct CannotStart: Error {
    let command: String
    let code: Int32
  }

  /// - Parameters:
  ///   - words: the program, by path or by name, and its arguments.
  ///   - output: the file that gets standard output and standard error.
  init(_ words: [String], output: String, environment extra: [String: String] = [:]) throws {
    command = words.joined(separator: " ")
    outputPath = output
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    // Whatever else the test process has open is none of its business.
    for descriptor in list("/proc/self/fd").compactMap({ Int32($0) }) where descriptor > 2 {
      let flags = fcntl(descriptor, F_GETFD)
      if flags >= 0, flags & FD_CLOEXEC == 0 {
        posix_spawn_file_actions_addclose(&actions, descriptor)
      }
    }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    posix_spawnattr_setflags(&attributes, Int16(flags))

    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
    var settings: [UnsafeMutablePointer<CChar>?] = Self.environment(with: extra).map { strdup($0) }
    defer { for text in arguments + settings { free(text) } }
    arguments.append(nil)
    settings.append(nil)
    var identifier: pid_t = 0
    let code = posix_spawnp(&identifier, words[0], &actions, &attributes, arguments, settings)
    guard code == 0 else { throw CannotStart(command: command, code: code) }
    self.identifier = identifier
  }

  deinit {
    if ending == nil {
      kill(identifier, SIGKILL)
      var status: Int32 = 0
      waitpid(identifier, &status, 0)
    }
  }

  private static func environment(with extra: [String: String]) -> [String] {
    var result = extra.map { "\($0)=\($1)" }
    var place = environ
    while let entry = place.pointee {
      let text = String(cString: entry)
      if extra[String(text.prefix { $0 != "=" })] == nil { result.append(text) }
      place += 1
    }
    return result
  }

  // MARK: Its life

  /// Everything that it has written so far.
  var output: String { contents(of: outputPath) ?? "" }

  var isRunning: Bool { poll() == nil }

  func signal(_ number: Int32) { kill(identifier, number) }

  /// How it ended; nil while it lives.
  private func poll() -> Ending? {
    if let ending { return ending }
    var status: Int32 = 0
    guard waitpid(identifier, &status, WNOHANG) == identifier else { return nil }
    let number = status & 0x7f
    ending = number == 0 ? .exited(status >> 8 & 0xff) : .killed(by: number)
    return ending
  }

  /// Waits for its end. A process that does not come to one is killed, and the story fails.
  func waitForEnd(within seconds: Double = 30) throws -> Ending {
    try eventually("'\(command)' ends", within: seconds) { poll() != nil }
    return ending!
  }

  /// At once, as `kill -9`.
  func cut() {
    signal(SIGKILL)
    var status: Int32 = 0
    if ending == nil, waitpid(identifier, &status, 0) == identifier {
      ending = .killed(by: SIGKILL)
    }
  }

  /// Resident memory. Bytes.
  var residentBytes: Int {
    let words = (contents(of: "/proc/\(identifier)/statm") ?? "").split(separator: " ")
    return words.count > 1 ? (Int(words[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
  }
}
