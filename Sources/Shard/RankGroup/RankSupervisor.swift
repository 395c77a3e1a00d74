import CLinux
import EventLoop
import Generation
import Glibc
import Primitives

/// The group of ranks as the server sees it: starts the processes, carries requests to rank 0 and
/// tokens back, and when any rank fails ends them all and starts them anew.
///
/// Lives on the server's loop; the processes are watched on a loop of their own (`RankProcesses`).
/// `@unchecked Sendable` because every way in checks that it stands on the server's loop.
package final class RankSupervisor: TokenEngine, @unchecked Sendable {
  package private(set) var state = EngineState.starting(why: "")
  package var onEvent: ((EngineEvent) -> Void)?
  package var onState: ((EngineState) -> Void)?
  /// How often the group has left `ready`, or a start, by itself. For metrics.
  package private(set) var restarts = 0

  private let loop: EventLoop
  private var processes: RankProcesses?
  /// Of the group that `state` is about: an order for it must not reach the next one.
  private var life: UInt64 = 0
  private var hasStarted = false
  private var whenEnded: [() -> Void] = []

  /// - Parameter log: takes what ranks write to stderr, a line at a time with the rank before it, on
  ///   any thread.
  package init(
    _ settings: RankGroupSettings, loop: EventLoop,
    log: @escaping @Sendable (String) -> Void = RankSupervisor.writeToStandardError
  ) throws(SystemError) {
    self.loop = loop
    // Weak, so that a server that lets go of its engine ends it.
    let home = WeakHome()
    processes = try RankProcesses(settings, log: log) { notice in
      loop.post { home.supervisor?.hear(notice) }
    }
    home.supervisor = self
  }

  deinit {
    guard let processes, hasStarted else { return }
    processes.loop.post { processes.abandon() }
  }

  /// Starts the ranks; once.
  package func start() {
    loop.preconditionCurrent()
    guard let processes, !hasStarted else { return }
    hasStarted = true
    processes.loop.start(processes)
    processes.loop.post { processes.start() }
  }

  /// Ends the ranks: in good order if they are able to, and by force if not. What was submitted is
  /// not answered. `completion` is called when none is left, on the loop.
  package func stop(_ completion: @escaping () -> Void = {}) {
    loop.preconditionCurrent()
    guard let processes, hasStarted else {
      self.processes = nil
      state = .ended(why: "stopped")
      return completion()
    }
    whenEnded.append(completion)
    processes.loop.post { processes.stop() }
  }

  package func submit(_ request: GenerationRequest) {
    loop.preconditionCurrent()
    // A context of millions of tokens is not refused by every server.
    guard EngineOrder.canCarry(request) else {
      loop.post { [weak self] in
        self?.onEvent?(.finished(id: request.id, .outOfMemory))
      }
      return
    }
    send(.submit(request))
  }

  package func abort(id: UInt64) {
    loop.preconditionCurrent()
    send(.abort(id: id))
  }

  private func send(_ order: EngineOrder) {
    guard case .ready = state, let processes else { return }
    var frame: [UInt8] = []
    order.append(to: &frame)
    let life = life
    processes.loop.post { [frame] in processes.send(frame, life: life) }
  }

  private func hear(_ notice: RankProcesses.Notice) {
    switch notice {
    case .state(let new, let life):
      if case .starting(let why) = new, !why.isEmpty { restarts += 1 }
      state = new
      self.life = life
      onState?(new)
    case .events(let events, let life):
      // Those of a group that has failed since are for nobody.
      for event in events where life == self.life {
        guard case .ready = state else { return }
        onEvent?(event)
      }
    case .ended:
      processes = nil
      let completions = whenEnded
      whenEnded = []
      for completion in completions { completion() }
    }
  }

  /// One line to stderr; lost rather than waited for when nobody reads there.
  @Sendable package static func writeToStandardError(_ line: String) {
    guard portico_is_writable(2) == 1 else { return }
    // A pipe that is writable takes 4096 bytes at once.
    var bytes = Array(line.utf8.prefix(4_095))
    bytes.append(UInt8(ascii: "\n"))
    _ = portico_write(2, bytes, bytes.count)
  }
}

/// Where messages for a supervisor go. Written once, before the first message; read on its loop.
private final class WeakHome: @unchecked Sendable {
  weak var supervisor: RankSupervisor?
}
