import CLinux
import EventLoop
import Generation
import Glibc
import Primitives
import RankGroup
import Synchronization
import Testing

/// Stories that look at what is left in this process, so they come one after the other.
@Suite(.serialized) enum Processes {}

/// A supervisor on a loop, and what it said; for stories.
final class GroupControl: LoopDelegate, @unchecked Sendable {
  /// In every rank's command line, so that this group's processes are known among all others.
  let mark = "mark-\(getpid())-\(UInt64.random(in: 0...(.max)))"
  private let loop: EventLoop
  private var supervisor: RankSupervisor?
  private let heard = Mutex(Heard())

  struct Heard {
    var states: [EngineState] = []
    var tokens: [UInt64: Int] = [:]
    var finished: [UInt64] = []
    var lines: [String] = []
    var hasStopped = false
    var restarts = 0
  }

  init(
    ranks: Int, _ how: String..., isStarted: Bool = true,
    change: (inout RankGroupSettings) -> Void = { _ in }
  ) throws {
    loop = try EventLoop(index: 0, label: "tests")
    let mark = mark
    var settings = RankGroupSettings(ranks: ranks, floatsPerExchange: 4_096) { _ in
      ["rank-peer", "rank", mark] + how
    }
    settings.program = Self.peer
    change(&settings)
    let supervisor = try RankSupervisor(settings, loop: loop) { [weak self] line in
      self?.heard.withLock { $0.lines.append(line) }
    }
    self.supervisor = supervisor
    supervisor.onState = { [unowned self, unowned supervisor] state in
      heard.withLock {
        $0.states.append(state)
        $0.restarts = supervisor.restarts
      }
    }
    supervisor.onEvent = { [unowned self] event in
      heard.withLock { heard in
        switch event {
        case .token(let token): heard.tokens[token.id, default: 0] += 1
        case .finished(let id, _): heard.finished.append(id)
        case .ready, .report: break
        }
      }
    }
    loop.start(self)
    if isStarted { loop.post { supervisor.start() } }
  }

  func ready(_ events: UnsafeBufferPointer<epoll_event>) {}
  func deadlinePassed(at now: Instant) {}
  var nextDeadline: Instant { .never }

  func submit(_ id: UInt64, tokens: Int) {
    loop.post { [self] in
      supervisor?.submit(GenerationRequest(id: id, prompt: [1, 2], maxTokens: tokens))
    }
  }

  func abort(_ id: UInt64) { loop.post { [self] in supervisor?.abort(id: id) } }

  var now: Heard { heard.withLock { $0 } }

  /// How often the group has become ready.
  var starts: Int {
    now.states.count {
      if case .ready = $0 { true } else { false }
    }
  }

  /// Lets go of the supervisor without a word.
  func drop() {
    loop.post { [self] in
      supervisor = nil
    }
  }

  /// Stops, and checks that nothing is left.
  func stop() {
    loop.post { [self] in
      supervisor?.stop { [self] in heard.withLock { $0.hasStopped = true } }
    }
    eventually("the group has ended") { now.hasStopped }
    #expect(ranks == [])
    #expect(Self.sharedMemories() == 0)
    loop.post { [self] in supervisor = nil }
    loop.stop()
  }

  // MARK: Processes

  /// The rank-peer that was built with these tests: it lies beside the test bundle.
  static let peer: String = {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let here = String(decoding: buffer[..<max(0, count)].map(UInt8.init), as: UTF8.self)
    let path = String(here[..<(here.lastIndex(of: "/") ?? here.startIndex)]) + "/rank-peer"
    precondition(access(path, X_OK) == 0, "no rank-peer at \(path)")
    return path
  }()

  /// The ranks of this group that live, in the order in which they were started.
  var ranks: [Int32] { Self.processes(["rank", mark]) }

  /// Processes whose words after the first are these, zombies not counted.
  static func processes(_ words: [String]) -> [Int32] {
    var found: [Int32] = []
    for name in names(in: "/proc") {
      guard let pid = Int32(name) else { continue }
      let line = read("/proc/\(pid)/cmdline").split(separator: "\0").map(String.init)
      if line.dropFirst().prefix(words.count).elementsEqual(words) { found.append(pid) }
    }
    return found.sorted()
  }

  static func names(in directory: String) -> [String] {
    guard let open = opendir(directory) else { return [] }
    defer { closedir(open) }
    var names: [String] = []
    while let entry = readdir(open) {
      names.append(
        withUnsafeBytes(of: entry.pointee.d_name) {
          String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        })
    }
    return names
  }

  /// Memories of groups that this process still holds.
  static func sharedMemories() -> Int {
    (0..<256).count { descriptor in
      var buffer = [CChar](repeating: 0, count: 256)
      let count = readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count - 1)
      return String(decoding: buffer[..<max(0, count)].map(UInt8.init), as: UTF8.self)
        .contains("portico-ranks")
    }
  }

  private static func read(_ path: String) -> String {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var buffer = [UInt8](repeating: 0, count: 4_096)
    let count = Glibc.read(file, &buffer, buffer.count)
    return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
  }
}

/// Waits for something that will come; the bound is for the case that it does not.
func eventually(
  _ what: String, within seconds: Int = 30, location: SourceLocation = #_sourceLocation,
  _ condition: () -> Bool
) {
  let start = portico_monotonic_ns()
  while !condition() {
    if portico_monotonic_ns() - start > Int64(seconds) * 1_000_000_000 {
      Issue.record("not within \(seconds) s: \(what)", sourceLocation: location)
      break
    }
    usleep(1_000)
  }
}
