import Generation
import Primitives

/// Choosing what the next step computes.
extension Scheduler {
  /// Plans a step into `batch`, whose old content goes. False when there is nothing to do, which is
  /// only when the scheduler is idle. Requests whose deadline has passed end before.
  package mutating func plan(
    at now: Instant, into batch: inout StepBatch, events: inout [EngineEvent]
  ) -> Bool {
    precondition(!isUnderWay, "scheduler: step \(step) is planned, and was not completed")
    batch.removeAll()
    planned.removeAll(keepingCapacity: true)
    sampled.removeAll(keepingCapacity: true)
    expire(at: now, &events)
    law.update(running: running.count, available: blocks.available, at: now)

    decodes = 0
    for slot in running where sequences[slot].remaining == 1 { decodes += 1 }
    prefillBudget = pace.prefillBudget(decodes: decodes, settings)
    counters.tokenBudget = decodes + prefillBudget

    continueRunning(&batch, &events)
    if planned.isEmpty {
      prefillBudget = settings.maxBatchTokens
      counters.tokenBudget = prefillBudget
    }
    admit(&batch, &events)

    guard !planned.isEmpty else { return false }
    step += 1
    batch.step = step
    isUnderWay = true
    return true
  }

  private mutating func expire(at now: Instant, _ events: inout [EngineEvent]) {
    while let key = deadlines.firstKey, key <= now.nanoseconds, let slot = deadlines.first {
      end(slot, .deadline, &events)
    }
  }

  // MARK: Those that run

  /// In order of rank; blocks are taken from the end of the list, where nothing is planned yet.
  private mutating func continueRunning(
    _ batch: inout StepBatch, _ events: inout [EngineEvent]
  ) {
    var place = 0
    while place < running.count {
      let slot = running[place]
      let isDecode = sequences[slot].remaining == 1
      guard isDecode || prefillBudget > 0, adoptPrefix(slot) else {
        place += 1
        continue
      }
      while !canGrow(slot), place < running.count - 1 { preempt(running[running.count - 1]) }
      if canGrow(slot) {
        advance(slot, isDecode: isDecode, &batch)
      } else if planned.isEmpty {
        // All who are better were planned, and all who are worse are out: it is the only one.
        end(slot, .outOfMemory, &events)
        continue
      }
      // Else it keeps its blocks and waits for those before it to end, or to need them.
      place += 1
    }
  }

  /// A place for one more token, in its last block or in one that can be had.
  private func canGrow(_ slot: Int) -> Bool {
    blocks.available > 0
      || sequences[slot].blocks.count * settings.blockTokens > sequences[slot].computed
  }

  private mutating func preempt(_ slot: Int) {
    precondition(running.last == slot, "scheduler: only the last may be preempted")
    running.removeLast()
    releaseBlocks(slot)
    sequences[slot].wasPreempted = true
    counters.preemptions += 1
    enqueue(slot)
  }

  /// Plans the next piece of a running sequence, which can grow.
  private mutating func advance(_ slot: Int, isDecode: Bool, _ batch: inout StepBatch) {
    let computed = sequences[slot].computed
    let remaining = sequences[slot].remaining
    let reach = (sequences[slot].blocks.count + blocks.available) * settings.blockTokens - computed
    var count = min(remaining, reach)
    if !isDecode {
      if let limit = settings.prefillChunkLimit, limit < count {
        count = trimmed(limit, from: computed)
      }
      count = min(count, prefillBudget)
      prefillBudget -= count
    }
    schedule(slot, count, isDecode: isDecode, &batch)
  }

  /// A piece that leaves budget for others ends with a block: one of these may have the same
  /// prompt, and would compute what is left of the block once more.
  private func trimmed(_ count: Int, from computed: Int) -> Int {
    let end = computed + count
    let aligned = end - end % settings.blockTokens
    return aligned > computed ? aligned - computed : count
  }

  /// Takes the blocks that others have computed, as far as they reach; the last token is always
  /// computed, since its logits are wanted. False when the next block is being computed in this
  /// step.
  private mutating func adoptPrefix(_ slot: Int) -> Bool {
    let size = settings.blockTokens
    guard settings.prefixCaching else { return true }
    while sequences[slot].computed + size < sequences[slot].tokens.count,
      sequences[slot].computed == sequences[slot].namedBlocks * size
    {
      let computed = sequences[slot].computed
      guard
        let block = blocks.find(
          behind: sequences[slot].chain, sequences[slot].tokens, from: computed)
      else { break }
      if blocks.isComputing(block) { return false }
      blocks.retain(block)
      sequences[slot].blocks.append(block)
      sequences[slot].computed += size
      sequences[slot].namedBlocks += 1
      sequences[slot].chain = blocks.name(of: block)
      // After a preemption, what it finds is its own.
      if !sequences[slot].wasPreempted { sequences[slot].cachedTokens += size }
    }
    return true
  }

  private mutating func schedule(
    _ slot: Int, _ count: Int, isDecode: Bool, _ batch: inout StepBatch
  ) {
    let computed = sequences[slot].computed
    let end = computed + count
    let blockCount = blocks.blocks(for: end)
    while sequences[slot].blocks.count < blockCount {
      guard let block = blocks.take() else {
        preconditionFailure("scheduler: a block was promised that is not there")
      }
      sequences[slot].blocks.append(block)
    }
    let isSampled = end == sequences[slot].tokens.count
    batch.segments.append(
      StepBatch.Segment(
        start: batch.tokens.count, count: count, position: computed,
        blockStart: batch.blocks.count, blockCount: blockCount, isSampled: isSampled))
    batch.tokens.append(contentsOf: sequences[slot].tokens[computed..<end])
    batch.blocks.append(contentsOf: sequences[slot].blocks[..<blockCount])
    planned.append(PlannedSegment(slot: slot, count: count, isDecode: isDecode))
    if isSampled { sampled.append(SampledSequence(sequences[slot], slot: slot)) }
    if settings.prefixCaching { nameBlocks(slot, through: end) }
  }

  /// Gives names to the blocks that this step fills. A block that is known already, under the name
  /// of another, is changed for that one when the step is done: so whoever holds a named block
  /// holds all before it too.
  private mutating func nameBlocks(_ slot: Int, through end: Int) {
    let size = settings.blockTokens
    while (sequences[slot].namedBlocks + 1) * size <= end {
      let place = sequences[slot].namedBlocks
      let parent = sequences[slot].chain
      if let known = blocks.find(behind: parent, sequences[slot].tokens, from: place * size) {
        blocks.retain(known)
        let name = blocks.name(of: known)
        changes.append(BlockChange(slot: slot, place: place, block: known, name: name))
        sequences[slot].chain = name
      } else {
        let own = sequences[slot].blocks[place]
        sequences[slot].chain = blocks.setName(
          own, behind: parent, sequences[slot].tokens, from: place * size)
        computing.append(own)
      }
      sequences[slot].namedBlocks += 1
    }
  }

  // MARK: Those that wait

  private mutating func admit(_ batch: inout StepBatch, _ events: inout [EngineEvent]) {
    // Blocks that prompts of running sequences will still need.
    var promised = 0
    for slot in running {
      promised += blocks.blocks(for: sequences[slot].tokens.count) - sequences[slot].blocks.count
    }
    while running.count < law.limit, prefillBudget > 0, let slot = waiting.first {
      let wanted = blocks.blocks(for: sequences[slot].tokens.count)
      if wanted > blocks.count {
        // It has grown too long for the pool before it was preempted.
        end(slot, .outOfMemory, &events)
        continue
      }
      if !running.isEmpty {
        let spare = blocks.available - promised - settings.watermark
        // Looking for its prefix costs time; without any block it is in vain.
        guard spare >= 1 else { return }
        let prefix = knownPrefix(slot)
        guard spare - prefix.idle >= wanted - prefix.blocks else { return }
      }
      dequeue(slot)
      running.insert(slot, at: place(of: slot))
      sequences[slot].stage = .running
      sequences[slot].tokens.reserveCapacity(sequences[slot].tokenLimit)
      if adoptPrefix(slot) { advance(slot, isDecode: false, &batch) }
      promised += wanted - sequences[slot].blocks.count
    }
  }

  /// How many blocks of a waiting sequence are known and computed, and how many of these nobody
  /// uses: taking them makes fewer available.
  private func knownPrefix(_ slot: Int) -> (blocks: Int, idle: Int) {
    guard settings.prefixCaching else { return (0, 0) }
    let size = settings.blockTokens
    var found = (blocks: 0, idle: 0)
    var chain = KVBlocks.root
    while (found.blocks + 1) * size < sequences[slot].tokens.count {
      guard
        let block = blocks.find(
          behind: chain, sequences[slot].tokens, from: found.blocks * size),
        !blocks.isComputing(block)
      else { break }
      found.blocks += 1
      if blocks.isCached(block) { found.idle += 1 }
      chain = blocks.name(of: block)
    }
    return found
  }
}
