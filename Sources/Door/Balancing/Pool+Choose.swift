import Primitives

/// What a pick asks for.
struct Query {
  let now: Instant
  let hashKey: UInt64?
  let avoiding: SlotSet
  let limit: UInt64
}

enum Choice {
  case slot(Int, isPanic: Bool)
  case none(NoMember)
}

extension Pool {
  /// A slot whose breaker waits for a probe, and the right to make it. Probing comes first: the
  /// sooner a member is known to be well, the better for all, and it costs one request.
  func takeProbe(_ query: Query) -> Int? {
    var rest = ripeCount
    var place = firstRipe
    while rest > 0, place < rosterCount {
      let slot = Int(columns.roster[place])
      place += 1
      guard columns.marks[slot] & Columns.Mark.ripe != 0 else { continue }
      rest -= 1
      guard
        columns.lines[slot]!.pointee.word.load(ordering: .relaxed) & LoadLine.bad == 0,
        held(slot, query, isPanic: true) != nil,
        columns.lines[slot]!.pointee.takeProbe()
      else {
        continue
      }
      if columns.lines[slot]!.pointee.enter(limit: query.limit) { return slot }
      columns.lines[slot]!.pointee.returnProbe()
    }
    return nil
  }

  mutating func choose(_ query: Query, _ random: inout SeededRandom) -> Choice {
    if isSampled, let choice = chooseBySample(query, &random) { return choice }
    var found = gather(query, isPanic: false)
    let isPanic = found.isPanic(policy.panicThreshold)
    if isPanic { found = gather(query, isPanic: true) }
    guard found.candidates > 0 else { return .none(found.reason(rosterCount: rosterCount)) }
    if found.candidates == 1 { return .slot(Int(columns.candidates[0]), isPanic: isPanic) }
    return .slot(decide(found, query, isPanic, &random), isPanic: isPanic)
  }

  /// nil when the sample hit no usable member: then all are looked at.
  private mutating func chooseBySample(
    _ query: Query, _ random: inout SeededRandom
  ) -> Choice? {
    let isPanic = census.isPanic(policy.panicThreshold)
    var found = census
    switch policy.rule {
    case .random:
      found.candidates = draw(1, query, isPanic, &random)
    case .powerOfTwo:
      found.candidates = draw(2, query, isPanic, &random)
    case .weightedScore, .leastRequest, .peakEWMA, .hotCold:
      found.candidates = draw(PoolPolicy.sampleSize, query, isPanic, &random)
    case .roundRobin:
      let slot = nextInSchedule(query, isPanic, steps: 4096, &random)
      return slot.map { .slot($0, isPanic: isPanic) }
    case .consistentHash:
      if let key = query.hashKey {
        // Our own requests since the last sweep are known; those of other loops are up to 100 ms old.
        found.inFlight = UInt64(max(0, Int(found.inFlight) + outstanding - censusOutstanding))
        let slot = walkRing(key, found, query, isPanic, steps: 1024)
        return slot.map { .slot($0, isPanic: isPanic) }
      }
      found.candidates = draw(PoolPolicy.sampleSize, query, isPanic, &random)
    }
    if found.candidates == 0 { return nil }
    let field = Field(count: found.candidates, loads: found.candidates, isSample: true)
    return .slot(decide(among: field, &random), isPanic: isPanic)
  }

  private mutating func decide(
    _ found: Census, _ query: Query, _ isPanic: Bool, _ random: inout SeededRandom
  ) -> Int {
    switch policy.rule {
    case .roundRobin:
      if let slot = nextInSchedule(query, isPanic, steps: .max, &random) { return slot }
    case .consistentHash:
      if let key = query.hashKey,
        let slot = walkRing(key, found, query, isPanic, steps: 4096)
      {
        return slot
      }
    case .weightedScore, .random, .leastRequest, .powerOfTwo, .peakEWMA, .hotCold:
      break
    }
    let field = Field(
      count: found.candidates, loads: found.full + found.tried + found.candidates, isSample: false)
    return decide(among: field, &random)
  }

  // MARK: Who may be used

  /// What the member holds if it may be used now; nil if not.
  @inline(__always)
  func held(_ slot: Int, _ query: Query, isPanic: Bool) -> UInt64? {
    let line = columns.lines[slot]!
    let word = line.pointee.word.load(ordering: .relaxed)
    if word & LoadLine.draining != 0 { return nil }
    if !isPanic {
      if word & LoadLine.bad != 0 { return nil }
      if columns.marks[slot] & Columns.Mark.ejected != 0 { return nil }
    }
    if line.pointee.coolingUntil.load(ordering: .relaxed) > query.now.nanoseconds { return nil }
    let count = word & LoadLine.countMask
    if count >= query.limit || query.avoiding.contains(slot) { return nil }
    return count
  }

  /// Looks at all members and writes those that may be used to the scratch columns.
  func gather(_ query: Query, isPanic: Bool) -> Census {
    var found = Census()
    let roster = columns.roster
    let lines = columns.lines
    let marks = columns.marks
    let candidates = columns.candidates
    let queues = columns.queues
    let wantsLoads = policy.rule == .hotCold
    let wantsTotals = policy.rule == .consistentHash
    for place in 0..<rosterCount {
      let slot = Int(roster[place])
      let line = lines[slot]!
      let word = line.pointee.word.load(ordering: .relaxed)
      let count = word & LoadLine.countMask
      if word & LoadLine.draining != 0 { continue }
      found.live &+= 1
      let isEjected = marks[slot] & Columns.Mark.ejected != 0
      if isEjected { found.ejected &+= 1 }
      if isEjected || word & LoadLine.bad != 0 {
        if !isPanic { continue }
      } else {
        found.healthy &+= 1
      }
      if wantsTotals {
        found.weight += columns.weight[slot]
        found.inFlight &+= count
      }
      let coolingUntil = line.pointee.coolingUntil.load(ordering: .relaxed)
      if coolingUntil > query.now.nanoseconds {
        found.cooling &+= 1
        found.coolingUntil = min(found.coolingUntil, Instant(nanoseconds: coolingUntil))
        continue
      }
      if wantsLoads {
        columns.loads[found.full + found.tried + found.candidates] =
          Double(count) * columns.inverseWeight[slot]
      }
      if query.avoiding.contains(slot) {
        found.tried &+= 1
        continue
      }
      if count >= query.limit {
        found.full &+= 1
        continue
      }
      candidates[found.candidates] = roster[place]
      queues[found.candidates] = Double(count)
      found.candidates &+= 1
    }
    return found
  }

  /// Draws up to `count` different usable members, each by its weight, into the scratch columns.
  private func draw(
    _ count: Int, _ query: Query, _ isPanic: Bool, _ random: inout SeededRandom
  ) -> Int {
    var found = 0
    // In a pool of which a quarter is usable, fewer than one pick in 9,000 finds nothing.
    for _ in 0..<max(32, 4 * count) {
      let place = isUniform ? random.below(rosterCount) : alias.draw(&random)
      let slot = columns.roster[place]
      guard let queue = held(Int(slot), query, isPanic: isPanic) else { continue }
      if (0..<found).contains(where: { columns.candidates[$0] == slot }) { continue }
      if policy.rule == .random, !isRampedUp(Int(slot), &random) { continue }
      columns.candidates[found] = slot
      columns.queues[found] = Double(queue)
      columns.loads[found] = Double(queue) * columns.inverseWeight[Int(slot)]
      found += 1
      if found == count { break }
    }
    return found
  }

  /// A ramping member takes its turn with the probability of its slow-start factor.
  private func isRampedUp(_ slot: Int, _ random: inout SeededRandom) -> Bool {
    let inverse = columns.inverseRamp[slot]
    return inverse == 1 || random.unit() * inverse < 1
  }

  // MARK: Rules that walk

  /// The next usable member in turn.
  private mutating func nextInSchedule(
    _ query: Query, _ isPanic: Bool, steps: Int, _ random: inout SeededRandom
  ) -> Int? {
    // Two rounds: if the first meets only ramping members, the second takes the first that it meets.
    let length = schedule.turns.count
    for step in 0..<min(steps, 2 * length) {
      let slot = schedule.next(&random)
      guard held(slot, query, isPanic: isPanic) != nil else { continue }
      if step < length, !isRampedUp(slot, &random) { continue }
      return slot
    }
    return nil
  }

  /// The first member from the key's place on that may be used and has room: Google's consistent
  /// hashing with bounded loads. Nobody holds more than `hashBound` times its share, rounded up.
  private func walkRing(
    _ key: UInt64, _ found: Census, _ query: Query, _ isPanic: Bool, steps: Int
  ) -> Int? {
    let key = mix(key)
    let room = policy.hashBound * Double(found.inFlight + 1) / max(found.weight, 1)
    // Which part of a ramping member's keys come to it already: the same ones each time.
    let turn = Double(mix(key) >> 11) * 0x1.0p-53
    var place = ring.place(of: key)
    for _ in 0..<min(steps, ring.points.count) {
      let slot = ring.slot(at: place)
      place += 1
      if place == ring.points.count { place = 0 }
      guard let count = held(slot, query, isPanic: isPanic),
        Double(count + 1) <= (room * columns.weight[slot]).rounded(.up),
        turn * columns.inverseRamp[slot] < 1
      else { continue }
      return slot
    }
    return nil
  }
}
