import Balancing
import Primitives
import Telemetry

/// One member over all loops, as people see it.
///
/// Each loop has its own average, score and breaker. They are brought together like this:
/// - average and score: the mean over the loops, weighted by the requests that each sent to the
///   member. A loop that sent none holds only its pool's prior, which says nothing of the member;
///   when none sent any, all count the same.
/// - breaker: the worst (open, then half open, then closed), with the latest end; `breakerLoops`
///   says how many loops see it so, because the others still send.
/// - slow start: the smallest share. Last error: the newest.
/// - in flight, cooling, health and draining are shared by the loops as they are.
struct MemberSummary {
  /// In one word, the first of these that holds.
  enum State: String {
    case draining
    case unhealthy
    /// The breaker is open.
    case ejected
    /// The breaker is half open.
    case probing
    /// 429 or 503 with a time to stay away.
    case cooling
    /// In slow start.
    case warming
    case serving
  }

  let member: FleetReport.Member
  let now: Instant
  private(set) var ewma: TimeAmount?
  private(set) var score: Double?
  private(set) var breaker = MemberReading.Breaker.closed
  private(set) var openUntil = Instant.zero
  /// Loops whose breaker is not closed. Count.
  private(set) var breakerLoops = 0
  private(set) var ramp = 1.0
  let lastFailure: FleetReport.FailureNote?
  let requests: RequestCounts.Member

  init(_ member: FleetReport.Member, _ counts: RequestCounts, at now: Instant) {
    self.member = member
    self.now = now
    requests = counts[member.id]
    lastFailure = member.failures.max { $0.at < $1.at }
    let known = member.views.enumerated().compactMap { index, view in
      view.map { (view: $0, sent: counts.sent(to: member.id, byLoop: index)) }
    }
    ewma = Self.mean(known.map { ($0.view.ewma.map { Double($0.nanoseconds) }, $0.sent) })
      .flatMap { Int64(exactly: $0.rounded()) }.map { .nanoseconds($0) }
    score = Self.mean(known.map { ($0.view.score, $0.sent) })
    for (view, _) in known {
      if Self.badness(view.breaker) > Self.badness(breaker) { breaker = view.breaker }
      if view.breaker != .closed { breakerLoops += 1 }
      if view.breaker == .open { openUntil = max(openUntil, view.openUntil) }
      ramp = min(ramp, view.ramp)
    }
  }

  var state: State {
    if member.isDraining { return .draining }
    if member.health == .bad { return .unhealthy }
    switch breaker {
    case .open: return .ejected
    case .halfOpen: return .probing
    case .closed: break
    }
    if member.coolingUntil > now { return .cooling }
    return ramp < 1 ? .warming : .serving
  }

  /// As Telemetry wants it.
  var reading: MemberReading {
    var reading = MemberReading(member: member.id)
    if member.isDraining {
      reading.state = .draining
    } else {
      switch member.health {
      case .unknown: reading.state = .unknown
      case .good: reading.state = .healthy
      case .bad: reading.state = .unhealthy
      }
    }
    reading.breaker = breaker
    reading.inFlight = member.inFlight
    reading.ewma = ewma
    reading.score = score
    reading.probesPassed = member.probesPassed
    reading.probesFailed = member.probesFailed
    return reading
  }

  private static func badness(_ breaker: MemberReading.Breaker) -> Int {
    switch breaker {
    case .closed: 0
    case .halfOpen: 1
    case .open: 2
    }
  }

  private static func mean(_ values: [(Double?, weight: UInt64)]) -> Double? {
    let given = values.compactMap { value, weight in
      value.flatMap { $0.isFinite ? ($0, Double(weight)) : nil }
    }
    guard !given.isEmpty else { return nil }
    let total = given.reduce(0) { $0 + $1.1 }
    if total == 0 { return given.reduce(0) { $0 + $1.0 } / Double(given.count) }
    return given.reduce(0) { $0 + $1.0 * $1.1 } / total
  }
}

/// Requests that have ended, by member, from the counters of all loops in one walk.
struct RequestCounts {
  struct Member {
    var requests = 0
    /// Answered with 5xx, the backend's own or ours in its place. Count. Clients that left before
    /// any answer are not its fault and do not count.
    var errors = 0
  }

  private var members: [Member] = []
  /// By loop, then by member.
  private var byLoop: [[UInt64]] = []

  init(_ loops: [MetricsSnapshot]) {
    for loop in loops {
      var sent: [UInt64] = []
      for cell in loop.requests.cells where cell.key.member >= 0 {
        let id = Int(cell.key.member)
        if id >= sent.count { sent += repeatElement(0, count: id + 1 - sent.count) }
        if id >= members.count {
          members += repeatElement(Member(), count: id + 1 - members.count)
        }
        var all: UInt64 = 0
        for kind in CodeClass.allCases { all &+= cell.counts[Int(kind.rawValue)] }
        sent[id] &+= all
        members[id].requests += Int(clamping: all)
        members[id].errors += Int(clamping: cell.counts[Int(CodeClass.serverError.rawValue)])
      }
      byLoop.append(sent)
    }
  }

  subscript(_ id: Int) -> Member { members.indices.contains(id) ? members[id] : Member() }

  func sent(to id: Int, byLoop loop: Int) -> UInt64 {
    guard byLoop.indices.contains(loop), byLoop[loop].indices.contains(id) else { return 0 }
    return byLoop[loop][id]
  }
}
