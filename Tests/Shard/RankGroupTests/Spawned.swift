import CLinux
import Glibc
import Testing

/// A rank-peer that no supervisor of this process has started.
final class Spawned {
  let pid: Int32
  private var pidfd: Int32 = -1
  private var pipe: [Int32] = [-1, -1]
  private var text = ""

  /// - Parameters:
  ///   - words: its command line after the program.
  ///   - environment: lines added to ours.
  ///   - passes: descriptors it gets, besides its stdout and stderr.
  init(
    _ words: [String], environment: [String] = [], passes: [(from: Int32, to: Int32)] = []
  ) throws {
    try #require(portico_pipe(&pipe) == 0)
    var arguments: [UnsafeMutablePointer<CChar>?] = []
    for word in ["rank-peer"] + words { arguments.append(strdup(word)) }
    arguments.append(nil)
    var lines: [UnsafeMutablePointer<CChar>?] = []
    for line in environment { lines.append(strdup(line)) }
    let owned = arguments + lines
    defer { for word in owned { free(word) } }
    var place = environ
    while let line = place.pointee {
      lines.append(line)
      place += 1
    }
    lines.append(nil)
    let all = (passes + [(pipe[1], 1), (pipe[1], 2)]).map { portico_pass(from: $0.0, to: $0.1) }
    pid = portico_spawn(
      GroupControl.peer, arguments, lines, all, Int32(all.count), SIGKILL, &pidfd)
    try #require(pid > 0)
    close(pipe[1])
  }

  deinit {
    _ = portico_pidfd_signal(pidfd, SIGKILL)
    _ = portico_reap(pidfd, 1)
    close(pidfd)
    close(pipe[0])
  }

  func signal(_ number: Int32) { #expect(portico_pidfd_signal(pidfd, number) == 0) }

  /// What it has written so far.
  var output: String {
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while true {
      let count = portico_read(pipe[0], &buffer, buffer.count)
      guard count > 0 else { return text }
      text += String(decoding: buffer[..<count], as: UTF8.self)
    }
  }

  /// Waits for its end: the exit code, or 256 + the signal; nil when it does not end.
  func ending() -> Int32? {
    var status = -EAGAIN
    eventually("its end") {
      status = portico_reap(pidfd, 0)
      return status != -EAGAIN
    }
    return status == -EAGAIN ? nil : status
  }
}
