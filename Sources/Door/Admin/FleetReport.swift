import Balancing
import Primitives
import Telemetry

/// How everything is at one moment: what the control side knows itself, and what each loop told.
///
/// `/fleet` and `/metrics` are both made from it, so they cannot contradict each other.
package struct FleetReport: Sendable {
  package struct Pool: Sendable {
    package var name: String
    /// As the configuration spells it, such as `weighted_score`.
    package var policy: String
    package var members: [Member]

    package init(name: String, policy: String, members: [Member]) {
      self.name = name
      self.policy = policy
      self.members = members
    }
  }

  package struct Member: Sendable {
    /// Telemetry's identity.
    package var id: Int
    package var name: String
    package var address: String
    package var weight: Int
    package var health = LoadCell.Health.unknown
    package var isDraining = false
    /// Over all loops. Count.
    package var inFlight = 0
    /// The backend asked to be left alone until then.
    package var coolingUntil = Instant.zero
    package var probesPassed: UInt64 = 0
    package var probesFailed: UInt64 = 0
    /// Why probes or requests failed, in any order; the newest is shown.
    package var failures: [FailureNote] = []
    /// What each loop believes, in the order of `FleetReport.loops`; nil where a loop does not know
    /// the member yet.
    package var views: [LoopView?] = []

    package init(id: Int, name: String, address: String, weight: Int = 1) {
      self.id = id
      self.name = name
      self.address = address
      self.weight = weight
    }

    /// With what all loops share.
    package init(id: Int, name: String, address: String, weight: Int, cell: LoadCell) {
      self.init(id: id, name: name, address: address, weight: weight)
      health = cell.health
      isDraining = cell.isDraining
      inFlight = cell.inFlight
      coolingUntil = cell.coolingUntil
    }
  }

  /// What one loop believes of a member.
  package struct LoopView: Sendable, Equatable {
    /// nil before the first sample.
    package var ewma: TimeAmount?
    /// What the policy compares, lowest wins; nil for policies that do not score.
    package var score: Double?
    package var breaker = MemberReading.Breaker.closed
    /// When an open breaker lets a probe through; `zero` when it is not open.
    package var openUntil = Instant.zero
    /// Share of its weight that a member in slow start has, up to 1.
    package var ramp = 1.0

    package init() {}

    package init(_ view: MemberView) {
      ewma = Int64(exactly: (view.ewmaMilliseconds * 1e6).rounded()).map { .nanoseconds($0) }
      score = view.score
      ramp = view.slowStartFactor
      switch view.breaker {
      case .closed: breaker = .closed
      case .halfOpen: breaker = .halfOpen
      case .open(let until):
        breaker = .open
        openUntil = until
      }
    }
  }

  package struct FailureNote: Sendable, Equatable {
    package var text: String
    package var at: Instant

    package init(_ text: String, at: Instant) {
      self.text = text
      self.at = at
    }
  }

  package var now: Instant
  package var uptime: TimeAmount
  package var loops: [MetricsSnapshot]
  /// In the order of the configuration.
  package var pools: [Pool]
  package var names: MetricNames
  package var control: ControlReading
  package var process: ProcessFacts

  package init(
    now: Instant, uptime: TimeAmount, loops: [MetricsSnapshot], pools: [Pool], names: MetricNames,
    control: ControlReading, process: ProcessFacts
  ) {
    self.now = now
    self.uptime = uptime
    self.loops = loops
    self.pools = pools
    self.names = names
    self.control = control
    self.process = process
  }

  /// The text of `/metrics`.
  package func prometheusText() -> [UInt8] {
    let counts = RequestCounts(loops)
    let readings = pools.flatMap { pool in
      pool.members.map { MemberSummary($0, counts, at: now).reading }
    }
    return PrometheusText.encode(
      snapshots: loops, names: names, members: readings, control: control, process: process)
  }
}
