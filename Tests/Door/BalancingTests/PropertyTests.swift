import Balancing
import Dispatch
import Primitives
import Testing

@Suite struct PropertyTests {
  // Anything may happen in any order: tickets end once, counts return to zero, nothing is sent to an
  // open breaker, nor to who is drained, full, cooling or tried.
  @Test(arguments: UInt64(0)..<60) func anythingMayHappen(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let rule = PoolPolicy.Rule.allCases[random.below(PoolPolicy.Rule.allCases.count)]
    let count = random.below(8) == 0 ? 90 : 1 + random.below(6)
    var stage = Stage(count, weights: (0..<count).map { _ in 1 + random.below(5) }, seed: seed) {
      $0.rule = rule
      $0.latency = random.below(2) == 0 ? .full : .firstByte
      $0.cooldown = .milliseconds(500)
      $0.slowStart = .seconds(1)
      $0.panicThreshold = random.below(2) == 0 ? 0 : 0.5
    }
    var tickets: [Ticket] = []
    for _ in 0..<3_000 {
      switch random.below(20) {
      case 0..<9:
        var avoiding = SlotSet()
        if random.below(4) == 0 { avoiding.insert(random.below(count)) }
        let limit = random.below(3) == 0 ? 3 : 0
        let key = random.below(2) == 0 ? random.next() : nil
        guard case .member(let ticket) = stage.pick(key: key, avoiding: avoiding, limit: limit)
        else { continue }
        let view = stage.view(ticket.slot)
        #expect(!avoiding.contains(ticket.slot))
        #expect(!view.isDraining)
        #expect(view.coolingUntil == nil)
        #expect(limit == 0 || view.inFlight <= limit)
        #expect(stage.pool.memberSlots.contains(ticket.slot))
        if ticket.isProbe {
          #expect(view.breaker == .halfOpen)
        } else if !ticket.isPanic {
          #expect(view.breaker == .closed)
          // Large pools hear of probes' verdicts at their next sweep.
          #expect(view.isUsable || count > 64)
        }
        tickets.append(ticket)
      case 9..<16:
        if tickets.isEmpty { continue }
        let verdicts: [Outcome.Verdict] = [
          .success, .failure, .failure, .neutral,
          .backpressure(retryAfter: .milliseconds(Int64(random.below(900)))),
        ]
        stage.finish(
          tickets.remove(at: random.below(tickets.count)), verdicts[random.below(5)],
          firstByte: .milliseconds(Int64(random.below(500))))
      case 16:
        if tickets.isEmpty { continue }
        let place = random.below(tickets.count)
        stage.pool.firstByte(
          &tickets[place], latency: .milliseconds(Int64(random.below(500))),
          isHealthy: random.below(4) != 0, at: stage.now)
      case 17:
        stage.wait(.milliseconds(Int64(random.below(400))))
      case 18:
        let cell = stage.cells[random.below(stage.cells.count)]
        cell.setHealth([.unknown, .good, .bad][random.below(3)])
        cell.setDraining(random.below(4) == 0)
      case 19:
        if random.below(10) == 0 {
          var names = stage.names.filter { _ in random.below(3) != 0 }
          let extra = "n\(random.below(3))"
          if !names.contains(extra) { names.append(extra) }
          stage.reload(names)
        } else if let slot = stage.pool.memberSlots.first {
          let until = stage.now + .milliseconds(300)
          stage.pool.peerReported(
            slot, random.below(2) == 0 ? .opened(until: until) : .closed, at: stage.now)
        }
      default:
        preconditionFailure("below 20")
      }
    }
    #expect(stage.inFlight.reduce(0, +) == tickets.count)
    for ticket in tickets { stage.finish(ticket, .neutral) }
    #expect(stage.inFlight.allSatisfy { $0 == 0 })
    #expect(stage.cells.allSatisfy { !$0.isProbing })
  }

  // Randomness and time come in as arguments: nothing else may make a difference.
  @Test(arguments: PoolPolicy.Rule.allCases) func theSameSeedGivesTheSamePicks(
    rule: PoolPolicy.Rule
  ) {
    func trace() -> [Int] {
      var stage = Stage(90, seed: 5) { $0.rule = rule }
      return (0..<500).map { index in
        let ticket = stage.ticket(key: UInt64(index))
        if index % 3 != 0 { stage.finish(ticket, index % 7 == 0 ? .failure : .success) }
        stage.wait(.milliseconds(3))
        return ticket.slot
      }
    }
    #expect(trace() == trace())
  }

  // The words that loops share are changed by many threads: no count and no flag may be lost.
  @Test func loopsShareOneCell() {
    let cell = LoadCell()
    DispatchQueue.concurrentPerform(iterations: 4) { loop in
      var random = SeededRandom(seed: UInt64(loop))
      let now = Instant(nanoseconds: 1)
      var pool = Pool(
        policy: PoolPolicy(), members: [MemberSpec(name: "a", weight: 1, cell: cell)], at: now)
      for round in 0..<5_000 {
        if loop == 0 {
          cell.setHealth(round % 2 == 0 ? .bad : .good)
          cell.setDraining(false)
        }
        let pick = pool.pick(
          at: now, random: &random, hashKey: nil, avoiding: SlotSet(), inFlightLimit: 2)
        if case .member(let ticket) = pick {
          pool.finished(ticket, Outcome(verdict: .success), at: now, random: &random)
        }
      }
    }
    #expect(cell.inFlight == 0)
    #expect(cell.health == .good)
    #expect(!cell.isDraining)
  }
}
