import Balancing
import Primitives
import Testing

@Suite struct HashTests {
  static let keys = (0..<4_000).map { UInt64($0) &* 0x9e37_79b9_7f4a_7c15 }

  /// Where each key goes when nothing is in flight.
  private func map(_ stage: inout Stage) -> [String] {
    Self.keys.map { key in
      let ticket = stage.ticket(key: key)
      stage.finish(ticket, .success)
      return stage.names[ticket.slot]
    }
  }

  private func stage(_ count: Int, weights: [Int]? = nil) -> Stage {
    Stage(count, weights: weights) {
      $0.rule = .consistentHash
      $0.slowStart = .zero
    }
  }

  // The point of consistent hashing: one in n moves, the rest keeps its cache.
  @Test(arguments: [4, 16, 80]) func aMemberThatGoesMovesOnlyItsKeys(count: Int) {
    var stage = stage(count)
    let before = map(&stage)
    #expect(before == map(&stage))
    stage.reload((0..<count).filter { $0 != 2 }.map { "m\($0)" })
    let after = map(&stage)
    for (old, new) in zip(before, after) where old != "m2" { #expect(old == new) }
    let moved = before.count { $0 == "m2" }
    #expect(Double(moved) < 1.5 * 4_000 / Double(count))
    // And it gets exactly those back.
    stage.reload((0..<count).map { "m\($0)" })
    let back = map(&stage)
    #expect(back == before)
  }

  @Test func aMemberThatJoinsTakesOnlyItsShare() {
    var stage = stage(8)
    let before = map(&stage)
    stage.reload((0..<9).map { "m\($0)" })
    let after = map(&stage)
    let moved = zip(before, after).count { $0 != $1 }
    #expect(zip(before, after).allSatisfy { $0 == $1 || $1 == "m8" })
    #expect(Double(moved) < 1.5 * 4_000 / 9)
    #expect(moved > 200)
  }

  // An outage must not reshuffle everyone: keys of the lost one go elsewhere and come back.
  @Test func aMemberThatIsDownLendsItsKeys() {
    var stage = stage(6)
    let before = map(&stage)
    stage.cells[3].setHealth(.bad)
    let during = map(&stage)
    for (old, new) in zip(before, during) {
      #expect(old == "m3" ? new != "m3" : new == old)
    }
    // Spread over the others, not given to one neighbour.
    let heirs = Set(zip(before, during).filter { $0.0 == "m3" }.map { $0.1 })
    #expect(heirs.count == 5)
    stage.cells[3].setHealth(.good)
    stage.wait(.seconds(1))
    let after = map(&stage)
    #expect(after == before)
  }

  // Loops and replicas number their members differently: the name decides, not the slot.
  @Test func theOrderOfMembersDoesNotMatter() {
    var a = stage(5)
    var b = stage(5)
    b.reload((0..<5).reversed().map { "m\($0)" })
    let first = map(&a)
    let second = map(&b)
    #expect(first == second)
  }

  @Test func weightsAreSharesOfKeys() {
    var stage = stage(3, weights: [1, 1, 2])
    let counts = map(&stage).reduce(into: [:]) { $0[$1, default: 0] += 1 }
    #expect(abs(Double(counts["m2"]!) / 4_000 - 0.5) < 0.1, "\(counts)")
  }

  // One hot key must not drown its member: 1.25 times the mean, rounded up.
  @Test(arguments: UInt64(0)..<20) func loadIsBounded(seed: UInt64) {
    var stage = Stage(5, seed: seed) { $0.rule = .consistentHash }
    var tickets: [Ticket] = []
    for step in 1...400 {
      // Three quarters of the traffic ask for the same key.
      let key = stage.random.below(4) == 0 ? stage.random.next() : 42
      tickets.append(stage.ticket(key: key))
      let bound = (1.25 * Double(tickets.count) / 5).rounded(.up)
      #expect(Double(stage.inFlight[tickets.last!.slot]) <= bound)
      if step % 3 == 0 {
        stage.finish(tickets.remove(at: stage.random.below(tickets.count)), .success)
      }
    }
  }

  // Requests without a key have to go somewhere.
  @Test func withoutAKeyLoadDecides() {
    var stage = stage(4)
    for _ in 0..<12 { _ = stage.ticket() }
    #expect(stage.inFlight == [3, 3, 3, 3])
  }

  // A ramping member takes a growing part of its keys, the same ones each time.
  @Test func slowStartTakesKeysOneByOne() {
    var stage = Stage(3) { $0.rule = .consistentHash }
    stage.reload(["m0", "m1", "m2", "m3"])
    var shares: [Int] = []
    var owned = Set<Int>()
    for _ in 0..<11 {
      let map = map(&stage)
      let now = Set(map.indices.filter { map[$0] == "m3" })
      #expect(owned.isSubset(of: now))
      owned = now
      shares.append(now.count)
      stage.wait(.seconds(1))
    }
    #expect(shares[0] < 200 && shares[10] > 700, "\(shares)")
  }

  @Test func keysHashTheSameEverywhere() {
    let bytes = Array("session-1".utf8)
    let hash = bytes.withUnsafeBytes { hashKey($0) }
    #expect(hash == bytes.withUnsafeBytes { hashKey($0) })
    #expect(hash != Array("session-2".utf8).withUnsafeBytes { hashKey($0) })
  }
}
