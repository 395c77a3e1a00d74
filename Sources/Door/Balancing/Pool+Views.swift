import Primitives

/// A member as admin and metrics show it.
package struct MemberView: Sendable {
  package enum Breaker: Sendable, Equatable {
    case closed
    case open(until: Instant)
    /// A probe is under way here, or waits for a request or for another loop's probe.
    case halfOpen
  }

  package var slot: Int
  package var name: String
  package var weight: Int
  /// What the rule believes now: measured, faded, penalties and waiting requests included.
  package var ewmaMilliseconds: Double
  /// Over all loops. Count.
  package var inFlight: Int
  /// What the rule compares, lowest wins; under rules that compare nothing, the weighted score.
  package var score: Double
  package var breaker: Breaker
  /// nil when it does not cool down.
  package var coolingUntil: Instant?
  package var health: LoadCell.Health
  package var isDraining: Bool
  /// 0.1...1.
  package var slowStartFactor: Double
  /// Neither drained, nor bad by probes, nor ejected. Back-pressure does not count: it passes soon.
  package var isUsable: Bool
  package var consecutiveFailures: Int
  /// Failures among the requests of the breaker's window, 0...1.
  package var errorRate: Double
}

extension Pool {
  /// One member. Looks at the whole pool for its means: for all members, `views` is the cheaper way.
  package func member(_ slot: Int, at now: Instant) -> MemberView {
    view(slot, at: now, currentTerms(at: now))
  }

  /// All members, in the order of the configuration.
  package func views(at now: Instant) -> [MemberView] {
    let terms = currentTerms(at: now)
    return memberSlots.map { view($0, at: now, terms) }
  }

  /// A rule of the front door's `/readyz`: someone could be picked without panic.
  package var hasUsableMember: Bool {
    (0..<rosterCount).contains { isUsable(Int(columns.roster[$0])) }
  }

  /// As a pick would divide now, if it looked at every usable member.
  private func currentTerms(at now: Instant) -> ScoreTerms {
    var count = 0
    var latencies = 0.0
    var queues = 0.0
    for place in 0..<rosterCount {
      let slot = Int(columns.roster[place])
      guard isUsable(slot), let cell = cells[slot] else { continue }
      count += 1
      latencies += estimate(slot, at: now)
      queues += Double(cell.inFlight)
    }
    return ScoreTerms(policy, count: count, latencies: latencies, queues: queues)
  }

  private func estimate(_ slot: Int, at now: Instant) -> Double {
    columns.members[slot].estimate(at: now, target: idleTarget, policy)
  }

  private func isUsable(_ slot: Int) -> Bool {
    guard let cell = cells[slot], !columns.members[slot].isRetired else { return false }
    return !cell.isDraining && cell.health != .bad && columns.members[slot].breaker.isClosed
  }

  private func view(_ slot: Int, at now: Instant, _ terms: ScoreTerms) -> MemberView {
    guard let cell = cells[slot] else { preconditionFailure("pool: slot \(slot) is empty") }
    let member = columns.members[slot]
    let queue = Double(cell.inFlight)
    let ramp = member.ramp(policy.slowStart, at: now)
    let latency = estimate(slot, at: now)
    let load = Scan.load(queue, 1 / columns.weight[slot], 1 / ramp)
    let score =
      switch policy.rule {
      case .weightedScore, .roundRobin, .random, .consistentHash, .hotCold:
        terms.score(latency, queue, 1 / columns.weight[slot], 1 / ramp)
      case .leastRequest, .powerOfTwo:
        load
      case .peakEWMA:
        latency * load
      }
    let breaker: MemberView.Breaker =
      switch member.breaker.state {
      case .closed: .closed
      case .open(let until): until > now ? .open(until: until) : .halfOpen
      case .probing: .halfOpen
      }
    var window = member.breaker.window
    window.advance(to: now)
    return MemberView(
      slot: slot, name: names[slot], weight: Int(columns.weight[slot]),
      ewmaMilliseconds: latency, inFlight: cell.inFlight, score: score,
      breaker: breaker, coolingUntil: cell.coolingUntil > now ? cell.coolingUntil : nil,
      health: cell.health, isDraining: cell.isDraining, slowStartFactor: ramp,
      isUsable: isUsable(slot), consecutiveFailures: member.breaker.failuresInRow,
      errorRate: window.failureShare)
  }
}
