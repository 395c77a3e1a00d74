import Primitives

/// What a look at all members has found.
struct Census {
  /// Not drained. Count.
  var live = 0
  /// Of those: neither bad by active probes nor ejected by a breaker. Count.
  var healthy = 0
  var drained = 0
  /// By their breakers. Count.
  var ejected = 0
  /// By active probes and not by their breakers. Count.
  var down = 0
  /// Of those that may be used: why not now. Counts.
  var cooling = 0
  var full = 0
  var tried = 0
  /// When the first of the cooling ones is back.
  var coolingUntil = Instant.never
  /// Weight and requests of those that may be used or are full or tried, for bounded load.
  var weight = 0.0
  var inFlight: UInt64 = 0
  /// Members written to the scratch columns. Count.
  var candidates = 0

  /// So few are healthy that the trouble is more likely ours, or that the rest would break too.
  func isPanic(_ threshold: Double) -> Bool {
    healthy < live && Double(healthy) < threshold * Double(live)
  }

  func reason(rosterCount: Int) -> NoMember {
    if rosterCount == 0 { return .noMembers }
    if full > 0 { return .allFull }
    if cooling > 0 { return .allCooling(until: coolingUntil) }
    if tried > 0 { return .allTried }
    return ejected > 0 ? .allOpen : .allDown
  }
}

/// How far the bringing up to date has come.
struct Sweep {
  /// The next place of the roster.
  var place = 0
  var ripe = 0
  var firstRipe = 0
  var census = Census()
  /// When the first cool-down of those seen ends.
  var next = Instant.never
}

extension Pool {
  /// Members that one pick brings up to date in a pool too large for all at once: 20 ns each.
  static var sweepPortion: Int { 32 }

  /// Brings estimates, ramps and marks of up to `limit` members up to date, and counts them; when all
  /// are done, publishes what was counted. Ten times a second, or after a breaker has changed.
  mutating func sweep(at now: Instant, limit: Int) {
    let end = limit < rosterCount - sweep.place ? sweep.place + limit : rosterCount
    while sweep.place < end {
      sweepMember(Int(columns.roster[sweep.place]), at: now)
      sweep.place += 1
    }
    guard end == rosterCount else { return }
    ripeCount = sweep.ripe
    firstRipe = sweep.firstRipe
    census = sweep.census
    censusOutstanding = outstanding
    nextSweep = min(sweep.next, now + policy.sweepInterval)
    sweep = Sweep()
  }

  private mutating func sweepMember(_ slot: Int, at now: Instant) {
    let member = columns.members + slot
    let word = columns.lines[slot]!.pointee.word.load(ordering: .relaxed)
    let isBad = word & LoadLine.bad != 0
    if member.pointee.wasBad, !isBad { member.pointee.rampStart = now }
    member.pointee.wasBad = isBad
    if let start = member.pointee.rampStart, now - start >= policy.slowStart {
      member.pointee.rampStart = nil
    }
    refresh(slot, at: now)
    markEjection(slot, at: now)
    let isEjected = columns.marks[slot] & Columns.Mark.ejected != 0
    if columns.marks[slot] & Columns.Mark.ripe != 0 {
      if sweep.ripe == 0 { sweep.firstRipe = sweep.place }
      sweep.ripe += 1
    }
    if case .open(let until) = member.pointee.breaker.state, until > now {
      sweep.next = min(sweep.next, until)
    }
    if word & LoadLine.draining != 0 { return }
    sweep.census.live += 1
    if isEjected { sweep.census.ejected += 1 }
    if isBad || isEjected { return }
    sweep.census.healthy += 1
    sweep.census.weight += columns.weight[slot]
    sweep.census.inFlight += word & LoadLine.countMask
  }
}
