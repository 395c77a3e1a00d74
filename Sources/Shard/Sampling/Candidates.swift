import CShardKernels
import Generation

/// The tokens that may be drawn, and the draw. Keeps its memory from call to call.
struct Candidates {
  private struct Entry {
    var token: Int32
    var weight: Float

    /// Likelier first; the lower id on ties.
    static func precedes(_ left: Entry, _ right: Entry) -> Bool {
      left.weight > right.weight || (left.weight == right.weight && left.token < right.token)
    }
  }

  private var entries: [Entry] = []

  mutating func draw(
    _ logits: UnsafeMutablePointer<Float>, _ count: Int, _ parameters: SamplingParameters,
    uniform: Double
  ) -> Int32 {
    let scale = 1 / parameters.temperature
    if scale != 1 { for token in 0..<count { logits[token] *= scale } }
    pk_softmax(logits, count)
    let isOpen = parameters.minP <= 0 && parameters.topK <= 0 && parameters.topP >= 1
    if isOpen { return openDraw(logits, count, uniform) }
    var isFinite: Int32 = 1
    let most = logits[pk_argmax(logits, count, &isFinite)]
    var floor = parameters.minP * most
    // With a cut from above, only the likeliest count: begin with those within a factor of 1,000 and
    // widen until the cut lies inside. Sorting 50,000 candidates would cost more than the rest.
    var reach: Float = parameters.topK > 0 || parameters.topP < 1 ? most * 1e-3 : 0
    while true {
      gather(logits, count, from: max(floor, reach))
      let isAll = reach <= floor || reach == 0
      if cut(parameters, total: isAll ? nil : mass(logits, count, from: floor), isAll: isAll) {
        break
      }
      reach = reach > most * 1e-12 ? reach * 1e-3 : 0
      floor = max(floor, 0)
    }
    let total = entries.reduce(0.0) { $0 + Double($1.weight) }
    var rest = uniform * total
    for entry in entries {
      rest -= Double(entry.weight)
      if rest < 0 { return entry.token }
    }
    return entries[entries.count - 1].token
  }

  /// Over all tokens, in the order of their ids.
  private func openDraw(
    _ weights: UnsafeMutablePointer<Float>, _ count: Int, _ uniform: Double
  ) -> Int32 {
    var total = 0.0
    for token in 0..<count { total += Double(weights[token]) }
    var rest = uniform * total
    var last = 0
    for token in 0..<count where weights[token] > 0 {
      rest -= Double(weights[token])
      if rest < 0 { return Int32(token) }
      last = token
    }
    return Int32(last)
  }

  private mutating func gather(
    _ weights: UnsafeMutablePointer<Float>, _ count: Int, from floor: Float
  ) {
    entries.removeAll(keepingCapacity: true)
    for token in 0..<count where weights[token] >= floor && weights[token] > 0 {
      entries.append(Entry(token: Int32(token), weight: weights[token]))
    }
    entries.sort(by: Entry.precedes)
  }

  private func mass(
    _ weights: UnsafeMutablePointer<Float>, _ count: Int, from floor: Float
  ) -> Double {
    var sum = 0.0
    for token in 0..<count where weights[token] >= floor { sum += Double(weights[token]) }
    return sum
  }

  /// top_k, then top_p of what is left, over the sorted entries. False when the cut lies beyond the
  /// entries that were gathered. `total` is the mass of all that min_p leaves.
  private mutating func cut(
    _ parameters: SamplingParameters, total: Double?, isAll: Bool
  ) -> Bool {
    if parameters.topK > 0 {
      if entries.count < parameters.topK && !isAll { return false }
      entries.removeLast(max(0, entries.count - parameters.topK))
    }
    guard parameters.topP < 1 else { return isAll || parameters.topK > 0 }
    // After top_k the mass is that of its tokens alone.
    let mass =
      parameters.topK > 0 || total == nil
      ? entries.reduce(0.0) { $0 + Double($1.weight) } : total ?? 0
    let wanted = Double(parameters.topP) * mass
    var sum = 0.0
    for index in entries.indices {
      sum += Double(entries[index].weight)
      if sum >= wanted {
        entries.removeLast(entries.count - index - 1)
        return true
      }
    }
    return isAll
  }
}
