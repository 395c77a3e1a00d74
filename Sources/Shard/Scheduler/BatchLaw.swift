import Glibc
import Primitives

/// How many sequences may run: B = min(MaxBatchSize / CurrentLoad, GPUMemoryLimit).
///
/// Read literally the law shrinks batches when requests are many, exactly when batching helps: a
/// decode step streams the weights once whether it serves 1 or 32. So the load is not a count but
/// what clients feel, the gap between tokens against its target:
///
///     CurrentLoad    = clamp(average over 1 s of TPOT_p95 / gapTarget, 1, 8)
///     GPUMemoryLimit = running + floor((free + cached - watermark) / blocks of a usual request)
///     B              = clamp(floor(min(MaxBatchSize / CurrentLoad, GPUMemoryLimit)),
///                            1, MaxBatchSize)
///
/// B holds back admission only; nobody who runs is put out because of it. It is followed with
/// hysteresis, so that one slow step does not make the batch swing: down at once, but at most every
/// 250 ms; up by a tenth, at least 1, per 100 ms.
package struct BatchLaw: Sendable {
  /// Time over which the load is averaged (to 63 %).
  package static var averagingTime: TimeAmount { .seconds(1) }
  package static var loadRange: ClosedRange<Double> { 1...8 }
  /// The limit rises at most once in this time; the load is looked at as often.
  package static var raiseInterval: TimeAmount { .milliseconds(100) }
  package static var lowerInterval: TimeAmount { .milliseconds(250) }
  /// Gaps that one look considers: the newest, if there were more. Four steps of 256 sequences.
  private static var gapCount: Int { 1_024 }
  /// Weight of one ended request in the average of blocks.
  private static var requestWeight: Double { 1.0 / 16 }

  package let maxBatchSize: Int
  package let gapTarget: TimeAmount
  package let watermark: Int

  /// The average of TPOT_p95 / gapTarget before it is clamped. Starts as "as wished".
  package private(set) var averageLoad = 1.0
  /// Of ended requests: blocks they had at their end. At least 1.
  package private(set) var blocksPerRequest: Double
  package private(set) var memoryLimit: Int
  /// What the law says now.
  package private(set) var target: Int
  /// What admission obeys: follows `target`.
  package private(set) var limit: Int

  private var gaps: [Int64] = []
  private var gapsSeen = 0
  private var lookedAt: Instant?
  private var raisedAt = Instant.zero
  private var loweredAt: Instant?

  package init(
    maxBatchSize: Int, gapTarget: TimeAmount, watermark: Int, blocksPerRequest: Double
  ) {
    self.maxBatchSize = maxBatchSize
    self.gapTarget = gapTarget
    self.watermark = watermark
    self.blocksPerRequest = max(1, blocksPerRequest)
    memoryLimit = maxBatchSize
    target = maxBatchSize
    limit = maxBatchSize
    gaps.reserveCapacity(Self.gapCount)
  }

  /// Until some requests have ended, one is taken to need 512 tokens, or an eighth of a small pool.
  package init(_ settings: SchedulerSettings) {
    self.init(
      maxBatchSize: settings.maxSequences, gapTarget: settings.gapTarget,
      watermark: settings.watermark,
      blocksPerRequest: Double(min(512 / settings.blockTokens, settings.blocks / 8)))
  }

  /// CurrentLoad.
  package var currentLoad: Double {
    min(max(averageLoad, Self.loadRange.lowerBound), Self.loadRange.upperBound)
  }

  /// The law itself.
  package static func batchSize(maxBatchSize: Int, currentLoad: Double, memoryLimit: Int) -> Int {
    let allowed = min(Double(maxBatchSize) / currentLoad, Double(memoryLimit))
    return min(max(Int(allowed.rounded(.down)), 1), maxBatchSize)
  }

  /// GPUMemoryLimit. `available` are free and cached blocks.
  package static func memoryLimit(
    running: Int, available: Int, watermark: Int, blocksPerRequest: Double
  ) -> Int {
    running + Int((Double(available - watermark) / blocksPerRequest).rounded(.down))
  }

  /// A stream got its next token so long after the last.
  package mutating func tokenCame(after gap: TimeAmount) {
    if gaps.count < Self.gapCount {
      gaps.append(gap.nanoseconds)
    } else {
      gaps[gapsSeen % Self.gapCount] = gap.nanoseconds
    }
    gapsSeen += 1
  }

  package mutating func requestEnded(blocks: Int) {
    blocksPerRequest += Self.requestWeight * (Double(max(blocks, 1)) - blocksPerRequest)
  }

  /// Looks at what has happened. Before each step.
  package mutating func update(running: Int, available: Int, at now: Instant) {
    memoryLimit = Self.memoryLimit(
      running: running, available: available, watermark: watermark,
      blocksPerRequest: blocksPerRequest)
    observeLoad(at: now)
    target = Self.batchSize(
      maxBatchSize: maxBatchSize, currentLoad: currentLoad, memoryLimit: memoryLimit)
    follow(at: now)
  }

  private mutating func observeLoad(at now: Instant) {
    guard let last = lookedAt else {
      lookedAt = now
      raisedAt = now
      return
    }
    guard now - last >= Self.raiseInterval else { return }
    lookedAt = now
    // Nobody waited for a next token: nothing is too slow.
    var ratio = 0.0
    if !gaps.isEmpty {
      gaps.sort()
      let rank = (gaps.count * 95 + 99) / 100
      ratio = Double(gaps[rank - 1]) / Double(gapTarget.nanoseconds)
      gaps.removeAll(keepingCapacity: true)
      gapsSeen = 0
    }
    let weight = 1 - exp(-(now - last).seconds / Self.averagingTime.seconds)
    averageLoad += weight * (ratio - averageLoad)
  }

  private mutating func follow(at now: Instant) {
    if target < limit {
      if let last = loweredAt, now - last < Self.lowerInterval { return }
      limit = target
      loweredAt = now
      raisedAt = now
      return
    }
    var intervals = (now - raisedAt).nanoseconds / Self.raiseInterval.nanoseconds
    raisedAt = raisedAt + Self.raiseInterval * intervals
    while intervals > 0, limit < target {
      limit = min(target, limit + max(1, limit / 10))
      intervals -= 1
    }
  }
}
