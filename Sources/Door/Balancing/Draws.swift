import Primitives

/// Draws a place by weight in constant time: Walker's alias method with Vose's construction.
struct AliasTable {
  /// Chance, of 2^32, that a place keeps the draw that hits it; else its alias has it.
  private var keeps: [UInt64] = []
  private var aliases: [Int32] = []

  mutating func build(_ weights: [Int]) {
    let count = weights.count
    let total = Double(weights.reduce(0, +))
    var chances = weights.map { Double($0) * Double(count) / total }
    keeps = Array(repeating: 1 << 32, count: count)
    aliases = (0..<count).map(Int32.init)
    var small = chances.indices.filter { chances[$0] < 1 }
    var large = chances.indices.filter { chances[$0] >= 1 }
    while let low = small.popLast(), let high = large.last {
      keeps[low] = UInt64(chances[low] * 0x1p32)
      aliases[low] = Int32(high)
      chances[high] -= 1 - chances[low]
      if chances[high] < 1 {
        large.removeLast()
        small.append(high)
      }
    }
  }

  mutating func clear() {
    keeps = []
    aliases = []
  }

  func draw(_ random: inout SeededRandom) -> Int {
    // One random number serves both questions: its product's high half and its low half.
    let (place, rest) = UInt64(keeps.count).multipliedFullWidth(by: random.next())
    return rest >> 32 < keeps[Int(place)] ? Int(place) : Int(aliases[Int(place)])
  }
}

/// Whose turn it is, for round robin: a cycle in which each member has as many turns as its weight,
/// spread evenly. A cycle made once costs a pick one step, however many members there are.
struct Schedule {
  /// Turns of a cycle. 128 KiB.
  private static var turnLimit: Int { 65_536 }

  private(set) var turns: [UInt16] = []
  /// nil: not begun. Loops begin at random places, or all would send their first to the same member.
  private var position: Int?

  mutating func build(_ members: [(slot: Int, weight: Int)]) {
    let total = members.reduce(0) { $0 + $1.weight }
    let divisor = members.reduce(0) { greatestCommonDivisor($0, $1.weight) }
    let scale = min(1, Double(Self.turnLimit * max(1, divisor)) / Double(max(1, total)))
    var keyed: [(at: Double, slot: Int)] = []
    for (rank, member) in members.enumerated() {
      let count = max(1, Int(Double(member.weight / max(1, divisor)) * scale))
      // Moved against each other, so that members of equal weight take turns in their order.
      let phase = (Double(rank) + 0.5) / Double(members.count)
      for turn in 0..<count {
        keyed.append((at: (Double(turn) + phase) / Double(count), slot: member.slot))
      }
    }
    keyed.sort { ($0.at, $0.slot) < ($1.at, $1.slot) }
    turns = keyed.map { UInt16($0.slot) }
    if let old = position { position = turns.isEmpty ? nil : old % turns.count }
  }

  mutating func clear() { turns = [] }

  mutating func next(_ random: inout SeededRandom) -> Int {
    var place = position ?? random.below(turns.count)
    if place >= turns.count { place = 0 }
    position = place + 1
    return Int(turns[place])
  }

  private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
    b == 0 ? a : greatestCommonDivisor(b, a % b)
  }
}
