import Simulation
import Testing

/// The front door in a bottle. What could break: anything that is decided between a byte that comes
/// and a byte that goes, in an order of events that nobody thought of. A failure prints its seed and
/// the command that replays it.
@Suite struct SimulationTests {
  /// A thousand seeds, each in a climate of its own, with all oracles on. In batches, so that both
  /// cores are used and a failing one is soon seen.
  @Test(arguments: UInt64(0)..<20) func everyOracleHolds(batch: UInt64) {
    let climates = Climate.Name.allCases
    for seed in (batch * 50)..<(batch * 50 + 50) {
      let report = simulate(
        seed: seed, climate: climates[Int(seed) % climates.count], requests: 60)
      #expect(report.violation == nil)
    }
  }

  /// A seed that cannot be replayed is worth nothing.
  @Test(arguments: Climate.Name.allCases) func theSameSeedGivesTheSameTrace(climate: Climate.Name) {
    let first = simulate(seed: 7, climate: climate, requests: 100)
    #expect(first == simulate(seed: 7, climate: climate, requests: 100))
    #expect(first.traceHash != simulate(seed: 8, climate: climate, requests: 100).traceHash)
  }

  /// An oracle that finds nothing may be one that cannot: each mistake made on purpose is found.
  @Test(arguments: Mutation.allCases.filter { $0 != .none && $0 != .loseEnd })
  func everyMistakeIsFound(mutation: Mutation) {
    let climates = Climate.Name.allCases
    let isFound = (UInt64(1)...400).contains { seed in
      simulate(
        seed: seed, climate: climates[Int(seed) % climates.count], requests: 60,
        mutation: mutation
      ).violation != nil
    }
    #expect(isFound, "400 seeds did not notice \(mutation.rawValue)")
  }

  /// A backend's end that is never told is survived: a deadline ends what waits for it.
  @Test(arguments: UInt64(0)..<70) func aLostEndIsSurvived(seed: UInt64) {
    let climates = Climate.Name.allCases
    let report = simulate(
      seed: seed, climate: climates[Int(seed) % climates.count], requests: 60, mutation: .loseEnd)
    #expect(report.violation == nil)
  }
}
