import Generation
import Primitives
import Scheduler
import Testing

@Suite struct SimulationTests {
  // Whatever comes, in whatever order: each request ends exactly once with the text that it has
  // alone, everything a step attends to is there, blocks balance, budgets and the batch law hold,
  // and nobody starves.
  @Test(arguments: UInt64(0)..<25) func anythingMayHappen(tens: UInt64) {
    for seed in tens * 10..<tens * 10 + 10 {
      var world = World(seed: seed)
      world.live()
      #expect(world.complaints == [], "seed \(seed)")
    }
  }

  // Time and randomness come in as arguments: nothing else may make a difference.
  @Test(arguments: UInt64(0)..<10) func theSameSeedGivesTheSameTrace(seed: UInt64) {
    func trace(_ seed: UInt64) -> UInt64 {
      var world = World(seed: seed)
      world.live()
      return world.trace
    }
    #expect(trace(seed) == trace(seed))
    #expect(trace(seed) != trace(seed + 1))
  }

  // The worlds are hard enough: everything that can happen does, in some of them.
  @Test func theWorldsAreHard() {
    var ends: [FinishReason: Int] = [:]
    var aborted = 0
    var preemptions: UInt64 = 0
    var cached: UInt64 = 0
    for seed in UInt64(0)..<60 {
      var world = World(seed: seed)
      world.live()
      for fate in world.fates.values {
        if let end = fate.end { ends[end, default: 0] += 1 }
        if fate.isAborted { aborted += 1 }
      }
      preemptions += world.report.preemptions
      cached += world.report.cachedPromptTokens
    }
    for reason in FinishReason.allCases { #expect(ends[reason, default: 0] >= 5, "\(reason)") }
    #expect(aborted > 50)
    #expect(preemptions > 50)
    #expect(cached > 1_000)
  }
}
