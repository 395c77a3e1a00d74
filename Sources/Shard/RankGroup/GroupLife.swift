import Generation
import Primitives

/// The life of a group, as decisions only.
///
/// ```
///          spawn                    ready
/// [idle] -------> [starting] ----------------> [ready]
///                  ^     |                        |
///                  |     | a rank exits, the channel breaks, no report for too long,
///                  |     | the start takes too long: kill, tell
///                  |     v                        |
///          pause   |   [ending] <-----------------+
///                  |     | all are gone
///                  +-----+-----> [ended] when too many starts in a row have failed
///
/// stop: [any] --order--> [stopping] --SIGTERM--> --SIGKILL--> all are gone --> [ended]
/// ```
///
/// Limits are counted in ticks, not read from a clock: a machine that slept, or a supervisor that was
/// stopped, must not take its ranks for hung when it goes on.
struct GroupLife {
  /// Time between ticks. What limits are rounded to.
  static let tick = TimeAmount.milliseconds(250)

  enum Event: Equatable {
    case start
    case ready(EngineFacts)
    /// Rank 0 has said something.
    case heard
    /// Why the group cannot go on: a rank's exit, a start that failed, a channel that broke. `words`
    /// are the last lines of the rank that is to blame.
    case failed(why: String, words: [String])
    /// No process is left.
    case allGone
    case pauseOver
    case tick
    case stop
  }

  enum Action: Equatable {
    case spawn
    case tell(EngineState)
    /// Tells rank 0 to end in good order.
    case endOrders
    /// SIGTERM to what is left.
    case terminate
    /// SIGKILL to what is left.
    case kill
    /// Wants `pauseOver` after so long.
    case pause(TimeAmount)
    /// Nothing follows.
    case end
  }

  private enum Phase: Equatable {
    case idle
    case starting(ticks: Int)
    case ready(ticks: Int, silent: Int)
    case ending(ticks: Int, why: String)
    case pausing(why: String)
    case stopping(ticks: Int)
    case ended
  }

  private let settings: RankGroupSettings
  private var phase = Phase.idle
  /// Starts in a row that did not come to `ready`.
  private var failures = 0
  private var nextPause: TimeAmount

  init(_ settings: RankGroupSettings) {
    self.settings = settings
    nextPause = settings.firstPause
  }

  /// Processes may be there.
  var isActive: Bool {
    switch phase {
    case .starting, .ready, .ending, .stopping: true
    case .idle, .pausing, .ended: false
    }
  }

  mutating func handle(_ event: Event) -> [Action] {
    switch event {
    case .start:
      guard phase == .idle else { return [] }
      phase = .starting(ticks: 0)
      return [.tell(.starting(why: "")), .spawn]
    case .ready(let facts):
      guard case .starting = phase else { return [] }
      phase = .ready(ticks: 0, silent: 0)
      failures = 0
      return [.tell(.ready(facts))]
    case .heard:
      guard case .ready(let ticks, _) = phase else { return [] }
      phase = .ready(ticks: ticks, silent: 0)
      return []
    case .failed(let why, let words): return fail(why, words)
    case .allGone: return gone()
    case .pauseOver:
      guard case .pausing = phase else { return [] }
      phase = .starting(ticks: 0)
      return [.spawn]
    case .tick: return tick()
    case .stop: return stop()
    }
  }

  private mutating func fail(_ why: String, _ words: [String]) -> [Action] {
    let lastWords = words.isEmpty ? "" : "; its last words: \(words.joined(separator: " | "))"
    switch phase {
    case .starting:
      failures += 1
      guard failures < settings.failureLimit else {
        phase = .stopping(ticks: Self.ticks(settings.stopLimit) * 2)
        let times = failures == 1 ? "" : ", \(failures) times in a row"
        return [
          .tell(.ended(why: "\(why) before the group was ready\(times)\(lastWords)")), .kill,
        ]
      }
    case .ready: break
    case .idle, .ending, .pausing, .stopping, .ended: return []
    }
    phase = .ending(ticks: 0, why: why)
    return [.tell(.starting(why: why + lastWords)), killing]
  }

  /// mpirun is the one that knows its ranks: killed at once, it would leave them to themselves.
  private var killing: Action { settings.transport == .mpi ? .terminate : .kill }

  private mutating func gone() -> [Action] {
    switch phase {
    case .ending(_, let why):
      phase = .pausing(why: why)
      let pause = nextPause
      nextPause = min(nextPause * 2, settings.longestPause)
      return [.pause(pause)]
    case .stopping:
      phase = .ended
      return [.end]
    case .idle, .starting, .ready, .pausing, .ended: return []
    }
  }

  private mutating func tick() -> [Action] {
    switch phase {
    case .starting(let ticks):
      phase = .starting(ticks: ticks + 1)
      if ticks + 1 < Self.ticks(settings.startLimit) { return [] }
      return fail("the group did not become ready within \(settings.startLimit)", [])
    case .ready(let ticks, let silent):
      phase = .ready(ticks: ticks + 1, silent: silent + 1)
      if ticks + 1 == Self.ticks(settings.healthyAfter) { nextPause = settings.firstPause }
      if silent + 1 < Self.ticks(settings.heartbeatLimit) { return [] }
      return fail("rank 0 has not reported for \(settings.heartbeatLimit)", [])
    case .ending(let ticks, let why):
      phase = .ending(ticks: ticks + 1, why: why)
      // Again and again: whoever is still there had been told in kindness only, or is stuck in the
      // kernel.
      return (ticks + 1) % Self.ticks(.seconds(2)) == 0 ? [.kill] : []
    case .stopping(let ticks):
      phase = .stopping(ticks: ticks + 1)
      let limit = Self.ticks(settings.stopLimit)
      if ticks + 1 == limit { return [.terminate] }
      return ticks + 1 >= 2 * limit && (ticks + 1) % limit == 0 ? [.kill] : []
    case .idle, .pausing, .ended: return []
    }
  }

  private mutating func stop() -> [Action] {
    switch phase {
    case .starting, .ending:
      // Nobody reads orders yet, or any more.
      phase = .stopping(ticks: Self.ticks(settings.stopLimit))
      return [.tell(.ended(why: "stopped")), .terminate]
    case .ready:
      phase = .stopping(ticks: 0)
      return [.tell(.ended(why: "stopped")), .endOrders]
    case .idle, .pausing:
      phase = .ended
      return [.tell(.ended(why: "stopped")), .end]
    case .stopping, .ended: return []
    }
  }

  private static func ticks(_ time: TimeAmount) -> Int {
    Int(max(1, (time.nanoseconds + tick.nanoseconds - 1) / tick.nanoseconds))
  }
}
