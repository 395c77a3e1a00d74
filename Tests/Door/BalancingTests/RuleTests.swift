import Balancing
import Primitives
import Testing

@Suite struct RuleTests {
  // The formula as the issue has it, by hand.
  @Test func weightedScoreIsTheFormula() {
    for units in [PoolPolicy.Units.relative, .raw] {
      var stage = Stage(2) { $0.units = units }
      stage.request(0, .success, firstByte: .milliseconds(100))
      stage.request(1, .success, firstByte: .milliseconds(300))
      _ = stage.ticket(of: 0)
      for _ in 0..<3 { _ = stage.ticket(of: 1) }
      switch units {
      case .relative:
        // Means: 200 ms and 2 requests.
        #expect(abs(stage.view(0).score - (0.6 * 0.5 + 0.4 * 0.5)) < 1e-9)
        #expect(abs(stage.view(1).score - (0.6 * 1.5 + 0.4 * 1.5)) < 1e-9)
      case .raw:
        #expect(abs(stage.view(0).score - (0.6 * 100 + 0.4 * 1)) < 1e-9)
        #expect(abs(stage.view(1).score - (0.6 * 300 + 0.4 * 3)) < 1e-9)
      }
      #expect(stage.ticket().slot == 0)
    }
  }

  @Test func theScoreIsDividedByTheWeight() {
    var stage = Stage(2, weights: [1, 4])
    for slot in 0..<2 { stage.request(slot, .success, firstByte: .milliseconds(100)) }
    for slot in 0..<2 { _ = stage.ticket(of: slot) }
    #expect(abs(stage.view(0).score - 1) < 1e-9)
    #expect(abs(stage.view(1).score - 0.25) < 1e-9)
  }

  // Cold start: nothing known, nothing in flight. The first of the list must not get it all.
  @Test(arguments: UInt64(0)..<4) func tiesAreBrokenAtRandom(seed: UInt64) {
    for rule in PoolPolicy.Rule.allCases where rule != .roundRobin {
      var stage = Stage(4, seed: seed) { $0.rule = rule }
      let spread = stage.spread(400)
      #expect(spread.allSatisfy { $0 > 60 && $0 < 140 }, "\(rule): \(spread)")
    }
  }

  // Held requests spread evenly at a cold start: by queue when latency says nothing.
  @Test func aColdPoolFillsEvenly() {
    var stage = Stage(4)
    for _ in 0..<40 { _ = stage.ticket() }
    #expect(stage.inFlight == [10, 10, 10, 10])
  }

  @Test(arguments: [PoolPolicy.Rule.roundRobin, .random])
  func weightsAreShares(rule: PoolPolicy.Rule) {
    var stage = Stage(3, weights: [1, 2, 5]) { $0.rule = rule }
    let spread = stage.spread(8_000)
    let slack = rule == .roundRobin ? 1 : 150
    for (count, share) in zip(spread, [1_000, 2_000, 5_000]) {
      #expect(abs(count - share) <= slack, "\(spread)")
    }
  }

  // Rules by load keep loads, not picks, in proportion.
  @Test(arguments: [PoolPolicy.Rule.leastRequest, .peakEWMA])
  func weightsAreSharesOfTheLoad(rule: PoolPolicy.Rule) {
    var stage = Stage(3, weights: [1, 2, 5]) { $0.rule = rule }
    for slot in 0..<3 { stage.request(slot, .success, firstByte: .milliseconds(100)) }
    for _ in 0..<800 { _ = stage.ticket() }
    for (count, share) in zip(stage.inFlight, [100, 200, 500]) { #expect(abs(count - share) <= 2) }
  }

  // Weights far apart, as 256 to 1, must neither starve nor burst.
  @Test func roundRobinIsSmooth() {
    var stage = Stage(3, weights: [5, 1, 1]) { $0.rule = .roundRobin }
    var run = 0
    var longest = 0
    for _ in 0..<70 {
      let ticket = stage.ticket()
      run = ticket.slot == 0 ? run + 1 : 0
      longest = max(longest, run)
      stage.finish(ticket, .success)
    }
    #expect(longest <= 5)
    stage = Stage(4) { $0.rule = .roundRobin }
    let order = (0..<8).map { _ in stage.ticket().slot }
    #expect(order[..<4] == order[4...])
    #expect((0..<3).allSatisfy { (order[$0] + 1) % 4 == order[$0 + 1] })
  }

  // A member that is passed over must not give its turns to its neighbour alone.
  @Test func roundRobinPassesOverFairly() {
    var stage = Stage(4) { $0.rule = .roundRobin }
    stage.cells[1].setDraining(true)
    #expect(stage.spread(300) == [100, 0, 100, 100])
  }

  @Test func leastRequestFillsTheLeastLoaded() {
    var stage = Stage(3) { $0.rule = .leastRequest }
    for _ in 0..<5 { _ = stage.ticket(of: 0) }
    for _ in 0..<2 { _ = stage.ticket(of: 1) }
    for _ in 0..<8 { _ = stage.ticket() }
    #expect(stage.inFlight == [5, 5, 5])
  }

  // Two different ones are compared: the busiest of all is never picked.
  @Test func powerOfTwoNeverTakesTheBusiest() {
    for weights in [[1, 1, 1, 1], [1, 1, 1, 2]] {
      var stage = Stage(4, weights: weights) { $0.rule = .powerOfTwo }
      for _ in 0..<9 { _ = stage.ticket(of: 0) }
      let spread = stage.spread(400)
      #expect(spread[0] == 0)
      #expect(spread[1...].allSatisfy { $0 > 40 })
    }
  }

  @Test func peakEWMAComparesLatencyTimesLoad() {
    var stage = Stage(2) { $0.rule = .peakEWMA }
    stage.request(0, .success, firstByte: .milliseconds(100))
    stage.request(1, .success, firstByte: .milliseconds(350))
    #expect((0..<5).map { _ in stage.ticket().slot } == [0, 0, 0, 1, 0])
    #expect(stage.view(1).score == 700)
  }

  // The fastest may be the most loaded: then it is hot, and the next fastest is better.
  @Test func hotColdTakesTheFastestColdOne() {
    var stage = Stage(4) { $0.rule = .hotCold }
    for slot in 0..<4 {
      stage.request(slot, .success, firstByte: .milliseconds(Int64(100 + 100 * slot)))
    }
    #expect(stage.ticket().slot == 0)
    // One more than everyone else: above the quantile.
    #expect(stage.ticket().slot == 1)
    // Two of four hold one: the third smallest load is one, so nobody is above it.
    #expect(stage.ticket().slot == 0)
    #expect(stage.ticket().slot == 1)
    for _ in 0..<5 { _ = stage.ticket(of: 1) }
    // All cold ones tried: the least loaded of the hot.
    #expect(stage.pick(avoiding: slots(0, 2, 3)).ticket?.slot == 1)
  }

  // With two members, a quantile rounded up would make nobody hot and the fastest take it all.
  @Test func hotColdOfTwoIsNotJustTheFastest() {
    var stage = Stage(2) { $0.rule = .hotCold }
    stage.request(0, .success, firstByte: .milliseconds(100))
    stage.request(1, .success, firstByte: .milliseconds(200))
    for _ in 0..<10 { _ = stage.ticket() }
    #expect(stage.inFlight == [5, 5])
  }

  // Slow start means a growing share, under every rule that has shares.
  @Test(arguments: [PoolPolicy.Rule.roundRobin, .random, .leastRequest, .weightedScore, .peakEWMA])
  func newMembersGetAGrowingShare(rule: PoolPolicy.Rule) {
    var stage = Stage(3) { $0.rule = rule }
    for slot in 0..<3 { stage.request(slot, .success, firstByte: .milliseconds(100)) }
    stage.reload(["m0", "m1", "m2", "m3"])
    stage.wait(.milliseconds(200))
    // Ten phases of a second each; a window of requests is always under way.
    var shares: [Int] = []
    var window: [Ticket] = []
    for _ in 0..<12 {
      var count = 0
      for step in 0..<1_000 {
        var ticket = stage.ticket()
        stage.pool.firstByte(
          &ticket, latency: .milliseconds(100), isHealthy: true, at: stage.now)
        if ticket.slot == 3 { count += 1 }
        window.append(ticket)
        if window.count > 80 {
          let place = stage.random.below(window.count)
          stage.finish(window.remove(at: place), .success)
        }
        if step % 10 == 0 { stage.wait(.milliseconds(10)) }
      }
      shares.append(count)
    }
    #expect(shares[0] < 80, "\(shares)")
    #expect(shares[4] > 60 && shares[4] < 210, "\(shares)")
    #expect(shares[11] > 210, "\(shares)")
  }

  // Larger pools are sampled: the choice must still be good, and weights still count.
  @Test(arguments: PoolPolicy.Rule.allCases)
  func largePoolsAreServedBySamples(rule: PoolPolicy.Rule) {
    let weights = (0..<200).map { $0 < 100 ? 1 : 3 }
    var stage = Stage(200, weights: weights) { $0.rule = rule }
    stage.cells[7].setDraining(true)
    stage.cells[8].setHealth(.bad)
    stage.pool.peerReported(9, .opened(until: .never), at: stage.now)
    let spread = stage.spread(20_000, gap: .microseconds(10)) { UInt64($0) &* 0x9e37_79b9_7f4a }
    #expect(spread[7...9] == [0, 0, 0])
    let light = spread[..<100].reduce(0, +)
    let heavy = spread[100...].reduce(0, +)
    #expect(heavy > 2 * light, "\(rule): \(light) \(heavy)")
    if rule == .roundRobin || rule == .random {
      #expect(abs(Double(heavy) / Double(light) - 300.0 / 97) < 0.2, "\(rule): \(light) \(heavy)")
    }
  }

  @Test func largePoolsPanicToo() {
    var stage = Stage(100) { $0.rule = .leastRequest }
    for slot in 0..<80 { stage.cells[slot].setHealth(.bad) }
    stage.wait(.seconds(1))
    var seen = Set<Int>()
    for _ in 0..<2_000 { seen.insert(stage.ticket().slot) }
    #expect(seen.count == 100)
    // And the last few usable ones are found, though samples miss them.
    stage = Stage(100) {
      $0.rule = .leastRequest
      $0.panicThreshold = 0
    }
    for slot in 0..<99 { stage.cells[slot].setHealth(.bad) }
    for _ in 0..<200 { #expect(stage.ticket().slot == 99) }
  }
}
