import Balancing
import Primitives
import Testing

@Suite struct PickTests {
  // The reason decides between a queue, a 503 with Retry-After and a plain 503.
  @Test func saysWhyThereIsNobody() {
    var stage = Stage(0)
    #expect(stage.pick() == .none(.noMembers))

    stage = Stage(2) { $0.panicThreshold = 0 }
    stage.cells[0].setHealth(.bad)
    stage.cells[1].setDraining(true)
    #expect(stage.pick() == .none(.allDown))

    stage = Stage(2) {
      $0.panicThreshold = 0
      $0.maxEjected = 1
    }
    stage.open(0)
    stage.open(1)
    #expect(stage.pick() == .none(.allOpen))

    stage = Stage(2)
    #expect(stage.pick(avoiding: slots(0, 1)) == .none(.allTried))

    stage = Stage(2)
    stage.request(0, .backpressure(retryAfter: .seconds(7)))
    stage.request(1, .backpressure(retryAfter: .seconds(3)))
    #expect(stage.pick() == .none(.allCooling(until: stage.now + .seconds(3))))
    stage.wait(.seconds(3))
    #expect(stage.ticket().slot == 1)

    stage = Stage(2)
    for _ in 0..<4 { _ = stage.ticket(limit: 2) }
    #expect(stage.inFlight == [2, 2])
    #expect(stage.pick(limit: 2) == .none(.allFull))
  }

  // The one that passes soonest is worth waiting for.
  @Test func theReasonThatPassesSoonestIsGiven() {
    var stage = Stage(4) { $0.panicThreshold = 0 }
    stage.open(0)
    stage.cells[1].setHealth(.bad)
    stage.request(2, .backpressure(retryAfter: .seconds(3)))
    #expect(
      stage.pick(avoiding: slots(3)) == .none(.allCooling(until: stage.now + .seconds(3))))
    let held = stage.ticket(of: 3)
    #expect(stage.pick(limit: 1) == .none(.allFull))
    stage.finish(held, .success)
    stage.wait(.seconds(3))
    #expect(stage.pick(avoiding: slots(2, 3)) == .none(.allTried))
  }

  // Retry-After of a day would take a member out for a day.
  @Test func retryAfterIsBelievedUpToALimit() {
    var stage = Stage(2)
    stage.request(0, .backpressure(retryAfter: .seconds(86_400)))
    #expect(stage.view(0).coolingUntil == stage.now + .seconds(300))
    stage.request(1, .backpressure(retryAfter: nil))
    #expect(stage.view(1).coolingUntil == stage.now + .seconds(1))
    // A shorter word later does not end a longer cool-down.
    stage.pool.peerReported(0, .closed, at: stage.now)
    #expect(stage.pick() == .none(.allCooling(until: stage.now + .seconds(1))))
  }

  // What one loop was told holds for all.
  @Test func coolDownsAreShared() {
    var stage = Stage(2)
    stage.request(0, .backpressure(retryAfter: .seconds(5)))
    var other = Pool(
      policy: PoolPolicy(),
      members: (0..<2).map { MemberSpec(name: "m\($0)", weight: 1, cell: stage.cells[$0]) },
      at: stage.now)
    for _ in 0..<10 {
      let pick = other.pick(
        at: stage.now, random: &stage.random, hashKey: nil, avoiding: SlotSet(), inFlightLimit: 0)
      #expect(pick.ticket?.slot == 1)
    }
  }

  // Unknown is not bad: a front door that waits for its first probe serves nobody at start.
  @Test func unknownMembersAreUsed() {
    var stage = Stage(3)
    stage.cells[0].setHealth(.good)
    stage.cells[1].setHealth(.bad)
    let spread = stage.spread(60)
    #expect(spread[0] > 0 && spread[1] == 0 && spread[2] > 0)
    #expect(stage.view(1).health == .bad)
    #expect(!stage.view(1).isUsable)
    stage.cells[1].setHealth(.good)
    stage.wait(.seconds(20))
    #expect(stage.spread(60)[1] > 0)
  }

  // Below the threshold the sick ones share the load with the rest, which would otherwise break too.
  @Test func panicUsesEveryoneButTheDrained() throws {
    var stage = Stage(5)
    for slot in 0..<3 { stage.cells[slot].setHealth(.bad) }
    stage.cells[4].setDraining(true)
    // One of four live ones is well.
    let spread = stage.spread(200)
    #expect(spread[0] > 0 && spread[1] > 0 && spread[2] > 0 && spread[3] > 0 && spread[4] == 0)
    #expect(stage.ticket(of: 0).isPanic)
    // Two of four: no panic.
    stage.cells[0].setHealth(.good)
    #expect(stage.spread(50)[1...2] == [0, 0])
    #expect(!stage.ticket().isPanic)
  }

  // Back-pressure is a wish of a healthy member: panic respects it.
  @Test func panicRespectsCoolDowns() {
    var stage = Stage(2)
    stage.cells[0].setHealth(.bad)
    stage.cells[1].setHealth(.bad)
    stage.request(0, .backpressure(retryAfter: .seconds(5)))
    #expect(stage.spread(10) == [0, 10])
  }

  @Test func everybodyDownIsPanicToo() {
    var stage = Stage(1)
    stage.cells[0].setHealth(.bad)
    #expect(stage.ticket().isPanic)
    let isServed = stage.pool.hasUsableMember
    #expect(!isServed)
  }

  // An open breaker whose probes call it bad is not worth a live request.
  @Test func badMembersAreNotProbed() {
    var stage = Stage(2)
    stage.open(0)
    stage.cells[0].setHealth(.bad)
    stage.wait(.seconds(10))
    #expect(stage.spread(10) == [0, 10])
    stage.cells[0].setHealth(.good)
    #expect(stage.ticket().isProbe)
  }

  // The limit is one over all loops, and a cell at its limit is passed over.
  @Test func theInFlightLimitIsExact() {
    var stage = Stage(3)
    for _ in 0..<6 { _ = stage.ticket(limit: 2) }
    #expect(stage.inFlight == [2, 2, 2])
  }

  // A retry goes to another member.
  @Test func avoidsWhatWasTried() {
    var stage = Stage(3)
    for _ in 0..<20 {
      let pick = stage.pick(avoiding: slots(0, 2))
      #expect(pick.ticket?.slot == 1)
    }
  }

  @Test func slotSetsHoldTheFirst64AndTheLastFourBeyond() {
    var set = SlotSet()
    #expect(set.isEmpty)
    set.insert(3)
    set.insert(63)
    for slot in [64, 65, 66, 67, 67, 68] { set.insert(slot) }
    #expect(!set.isEmpty)
    #expect(set.contains(3) && set.contains(63) && !set.contains(4))
    #expect(!set.contains(64) && set.contains(65) && set.contains(68) && !set.contains(69))
  }

  // A request that is finished twice would make its member look idle for ever.
  @Test func finishingTwiceIsABugOfOurs() async {
    await #expect(processExitsWith: .failure) {
      var stage = Stage(1)
      let ticket = stage.ticket()
      stage.finish(ticket, .success)
      stage.finish(ticket, .success)
    }
  }
}
