import Primitives
import Testing

@testable import Simulation

struct PartsTests {
  // What could break: two things at the same instant change places, and a seed no longer decides.
  @Test func theAgendaKeepsTheOrderOfPlanning() {
    var agenda = Agenda()
    var random = SeededRandom(seed: 3)
    var planned: [(Int64, Int)] = []
    for number in 0..<500 {
      let at = Int64(random.below(20))
      planned.append((at, number))
      agenda.plan(.reload(number), at: Instant(nanoseconds: at))
    }
    var seen: [(Int64, Int)] = []
    while let next = agenda.next() {
      guard case .reload(let number) = next.happening else { continue }
      seen.append((next.at.nanoseconds, number))
    }
    planned.sort { $0 < $1 }
    #expect(seen.map(\.1) == planned.map(\.1))
  }

  // What could break: bytes are moved when the queue grows or begins anew.
  @Test(arguments: UInt64(0)..<10) func aQueueGivesBackWhatItGot(seed: UInt64) {
    let queue = ByteQueue()
    var random = SeededRandom(seed: seed)
    var written = 0
    var read = 0
    for _ in 0..<300 {
      let count = random.below(3_000)
      queue.appendBody(77, written..<(written + count))
      written += count
      let taken = random.below(queue.count + 1)
      let bytes = UnsafeRawBufferPointer(rebasing: queue.bytes[..<taken])
      #expect(Pattern.matches(bytes, offset: 77, position: read))
      queue.consume(taken)
      read += taken
      #expect(queue.count == written - read)
    }
  }

  // What could break: the bodies of two requests look alike, and one could be taken for the other.
  @Test func bodiesDiffer() {
    let queue = ByteQueue()
    queue.appendBody(5, 0..<40)
    #expect(Pattern.matches(queue.bytes, offset: 5, position: 0))
    for offset in 0..<2_000 where offset != 5 {
      #expect(!Pattern.matches(queue.bytes, offset: offset, position: 0))
    }
  }
}

struct SimulationCommandTests {
  // What could break: a slip in an option starts a run that nobody wanted.
  @Test(arguments: [
    ["--seed"], ["--seed", "x"], ["--seeds", "0"], ["--climate", "rain"], ["--policy", "best"],
    ["--requests", "-1"], ["--frobnicate"], ["--mutate", "nothing"],
  ])
  func wrongUsageIsTwo(arguments: [String]) {
    #expect(SimulationCommand.run(arguments: arguments) == 2)
  }

  // What could break: the exit status, which is what a script looks at.
  @Test func statusesAreAsPeopleExpect() {
    #expect(SimulationCommand.run(arguments: ["--help"]) == 0)
    #expect(
      SimulationCommand.run(arguments: ["--seed", "3", "--climate", "calm", "--requests", "10"])
        == 0)
    #expect(
      SimulationCommand.run(arguments: [
        "--seed", "1", "--climate", "calm", "--requests", "20", "--mutate", "effectAfterDeath",
      ]) == 1)
  }

  // What could break: the score card compares days instead of policies, or the default policy is no
  // better than taking turns on an uneven fleet.
  @Test func weighingBeatsTakingTurns() throws {
    let comparison = Comparison(seed: 1, requests: 400)
    let weighted = try #require(comparison.firstByteP99(of: .weightedScore))
    let turns = try #require(comparison.firstByteP99(of: .roundRobin))
    #expect(weighted < turns)
    #expect(comparison.text.contains("weighted_score"))
  }
}
