import Testing

@testable import Simulation

/// A thousand days of the whole front door.
struct SeedTests {
  /// Requests of a seed. Small, so that a thousand seeds fit into the two minutes that they may take
  /// in a debug build: measured at 45 ms a seed, and two seeds at a time.
  private static let requests = 80
  private static let perBatch: UInt64 = 25

  // What could break: anything. A belief of `World+Oracles` and its like that does not hold in some
  // order of events is printed with its seed, its climate and what led to it, and how to replay it.
  @Test(arguments: UInt64(0)..<40)
  func everyBeliefHoldsOnAThousandDays(batch: UInt64) {
    for seed in (batch * Self.perBatch)..<((batch + 1) * Self.perBatch) {
      let report = simulate(
        seed: seed, climate: SimulationCommand.climate(of: seed), requests: Self.requests)
      if let violation = report.violation {
        Issue.record("\(violation)")
        return
      }
    }
  }

  // What could break: something in the core or in the simulation asks a clock, a hash seed or an
  // address in memory. Then a failing seed could not be replayed.
  @Test(arguments: Climate.Name.allCases)
  func theSameSeedGivesTheSameTrace(climate: Climate.Name) {
    for seed in UInt64(500)..<503 {
      let first = simulate(seed: seed, climate: climate)
      let second = simulate(seed: seed, climate: climate)
      #expect(first == second)
      #expect(first.events > 100)
    }
  }

  // What could break: the seed reaches only some of the dice, and a thousand seeds are one day.
  @Test func differentSeedsGiveDifferentTraces() {
    let hashes = (UInt64(0)..<20).map { simulate(seed: $0, climate: .busy, requests: 20).traceHash }
    #expect(Set(hashes).count == hashes.count)
  }

  // What could break: a climate turns into a name only, and the rare things that it is for never
  // happen.
  @Test func climatesBringWhatTheyAreFor() {
    var outcomes: [Climate.Name: [String: Int]] = [:]
    var retries = 0
    var openings = 0
    for climate in Climate.Name.allCases {
      for seed in UInt64(0)..<6 {
        let report = simulate(seed: seed, climate: climate)
        outcomes[climate, default: [:]].merge(report.outcomes, uniquingKeysWith: +)
        retries += report.retries
        openings += report.openings
      }
    }
    func count(_ climate: Climate.Name, _ outcome: String) -> Int {
      outcomes[climate]?[outcome] ?? 0
    }
    #expect(count(.calm, "cut") == 0)
    #expect(count(.calm, "left") == 0)
    #expect(count(.flaky, "cut") > 0)
    #expect(count(.flaky, "refused") > 0)
    #expect(count(.hostile, "left") > 0)
    #expect(count(.hostile, "unanswered") > 0)
    #expect(count(.chaos, "cut") > 0)
    #expect(Climate.Name.allCases.reduce(0) { $0 + count($1, "tunnelled") } > 0)
    #expect(retries > 0)
    #expect(openings > 0)
  }
}
