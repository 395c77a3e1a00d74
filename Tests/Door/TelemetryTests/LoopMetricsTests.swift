import Primitives
import Testing

@testable import Telemetry

struct LoopMetricsTests {
  // A snapshot that shared storage with the loop would make the loop's next request pay for a copy of
  // everything, or, worse, change under the reader.
  @Test func aSnapshotIsOfItsMoment() {
    var loop = LoopMetrics()
    var record = RequestRecord()
    record.route = 2
    record.pool = 1
    record.member = 5
    record.firstByte = .milliseconds(1)
    loop.requestFinished(record)
    let before = loop.snapshot()
    loop.requestFinished(record)
    loop.retried(pool: 1, reason: .upstreamReset)
    #expect(before.requests.cells.count == 1)
    #expect(before.requests.cells[0].counts[0] == 1)
    #expect(before.members[5].firstByte.count == 1)
    #expect(before.pools[1].retries.reduce(0, +) == 0)
    #expect(loop.snapshot().requests.cells[0].counts[0] == 2)
    #expect(loop.snapshot().members[5].firstByte.count == 2)
    #expect(loop.snapshot().pools[1].retries.reduce(0, +) == 1)
  }

  // Loops learn of a reload at different moments, so their arrays differ in length.
  @Test func mergingGrowsToTheLonger() {
    var short = LoopMetrics()
    var long = LoopMetrics()
    short.connectionOpened(listener: 0)
    long.connectionOpened(listener: 3)
    long.breakerEntered(.halfOpen, member: 700)
    for snapshots in [[short.snapshot(), long.snapshot()], [long.snapshot(), short.snapshot()]] {
      let sum = MetricsSnapshot.merged(snapshots)
      #expect(sum.listeners.map(\.open) == [1, 0, 0, 1])
      #expect(sum.members.count == 701)
      #expect(sum.members[700].breakerEntered[2] == 1)
    }
    #expect(MetricsSnapshot.merged([]).listeners.isEmpty)
  }

  // The table of cells against a dictionary, through several doublings and a merge.
  @Test(arguments: UInt64(0)..<4)
  func cellsBehaveLikeADictionary(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var loops = [RequestCells(), RequestCells()]
    var model: [RequestCells.Key: [UInt64]] = [:]
    for _ in 0..<4_000 {
      let key = RequestCells.Key(
        route: Int32(random.below(8)) - 1, pool: Int32(random.below(3)) - 1,
        member: Int32(random.below(60)) - 1)
      let codeClass = CodeClass.allCases[random.below(6)]
      loops[random.below(2)].count(key, codeClass)
      model[key, default: .init(repeating: 0, count: 6)][Int(codeClass.rawValue)] += 1
    }
    loops[0].merge(loops[1])
    #expect(loops[0].cells.count == model.count)
    for cell in loops[0].cells {
      #expect(model[cell.key] == (0..<6).map { cell.counts[$0] })
    }
  }

  @Test(arguments: [
    (UInt16(0), "none"), (99, "none"), (101, "1xx"), (200, "2xx"), (308, "3xx"), (499, "4xx"),
    (504, "5xx"), (600, "none"), (65_535, "none"),
  ])
  func statusesFallIntoTheirClass(status: UInt16, label: String) {
    #expect(CodeClass(status: status).label.description == label)
  }

  // People alert on labels: two reasons with one label, or a label that is not snake case, cannot be
  // mended later.
  @Test func reasonsAreNamedOnceAndExplained() {
    var labels = Set<String>()
    for reason in TerminationReason.allCases {
      let label = reason.label.description
      #expect(labels.insert(label).inserted)
      #expect(label.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == 0x5F })
      #expect(reason.text.description.hasSuffix("."))
      #expect(!reason.text.description.dropLast().contains(". "))
    }
  }
}
