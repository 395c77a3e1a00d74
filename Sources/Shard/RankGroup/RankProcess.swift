import CLinux
import EventLoop
import Glibc

/// One child of the supervisor: a rank, or the mpirun that has them.
final class RankProcess {
  let rank: Int
  /// `rank 2` or `mpirun`, for people.
  let name: String
  let pid: Int32
  /// -1 once it has been reaped, as `output` is once it is at its end.
  private(set) var pidfd: Int32
  private(set) var output: Int32
  private var words = LastWords()

  /// Starts it.
  ///
  /// - Parameters:
  ///   - passes: descriptors of ours, by the numbers under which the child finds them.
  ///   - deathSignal: what it gets when we die.
  init(
    rank: Int, name: String, path: String, arguments: [String], environment: [String: String],
    passes: [(from: Int32, to: Int32)], deathSignal: Int32 = SIGKILL
  ) throws(SystemError) {
    var pipe: [Int32] = [-1, -1]
    _ = try SystemError.check(portico_pipe(&pipe), "make a pipe")
    defer { _ = portico_close(pipe[1]) }
    // Its stdout too: ours may have a meaning.
    let all = (passes + [(pipe[1], 1), (pipe[1], 2)]).map { portico_pass(from: $0.0, to: $0.1) }
    var descriptor: Int32 = -1
    let result = Self.withCStrings(arguments) { arguments in
      Self.withCStrings(Self.merged(environment)) { environment in
        portico_spawn(path, arguments, environment, all, Int32(all.count), deathSignal, &descriptor)
      }
    }
    guard result > 0 else {
      _ = portico_close(pipe[0])
      throw SystemError(code: -result, action: "start \(name) (\(path))")
    }
    self.rank = rank
    self.name = name
    pid = result
    pidfd = descriptor
    output = pipe[0]
  }

  deinit {
    if pidfd >= 0 { _ = portico_close(pidfd) }
    if output >= 0 { _ = portico_close(output) }
  }

  var isRunning: Bool { pidfd >= 0 }

  func signal(_ number: Int32) {
    if pidfd >= 0 { _ = portico_pidfd_signal(pidfd, number) }
  }

  /// How it ended, in words, once: nil while it runs, unless it is waited for.
  @discardableResult
  func reap(isWaiting: Bool = false) -> String? {
    guard pidfd >= 0 else { return nil }
    let status = portico_reap(pidfd, isWaiting ? 1 : 0)
    if status == -EAGAIN { return nil }
    _ = portico_close(pidfd)
    pidfd = -1
    switch status {
    // Someone else has reaped it, or SIGCHLD is ignored.
    case ..<0: return "\(name) ended"
    case 0..<256: return "\(name) ended with exit code \(status)"
    default: return "\(name) was killed by signal \(status - 256)"
    }
  }

  /// What it has written to stderr since; bounded, so that one that writes without end does not keep
  /// the loop.
  func readOutput() -> [String] {
    guard output >= 0 else { return [] }
    var lines: [String] = []
    withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 16) { buffer in
      for _ in 0..<4 {
        let count = portico_read(output, buffer.baseAddress, buffer.count)
        if count == -Int(EAGAIN) { return }
        guard count > 0 else {
          lines += words.end()
          _ = portico_close(output)
          output = -1
          return
        }
        lines += words.receive(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      }
    }
    return lines
  }

  /// The last lines, once everything has been read.
  var lastWords: [String] { words.kept }

  // MARK: Arguments as exec takes them

  /// Our environment, with these on top.
  private static func merged(_ added: [String: String]) -> [String] {
    var lines: [String] = []
    var place = environ
    while let entry = place.pointee {
      let line = String(cString: entry)
      if added[String(line.prefix { $0 != "=" })] == nil { lines.append(line) }
      place += 1
    }
    return lines + added.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
  }

  private static func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
  ) -> Result {
    var copies = strings.map { strdup($0) }
    copies.append(nil)
    defer { for copy in copies { free(copy) } }
    return body(copies)
  }
}
