import Balancing
import Primitives
import Testing

@Suite struct FleetTests {
  private func fleet(
    _ services: [Double], rate: Double, _ rule: PoolPolicy.Rule, loops: Int = 1, seed: UInt64
  ) -> FakeFleet {
    var policy = PoolPolicy()
    policy.rule = rule
    return FakeFleet(
      services.map { FakeFleet.Member(service: $0) }, rate: rate, policy: policy, loops: loops,
      seed: seed)
  }

  // What the default policy is for: on a mixed fleet its tail is much shorter than round robin's,
  // even at a rate that the slowest can bear.
  @Test(arguments: UInt64(0)..<4) func weightedScoreBeatsRoundRobin(seed: UInt64) {
    var ours = fleet([100, 100, 100, 500], rate: 26, .weightedScore, seed: seed)
    var theirs = fleet([100, 100, 100, 500], rate: 26, .roundRobin, seed: seed)
    ours.run(requests: 6_000)
    theirs.run(requests: 6_000)
    #expect(ours.percentile(0.99) < 0.4 * theirs.percentile(0.99))
    #expect(ours.percentile(0.5) < 0.9 * theirs.percentile(0.5))
  }

  // A member five times slower gets less, but is asked now and then.
  @Test(arguments: UInt64(0)..<4) func aSlowMemberGetsLessAndIsNotStarved(seed: UInt64) {
    for loops in [1, 4] {
      var fleet = fleet(
        [100, 100, 100, 500], rate: 60, .weightedScore, loops: loops, seed: seed)
      fleet.run(requests: 8_000)
      #expect(fleet.counts[3] < 700, "\(fleet.counts)")
      #expect(fleet.counts[3] > 5, "\(fleet.counts)")
      #expect(fleet.counts[..<3].allSatisfy { $0 > 2_000 }, "\(fleet.counts)")
    }
  }

  // What was slow yesterday must get its share back: within a minute at a tau of 10 s.
  @Test(arguments: UInt64(0)..<4) func aMemberThatIsFastAgainRecovers(seed: UInt64) {
    var fleet = fleet([100, 100, 100, 500], rate: 60, .weightedScore, seed: seed)
    fleet.run(requests: 6_000)
    fleet.members[3].service = 100
    fleet.run(requests: 3_600)
    fleet.forgetResults()
    fleet.run(requests: 6_000)
    #expect(fleet.counts[3] > 1_000, "\(fleet.counts)")
  }

  // Equal members, several loops: each has its own averages, and they must not all flock to one.
  @Test(arguments: UInt64(0)..<4) func loopsDoNotFlock(seed: UInt64) {
    var fleet = fleet([100, 100, 100, 100], rate: 100, .weightedScore, loops: 8, seed: seed)
    fleet.run(requests: 8_000)
    #expect(fleet.counts.allSatisfy { $0 > 1_400 && $0 < 2_600 }, "\(fleet.counts)")
    #expect(fleet.cells.allSatisfy { $0.inFlight == 0 })
  }

  // Cold members are compared by latency alone, which lags: the fastest few must not pile up the
  // whole load of a busy pool between them.
  @Test(arguments: UInt64(0)..<4) func hotColdDoesNotPileUp(seed: UInt64) {
    var fleet = fleet([100, 100, 100, 500], rate: 85, .hotCold, seed: seed)
    fleet.run(requests: 6_000)
    #expect(fleet.percentile(0.99) < 600)
  }
}
