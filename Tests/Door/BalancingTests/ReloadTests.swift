import Balancing
import Primitives
import Testing

@Suite struct ReloadTests {
  // A reload every 200 ms must not forget who is slow, who is broken, or where requests are.
  @Test func membersThatStayKeepEverything() {
    var stage = Stage(4)
    stage.request(2, .success, firstByte: .milliseconds(900))
    stage.open(1)
    let held = stage.ticket(of: 2)
    let before = stage.view(1).breaker
    stage.reload(["m3", "m2", "m1"])
    #expect(stage.pool.memberSlots == [3, 2, 1])
    #expect(stage.pool.slot(named: "m2") == 2)
    #expect(stage.pool.slot(named: "m0") == nil)
    #expect(stage.view(1).breaker == before)
    #expect(stage.view(2).ewmaMilliseconds == 900)
    #expect(stage.view(2).slowStartFactor == 1)
    #expect(stage.inFlight == [0, 0, 1, 0])
    stage.finish(held, .success)
    #expect(stage.inFlight == [0, 0, 0, 0])
  }

  // A slot that is given away too early would count one member's request out of another's.
  @Test func aRetiredSlotWaitsForItsLastTicket() {
    var stage = Stage(2)
    let first = stage.ticket(of: 0)
    let second = stage.ticket(of: 0)
    stage.reload(["m1", "m2"])
    #expect(stage.pool.memberSlots == [1, 2])
    stage.finish(first, .failure)
    stage.reload(["m1", "m2", "m3"])
    #expect(stage.pool.memberSlots == [1, 2, 3])
    #expect(stage.inFlight == [1, 0, 0, 0])
    stage.finish(second, .success)
    #expect(stage.inFlight == [0, 0, 0, 0])
    // Now it is free, for a new tenant with a new generation.
    stage.reload(["m1", "m2", "m3", "m4"])
    #expect(stage.pool.memberSlots == [1, 2, 3, 0])
    #expect(stage.pool.slot(named: "m4") == 0)
    let tenant = stage.ticket(of: 0)
    #expect(tenant != first)
    stage.finish(tenant, .success)
    #expect(stage.inFlight == [0, 0, 0, 0, 0])
  }

  @Test func aMemberThatComesBackWhileBusyFindsItsSlot() {
    var stage = Stage(2)
    stage.request(0, .success, firstByte: .milliseconds(300))
    let held = stage.ticket(of: 0)
    stage.reload(["m1"])
    #expect(stage.spread(10)[0] == 0)
    stage.reload(["m1", "m0"])
    #expect(stage.pool.memberSlots == [1, 0])
    #expect(stage.view(0).ewmaMilliseconds > 290)
    stage.finish(held, .success)
    #expect(stage.inFlight == [0, 0])
  }

  // The same name on another backend is another member: its requests count elsewhere.
  @Test func aNewCellUnderAnOldNameIsANewMember() {
    var stage = Stage(2)
    let held = stage.ticket(of: 0)
    let cell = LoadCell()
    stage.pool.apply(
      policy: stage.pool.policy,
      members: [
        MemberSpec(name: "m0", weight: 1, cell: cell),
        MemberSpec(name: "m1", weight: 1, cell: stage.cells[1]),
      ], at: stage.now)
    #expect(stage.pool.memberSlots == [2, 1])
    let fresh = stage.ticket(of: 2)
    #expect(cell.inFlight == 1)
    stage.finish(held, .success)
    stage.finish(fresh, .success)
    #expect(cell.inFlight == 0)
    #expect(stage.inFlight == [0, 0])
  }

  // Starting at zero, a new member would draw all traffic until its first answer; starting at
  // nothing known, the same.
  @Test func newMembersStartAtTheMedianAndRampUp() {
    var stage = Stage(3)
    stage.request(0, .success, firstByte: .milliseconds(100))
    stage.request(1, .success, firstByte: .milliseconds(200))
    stage.request(2, .success, firstByte: .milliseconds(900))
    stage.reload(["m0", "m1", "m2", "m3"])
    let slot = stage.pool.slot(named: "m3")!
    #expect(stage.view(slot).ewmaMilliseconds == 200)
    #expect(stage.view(slot).slowStartFactor == 0.1)
    #expect(stage.view(0).slowStartFactor == 1)
    stage.wait(.seconds(10))
    #expect(stage.view(slot).slowStartFactor == 1)
  }

  // The first load is no ramp: everyone is new, and all would crawl for nothing.
  @Test func theFirstMembersDoNotRamp() {
    var stage = Stage(2)
    #expect(stage.view(0).slowStartFactor == 1)
    stage.reload([])
    #expect(stage.pick() == .none(.noMembers))
    stage.reload(["m0", "m1"])
    stage.wait(.seconds(1))
    #expect(stage.spread(100, gap: .milliseconds(1)).allSatisfy { $0 > 20 })
  }

  // A probe of a member that is removed would hold the right to probe for ever.
  @Test func removalReturnsTheRightToProbe() {
    var stage = Stage(3)
    stage.open(0)
    stage.wait(.seconds(10))
    let probe = stage.ticket()
    #expect(stage.cells[0].isProbing)
    stage.reload(["m1", "m2"])
    #expect(!stage.cells[0].isProbing)
    #expect(stage.finish(probe, .success) == nil)
    #expect(stage.inFlight == [0, 0, 0])
  }

  // Four may lose two; two may lose one.
  @Test func aSmallerPoolCanSpareFewer() {
    var stage = Stage(4)
    stage.open(0)
    stage.wait(.seconds(1))
    stage.open(1)
    stage.reload(["m0", "m1"])
    #expect(stage.view(0).breaker == .closed)
    #expect(stage.view(1).breaker != .closed)
  }

  @Test func switchingTheBreakerOffClosesIt() {
    var stage = Stage(2)
    stage.open(0)
    stage.reload(["m0", "m1"]) { $0.breakerEnabled = false }
    #expect(stage.view(0).breaker == .closed)
  }

  // Rules keep tables of their own: each must be made anew when members or the rule change.
  @Test(arguments: PoolPolicy.Rule.allCases)
  func everyRuleServesAfterAReload(rule: PoolPolicy.Rule) {
    var stage = Stage(70) { $0.rule = rule }
    var counts = stage.spread(2_000, gap: .milliseconds(1)) { UInt64($0) &* 0x9e37_79b9 }
    #expect(counts.reduce(0, +) == 2_000)
    stage.reload((60..<130).map { "m\($0)" })
    stage.wait(.seconds(20))
    counts = stage.spread(2_000, gap: .milliseconds(1)) { UInt64($0) &* 0x9e37_79b9 }
    let live = Set(stage.pool.memberSlots)
    #expect(counts.indices.allSatisfy { counts[$0] == 0 || live.contains($0) })
    #expect(live.filter { counts[$0] > 0 }.count > 60)
    stage.reload(["m60", "m61"]) { $0.rule = .leastRequest }
    #expect(stage.spread(10).reduce(0, +) == 10)
    #expect(stage.inFlight.allSatisfy { $0 == 0 })
  }

  // A pool that goes away with requests under way (a test, a crash of the loop's owner) must not
  // leave its numbers in cells that others read.
  @Test func aPoolThatGoesAwayTakesItsCountsAlong() {
    let cell = LoadCell()
    do {
      var random = SeededRandom(seed: 1)
      let now = Instant(nanoseconds: 1)
      var pool = Pool(
        policy: PoolPolicy(), members: [MemberSpec(name: "a", weight: 1, cell: cell)], at: now)
      _ = pool.pick(
        at: now, random: &random, hashKey: nil, avoiding: SlotSet(), inFlightLimit: 0)
      #expect(cell.inFlight == 1)
    }
    #expect(cell.inFlight == 0)
  }
}
