import Generation
import Primitives
import Scheduler

/// A scheduler with a fake model and a clock, for stories.
struct Stage {
  var scheduler: Scheduler
  var model: FakeModel
  var now = Instant(nanoseconds: 1_000_000_000)
  var batch = StepBatch()
  var texts: [UInt64: [Int32]] = [:]
  var cached: [UInt64: Int] = [:]
  var ends: [UInt64: FinishReason] = [:]
  /// When each token came.
  var times: [UInt64: [Instant]] = [:]
  /// How long a step takes.
  var decodeTime = TimeAmount.milliseconds(10)
  var prefillTime = TimeAmount.milliseconds(1)
  /// Requests whose logits are not numbers.
  var broken: Set<UInt64> = []
  /// Done between planning a step and completing it.
  var midStep: ((inout Scheduler) -> Void)?
  private var lastID: UInt64 = 0

  init(
    blocks: Int, contextLimit: Int = 4_096, buckets: Int? = nil,
    _ change: (inout SchedulerSettings) -> Void = { _ in }
  ) {
    var settings = SchedulerSettings(blocks: blocks, contextLimit: contextLimit)
    change(&settings)
    scheduler = Scheduler(settings, buckets: buckets)
    model = FakeModel(blocks: blocks, blockTokens: settings.blockTokens)
  }

  @discardableResult
  mutating func submit(_ request: GenerationRequest) -> UInt64 {
    var events: [EngineEvent] = []
    scheduler.submit(request, at: now, events: &events)
    note(events)
    return request.id
  }

  @discardableResult
  mutating func submit(
    prompt: [Int32], maxTokens: Int = 8, priority: Int = 0, deadline: Instant = .never
  ) -> UInt64 {
    lastID += 1
    return submit(
      GenerationRequest(
        id: lastID, prompt: prompt, maxTokens: maxTokens, priority: priority, deadline: deadline))
  }

  /// One step. False when there was nothing to do.
  @discardableResult
  mutating func run() -> Bool {
    var events: [EngineEvent] = []
    let isWork = scheduler.plan(at: now, into: &batch, events: &events)
    note(events)
    guard isWork else { return false }
    var decodes = 0
    for segment in batch.segments where segment.count == 1 { decodes += 1 }
    let took =
      (decodes > 0 ? decodeTime : .zero) + prefillTime * Int64(batch.tokens.count - decodes)
    let tokens = model.execute(batch)
    let draws = zip(tokens, scheduler.sampled).map { token, row in
      broken.contains(row.id) ? Draw.notANumber : .token(token, nil)
    }
    for row in draws.indices where draws[row] == .notANumber { model.poison(row: row, of: batch) }
    midStep?(&scheduler)
    midStep = nil
    now = now + took
    events.removeAll()
    scheduler.complete(draws, at: now, took: took, events: &events)
    note(events)
    return true
  }

  mutating func runUntilIdle(limit: Int = 100_000) {
    for _ in 0..<limit where !run() { return }
    model.complaints.append("not idle after \(limit) steps")
  }

  mutating func note(_ events: [EngineEvent]) {
    for event in events {
      switch event {
      case .token(let token):
        if ends[token.id] != nil { model.complaints.append("\(token.id) speaks after its end") }
        if texts[token.id] == nil { cached[token.id] = token.cachedTokens }
        texts[token.id, default: []].append(token.token)
        times[token.id, default: []].append(now)
      case .finished(let id, let reason):
        if ends[id] != nil { model.complaints.append("\(id) ends twice") }
        ends[id] = reason
      case .ready, .report:
        model.complaints.append("not for the scheduler to say: \(event)")
      }
    }
  }

  /// Beliefs of the model and of the scheduler that do not hold.
  var complaints: [String] { model.complaints + scheduler.complaints() }

  /// The gaps of a stream, in milliseconds.
  func gaps(_ id: UInt64) -> [Double] {
    let times = times[id] ?? []
    return zip(times.dropFirst(), times).map { ($0 - $1).milliseconds }
  }

  /// The text of a prompt when it is alone.
  func alone(_ prompt: [Int32], maxTokens: Int = 8) -> [Int32] {
    FakeModel.text(
      of: GenerationRequest(id: 0, prompt: prompt, maxTokens: maxTokens),
      contextLimit: scheduler.settings.contextLimit
    ).tokens
  }
}

/// Tokens that no other story of a different `salt` has.
func prompt(_ count: Int, salt: Int32 = 1) -> [Int32] {
  (0..<Int32(count)).map { 1_000 * salt + $0 }
}
