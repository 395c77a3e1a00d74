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

extension Pool {
  /// Brings estimates, ramps and marks of all members up to date, and counts them. About 10 ns per
  /// member, ten times a second or after a breaker has changed.
  mutating func sweep(at now: Instant) {
    var next = now + policy.sweepInterval
    var ripe = 0
    var fresh = Census()
    for place in 0..<rosterCount {
      let slot = Int(columns.roster[place])
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
        if ripe == 0 { firstRipe = place }
        ripe += 1
      }
      if case .open(let until) = member.pointee.breaker.state, until > now {
        next = min(next, until)
      }
      if word & LoadLine.draining != 0 { continue }
      fresh.live += 1
      if isEjected { fresh.ejected += 1 }
      if isBad || isEjected { continue }
      fresh.healthy += 1
      fresh.weight += columns.weight[slot]
      fresh.inFlight += word & LoadLine.countMask
    }
    ripeCount = ripe
    census = fresh
    censusOutstanding = outstanding
    nextSweep = next
  }
}
