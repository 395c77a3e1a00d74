import Balancing
import Primitives

/// A pool with its cells, a clock and randomness, so that a story reads as one line per event.
struct Stage: ~Copyable {
  var pool: Pool
  var cells: [LoadCell]
  var names: [String]
  var now = Instant(nanoseconds: 1_000_000_000)
  var random: SeededRandom

  init(
    _ count: Int = 2, weights: [Int]? = nil, seed: UInt64 = 1, cells shared: [LoadCell]? = nil,
    _ edit: (inout PoolPolicy) -> Void = { _ in }
  ) {
    var policy = PoolPolicy()
    // Stories name exact times.
    policy.cooldownJitter = 0
    edit(&policy)
    let cells = shared ?? (0..<count).map { _ in LoadCell() }
    let names = (0..<count).map { "m\($0)" }
    self.cells = cells
    self.names = names
    random = SeededRandom(seed: seed)
    pool = Pool(
      policy: policy,
      members: (0..<count).map {
        MemberSpec(name: names[$0], weight: weights?[$0] ?? 1, cell: cells[$0])
      }, at: now)
  }

  mutating func wait(_ time: TimeAmount) { now = now + time }

  mutating func pick(key: UInt64? = nil, avoiding: SlotSet = SlotSet(), limit: Int = 0) -> Pick {
    pool.pick(
      at: now, random: &random, hashKey: key, avoiding: avoiding, inFlightLimit: limit)
  }

  /// A pick that must find a member.
  mutating func ticket(key: UInt64? = nil, limit: Int = 0) -> Ticket {
    switch pick(key: key, limit: limit) {
    case .member(let ticket): return ticket
    case .none(let reason): preconditionFailure("no member: \(reason)")
    }
  }

  /// A ticket of this very member, by avoiding all others.
  mutating func ticket(of slot: Int) -> Ticket {
    var others = SlotSet()
    for other in pool.memberSlots where other != slot { others.insert(other) }
    switch pick(avoiding: others) {
    case .member(let ticket): return ticket
    case .none(let reason): preconditionFailure("slot \(slot): \(reason)")
    }
  }

  @discardableResult
  mutating func finish(
    _ ticket: Ticket, _ verdict: Outcome.Verdict, firstByte: TimeAmount? = nil
  ) -> Transition? {
    pool.finished(
      ticket, Outcome(verdict: verdict, firstByte: firstByte), at: now, random: &random)
  }

  /// One request to this member, with this end.
  @discardableResult
  mutating func request(
    _ slot: Int, _ verdict: Outcome.Verdict, firstByte: TimeAmount? = nil
  ) -> Transition? {
    finish(ticket(of: slot), verdict, firstByte: firstByte)
  }

  /// Five failures in a row, which is what opens a breaker by default.
  @discardableResult
  mutating func open(_ slot: Int) -> Transition? {
    for _ in 0..<4 { request(slot, .failure) }
    return request(slot, .failure)
  }

  /// How many of `picks` each member got; all are finished at once with success.
  mutating func spread(_ picks: Int, gap: TimeAmount = .zero, key: ((Int) -> UInt64)? = nil)
    -> [Int]
  {
    var counts = Array(repeating: 0, count: names.count)
    for index in 0..<picks {
      let ticket = ticket(key: key?(index))
      counts[ticket.slot] += 1
      finish(ticket, .success)
      now = now + gap
    }
    return counts
  }

  var inFlight: [Int] { cells.map(\.inFlight) }

  func view(_ slot: Int) -> MemberView { pool.member(slot, at: now) }

  mutating func reload(_ keep: [String], _ edit: (inout PoolPolicy) -> Void = { _ in }) {
    var policy = pool.policy
    edit(&policy)
    for name in keep where !names.contains(name) {
      names.append(name)
      cells.append(LoadCell())
    }
    let specs = keep.map { name in
      MemberSpec(name: name, weight: 1, cell: cells[names.firstIndex(of: name)!])
    }
    pool.apply(policy: policy, members: specs, at: now)
  }
}

extension Pick {
  var reason: NoMember? {
    switch self {
    case .member: nil
    case .none(let reason): reason
    }
  }

  var ticket: Ticket? {
    switch self {
    case .member(let ticket): ticket
    case .none: nil
    }
  }
}

/// Slots as a set, for `avoiding`.
func slots(_ members: Int...) -> SlotSet {
  var set = SlotSet()
  for member in members { set.insert(member) }
  return set
}
