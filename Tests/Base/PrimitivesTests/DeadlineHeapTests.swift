import Primitives
import Testing

struct DeadlineHeapTests {
  private func handle(_ index: Int) -> Handle { Handle(index: UInt32(index), generation: 1) }

  // A heap out of order lets a timeout fire late, or never.
  @Test(arguments: UInt64(0)..<4)
  func whatIsDueComesInOrderAndNothingElse(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var heap = DeadlineHeap()
    var expected: [Int64] = []
    for index in 0..<500 {
      let at = Int64(random.below(1_000))
      heap.schedule(handle(index), at: Instant(nanoseconds: at))
      if at <= 600 { expected.append(at) }
    }
    var seen: [Int64] = []
    while let due = heap.popDue(at: Instant(nanoseconds: 600)) { seen.append(due.at.nanoseconds) }
    #expect(seen == expected.sorted())
    #expect(heap.count == 500 - seen.count)
    #expect(heap.next.nanoseconds > 600)
  }

  // An hour's deadline must not leave an entry behind for an hour each time it moves.
  @Test func noVisitIsFurtherAwayThanTheHorizon() {
    let now = Instant(nanoseconds: 1_000)
    #expect(DeadlineHeap.visit(.never, at: now) == now + DeadlineHeap.horizon)
    #expect(DeadlineHeap.visit(now + .seconds(1), at: now) == now + .seconds(1))
  }

  @Test func anEmptyHeapWaitsForever() {
    var heap = DeadlineHeap()
    #expect(heap.next == .never)
    #expect(heap.popDue(at: .never) == nil)
  }
}
