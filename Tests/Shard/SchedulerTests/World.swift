import Generation
import Primitives
import Scheduler

/// A worker's life from a seed: requests that share prefixes come and leave, in pools that are too
/// small, on a machine whose steps take as long as they like.
struct World {
  struct Arrival {
    var at: Instant
    var request: GenerationRequest
    /// When the client leaves, if it does.
    var leavesAt: Instant?
    var isBroken: Bool
  }

  /// What became of a request.
  struct Fate {
    var text: [Int32] = []
    var end: FinishReason?
    var endedAt = Instant.zero
    var isAborted = false
  }

  private var random: SeededRandom
  private var scheduler: Scheduler
  private var model: FakeModel
  private let settings: SchedulerSettings
  private var arrivals: [Arrival] = []
  private var now = Instant(nanoseconds: 1_000)
  private(set) var fates: [UInt64: Fate] = [:]
  private(set) var complaints: [String] = []
  /// Everything that was planned and said, folded.
  private(set) var trace: UInt64 = 0
  private var next = 0
  /// Cost of the machine: a decode step, and a prompt token. Nanoseconds.
  private let decodeCost: Int64
  private let prefillCost: Int64

  var report: EngineReport { scheduler.report() }

  init(seed: UInt64) {
    random = SeededRandom(seed: seed)
    settings = Self.settings(&random)
    let buckets = random.below(4) == 0 ? 1 : nil
    scheduler = Scheduler(settings, buckets: buckets)
    model = FakeModel(
      blocks: settings.blocks, blockTokens: settings.blockTokens, vocabulary: 31)
    decodeCost = Int64(1 + random.below(200)) * 1_000_000
    prefillCost = Int64(1 + random.below(5_000)) * 1_000
    arrivals = makeArrivals()
  }

  private static func settings(_ random: inout SeededRandom) -> SchedulerSettings {
    var settings = SchedulerSettings(
      blocks: 4 + random.below(40), contextLimit: 20 + random.below(200))
    settings.blockTokens = [1, 2, 4, 16][random.below(4)]
    settings.maxBatchTokens = 1 + random.below(80)
    settings.maxSequences = 1 + random.below(min(10, settings.maxBatchTokens))
    if random.below(3) == 0 {
      settings.prefillChunkLimit = settings.blockTokens + random.below(20)
    }
    settings.minimumPrefillTokens = 1 + random.below(min(8, settings.maxBatchTokens))
    settings.prefixCaching = random.below(5) != 0
    settings.watermarkBlocks = random.below(3)
    settings.agingStep = .milliseconds(Int64(random.below(4)) * 300)
    settings.queueLimit = random.below(6) == 0 ? 5 : 1_000
    settings.queuedTokensLimit = random.below(6) == 0 ? 300 : 1_000_000
    settings.hashSeed = random.next()
    return settings
  }

  private mutating func makeArrivals() -> [Arrival] {
    let families = (0..<3).map { _ in (0..<120).map { _ in Int32(random.below(31)) } }
    let spread = [1, 20, 200][random.below(3)]
    let isHasty = random.below(3) == 0
    let isLeaving = random.below(2) == 0
    let isBreaking = random.below(4) == 0
    var arrivals: [Arrival] = []
    var at = now
    while arrivals.count < 40 {
      at = at + .milliseconds(Int64(random.below(spread)))
      let shared = random.below(60)
      var prompt = Array(families[random.below(3)][..<shared])
      for _ in 0..<1 + random.below(random.below(4) == 0 ? 80 : 8) {
        prompt.append(Int32(random.below(31)))
      }
      for _ in 0..<(random.below(4) == 0 ? 1 + random.below(4) : 1) {
        var request = GenerationRequest(
          id: UInt64(arrivals.count), prompt: prompt, maxTokens: 1 + random.below(40))
        if random.below(8) == 0 { request.maxTokens = 1_000 }
        request.minTokens = random.below(10)
        request.endTokens = (0..<random.below(3)).map { _ in Int32(random.below(31)) }
        request.priority = random.below(3) == 0 ? random.below(5) - 2 : 0
        if isHasty, random.below(2) == 0 {
          request.deadline = at + .milliseconds(Int64(random.below(3_000)))
        }
        let leavesAt =
          isLeaving && random.below(3) == 0
          ? at + .milliseconds(Int64(random.below(2_000))) : nil
        arrivals.append(
          Arrival(
            at: at, request: request, leavesAt: leavesAt,
            isBroken: isBreaking && random.below(10) == 0))
      }
    }
    return arrivals
  }

  // MARK: Living

  mutating func live() {
    var batch = StepBatch()
    var events: [EngineEvent] = []
    var steps = 0
    while steps < 50_000 {
      receive()
      let before = scheduler.report()
      events.removeAll()
      let isWork = scheduler.plan(at: now, into: &batch, events: &events)
      take(events)
      if random.below(4) == 0 { audit() }
      guard isWork else {
        if !scheduler.isIdle { complain("there is work, and nothing is planned") }
        if scheduler.availableBlocks != settings.blocks { complain("blocks are lost") }
        guard next < arrivals.count else { return finish() }
        now = max(now, arrivals[next].at)
        continue
      }
      steps += 1
      check(batch, before)
      execute(batch)
    }
    complain("somebody starves")
  }

  private mutating func execute(_ batch: StepBatch) {
    var decodes: Int64 = 0
    for segment in batch.segments where segment.count == 1 { decodes += 1 }
    let tokens = Int64(batch.tokens.count)
    var took = (decodes > 0 ? decodeCost : 0) + (tokens - decodes) * prefillCost
    took = took * Int64(80 + random.below(50)) / 100 + 1
    if random.below(100) == 0 { took *= 20 }
    let draws = model.execute(batch)
    for row in scheduler.sampled.indices { checkHistory(row) }
    let rows = zip(draws, scheduler.sampled).map { token, row in
      arrivals[Int(row.id)].isBroken && row.outputIndex == 3 ? .notANumber : Draw.token(token, nil)
    }
    for row in rows.indices where rows[row] == .notANumber { model.poison(row: row, of: batch) }
    now = now + TimeAmount(nanoseconds: took)
    // Orders come while the step is under way.
    receive()
    if random.below(4) == 0 { audit() }
    var events: [EngineEvent] = []
    scheduler.complete(rows, at: now, took: TimeAmount(nanoseconds: took), events: &events)
    take(events)
    audit()
  }

  private mutating func receive() {
    while next < arrivals.count, arrivals[next].at <= now {
      let request = arrivals[next].request
      fates[request.id] = Fate()
      var events: [EngineEvent] = []
      scheduler.submit(request, at: now, events: &events)
      take(events)
      next += 1
    }
    for index in 0..<next {
      let id = UInt64(index)
      guard let time = arrivals[index].leavesAt, time <= now, !fates[id]!.isAborted else {
        continue
      }
      scheduler.abort(id: id)
      // One that has ended may be aborted too: nothing happens.
      if fates[id]!.end == nil { fates[id]!.isAborted = true }
      arrivals[index].leavesAt = nil
    }
  }

  private mutating func take(_ events: [EngineEvent]) {
    for event in events {
      switch event {
      case .token(let token):
        fold(token.id, UInt64(UInt32(bitPattern: token.token)))
        if fates[token.id]!.end != nil || fates[token.id]!.isAborted {
          complain("\(token.id) speaks after its end")
        }
        fates[token.id]!.text.append(token.token)
      case .finished(let id, let reason):
        fold(id, 1_000 + UInt64(reason.rawValue))
        if fates[id]!.end != nil || fates[id]!.isAborted { complain("\(id) ends twice") }
        fates[id]!.end = reason
        fates[id]!.endedAt = now
      case .ready, .report:
        complain("not for the scheduler to say: \(event)")
      }
    }
  }

  // MARK: Oracles

  private mutating func check(_ batch: StepBatch, _ before: EngineReport) {
    let report = scheduler.report()
    if batch.tokens.count > min(report.tokenBudget, settings.maxBatchTokens) {
      complain("\(batch.tokens.count) tokens in one step of \(report.tokenBudget)")
    }
    if report.running > max(before.running, report.batchLimit) {
      complain("\(report.running) run, and the law allows \(report.batchLimit)")
    }
    if report.blocksUsed + scheduler.availableBlocks != settings.blocks {
      complain("used and available blocks are not all")
    }
    fold(batch.step, UInt64(batch.segments.count))
    for token in batch.tokens { fold(1, UInt64(UInt32(bitPattern: token))) }
    for block in batch.blocks { fold(2, UInt64(block)) }
  }

  private mutating func checkHistory(_ row: Int) {
    let sampled = scheduler.sampled[row]
    let history = scheduler.withTokens(of: row) { (prompt: Array($0), output: Array($1)) }
    if history.prompt != arrivals[Int(sampled.id)].request.prompt {
      complain("\(sampled.id) has another prompt")
    }
    if history.output.count != sampled.outputIndex
      || !fates[sampled.id]!.isAborted && history.output != fates[sampled.id]!.text
    {
      complain("\(sampled.id) has another history")
    }
  }

  private mutating func finish() {
    for arrival in arrivals {
      let id = arrival.request.id
      let fate = fates[id]!
      let alone = FakeModel.text(
        of: arrival.request, contextLimit: settings.contextLimit, vocabulary: 31)
      let used = arrival.request.prompt.count + fate.text.count
      guard fate.end != nil || fate.isAborted else {
        complain("\(id) never ends")
        continue
      }
      if arrival.request.prompt.count >= settings.contextLimit {
        if fate.end != .length && !fate.isAborted || !fate.text.isEmpty {
          complain("\(id) is longer than the context, and ends with \(fate)")
        }
        continue
      }
      if !alone.tokens.starts(with: fate.text) {
        complain("\(id) says \(fate.text), and alone \(alone.tokens)")
      }
      switch fate.end {
      case .length, .endToken:
        if fate.text != alone.tokens || fate.end != alone.reason {
          complain("\(id) ends with \(fate), and alone with \(alone)")
        }
      case .deadline:
        if fate.endedAt < arrival.request.deadline { complain("\(id) ends before its deadline") }
      case .outOfMemory:
        if used <= settings.blocks * settings.blockTokens {
          complain("\(id) fits with \(used) tokens, and ends with outOfMemory")
        }
      case .overloaded:
        let isShort = settings.queueLimit == 5 || settings.queuedTokensLimit == 300
        if !isShort || !fate.text.isEmpty { complain("\(id) is refused though there is room") }
      case .notANumber:
        if !arrival.isBroken || fate.text.count != 3 { complain("\(id) is not broken") }
      case nil:
        break
      }
    }
    if scheduler.nextDeadline != .never { complain("a deadline is left") }
  }

  private mutating func audit() {
    if random.below(8) == 0, scheduler.orphans > 0,
      !fates.values.contains(where: { $0.end == .notANumber })
    {
      complain("\(scheduler.orphans) cached blocks cannot be found")
    }
    for complaint in scheduler.complaints() + model.complaints { complain(complaint) }
  }

  private mutating func complain(_ what: String) {
    if complaints.count < 5 { complaints.append("\(now.nanoseconds / 1_000): \(what)") }
  }

  private mutating func fold(_ a: UInt64, _ b: UInt64) {
    trace = (trace ^ a &* 31 &+ b) &* 0x9E37_79B9_7F4A_7C15
    trace ^= trace >> 31
  }
}
