import CLinux
import Generation
import Glibc
import Primitives
import RankGroup
import Sampling
import Scheduler

/// Rank 0's loop: orders in, a step planned, led, executed and drawn from, events out.
///
/// ```
/// poll orders > plan > lead > execute > draw > complete > flush
///     ^------------------------------------------------------'
/// ```
/// While nothing is to do it sleeps at the channel. A client that leaves is noticed before the next
/// step is planned.
package struct Engine: ~Copyable {
  private let rank: Rank
  private let collective: any Collective
  private let channel: EngineChannel
  private let pace: TimeAmount
  private var scheduler: Scheduler
  private var sampler: Sampler
  private var batch = StepBatch()
  private var bytes: [UInt8] = []
  private var orders: [EngineOrder] = []
  private var events: [EngineEvent] = []
  private var draws: [Draw] = []
  private var lastReport = Instant.zero
  private var lastStep = TimeAmount.zero
  private var steps: UInt64 = 0

  /// How often the server hears how the engine is: with work, and without.
  private static let reportWhileBusy = TimeAmount.milliseconds(100)
  private static let reportWhileIdle = TimeAmount.seconds(1)

  package init(
    _ rank: Rank, _ settings: EngineSettings, collective: any Collective, channel: EngineChannel
  ) throws(LoadComplaint) {
    var rules = SchedulerSettings(
      blocks: rank.limits.blocks, contextLimit: rank.limits.contextLimit)
    rules.blockTokens = rank.limits.blockTokens
    rules.maxSequences = settings.maxSequences
    rules.maxBatchTokens = settings.maxBatchTokens
    rules.prefixCaching = settings.prefixCaching
    rules.gapTarget = settings.gapTarget
    if let problem = rules.problem { throw LoadComplaint(problem) }
    let vocabulary = rank.plan.shape.vocabulary
    self.rank = rank
    self.collective = collective
    self.channel = channel
    pace = settings.pace
    scheduler = Scheduler(rules)
    sampler = Sampler(vocabulary: vocabulary, known: settings.knownTokens ?? vocabulary)
  }

  private static func now() -> Instant { Instant(nanoseconds: portico_monotonic_ns()) }

  /// Until the server closes the channel. `start` is when the process began.
  package mutating func run(since start: Instant) throws(GroupBroken) {
    try warmUp()
    channel.send(
      .ready(
        EngineFacts(
          ranks: collective.count, contextLimit: rank.limits.contextLimit,
          blockTokens: rank.limits.blockTokens, blocks: rank.limits.blocks,
          weightBytes: rank.backend.weightBytes, kvBytes: rank.backend.kvBytes,
          startNanoseconds: (Self.now() - start).nanoseconds)))
    while try turn() {}
    try collective.lead([])
    try channel.drain()
    collective.leave()
  }

  /// One token through all layers of all ranks: it pays for first touches of memory, and proves that
  /// the model makes numbers.
  private mutating func warmUp() throws(GroupBroken) {
    batch.removeAll()
    batch.tokens = [0]
    batch.blocks = [0]
    batch.segments = [
      StepBatch.Segment(
        start: 0, count: 1, position: 0, blockStart: 0, blockCount: 1, isSampled: true)
    ]
    batch.step = 0
    try execute()
    let logits = rank.backend.logits
    let vocabulary = rank.plan.shape.vocabulary
    guard (0..<vocabulary).allSatisfy({ logits[$0].isFinite }) else {
      throw GroupBroken("the model's logits are not numbers: its weights are damaged")
    }
  }

  /// False when the group is to end.
  private mutating func turn() throws(GroupBroken) -> Bool {
    let timeout: TimeAmount = scheduler.isIdle ? Self.reportWhileIdle : .zero
    guard try channel.poll(into: &orders, timeout: timeout) else { return false }
    let now = Self.now()
    for order in orders {
      switch order {
      case .submit(let request): scheduler.submit(request, at: now, events: &events)
      case .abort(let id): scheduler.abort(id: id)
      }
    }
    orders.removeAll(keepingCapacity: true)
    if scheduler.plan(at: now, into: &batch, events: &events) {
      try step(since: now)
    }
    report()
    for event in events { channel.send(event) }
    events.removeAll(keepingCapacity: true)
    try channel.flush()
    return true
  }

  private mutating func step(since start: Instant) throws(GroupBroken) {
    steps += 1
    // The warm-up was step 0 of the group.
    batch.step = steps
    try execute()
    draw()
    if pace > .zero { usleep(UInt32(clamping: pace.nanoseconds / 1_000)) }
    let end = Self.now()
    lastStep = end - start
    scheduler.complete(draws, at: end, took: lastStep, events: &events)
  }

  private mutating func execute() throws(GroupBroken) {
    if collective.count > 1 {
      batch.encode(into: &bytes)
      try collective.lead(bytes)
    }
    try rank.backend.execute(batch)
  }

  private mutating func draw() {
    draws.removeAll(keepingCapacity: true)
    let vocabulary = rank.plan.shape.vocabulary
    for (row, sequence) in scheduler.sampled.enumerated() {
      let logits = rank.backend.logits + row * vocabulary
      let drawn = scheduler.withTokens(of: row) { prompt, output in
        sampler.draw(
          logits, sequence.sampling,
          Sampler.Context(prompt: prompt, output: output, masked: sequence.maskedTokens))
      }
      draws.append(drawn.map { .token($0.token, $0.logprobs) } ?? .notANumber)
    }
  }

  private mutating func report() {
    let now = Self.now()
    let every = scheduler.isIdle ? Self.reportWhileIdle : Self.reportWhileBusy
    guard now - lastReport >= every else { return }
    lastReport = now
    var report = scheduler.report()
    report.stepNanoseconds = lastStep.nanoseconds
    events.append(.report(report))
  }
}
