import Primitives

/// `alpha` and `beta` after the division by the pool's means.
struct ScoreTerms {
  let latency: Double
  let queue: Double

  init(_ policy: borrowing PoolPolicy, count: Int, latencies: Double, queues: Double) {
    switch policy.units {
    case .raw:
      latency = policy.alpha
      queue = policy.beta
    case .relative:
      latency = latencies > 0 ? policy.alpha * Double(count) / latencies : 0
      queue = queues > 0 ? policy.beta * Double(count) / queues : 0
    }
  }

  /// `(alpha * latency + beta * queue) / weight`. While it ramps up, a member is treated as if its
  /// queue were longer: equal scores then mean that it holds its factor's share of the others' queue.
  @inline(__always)
  func score(
    _ latency: Double, _ queue: Double, _ inverseWeight: Double, _ inverseRamp: Double
  ) -> Double {
    (self.latency * latency + self.queue * ((queue + 1) * inverseRamp - 1)) * inverseWeight
  }
}

/// The columns that a comparison reads, as plain pointers: a closure that captured the pool itself
/// would copy all of its 500 bytes for each pick (measured: 15 % of a pick among four).
struct Scan {
  let candidates: UnsafeMutablePointer<Int32>
  let queues: UnsafeMutablePointer<Double>
  let latency: UnsafeMutablePointer<Double>
  let inverseWeight: UnsafeMutablePointer<Double>
  let inverseRamp: UnsafeMutablePointer<Double>

  /// Requests per weight if this one is added. A ramping member counts as a smaller one.
  @inline(__always)
  static func load(_ queue: Double, _ inverseWeight: Double, _ inverseRamp: Double) -> Double {
    (queue + 1) * inverseRamp * inverseWeight
  }

  @inline(__always)
  func load(_ slot: Int, _ queue: Double) -> Double {
    Self.load(queue, inverseWeight[slot], inverseRamp[slot])
  }

  /// The candidate with the least cost; equal ones at random, without a second pass.
  @inline(__always)
  func least(
    _ count: Int, _ random: inout SeededRandom, _ cost: (Scan, Int, Double) -> Double
  ) -> Int {
    var best = Double.infinity
    var chosen = candidates[0]
    var ties = 1
    for place in 0..<count {
      let slot = candidates[place]
      let cost = cost(self, Int(slot), queues[place])
      if cost < best {
        best = cost
        chosen = slot
        ties = 1
      } else if cost == best {
        ties &+= 1
        if random.below(ties) == 0 { chosen = slot }
      }
    }
    return Int(chosen)
  }
}

extension Columns {
  var scan: Scan {
    Scan(
      candidates: candidates, queues: queues, latency: latency, inverseWeight: inverseWeight,
      inverseRamp: inverseRamp)
  }
}
