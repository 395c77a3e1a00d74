import Generation
import Primitives

/// What was drawn from the logits of one sampled segment.
package enum Draw: Equatable, Sendable {
  case token(Int32, TokenLogprobs?)
  /// The logits are not numbers. The sequence ends, and alone.
  case notANumber
}

/// What a step's end changes.
extension Scheduler {
  /// The step that was planned has been executed on all ranks.
  /// - Parameters:
  ///   - draws: one for each of `sampled`, in that order; what is drawn for aborted ones is ignored.
  ///   - took: time that the step took, without waiting for work.
  package mutating func complete(
    _ draws: [Draw], at now: Instant, took: TimeAmount, events: inout [EngineEvent]
  ) {
    precondition(isUnderWay, "scheduler: step \(step) was completed twice")
    precondition(
      draws.count == sampled.count,
      "scheduler: \(sampled.count) tokens were wanted, \(draws.count) came")
    isUnderWay = false
    learn(took)
    for row in draws.indices where draws[row] == .notANumber { forgetBlocks(sampled[row].slot) }
    changeBlocks()
    for block in computing { blocks.computed(block) }
    computing.removeAll(keepingCapacity: true)
    for segment in planned { sequences[segment.slot].computed += segment.count }
    for row in draws.indices {
      let slot = sampled[row].slot
      guard sequences[slot].stage == .running else { continue }
      switch draws[row] {
      case .token(let token, let logprobs):
        append(token, logprobs, to: slot, at: now, &events)
      case .notANumber:
        finish(slot, .notANumber, &events)
      }
    }
    sweep()
  }

  private mutating func learn(_ took: TimeAmount) {
    var prefillTokens = 0
    var decodes = 0
    for segment in planned {
      if segment.isDecode {
        decodes += 1
      } else {
        prefillTokens += segment.count
      }
    }
    pace.record(decodes: decodes, prefillTokens: prefillTokens, took: took)
    counters.stepNanoseconds = took.nanoseconds
  }

  /// What made these logits must not be found by others.
  private mutating func forgetBlocks(_ slot: Int) {
    for block in sequences[slot].blocks { blocks.forget(block) }
  }

  private mutating func changeBlocks() {
    for change in changes {
      guard blocks.name(of: change.block) == change.name else {
        // Its owner's logits were not numbers.
        blocks.release(change.block)
        continue
      }
      blocks.release(sequences[change.slot].blocks[change.place])
      sequences[change.slot].blocks[change.place] = change.block
    }
    changes.removeAll(keepingCapacity: true)
  }

  private mutating func append(
    _ token: Int32, _ logprobs: TokenLogprobs?, to slot: Int, at now: Instant,
    _ events: inout [EngineEvent]
  ) {
    let output = sequences[slot].outputCount
    var cached = 0
    if output == 0 {
      cached = sequences[slot].cachedTokens
      counters.promptTokens += UInt64(sequences[slot].promptCount)
      counters.cachedPromptTokens += UInt64(cached)
    } else {
      law.tokenCame(after: now - sequences[slot].tokenAt)
    }
    counters.generatedTokens += 1
    sequences[slot].tokenAt = now
    sequences[slot].tokens.append(token)
    events.append(
      .token(
        GeneratedToken(
          id: sequences[slot].id, token: token, cachedTokens: cached, logprobs: logprobs)))
    if output >= sequences[slot].minTokens, sequences[slot].endTokens.contains(token) {
      finish(slot, .endToken, &events)
    } else if sequences[slot].tokens.count >= sequences[slot].tokenLimit {
      finish(slot, .length, &events)
    }
  }

  /// As an abort in the middle of a step, with a word about it; `sweep` does the rest.
  private mutating func finish(
    _ slot: Int, _ reason: FinishReason, _ events: inout [EngineEvent]
  ) {
    events.append(.finished(id: sequences[slot].id, reason))
    slots[sequences[slot].id] = nil
    sequences[slot].stage = .aborted
  }

  /// Takes those that ended out of `running`, all in one go.
  private mutating func sweep() {
    var kept = 0
    for place in running.indices {
      let slot = running[place]
      if sequences[slot].stage == .aborted {
        vacate(slot)
      } else {
        running[kept] = slot
        kept += 1
      }
    }
    running.removeLast(running.count - kept)
  }
}
