import Primitives

extension Pool {
  /// Slots fit into 16 bits of a hash ring's points.
  package static var memberLimit: Int { 65_535 }

  /// Takes over new members and a new policy.
  ///
  /// Members are matched by name and cell: those that stay keep slot, latency and breaker. Others are
  /// retired: never picked again, their slot used again once its last ticket is finished. New ones
  /// start at the pool's median latency and ramp up.
  package mutating func apply(policy: PoolPolicy, members specs: [MemberSpec], at now: Instant) {
    let former = self.policy
    self.policy = policy
    let median = medianLatency(at: now)
    let hadMembers = rosterCount > 0

    var slots: [Int] = []
    var byName: [String: Int] = [:]
    byName.reserveCapacity(specs.count)
    for spec in specs {
      let slot = stayingSlot(spec) ?? occupy(spec, at: now, median: median)
      if columns.members[slot].isRetired {
        columns.members[slot].isRetired = false
        columns.members[slot].rampStart = hadMembers ? now : nil
      }
      let weight = max(1, spec.weight)
      columns.weight[slot] = Double(weight)
      columns.inverseWeight[slot] = 1 / Double(weight)
      let other = byName.updateValue(slot, forKey: spec.name)
      precondition(other == nil, "pool: two members are named '\(spec.name)'")
      slots.append(slot)
    }
    // In the order of slots: a dictionary's own order differs from run to run, and with it the slots
    // that the next members get.
    for (name, slot) in slotByName.sorted(by: { $0.value < $1.value }) where byName[name] != slot {
      retire(slot, at: now)
    }
    slotByName = byName
    rosterCount = slots.count
    for (place, slot) in slots.enumerated() { columns.roster[place] = Int32(slot) }
    judgeAnew(former, at: now)
    buildDraws(specs, slots)
    sweep = Sweep()
    sweep(at: now, limit: .max)
  }

  /// Slots of the members, in the order of the configuration.
  package var memberSlots: [Int] { (0..<rosterCount).map { Int(columns.roster[$0]) } }

  package func slot(named name: String) -> Int? { slotByName[name] }

  // MARK: Tenancy

  private func stayingSlot(_ spec: MemberSpec) -> Int? {
    if let slot = slotByName[spec.name] { return cells[slot] === spec.cell ? slot : nil }
    // Removed a while ago and still busy: it comes back to what was known of it.
    return (0..<slotCount).first {
      columns.members[$0].isRetired && cells[$0] === spec.cell && names[$0] == spec.name
    }
  }

  private mutating func occupy(_ spec: MemberSpec, at now: Instant, median: Double?) -> Int {
    var state = MemberState(breaker: Breaker(window: policy.window, at: now))
    if let median { state.latency.set(median, at: now) }
    state.rampStart = now
    let slot: Int
    if let free = freeSlots.popLast() {
      slot = free
      state.generation = columns.members[slot].generation
      names[slot] = spec.name
      cells[slot] = spec.cell
    } else {
      slot = slotCount
      precondition(slot < Self.memberLimit, "pool: more than \(Self.memberLimit) members")
      columns.grow(to: slot + 1, filler: state)
      slotCount += 1
      names.append(spec.name)
      cells.append(spec.cell)
    }
    columns.members[slot] = state
    columns.lines[slot] = spec.cell.line
    columns.marks[slot] = 0
    return slot
  }

  private mutating func retire(_ slot: Int, at now: Instant) {
    close(slot, at: now)
    columns.members[slot].isRetired = true
    if columns.members[slot].outstanding == 0 { vacate(slot) }
  }

  mutating func vacate(_ slot: Int) {
    columns.members[slot].isRetired = false
    columns.members[slot].generation &+= 1
    columns.lines[slot] = nil
    cells[slot] = nil
    names[slot] = ""
    freeSlots.append(slot)
  }

  /// The middle of what the members are believed to answer in; nil when nothing is known.
  private func medianLatency(at now: Instant) -> Double? {
    var known: [Double] = []
    for place in 0..<rosterCount {
      let slot = Int(columns.roster[place])
      guard columns.members[slot].latency.hasSample else { continue }
      known.append(
        columns.members[slot].estimate(at: now, target: idleTarget, policy))
    }
    known.sort()
    if known.isEmpty { return nil }
    return (known[(known.count - 1) / 2] + known[known.count / 2]) / 2
  }

  // MARK: After a change

  /// Holds the breakers to the new policy and the new number of members.
  private mutating func judgeAnew(_ former: PoolPolicy, at now: Instant) {
    for place in 0..<rosterCount {
      let slot = Int(columns.roster[place])
      if !policy.breakerEnabled { close(slot, at: now) }
      if policy.window != former.window, columns.members[slot].breaker.isClosed {
        columns.members[slot].breaker.close(at: now, policy)
      }
    }
    // A smaller pool can spare fewer: those that would be back first are back now.
    while ejectedCount > max(0, ejectionLimit) {
      var first: (slot: Int, until: Instant)?
      for place in 0..<rosterCount {
        let slot = Int(columns.roster[place])
        let until: Instant
        switch columns.members[slot].breaker.state {
        case .closed: continue
        case .probing: until = .zero
        case .open(let end): until = end
        }
        if first.map({ until < $0.until }) ?? true { first = (slot, until) }
      }
      guard let first else { break }
      close(first.slot, at: now)
    }
  }

  private mutating func buildDraws(_ specs: [MemberSpec], _ slots: [Int]) {
    let weights = specs.map { max(1, $0.weight) }
    let plan = DrawPlan(
      rule: policy.rule, weights: weights, slots: slots,
      tenants: slots.map { columns.members[$0].generation })
    if plan == drawPlan { return }
    drawPlan = plan
    isUniform = weights.allSatisfy { $0 == weights.first }
    if isSampled, !isUniform { alias.build(weights) } else { alias.clear() }
    if policy.rule == .roundRobin {
      schedule.build(zip(slots, weights).map { ($0, $1) })
    } else {
      schedule.clear()
    }
    if policy.rule == .consistentHash {
      ring.build(specs.indices.map { (slots[$0], specs[$0].name, weights[$0]) })
    } else {
      ring.clear()
    }
  }
}

/// What the tables of the rules are made from. Most reloads change nothing of it, and the ring of a
/// thousand members takes 10 ms to make.
struct DrawPlan: Equatable {
  var rule = PoolPolicy.Rule.weightedScore
  var weights: [Int] = []
  var slots: [Int] = []
  /// Generations of the slots: the same slot may have got another member.
  var tenants: [UInt32] = []
}
