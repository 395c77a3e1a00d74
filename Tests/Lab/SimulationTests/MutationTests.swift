import Testing

@testable import Simulation

/// The oracles are held to account: each mistake made on purpose must be found, and soon.
struct MutationTests {
  /// Where each mistake shows, and what it is found by.
  private static let cases: [(Mutation, Climate.Name, [String])] = [
    (.dropByte, .busy, ["not HTTP", "are not those", "ended after", "never ended", "are left"]),
    (.flipByte, .slow, ["are not those", "not HTTP", "is", "was changed"]),
    (.duplicateWrite, .busy, ["are not those", "is not over", "answer to nothing", "not HTTP"]),
    (.crossClients, .busy, ["which is to", "answer to nothing", "not HTTP", "are not those"]),
    (.repeatRequest, .hostile, ["neither idempotent", "more often", "tried twice"]),
    (.leakTicket, .busy, ["in flight"]),
    (.forgetResume, .busy, ["paused twice", "are left", "still served"]),
    (.forgetPause, .slow, ["without bound", "bytes of input", "answer was cut"]),
    (.loseEnd, .busy, ["still served"]),
    (.ignoreDeadlines, .busy, ["are left", "never ended"]),
    (.cleanCut, .chaos, ["ended after", "never finished one"]),
    (.dropTrailers, .busy, ["the trailer of its answer"]),
    (.loseEndStream, .calm, ["not HTTP", "on a calm day", "are left", "never ended"]),
    (.crossStreams, .busy, ["not HTTP", "are not those", "which has", "of its body", "has grown"]),
    (.loseReset, .hostile, ["still works on it", "never ended", "are left"]),
    (.forgetHeld, .calm, ["tried again after", "on a calm day", "never ended", "are left"]),
    (.effectAfterDeath, .calm, ["which is dead"]),
  ]

  // What could break: an oracle that never fires says nothing. If one of these mistakes passes 40
  // days unseen, the thousand seeds prove less than they seem to.
  @Test(arguments: cases.indices)
  func aMistakeIsFound(index: Int) {
    let (mutation, climate, texts) = Self.cases[index]
    for seed in UInt64(1)...40 {
      let report = simulate(seed: seed, climate: climate, mutation: mutation)
      guard let violation = report.violation else { continue }
      let first = violation.prefix { $0 != "\n" }
      #expect(texts.contains { first.contains($0) }, "\(mutation) was found as: \(first)")
      return
    }
    Issue.record("\(mutation) was not found in 40 days of climate \(climate)")
  }

  // What could break: a backend that vanishes without a word keeps its request, and its client, for
  // ever. A deadline must end what waits for it.
  @Test(arguments: UInt64(0)..<56) func aLostEndOfABackendIsSurvived(seed: UInt64) {
    let report = simulate(
      seed: seed, climate: SimulationCommand.climate(of: seed), mutation: .loseBackendEnd)
    #expect(report.violation == nil)
  }

  // What could break: a mistake is added and nobody looks whether it is found.
  @Test func everyMistakeHasItsCase() {
    #expect(
      Set(Self.cases.map(\.0)) == Set(Mutation.allCases).subtracting([.none, .loseBackendEnd]))
  }

  // What could break: a violation without its seed and its way back is worth little.
  @Test func aViolationSaysHowToReplayIt() throws {
    let report = simulate(seed: 5, climate: .calm, requests: 30, mutation: .effectAfterDeath)
    let violation = try #require(report.violation)
    #expect(violation.hasPrefix("seed 5, climate calm, at "))
    #expect(violation.contains("\nlast events:\n"))
    #expect(
      violation.hasSuffix("replay: portico sim --seed 5 --climate calm --requests 30 --trace"))
  }
}
