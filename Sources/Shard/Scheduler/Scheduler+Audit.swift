/// What must hold between steps. For simulations; costs time proportional to the pool.
extension Scheduler {
  /// See `KVBlocks`.
  package var orphans: Int { blocks.orphans }

  /// Beliefs that do not hold, in words. Empty when all is well.
  package func complaints() -> [String] {
    var complaints: [String] = []
    var uses = [Int32](repeating: 0, count: blocks.count)
    for change in changes { uses[Int(change.block)] += 1 }
    for slot in running {
      let sequence = sequences[slot]
      for block in sequence.blocks { uses[Int(block)] += 1 }
      if Set(sequence.blocks).count != sequence.blocks.count {
        complaints.append("request \(sequence.id) has a block twice: \(sequence.blocks)")
      }
      if !isUnderWay, sequence.blocks.count != blocks.blocks(for: sequence.computed) {
        complaints.append(
          "request \(sequence.id) has \(sequence.blocks.count) blocks for \(sequence.computed) "
            + "tokens")
      }
      if sequence.stage == .waiting || sequence.stage == .none {
        complaints.append("slot \(slot) runs, and is \(sequence.stage)")
      }
    }
    for block in 0..<blocks.count where uses[block] != blocks.references[block] {
      complaints.append(
        "block \(block) is used \(uses[block]) times, and counts \(blocks.references[block])")
    }
    if running.count > settings.maxSequences {
      complaints.append("\(running.count) run, of \(settings.maxSequences)")
    }
    for place in running.indices.dropFirst()
    where !SequenceState.comes(sequences[running[place - 1]], before: sequences[running[place]]) {
      complaints.append("running is out of order at \(place)")
    }
    let living = sequences.count { $0.stage != .none }
    if living != running.count + waiting.count || living + freeSlots.count != sequences.count {
      complaints.append("\(living) requests live, \(running.count) run, \(waiting.count) wait")
    }
    let queued = sequences.reduce(0) { $0 + ($1.stage == .waiting ? $1.tokens.count : 0) }
    if queued != waitingTokens {
      complaints.append("\(queued) tokens wait, and \(waitingTokens) are counted")
    }
    for sequence in sequences where sequence.stage == .waiting && !sequence.blocks.isEmpty {
      complaints.append("request \(sequence.id) waits, and has blocks")
    }
    complaints += blocks.complaints()
    return complaints
  }
}

extension KVBlocks {
  /// Cached blocks that nobody can find, since the block before them is not known any more: memory
  /// wasted until it is their turn to go. Only `forget` makes them.
  package var orphans: Int {
    var names: Set<UInt64> = [Self.root]
    for block in 0..<Int32(count) { names.insert(name(of: block)) }
    return (0..<Int32(count)).count {
      name(of: $0) != Self.root && !names.contains(parent(of: $0))
    }
  }

  package func complaints() -> [String] {
    var complaints: [String] = []
    var cached = 0
    var names: Set<UInt64> = []
    for block in 0..<Int32(count) {
      if isCached(block) { cached += 1 }
      guard name(of: block) != Self.root else { continue }
      if !names.insert(name(of: block)).inserted {
        complaints.append("block \(block) has the name of another: \(name(of: block))")
      }
      if find(behind: parent(of: block), Array(content(of: block)), from: 0) != block {
        complaints.append("block \(block) is not found by its content")
      }
      if isCached(block), isComputing(block) {
        complaints.append("block \(block) is cached, and not computed")
      }
    }
    if cached != cachedCount {
      complaints.append("\(cached) blocks are cached, and \(cachedCount) are counted")
    }
    if usedCount + freeCount + cachedCount != count {
      complaints.append(
        "\(usedCount) used, \(freeCount) free and \(cachedCount) cached are not \(count)")
    }
    return complaints
  }
}
