import Primitives

/// What a pick asks for.
struct Query {
  let now: Instant
  let hashKey: UInt64?
  let avoiding: SlotSet
  let limit: UInt64
  let avoidsNone: Bool

  init(now: Instant, hashKey: UInt64? = nil, avoiding: SlotSet = SlotSet(), limit: UInt64 = .max) {
    self.now = now
    self.hashKey = hashKey
    self.avoiding = avoiding
    self.limit = limit
    avoidsNone = avoiding.isEmpty
  }
}

enum Choice {
  case slot(Int, isPanic: Bool)
  case none(NoMember)
}

/// Everything here that a pick calls is `mutating`, whether it changes anything or not: of a borrowed
/// `self`, Swift 6.3 copies all 528 bytes for each call from a mutating method that is not inlined
/// (four copies in a pick among four members, 15 % of its time).
extension Pool {
  /// A slot whose breaker waits for a probe, and the right to make it. Probing comes first: the
  /// sooner a member is known to be well, the better for all, and it costs one request.
  mutating func takeProbe(_ query: Query) -> Int? {
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
  mutating func held(_ slot: Int, _ query: Query, isPanic: Bool) -> UInt64? {
    let word = columns.lines[slot]!.pointee.word.load(ordering: .relaxed)
    let count = word & LoadLine.countMask
    return isPlain(slot, word, query) || admits(slot, word, query, isPanic) ? count : nil
  }

  @inline(never)
  private mutating func admits(_ slot: Int, _ word: UInt64, _ query: Query, _ isPanic: Bool) -> Bool
  {
    var ignored = Census()
    return admits(slot, word, query, isPanic, &ignored)
  }

  /// Nothing speaks against the member: the one test that nearly all members pass.
  @inline(__always)
  private mutating func isPlain(_ slot: Int, _ word: UInt64, _ query: Query) -> Bool {
    word & LoadLine.blockers == 0 && columns.marks[slot] == 0
      && word & LoadLine.countMask < query.limit
      && (query.avoidsNone || !query.avoiding.contains(slot))
  }

  /// Looks closely at a member against which something speaks, and counts what that is.
  @inline(never)
  private mutating func admits(
    _ slot: Int, _ word: UInt64, _ query: Query, _ isPanic: Bool, _ found: inout Census
  ) -> Bool {
    if word & LoadLine.draining != 0 {
      found.drained += 1
      return false
    }
    let isEjected = columns.marks[slot] & Columns.Mark.ejected != 0
    if isEjected { found.ejected += 1 } else if word & LoadLine.bad != 0 { found.down += 1 }
    if isEjected || word & LoadLine.bad != 0, !isPanic { return false }
    let coolingUntil = Instant(
      nanoseconds: columns.lines[slot]!.pointee.coolingUntil.load(ordering: .relaxed))
    if coolingUntil > query.now {
      found.cooling += 1
      found.coolingUntil = min(found.coolingUntil, coolingUntil)
      return false
    }
    let count = word & LoadLine.countMask
    let isTried = query.avoiding.contains(slot)
    guard isTried || count >= query.limit else { return true }
    columns.loads[found.full + found.tried] = Double(count) * columns.inverseWeight[slot]
    if isTried { found.tried += 1 } else { found.full += 1 }
    found.weight += columns.weight[slot]
    found.inFlight += count
    return false
  }

  /// Looks at all members and writes those that may be used to the scratch columns.
  mutating func gather(_ query: Query, isPanic: Bool) -> Census {
    var found = Census()
    let roster = columns.roster
    let lines = columns.lines
    let candidates = columns.candidates
    let queues = columns.queues
    var count = 0
    for place in 0..<rosterCount {
      let entry = roster[place]
      let slot = Int(entry)
      let word = lines[slot]!.pointee.word.load(ordering: .relaxed)
      guard isPlain(slot, word, query) || admits(slot, word, query, isPanic, &found)
      else { continue }
      candidates[count] = entry
      queues[count] = Double(Int64(truncatingIfNeeded: word & LoadLine.countMask))
      count &+= 1
    }
    found.candidates = count
    found.live = rosterCount - found.drained
    found.healthy = found.live - found.ejected - found.down
    switch policy.rule {
    case .hotCold:
      let loads = columns.loads + (found.full + found.tried)
      for place in 0..<count {
        loads[place] = queues[place] * columns.inverseWeight[Int(candidates[place])]
      }
    case .consistentHash:
      for place in 0..<count {
        found.weight += columns.weight[Int(candidates[place])]
        found.inFlight += UInt64(queues[place])
      }
    case .weightedScore, .roundRobin, .random, .leastRequest, .powerOfTwo, .peakEWMA:
      break
    }
    return found
  }

  /// Draws up to `count` different usable members, each by its weight, into the scratch columns.
  private mutating func draw(
    _ count: Int, _ query: Query, _ isPanic: Bool, _ random: inout SeededRandom
  ) -> Int {
    var found = 0
    // In a pool of which a quarter is usable, fewer than one pick in 9,000 finds nothing.
    for _ in 0..<max(32, 4 * count) {
      let place = isUniform ? random.below(rosterCount) : alias.draw(&random)
      let slot = columns.roster[place]
      guard let queue = held(Int(slot), query, isPanic: isPanic) else { continue }
      if isDrawn(slot, found) { continue }
      if policy.rule == .random, !isRampedUp(Int(slot), &random) { continue }
      columns.candidates[found] = slot
      columns.queues[found] = Double(queue)
      columns.loads[found] = Double(queue) * columns.inverseWeight[Int(slot)]
      found += 1
      if found == count { break }
    }
    return found
  }

  private mutating func isDrawn(_ slot: Int32, _ count: Int) -> Bool {
    for place in 0..<count where columns.candidates[place] == slot { return true }
    return false
  }

  /// A ramping member takes its turn with the probability of its slow-start factor.
  private mutating func isRampedUp(_ slot: Int, _ random: inout SeededRandom) -> Bool {
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
  private mutating func walkRing(
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
