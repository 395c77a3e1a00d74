import Generation
import Primitives

/// What runs in the next step, and in which KV blocks. Lives on rank 0.
///
///     submit, abort ──▶ plan ──▶ (the step is executed, tokens are drawn) ──▶ complete ──▶ plan …
///
/// There are no phases of prefill and decoding: a step takes one token of each sequence that
/// decodes, and fills what is left of its budget with pieces of prompts, in order of rank. When
/// blocks run out, the sequence of the worst rank gives its own back and computes them anew later;
/// the best never does, so something always moves on. A sequence for which the whole pool is too
/// small ends with `outOfMemory`.
///
/// Prompts that begin alike share full blocks. Where another sequence computes the wished block in
/// this very step, one waits for the next: the `n` choices of a request compute their prompt once.
///
/// `submit` and `abort` may come while a step is under way. Work per step is proportional to the
/// batch and its block tables; arrays are used again.
package struct Scheduler: Sendable {
  package let settings: SchedulerSettings

  // By slot: every request that has not ended, and the free places.
  var sequences: [SequenceState] = []
  var freeSlots: [Int] = []
  var slots: [UInt64: Int] = [:]
  var lastSerial: UInt64 = 0

  /// Slots, best rank first.
  var running: [Int] = []
  var waiting = SlotHeap()
  var waitingTokens = 0
  /// Of all requests that have one, waiting or running.
  var deadlines = SlotHeap()

  var blocks: KVBlocks
  package internal(set) var law: BatchLaw
  package internal(set) var pace = StepPace()

  // The step that was planned last.
  var step: UInt64 = 0
  var isUnderWay = false
  var planned: [PlannedSegment] = []
  /// Blocks that were computed twice: the sequence changes to the one that others know.
  var changes: [BlockChange] = []
  /// Blocks named in this step.
  var computing: [Int32] = []
  var prefillBudget = 0
  var decodes = 0
  /// For each segment of the batch whose logits are wanted, in their order.
  package internal(set) var sampled: [SampledSequence] = []

  var counters = EngineReport()

  struct PlannedSegment: Sendable {
    var slot: Int
    var count: Int
    var isDecode: Bool
  }

  struct BlockChange: Sendable {
    var slot: Int
    var place: Int
    var block: Int32
    var name: UInt64
  }

  /// The settings must have no `problem`.
  /// - Parameter buckets: see `KVBlocks`; for tests of collisions.
  package init(_ settings: SchedulerSettings, buckets: Int? = nil) {
    if let problem = settings.problem { preconditionFailure("scheduler: \(problem)") }
    self.settings = settings
    blocks = KVBlocks(
      count: settings.blocks, blockTokens: settings.blockTokens, hashSeed: settings.hashSeed,
      buckets: buckets)
    law = BatchLaw(settings)
    running.reserveCapacity(settings.maxSequences)
    planned.reserveCapacity(settings.maxSequences)
    sampled.reserveCapacity(settings.maxSequences)
  }

  /// Nobody runs, nobody waits.
  package var isIdle: Bool { running.isEmpty && waiting.isEmpty }

  /// When `plan` has something to say even though nothing else happens.
  package var nextDeadline: Instant { Instant(nanoseconds: deadlines.firstKey ?? .max) }

  /// A new request. What can never be served ends at once: with `length` when the prompt leaves no
  /// room for a token, with `outOfMemory` when it does not fit into the pool. When the queue is full it
  /// ends with `overloaded`.
  package mutating func submit(
    _ request: GenerationRequest, at now: Instant, events: inout [EngineEvent]
  ) {
    let prompt = request.prompt.count
    guard prompt > 0, prompt < settings.contextLimit, request.maxTokens > 0 else {
      events.append(.finished(id: request.id, .length))
      return
    }
    guard blocks.blocks(for: prompt) <= blocks.count else {
      events.append(.finished(id: request.id, .outOfMemory))
      return
    }
    guard
      waiting.count < settings.queueLimit,
      prompt <= settings.queuedTokensLimit - waitingTokens
    else {
      events.append(.finished(id: request.id, .overloaded))
      return
    }
    lastSerial += 1
    var sequence = SequenceState()
    sequence.id = request.id
    sequence.serial = lastSerial
    sequence.rank = rank(request.priority, at: now)
    sequence.sampling = request.sampling
    sequence.minTokens = request.minTokens
    sequence.endTokens = request.endTokens
    sequence.deadline = request.deadline
    sequence.tokens = request.prompt
    sequence.promptCount = prompt
    sequence.tokenLimit = prompt + min(request.maxTokens, settings.contextLimit - prompt)

    let slot: Int
    if let free = freeSlots.popLast() {
      slot = free
      sequences[slot] = sequence
    } else {
      slot = sequences.count
      sequences.append(sequence)
    }
    let before = slots.updateValue(slot, forKey: request.id)
    precondition(before == nil, "scheduler: request \(request.id) was submitted twice")
    if request.deadline != .never {
      deadlines.insert(
        slot, key: request.deadline.nanoseconds, serial: sequence.serial)
    }
    enqueue(slot)
  }

  /// The client has left. No event follows; the blocks are free before the next step is planned.
  /// An id that is not known has just ended.
  package mutating func abort(id: UInt64) {
    guard let slot = slots[id] else { return }
    if isUnderWay, sequences[slot].stage == .running {
      // The step writes into its blocks.
      slots[id] = nil
      deadlines.remove(slot)
      sequences[slot].stage = .aborted
    } else {
      leave(slot)
    }
  }

  /// Smaller first. An ageing step lies between two priorities, so a request is overtaken only by
  /// those of a smaller priority that came less than that later.
  private func rank(_ priority: Int, at now: Instant) -> Int64 {
    // Beyond it, the product could overflow; nobody waits for a million ageing steps.
    let priority = Int64(min(max(priority, -1_000_000), 1_000_000))
    guard settings.agingStep > .zero else { return now.nanoseconds }
    return (settings.agingStep * priority).nanoseconds + now.nanoseconds
  }

  // MARK: Stages

  mutating func enqueue(_ slot: Int) {
    sequences[slot].stage = .waiting
    waitingTokens += sequences[slot].tokens.count
    waiting.insert(slot, key: sequences[slot].rank, serial: sequences[slot].serial)
  }

  mutating func dequeue(_ slot: Int) {
    waiting.remove(slot)
    waitingTokens -= sequences[slot].tokens.count
  }

  /// Ends a request that waits or runs, and says so.
  mutating func end(_ slot: Int, _ reason: FinishReason, _ events: inout [EngineEvent]) {
    events.append(.finished(id: sequences[slot].id, reason))
    leave(slot)
  }

  /// Takes a request that waits or runs out, wherever it stands.
  mutating func leave(_ slot: Int) {
    if sequences[slot].stage == .waiting {
      dequeue(slot)
    } else {
      running.remove(at: place(of: slot))
    }
    vacate(slot)
  }

  /// Gives back what a request had. It is in no list any more, but for `deadlines`.
  mutating func vacate(_ slot: Int) {
    if !sequences[slot].blocks.isEmpty {
      law.requestEnded(blocks: sequences[slot].blocks.count)
      releaseBlocks(slot)
    }
    if sequences[slot].stage != .aborted { slots[sequences[slot].id] = nil }
    deadlines.remove(slot)
    sequences[slot] = SequenceState()
    freeSlots.append(slot)
  }

  /// The last block first: it is the first to go.
  mutating func releaseBlocks(_ slot: Int) {
    while let block = sequences[slot].blocks.popLast() { blocks.release(block) }
    sequences[slot].computed = 0
    sequences[slot].namedBlocks = 0
    sequences[slot].chain = KVBlocks.root
  }

  /// Where a slot stands in `running`, or would have to.
  func place(of slot: Int) -> Int {
    var low = 0
    var high = running.count
    while low < high {
      let middle = (low + high) / 2
      if SequenceState.comes(sequences[running[middle]], before: sequences[slot]) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }
}
