import Primitives

/// The members of one pool as one loop sees them, and the choice among them.
///
/// A pick walks: bring estimates up to date when they are due -> a half-open breaker's probe, if one
/// waits -> gather the members that may be used (all of them up to 64, a sample of larger pools; all
/// but drained ones below the panic threshold) -> let the rule choose -> count in. Nothing is
/// allocated, and members cost no reference count.
///
/// Slots are stable across reloads and differ between loops: between loops members go by name.
package struct Pool: ~Copyable {
  package internal(set) var policy: PoolPolicy
  var columns = Columns()
  /// Members now configured: the length of the roster.
  var rosterCount = 0
  /// Slots ever used. Count.
  var slotCount = 0
  var freeSlots: [Int] = []
  var names: [String] = []
  /// Owners of the shared words of occupied slots, retired ones included.
  var cells: [LoadCell?] = []
  var slotByName: [String: Int] = [:]

  /// What the pool as a whole answers in: success latencies of all members in milliseconds, which is
  /// where the estimate of an idle member goes.
  var served = LatencyAverage()
  /// Breakers that are not closed. Count.
  var ejectedCount = 0
  /// Of those: waiting for a probe. Count.
  var ripeCount = 0
  /// Place in the roster of the first of them.
  var firstRipe = 0
  /// Tickets of this loop that are not finished. Count.
  var outstanding = 0
  /// When estimates must be brought up to date.
  var nextSweep = Instant.zero
  var sweep = Sweep()
  /// What the last sweep counted, for pools too large to be scanned by each pick.
  var census = Census()
  /// `outstanding` at that time.
  var censusOutstanding = 0

  /// All weights are equal and so need not be drawn by.
  var isUniform = true
  var alias = AliasTable()
  var schedule = Schedule()
  var ring = HashRing()
  /// What these three were made from.
  var drawPlan = DrawPlan()

  package init(policy: PoolPolicy, members: [MemberSpec], at now: Instant) {
    self.policy = policy
    apply(policy: policy, members: members, at: now)
    // Slow start is for a member among others that are warm; here all are new.
    for place in 0..<rosterCount {
      let slot = Int(columns.roster[place])
      columns.members[slot].rampStart = nil
      refresh(slot, at: now)
    }
  }

  deinit {
    for slot in 0..<slotCount {
      guard let line = columns.lines[slot] else { continue }
      let member = columns.members[slot]
      if member.breaker.isProbing { line.pointee.returnProbe() }
      if member.outstanding > 0 { line.pointee.leave(UInt64(member.outstanding)) }
    }
  }

  var isSampled: Bool { rosterCount > PoolPolicy.scanLimit }

  // MARK: The story of a request

  /// Chooses a member and counts the request in.
  ///
  /// - Parameters:
  ///   - hashKey: for `consistentHash`; without one, that rule chooses by load.
  ///   - avoiding: slots that the request has tried.
  ///   - inFlightLimit: requests that a member may hold over all loops; 0 is no limit.
  package mutating func pick(
    at now: Instant, random: inout SeededRandom, hashKey: UInt64?, avoiding: SlotSet,
    inFlightLimit: Int
  ) -> Pick {
    if now >= nextSweep { sweep(at: now, limit: isSampled ? Self.sweepPortion : .max) }
    let query = Query(
      now: now, hashKey: hashKey, avoiding: avoiding,
      limit: inFlightLimit > 0 ? UInt64(inFlightLimit) : .max)
    if ripeCount > 0, let slot = takeProbe(query) {
      columns.members[slot].breaker.beginProbe()
      ejectionChanged(slot)
      return .member(ticket(slot, at: now, isProbe: true))
    }
    // Another loop may take the last place between our look and our count: look again, a few times.
    for _ in 0..<3 {
      switch choose(query, &random) {
      case .slot(let slot, let isPanic):
        if columns.lines[slot]!.pointee.enter(limit: query.limit) {
          return .member(ticket(slot, at: now, isPanic: isPanic))
        }
      case .none(let reason):
        return .none(reason)
      }
    }
    return .none(.allFull)
  }

  /// The answer has begun. To be called once per ticket, with the head of a final answer.
  ///
  /// - Parameters:
  ///   - latency: from the request to its first byte.
  ///   - isHealthy: the status is a success by item 6 (below 500, not 429). Then the latency is a
  ///     sample, and a probe closes its breaker now: a stream may take minutes to end.
  @discardableResult
  package mutating func firstByte(
    _ ticket: inout Ticket, latency: TimeAmount, isHealthy: Bool, at now: Instant
  ) -> Transition? {
    let slot = check(ticket)
    guard !ticket.hasAnswered else { return nil }
    stopWaiting(slot, ticket)
    ticket.hasAnswered = true
    guard isHealthy, !columns.members[slot].isRetired else { return nil }
    if policy.latency == .firstByte { sample(slot, latency, at: now) }
    refresh(slot, at: now)
    guard ticket.isProbe else { return nil }
    return judge(slot, ticket, .success, at: now, jitter: 0)
  }

  /// The member is done with the request: counts it out and judges the member.
  @discardableResult
  package mutating func finished(
    _ ticket: Ticket, _ outcome: Outcome, at now: Instant, random: inout SeededRandom
  ) -> Transition? {
    let slot = check(ticket)
    let line = columns.lines[slot]!
    line.pointee.leave()
    outstanding -= 1
    columns.members[slot].outstanding -= 1
    if !ticket.hasAnswered { stopWaiting(slot, ticket) }
    if columns.members[slot].isRetired {
      if columns.members[slot].outstanding == 0 { vacate(slot) }
      return nil
    }
    let elapsed = now - ticket.startedAt
    switch outcome.verdict {
    case .success:
      switch policy.latency {
      case .firstByte:
        if !ticket.hasAnswered, let latency = outcome.firstByte {
          sample(slot, latency, at: now)
        }
      case .full:
        sample(slot, outcome.total ?? elapsed, at: now)
      }
    case .failure:
      if ticket.epoch == columns.members[slot].breaker.epoch {
        punish(slot, elapsed, at: now)
      }
    case .backpressure(let retryAfter):
      let wait = min(retryAfter ?? policy.backpressure, policy.backpressureLimit)
      line.pointee.cool(until: now + max(.zero, wait))
    case .neutral:
      // Who left before the first byte proves that it takes at least this long.
      if !ticket.hasAnswered, elapsed.milliseconds > columns.latency[slot] {
        columns.members[slot].latency.add(elapsed.milliseconds, at: now, tau: policy.tau)
      }
    }
    refresh(slot, at: now)
    return judge(slot, ticket, outcome.verdict, at: now, jitter: random.unit())
  }

  /// Another loop's breaker for the same member has changed.
  package mutating func peerReported(_ slot: Int, _ change: BreakerChange, at now: Instant) {
    guard slot < slotCount, columns.lines[slot] != nil, !columns.members[slot].isRetired
    else { return }
    switch (change, columns.members[slot].breaker.state) {
    case (.opened(let until), .closed):
      guard policy.breakerEnabled, mayEject else { return }
      columns.members[slot].breaker.follow(until: until)
      ejectedCount += 1
      ejectionChanged(slot)
    case (.opened(let until), .open(let ours)):
      guard until > ours else { return }
      columns.members[slot].breaker.follow(until: until)
      ejectionChanged(slot)
    case (.opened, .probing):
      return
    case (.closed, .open), (.closed, .probing):
      close(slot, at: now)
    case (.closed, .closed), (.halfOpened, _):
      return
    }
  }

  package mutating func peerReported(_ name: String, _ change: BreakerChange, at now: Instant) {
    if let slot = slotByName[name] { peerReported(slot, change, at: now) }
  }

  // MARK: Tickets

  private mutating func ticket(
    _ slot: Int, at now: Instant, isProbe: Bool = false, isPanic: Bool = false
  ) -> Ticket {
    let member = columns.members + slot
    outstanding += 1
    member.pointee.outstanding += 1
    member.pointee.waiting += 1
    member.pointee.waitingStarts &+= now.nanoseconds
    return Ticket(
      place: Int32(truncatingIfNeeded: slot), generation: member.pointee.generation,
      epoch: member.pointee.breaker.epoch, isProbe: isProbe, isPanic: isPanic, startedAt: now)
  }

  private mutating func check(_ ticket: Ticket) -> Int {
    let slot = ticket.slot
    precondition(
      slot >= 0 && slot < slotCount && columns.members[slot].generation == ticket.generation
        && columns.members[slot].outstanding > 0,
      "pool: a ticket of slot \(ticket.slot) was finished twice, or never picked")
    return slot
  }

  private mutating func stopWaiting(_ slot: Int, _ ticket: Ticket) {
    columns.members[slot].waiting -= 1
    columns.members[slot].waitingStarts &-= ticket.startedAt.nanoseconds
  }

  // MARK: Latency

  /// What the pool answers in, as the target of idle members.
  var idleTarget: Double { served.value * PoolPolicy.idleOptimism }

  private mutating func sample(_ slot: Int, _ latency: TimeAmount, at now: Instant) {
    let milliseconds = max(0, latency.milliseconds)
    columns.members[slot].latency.add(
      milliseconds, at: now, tau: policy.tau, peaks: policy.rule == .peakEWMA)
    served.add(milliseconds, at: now, tau: policy.tau)
  }

  private mutating func punish(_ slot: Int, _ elapsed: TimeAmount, at now: Instant) {
    let mean = max(served.value, 1)
    let penalty = min(
      max(elapsed.milliseconds, PoolPolicy.penaltyFactor * mean), PoolPolicy.penaltyLimit * mean)
    columns.members[slot].latency.punish(penalty, at: now, target: idleTarget, tau: policy.tau)
  }

  /// Brings the columns of one member up to date.
  mutating func refresh(_ slot: Int, at now: Instant) {
    let member = columns.members + slot
    columns.latency[slot] = member.pointee.estimate(at: now, target: idleTarget, policy)
    columns.inverseRamp[slot] =
      member.pointee.rampStart == nil ? 1 : 1 / member.pointee.ramp(policy.slowStart, at: now)
  }

  // MARK: Breakers

  /// One more member may be taken out.
  private var mayEject: Bool { ejectedCount < ejectionLimit }

  /// Members that breakers may take out together. Count.
  var ejectionLimit: Int { Int(policy.maxEjected * Double(rosterCount) + 1e-9) }

  private mutating func judge(
    _ slot: Int, _ ticket: Ticket, _ verdict: Outcome.Verdict, at now: Instant, jitter: Double
  ) -> Transition? {
    let member = columns.members + slot
    let wasClosed = member.pointee.breaker.isClosed
    let wasProbing = member.pointee.breaker.isProbing
    let change = member.pointee.breaker.judge(
      ticket, verdict, at: now, policy, mayOpen: mayEject, jitter: jitter)
    if wasProbing, !member.pointee.breaker.isProbing {
      columns.lines[slot]!.pointee.returnProbe()
      nextSweep = now
    }
    switch change {
    case nil:
      return nil
    case .opened:
      if wasClosed { ejectedCount += 1 }
      ejectionChanged(slot)
    case .closed:
      ejectedCount -= 1
      recover(slot, at: now)
      ejectionChanged(slot)
    case .halfOpened:
      preconditionFailure("pool: a verdict opened a breaker by half")
    }
    return change.map { Transition(slot: slot, change: $0) }
  }

  /// Closes a breaker for another reason than its own probe.
  mutating func close(_ slot: Int, at now: Instant) {
    guard !columns.members[slot].breaker.isClosed else { return }
    if columns.members[slot].breaker.isProbing { columns.lines[slot]!.pointee.returnProbe() }
    columns.members[slot].breaker.close(at: now, policy)
    ejectedCount -= 1
    recover(slot, at: now)
    ejectionChanged(slot)
  }

  private mutating func recover(_ slot: Int, at now: Instant) {
    columns.members[slot].rampStart = now
    refresh(slot, at: now)
  }

  /// Marks the slot anew and has the next pick look at everything.
  mutating func markEjection(_ slot: Int, at now: Instant) {
    let member = columns.members + slot
    columns.marks[slot] =
      (member.pointee.breaker.isClosed ? 0 : Columns.Mark.ejected)
      | (member.pointee.breaker.isRipe(at: now) ? Columns.Mark.ripe : 0)
  }

  private mutating func ejectionChanged(_ slot: Int) {
    markEjection(slot, at: .zero)
    nextSweep = .zero
  }
}
