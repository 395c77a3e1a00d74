import Generation
import Primitives
import Scheduler
import Testing

@Suite struct PrefixTests {
  // The second request of a conversation finds what the first left, but for the last token.
  @Test func aPrefixIsFoundAgain() {
    var stage = Stage(blocks: 32)
    let first = stage.submit(prompt: prompt(40))
    stage.runUntilIdle()
    let computed = stage.model.computed
    let second = stage.submit(prompt: prompt(40))
    stage.runUntilIdle()
    #expect(stage.cached == [first: 0, second: 32])
    #expect(stage.model.computed - computed == computed - 32)
    #expect(stage.texts[second] == stage.texts[first])
    #expect(stage.complaints == [])
  }

  // A prompt of whole blocks: the last is known too, but the logits behind it are not.
  @Test func theLastTokenIsAlwaysComputed() {
    var stage = Stage(blocks: 32)
    stage.submit(prompt: prompt(32), maxTokens: 4)
    stage.runUntilIdle()
    let second = stage.submit(prompt: prompt(32), maxTokens: 4)
    stage.run()
    #expect(stage.batch.segments.map(\.count) == [16])
    stage.runUntilIdle()
    #expect(stage.cached[second] == 16)
    #expect(stage.texts[second] == stage.alone(prompt(32), maxTokens: 4))
  }

  // The answer is part of the next prompt of a conversation, and was computed while it was made.
  @Test func outputIsFoundToo() {
    var stage = Stage(blocks: 32)
    stage.submit(prompt: prompt(10), maxTokens: 40)
    stage.runUntilIdle()
    let next = prompt(10) + stage.alone(prompt(10), maxTokens: 40) + [1, 2, 3]
    let second = stage.submit(prompt: next)
    stage.runUntilIdle()
    #expect(stage.cached[second] == 48)
    #expect(stage.texts[second] == stage.alone(next))
    #expect(stage.complaints == [])
  }

  // n = 4, in the same instant: the prompt is computed once, the others wait for it block by block
  // and share the blocks.
  @Test func choicesComputeTheirPromptOnce() {
    var stage = Stage(blocks: 64) {
      $0.maxBatchTokens = 100
      $0.maxSequences = 8
      $0.minimumPrefillTokens = 30
    }
    let ids = (0..<4).map { _ in stage.submit(prompt: prompt(250), maxTokens: 3) }
    for _ in 0..<3 { stage.run() }
    #expect(stage.model.computed == 250)
    stage.run()
    // Three tails of 250 - 240 tokens, and one token of the leader.
    #expect(stage.model.computed == 250 + 3 * 10 + 1)
    // 15 shared blocks, and one of each.
    #expect(stage.scheduler.report().blocksUsed == 19)
    stage.runUntilIdle()
    for id in ids { #expect(stage.texts[id] == stage.alone(prompt(250), maxTokens: 3)) }
    #expect(stage.ends.count == 4)
    #expect(stage.complaints == [])
  }

  // The leader leaves in the middle of its prefill: the next takes over where it stopped.
  @Test func aFollowerTakesOver() {
    var stage = Stage(blocks: 64) {
      $0.maxBatchTokens = 64
      $0.maxSequences = 8
    }
    let leader = stage.submit(prompt: prompt(250), maxTokens: 3)
    let follower = stage.submit(prompt: prompt(250), maxTokens: 3)
    stage.midStep = { $0.abort(id: leader) }
    stage.run()
    stage.runUntilIdle()
    #expect(stage.ends == [follower: .length])
    #expect(stage.cached[follower] == 64)
    #expect(stage.texts[follower] == stage.alone(prompt(250), maxTokens: 3))
    #expect(stage.complaints == [])
  }

  // Two that decode the same text fill the same block in one step: both are on one block after it.
  @Test func twinsShareWhatTheyDecode() {
    var stage = Stage(blocks: 64)
    let ids = (0..<2).map { _ in stage.submit(prompt: prompt(10), maxTokens: 30) }
    for _ in 0..<25 { stage.run() }
    // Of 34 tokens: two blocks together, and one of each.
    #expect(stage.scheduler.report().blocksUsed == 4)
    stage.runUntilIdle()
    for id in ids { #expect(stage.texts[id] == stage.alone(prompt(10), maxTokens: 30)) }
    #expect(stage.complaints == [])
  }

  // Every name in one bucket: hashes decide nothing.
  @Test func collisionsAreHarmless() {
    var stage = Stage(blocks: 64, buckets: 1)
    for salt in 1...6 as ClosedRange<Int32> {
      let id = stage.submit(prompt: prompt(50, salt: salt))
      stage.runUntilIdle()
      #expect(stage.texts[id] == stage.alone(prompt(50, salt: salt)))
    }
    // The same second block behind another first one is another block.
    let mixed = Array(prompt(16, salt: 1) + prompt(50, salt: 2)[16...])
    let id = stage.submit(prompt: mixed)
    stage.runUntilIdle()
    #expect(stage.cached[id] == 16)
    #expect(stage.texts[id] == stage.alone(mixed))
    #expect(stage.complaints == [])
  }

  // A small pool forgets what was released longest ago, and the end of a prefix before its start.
  @Test func thePoolForgetsTheOldest() {
    var stage = Stage(blocks: 8)
    for salt in 1...2 as ClosedRange<Int32> {
      stage.submit(prompt: prompt(49, salt: salt), maxTokens: 1)
      stage.runUntilIdle()
    }
    // 3 + 3 are cached, 2 free: 4 blocks take the end of the first prefix and leave its start.
    stage.submit(prompt: prompt(60, salt: 3), maxTokens: 1)
    stage.runUntilIdle()
    let second = stage.submit(prompt: prompt(49, salt: 2), maxTokens: 1)
    stage.runUntilIdle()
    let first = stage.submit(prompt: prompt(17, salt: 1), maxTokens: 1)
    stage.runUntilIdle()
    #expect(stage.cached[second] == 48)
    #expect(stage.cached[first] == 16)
    #expect(stage.scheduler.orphans == 0)
    #expect(stage.complaints == [])
  }

  // Switched off, nothing is kept and nothing is found.
  @Test func cachingCanBeSwitchedOff() {
    var stage = Stage(blocks: 16) { $0.prefixCaching = false }
    for _ in 0..<2 { stage.submit(prompt: prompt(40)) }
    stage.runUntilIdle()
    let third = stage.submit(prompt: prompt(40))
    stage.runUntilIdle()
    #expect(stage.cached[third] == 0)
    #expect(stage.scheduler.report().blocksCached == 0)
    #expect(stage.complaints == [])
  }

  // Blocks by themselves: a released block is free or cached, and the oldest cached one is taken.
  @Test func blocksGoRound() {
    var blocks = KVBlocks(count: 3, blockTokens: 2, hashSeed: 1)
    let tokens: [Int32] = [1, 2, 3, 4]
    let a = blocks.take()!
    let b = blocks.take()!
    let first = blocks.setName(a, behind: KVBlocks.root, tokens, from: 0)
    _ = blocks.setName(b, behind: first, tokens, from: 2)
    #expect(blocks.isComputing(b))
    blocks.computed(a)
    blocks.computed(b)
    blocks.release(b)
    blocks.release(a)
    #expect([blocks.freeCount, blocks.cachedCount, blocks.usedCount] == [1, 2, 0])
    #expect(blocks.find(behind: KVBlocks.root, tokens, from: 0) == a)
    #expect(blocks.find(behind: first, tokens, from: 2) == b)
    #expect(blocks.find(behind: KVBlocks.root, tokens, from: 2) == nil)
    _ = blocks.take()
    let evicted = blocks.take()
    #expect(evicted == b)
    #expect(blocks.find(behind: first, tokens, from: 2) == nil)
    blocks.forget(a)
    #expect([blocks.freeCount, blocks.cachedCount, blocks.usedCount] == [1, 0, 2])
    let last = blocks.take()
    #expect(last == a)
    let none = blocks.take()
    #expect(none == nil)
    #expect(blocks.complaints() == [])
  }
}
