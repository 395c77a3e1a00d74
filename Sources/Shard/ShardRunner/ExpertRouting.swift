import CShardKernels
import Glibc
import ShardPlan

/// Which experts the tokens of a step use, and with which weights.
///
/// `choose` is called for each row, by any thread; `arrange` by one, when all rows have chosen: it
/// gives each pair of row and owned expert a slot, so that an expert's rows lie together.
final class ExpertRouting {
  /// An expert that some rows of the step use.
  struct Active {
    let expert: Int
    let slots: Range<Int>
  }

  private let perToken: Int
  private let experts: Int
  /// [rows][perToken], in the order of experts' numbers.
  private let chosen: UnsafeMutablePointer<Int32>
  private let weights: UnsafeMutablePointer<Float>
  /// [rows][perToken]: the choice's slot, -1 where another rank has the expert.
  private let slots: UnsafeMutablePointer<Int32>
  private let rows: UnsafeMutablePointer<Int32>
  /// [rows][experts]: what the choice goes by. A row's own, so that threads do not meet.
  private let merit: UnsafeMutablePointer<Float>
  private var counts: [Int]
  private(set) var active: [Active] = []

  init(tokens: Int, plan: ModelPlan) {
    guard let rules = plan.shape.experts else { preconditionFailure("no experts") }
    perToken = rules.perToken
    experts = rules.count
    chosen = .allocate(capacity: tokens * perToken)
    weights = .allocate(capacity: tokens * perToken)
    slots = .allocate(capacity: tokens * perToken)
    rows = .allocate(capacity: tokens * perToken)
    merit = .allocate(capacity: tokens * experts)
    counts = [Int](repeating: 0, count: experts + 1)
    active.reserveCapacity(experts)
  }

  deinit {
    chosen.deallocate()
    weights.deallocate()
    slots.deallocate()
    rows.deallocate()
    merit.deallocate()
  }

  // MARK: Choosing

  /// `scores` are the router's logits; they become probabilities in place. Ties go to the lowest
  /// number, on every rank alike.
  func choose(
    _ row: Int, scores: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>?,
    _ rules: ModelShape.Experts
  ) {
    switch rules.scoring {
    case .softmax: pk_softmax(scores, experts)
    case .sigmoid:
      for expert in 0..<experts { scores[expert] = 1 / (1 + expf(-scores[expert])) }
    }
    let merit = self.merit + row * experts
    for expert in 0..<experts { merit[expert] = scores[expert] + (bias?[expert] ?? 0) }
    if rules.groups > 1 { keepGroups(merit, rules) }
    let chosen = self.chosen + row * perToken
    let weights = self.weights + row * perToken
    for index in 0..<perToken {
      let best = Self.best(merit, experts)
      merit[best] = -.infinity
      chosen[index] = Int32(best)
    }
    Self.sort(chosen, perToken)
    var sum: Float = 0
    for index in 0..<perToken {
      weights[index] = scores[Int(chosen[index])]
      sum += weights[index]
    }
    // The tiny number is DeepSeek's own guard against a sum of zero.
    let factor = rules.normalised ? rules.scale / (sum + 1e-20) : rules.scale
    for index in 0..<perToken { weights[index] *= factor }
  }

  /// Only experts of the best groups may be chosen; the others become minus infinity, not zero,
  /// which could win over a negative merit.
  private func keepGroups(_ merit: UnsafeMutablePointer<Float>, _ rules: ModelShape.Experts) {
    let size = experts / rules.groups
    var values = [Float](repeating: 0, count: rules.groups)
    for group in 0..<rules.groups {
      let first = merit + group * size
      var top = -Float.infinity
      var second = -Float.infinity
      for index in 0..<size {
        if first[index] > top {
          second = top
          top = first[index]
        } else if first[index] > second {
          second = first[index]
        }
      }
      values[group] = rules.groupScore == .sumOfTopTwo && size > 1 ? top + second : top
    }
    var kept = [Bool](repeating: false, count: rules.groups)
    values.withUnsafeMutableBufferPointer { values in
      guard let base = values.baseAddress else { return }
      for _ in 0..<rules.groupsKept {
        let best = Self.best(base, rules.groups)
        kept[best] = true
        base[best] = -.infinity
      }
    }
    for group in 0..<rules.groups where !kept[group] {
      (merit + group * size).update(repeating: -.infinity, count: size)
    }
  }

  private static func best(_ values: UnsafeMutablePointer<Float>, _ count: Int) -> Int {
    var isFinite: Int32 = 0
    return pk_argmax(values, count, &isFinite)
  }

  private static func sort(_ values: UnsafeMutablePointer<Int32>, _ count: Int) {
    var buffer = UnsafeMutableBufferPointer(start: values, count: count)
    buffer.sort()
  }

  // MARK: Slots

  func arrange(rows count: Int, owned: Range<Int>) {
    for expert in 0...experts { counts[expert] = 0 }
    for index in 0..<count * perToken { counts[Int(chosen[index])] += 1 }
    active.removeAll(keepingCapacity: true)
    var next = 0
    for expert in owned where counts[expert] > 0 {
      active.append(Active(expert: expert, slots: next..<next + counts[expert]))
      let used = counts[expert]
      counts[expert] = next
      next += used
    }
    for row in 0..<count {
      for index in row * perToken..<(row + 1) * perToken {
        let expert = Int(chosen[index])
        guard owned.contains(expert) else {
          slots[index] = -1
          continue
        }
        slots[index] = Int32(counts[expert])
        rows[counts[expert]] = Int32(row)
        counts[expert] += 1
      }
    }
  }

  func row(of slot: Int) -> Int { Int(rows[slot]) }

  /// The row's slots on this rank, in the order of experts' numbers.
  func forEachSlot(of row: Int, _ body: (_ slot: Int, _ weight: Float) -> Void) {
    for index in row * perToken..<(row + 1) * perToken where slots[index] >= 0 {
      body(Int(slots[index]), weights[index])
    }
  }
}
