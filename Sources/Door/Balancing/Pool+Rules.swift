import Primitives

/// What lies in the scratch columns.
struct Field {
  /// Candidates, which may be used.
  var count: Int
  /// Entries of `loads`, in which those count too that are full or have been tried.
  var loads: Int
  /// Drawn by weight already, so that weight must not count again in a draw.
  var isSample: Bool
}

/// The rules that compare members. They see only the scratch columns: slots that may be used, and
/// what each holds.
extension Pool {
  mutating func decide(among field: Field, _ random: inout SeededRandom) -> Int {
    let count = field.count
    switch policy.rule {
    case .weightedScore:
      let terms = scoreTerms(count)
      return columns.scan.least(count, &random) { scan, slot, queue in
        terms.score(
          scan.latency[slot], queue, scan.inverseWeight[slot], scan.inverseRamp[slot])
      }
    case .random:
      return Int(columns.candidates[drawByWeight(field, excluding: -1, &random)])
    case .powerOfTwo:
      return betterOfTwo(field, &random)
    case .peakEWMA:
      return columns.scan.least(count, &random) { scan, slot, queue in
        scan.latency[slot] * scan.load(slot, queue)
      }
    case .hotCold:
      return fastestCold(field, &random)
    case .leastRequest, .roundRobin, .consistentHash:
      // The latter two when their walk ended without a result, or without a key.
      return columns.scan.least(count, &random) { scan, slot, queue in scan.load(slot, queue) }
    }
  }

  // MARK: weighted_score

  private mutating func scoreTerms(_ count: Int) -> ScoreTerms {
    let scan = columns.scan
    var latencies = 0.0
    var queues = 0.0
    for place in 0..<count {
      latencies += scan.latency[Int(scan.candidates[place])]
      queues += scan.queues[place]
    }
    return ScoreTerms(policy, count: count, latencies: latencies, queues: queues)
  }

  // MARK: Draws

  /// Place of a candidate drawn by weight; of a sample, which was drawn in that way, the next.
  private mutating func drawByWeight(
    _ field: Field, excluding excluded: Int, _ random: inout SeededRandom
  ) -> Int {
    if field.isSample { return excluded == 0 ? 1 : 0 }
    var total = 0.0
    for place in 0..<field.count where place != excluded { total += share(place) }
    var rest = random.unit() * total
    var last = 0
    for place in 0..<field.count where place != excluded {
      last = place
      rest -= share(place)
      if rest < 0 { return place }
    }
    // Rounding may leave a crumb for the last one.
    return last
  }

  private mutating func share(_ place: Int) -> Double {
    let slot = Int(columns.candidates[place])
    return columns.weight[slot] / columns.inverseRamp[slot]
  }

  /// Two different candidates at random, the less loaded one wins.
  private mutating func betterOfTwo(_ field: Field, _ random: inout SeededRandom) -> Int {
    let count = field.count
    if count == 1 { return Int(columns.candidates[0]) }
    let first: Int
    let second: Int
    if isUniform, !field.isSample {
      // Finagle's unbiased pair.
      first = random.below(count)
      let other = random.below(count - 1)
      second = other >= first ? other + 1 : other
    } else {
      first = drawByWeight(field, excluding: -1, &random)
      second = drawByWeight(field, excluding: first, &random)
    }
    let a = Int(columns.candidates[first])
    let b = Int(columns.candidates[second])
    let scan = columns.scan
    return scan.load(b, scan.queues[second]) < scan.load(a, scan.queues[first]) ? b : a
  }

  // MARK: hot_cold

  /// Members above the quantile of requests in flight are hot. The fastest cold one wins; when all
  /// that may be used are hot (the cold ones were tried), the least loaded.
  private mutating func fastestCold(_ field: Field, _ random: inout SeededRandom) -> Int {
    let count = field.count
    // Rounded down, so that of two members the busier one is hot.
    let rank = Int(policy.hotQuantile * Double(field.loads - 1))
    var sum = 0.0
    for place in 0..<field.loads { sum += columns.loads[place] }
    let ceiling = PoolPolicy.hotCeiling * sum / Double(field.loads) + 1
    let quantile = nth(
      rank, of: UnsafeMutableBufferPointer(start: columns.loads, count: field.loads))
    let limit = min(quantile, ceiling)
    var best = Double.infinity
    var chosen: Int32 = -1
    var ties = 1
    for place in 0..<count {
      let slot = Int(columns.candidates[place])
      if columns.queues[place] * columns.inverseWeight[slot] > limit { continue }
      // By latency, and so that a ramping member is cold only for its share of the time.
      let cost = columns.latency[slot] * columns.inverseWeight[slot] * columns.inverseRamp[slot]
      if cost < best {
        best = cost
        chosen = columns.candidates[place]
        ties = 1
      } else if cost == best {
        ties += 1
        if random.below(ties) == 0 { chosen = columns.candidates[place] }
      }
    }
    if chosen >= 0 { return Int(chosen) }
    return columns.scan.least(count, &random) { scan, slot, queue in scan.load(slot, queue) }
  }

  /// The value that stands at `rank` when sorted. Hoare's selection, in place.
  private mutating func nth(_ rank: Int, of values: UnsafeMutableBufferPointer<Double>) -> Double {
    var low = 0
    var high = values.count - 1
    while low < high {
      let pivot = values[(low + high) / 2]
      var left = low
      var right = high
      while left <= right {
        while values[left] < pivot { left += 1 }
        while values[right] > pivot { right -= 1 }
        if left <= right {
          values.swapAt(left, right)
          left += 1
          right -= 1
        }
      }
      if rank <= right {
        high = right
      } else if rank >= left {
        low = left
      } else {
        break
      }
    }
    return values[rank]
  }
}
