import EventLoop
import Primitives

/// What is known about one member from its probes: for `/fleet`, `/readyz` and the metrics.
package struct MemberHealth: Sendable {
  package fileprivate(set) var verdict = Verdict.unknown
  /// When the verdict became what it is; `zero` while it is unknown.
  package fileprivate(set) var since = Instant.zero
  /// Probes that ended well, that ended badly, and that could not be made. Counts.
  package fileprivate(set) var goodProbes: UInt64 = 0
  package fileprivate(set) var badProbes: UInt64 = 0
  package fileprivate(set) var inconclusiveProbes: UInt64 = 0
  /// The end of the latest probe; `zero` before the first.
  package fileprivate(set) var lastProbe = Instant.zero
  /// From the start of the latest probe to its end.
  package fileprivate(set) var lastElapsed = TimeAmount.zero
  /// Why the latest bad or inconclusive probe was so: `connect refused`. Stays after good ones.
  package fileprivate(set) var lastError: String?
  package fileprivate(set) var lastErrorAt = Instant.zero
}

/// Active health probes of all members: HTTP or TCP, by libcurl.
///
/// Who owns what: this object and its table belong to the control loop; the probes and libcurl to
/// a loop of their own (`ProbeLoop`). Between them go messages: targets there, reports back. A
/// report carries the incarnation of the member it is about, so one that was on its way while the
/// member was removed or moved is dropped here and nobody hears of it.
package final class HealthProber: @unchecked Sendable {
  private struct Entry {
    var address: SocketAddress
    var incarnation: UInt64
    var health = MemberHealth()
  }

  private let control: EventLoop
  private let loop: EventLoop
  private let board: Board
  private let probes: ProbeLoop
  private var isStopped = false

  /// The control loop's side. Apart from the prober so that the way back needs no reference to it.
  private final class Board: @unchecked Sendable {
    let onVerdict: (Target.ID, Verdict) -> Void
    var entries: [Target.ID: Entry] = [:]
    var nextIncarnation: UInt64 = 0

    init(onVerdict: @escaping (Target.ID, Verdict) -> Void) { self.onVerdict = onVerdict }

    func take(_ report: ProbeReport) {
      guard var entry = entries[report.id], entry.incarnation == report.incarnation else { return }
      entry.health.take(report)
      entries[report.id] = entry
      if report.verdictChanged { onVerdict(report.id, report.verdict) }
    }
  }

  /// Starts without targets.
  ///
  /// - Parameters:
  ///   - control: The loop on which the prober is used and `onVerdict` is called.
  ///   - seed: Of the jitter.
  ///   - onVerdict: Called when a member's verdict becomes another, never for one that was removed.
  package init(
    control: EventLoop, seed: UInt64, onVerdict: @escaping (Target.ID, Verdict) -> Void
  ) throws(SystemError) {
    self.control = control
    let board = Board(onVerdict: onVerdict)
    let loop = try EventLoop(index: 0, label: "health")
    let probes = ProbeLoop(loop: loop, random: SeededRandom(seed: seed)) { reports in
      control.post { for report in reports { board.take(report) } }
    }
    self.board = board
    self.loop = loop
    self.probes = probes
    loop.start(probes)
  }

  deinit { if !isStopped { shutDown() } }

  /// Probes exactly these from now on; call it at the start and after each reload.
  ///
  /// A target that was there keeps its verdict and its run of good or bad probes, and new settings
  /// take effect with its next probe. The same id at another address is another server: it begins
  /// as unknown. What is missing is forgotten without a verdict.
  package func apply(targets: [Target]) {
    control.preconditionCurrent()
    if isStopped { return }
    var entries: [Target.ID: Entry] = [:]
    entries.reserveCapacity(targets.count)
    var numbered: [(target: Target, incarnation: UInt64)] = []
    numbered.reserveCapacity(targets.count)
    for target in targets where entries[target.id] == nil {
      let entry: Entry
      if let old = board.entries[target.id], old.address == target.address {
        entry = old
      } else {
        board.nextIncarnation += 1
        entry = Entry(address: target.address, incarnation: board.nextIncarnation)
      }
      entries[target.id] = entry
      numbered.append((target, entry.incarnation))
    }
    board.entries = entries
    loop.post { [probes, numbered] in probes.apply(numbered) }
  }

  /// Nil for a member that is not probed.
  package func health(of id: Target.ID) -> MemberHealth? {
    control.preconditionCurrent()
    return board.entries[id]?.health
  }

  /// Ends all probes. Nothing is reported after it; to be called on the control loop.
  package func stop() {
    control.preconditionCurrent()
    if isStopped { return }
    isStopped = true
    board.entries = [:]
    shutDown()
  }

  /// The closure keeps the probes alive until libcurl has been put away.
  private func shutDown() {
    loop.post { [probes] in probes.stop() }
    loop.stop()
  }
}

extension MemberHealth {
  fileprivate mutating func take(_ report: ProbeReport) {
    lastProbe = report.end
    lastElapsed = report.elapsed
    if report.verdictChanged {
      verdict = report.verdict
      since = report.end
    }
    switch report.outcome {
    case .good:
      goodProbes += 1
    case .bad(let failure):
      badProbes += 1
      lastError = failure.description
      lastErrorAt = report.end
    case .inconclusive(let failure):
      inconclusiveProbes += 1
      lastError = failure.description
      lastErrorAt = report.end
    }
  }
}
