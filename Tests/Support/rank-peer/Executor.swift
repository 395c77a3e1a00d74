import Generation
import Primitives
import RankGroup

/// Executes a step as sums of numbers that every rank can work out for all ranks, so that rank 0 can
/// tell a wrong bit on any of them.
final class Executor {
  private let group: any Collective
  private let y: UnsafeMutablePointer<Float>

  init(_ context: RankContext) {
    group = context.collective
    y = .allocate(capacity: FakeRank.width)
    y.initialize(repeating: 0, count: FakeRank.width)
  }

  func execute(_ batch: StepBatch) throws(GroupBroken) {
    let width = FakeRank.width
    for layer in 0..<FakeRank.layers {
      let part = group.nextPartial(count: width)
      for i in 0..<width { part[i] = Self.number(batch.step, layer, group.rank, i) }
      try group.exchange(count: width)
      for i in 0..<width { y[i] = 0.5 }
      // As two threads of a team would.
      group.addSum(of: 0..<(width / 2), to: y)
      group.addSum(of: (width / 2)..<width, to: y)
      for i in 0..<width {
        var sum = Self.number(batch.step, layer, 0, i)
        for rank in 1..<group.count where group.count > 1 {
          sum += Self.number(batch.step, layer, rank, i)
        }
        let expected = 0.5 + sum
        guard y[i].bitPattern == expected.bitPattern else {
          throw GroupBroken(
            "rank \(group.rank), step \(batch.step), layer \(layer): sum \(i) is \(y[i]), "
              + "not \(expected)")
        }
      }
    }
    // A gather of another size: what each rank got, for rank 0 to compare.
    let part = group.nextPartial(count: 1)
    part[0] = Self.checksum(y)
    try group.exchange(count: 1)
    guard group.rank == 0 else { return }
    for rank in 0..<group.count {
      guard group.partial(of: rank)[0].bitPattern == part[0].bitPattern else {
        throw GroupBroken("rank \(rank) has other bits than rank 0")
      }
    }
  }

  /// Of very different sizes, so that the order of a sum shows.
  private static func number(_ step: UInt64, _ layer: Int, _ rank: Int, _ i: Int) -> Float {
    var x = step &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(layer << 40 | rank << 20 | i)
    x = (x ^ (x >> 29)) &* 0xBF58_476D_1CE4_E5B9
    x ^= x >> 32
    let exponent = UInt32(117 + x % 20)
    return Float(bitPattern: UInt32(truncatingIfNeeded: x >> 40) & 0x807F_FFFF | exponent << 23)
  }

  private static func checksum(_ y: UnsafeMutablePointer<Float>) -> Float {
    var hash: UInt32 = 2_166_136_261
    for i in 0..<FakeRank.width { hash = (hash ^ y[i].bitPattern) &* 16_777_619 }
    // A pattern that is a number.
    return Float(bitPattern: hash & 0x3FFF_FFFF)
  }
}
