import Generation
import Primitives
import Scheduler
import Testing

/// When memory or time runs out, and when clients leave.
@Suite struct PressureTests {
  // Two that grow in a pool for one and a half: the younger gives way, is computed anew, and says
  // the same.
  @Test(arguments: [true, false]) func theYoungestGivesWay(isCaching: Bool) {
    var stage = Stage(blocks: 8) {
      $0.prefixCaching = isCaching
      $0.watermarkBlocks = 0
    }
    let old = stage.submit(prompt: prompt(20, salt: 1), maxTokens: 70)
    let young = stage.submit(prompt: prompt(20, salt: 2), maxTokens: 70)
    stage.runUntilIdle()
    #expect(stage.scheduler.report().preemptions > 0)
    #expect(stage.texts[old] == stage.alone(prompt(20, salt: 1), maxTokens: 70))
    #expect(stage.texts[young] == stage.alone(prompt(20, salt: 2), maxTokens: 70))
    #expect(stage.times[old]!.last! < stage.times[young]!.last!)
    #expect(stage.gaps(old).allSatisfy { $0 < 15 })
    #expect(stage.complaints == [])
  }

  // Of three, the youngest gives way although the one in the middle would do.
  @Test func theMiddleStays() {
    var stage = Stage(blocks: 9) { $0.watermarkBlocks = 0 }
    let ids = (1...3).map { stage.submit(prompt: prompt(20, salt: $0), maxTokens: 45) }
    stage.runUntilIdle()
    #expect(stage.scheduler.report().preemptions > 0)
    for id in ids[..<2] { #expect(stage.gaps(id).allSatisfy { $0 < 40 }) }
    #expect(stage.gaps(ids[2]).contains { $0 > 40 })
    for (id, salt) in zip(ids, 1...) {
      #expect(stage.texts[id] == stage.alone(prompt(20, salt: Int32(salt)), maxTokens: 45))
    }
    #expect(stage.complaints == [])
  }

  // Blocks that admitted prompts will need are spoken for, although nobody has them yet.
  @Test func admissionCountsWhatIsPromised() {
    var stage = Stage(blocks: 8) {
      $0.maxBatchTokens = 16
      $0.maxSequences = 4
    }
    stage.submit(prompt: prompt(100, salt: 1), maxTokens: 5)
    stage.submit(prompt: prompt(30, salt: 2), maxTokens: 5)
    stage.run()
    #expect(stage.scheduler.report().running == 1)
    #expect(stage.scheduler.report().waiting == 1)
    stage.runUntilIdle()
    #expect(stage.scheduler.report().preemptions == 0)
  }

  // What a preempted prompt finds when it comes back is its own work, not a cached prefix.
  @Test func ownWorkIsNotCached() {
    var stage = Stage(blocks: 6) { $0.watermarkBlocks = 0 }
    // Prompts are so dear that the younger one is computed by the minimum, 4 tokens per step.
    stage.prefillTime = .milliseconds(100)
    stage.submit(prompt: prompt(30, salt: 1), maxTokens: 40)
    stage.run()
    let young = stage.submit(prompt: prompt(50, salt: 2), maxTokens: 2)
    while stage.scheduler.report().preemptions == 0, stage.run() {}
    #expect(stage.texts[young] == nil)
    let computed = stage.model.computed
    stage.runUntilIdle()
    #expect(stage.cached[young] == 0)
    #expect(stage.texts[young] == stage.alone(prompt(50, salt: 2), maxTokens: 2))
    // It did find some of it.
    #expect(stage.model.computed - computed < 70)
    #expect(stage.complaints == [])
  }

  // Of a better priority, the younger stays.
  @Test func theWorsePriorityGivesWay() {
    var stage = Stage(blocks: 8) { $0.watermarkBlocks = 0 }
    let usual = stage.submit(prompt: prompt(20, salt: 1), maxTokens: 70, priority: 1)
    stage.run()
    let urgent = stage.submit(prompt: prompt(20, salt: 2), maxTokens: 70, priority: 0)
    stage.runUntilIdle()
    #expect(stage.times[urgent]!.last! < stage.times[usual]!.last!)
    #expect(stage.texts[usual] == stage.alone(prompt(20, salt: 1), maxTokens: 70))
    #expect(stage.complaints == [])
  }

  // The last one, for which the whole pool is too small, ends by itself; the engine goes on.
  @Test func theLastOneThatDoesNotFitEnds() {
    var stage = Stage(blocks: 4)
    let id = stage.submit(prompt: prompt(20), maxTokens: 100)
    stage.runUntilIdle()
    #expect(stage.ends[id] == .outOfMemory)
    // 64 tokens fit, and the token drawn behind them needs no place.
    #expect(stage.texts[id] == Array(stage.alone(prompt(20), maxTokens: 100)[..<45]))
    let next = stage.submit(prompt: prompt(20, salt: 2))
    stage.runUntilIdle()
    #expect(stage.ends[next] == .length)
    #expect(stage.complaints == [])
  }

  // A prompt that fills the pool exactly gets its one token; a longer one is refused at once.
  @Test func aPromptAsLargeAsThePool() {
    var stage = Stage(blocks: 4)
    let fits = stage.submit(prompt: prompt(64), maxTokens: 1)
    let not = stage.submit(prompt: prompt(65), maxTokens: 1)
    #expect(stage.ends == [not: .outOfMemory])
    stage.runUntilIdle()
    #expect(stage.ends[fits] == .length)
    #expect(stage.scheduler.availableBlocks == 4)
  }

  // One token per step is the least there is: everything still gets through.
  @Test func oneTokenPerStep() {
    var stage = Stage(blocks: 8) {
      $0.maxBatchTokens = 1
      $0.maxSequences = 1
      $0.minimumPrefillTokens = 1
    }
    let ids = (1...3).map { stage.submit(prompt: prompt(20, salt: $0), maxTokens: 5) }
    stage.runUntilIdle()
    for id in ids { #expect(stage.ends[id] == .length) }
    #expect(stage.complaints == [])
  }

  // Wherever the request stands when its client leaves, its blocks are free before the next plan.
  @Test(arguments: ["queued", "prefill", "decode", "in a step", "preempted"])
  func anAbortFreesTheBlocks(state: String) {
    var stage = Stage(blocks: 8) {
      $0.watermarkBlocks = 0
      $0.maxBatchTokens = 32
      $0.maxSequences = 2
    }
    var kept = stage.submit(prompt: prompt(40, salt: 1), maxTokens: 30)
    while stage.texts[kept] == nil, stage.run() {}
    let baseline = stage.scheduler.report().blocksUsed
    #expect(baseline == 3)
    var id = stage.submit(prompt: prompt(40, salt: 2), maxTokens: 90)
    switch state {
    case "queued":
      break
    case "prefill":
      stage.run()
    case "decode":
      for _ in 0..<14 { stage.run() }
      #expect(stage.texts[id] != nil)
    case "in a step":
      stage.run()
      stage.midStep = { [id] in $0.abort(id: id) }
    case "preempted":
      while stage.scheduler.report().preemptions == 0, stage.run() {}
      #expect(stage.scheduler.report().waiting == 1)
      if stage.ends[kept] != nil { swap(&kept, &id) }
    default:
      Issue.record("no such state")
    }
    stage.run()
    stage.scheduler.abort(id: id)
    let said = stage.texts[id]
    let computed = stage.scheduler.report().generatedTokens - UInt64(said?.count ?? 0)
    #expect(
      stage.scheduler.report().blocksUsed == (40 + Int(computed) - 1 + 15) / 16)
    #expect(stage.complaints == [])
    stage.runUntilIdle()
    #expect(stage.texts[id] == said)
    #expect(stage.ends == [kept: .length])
    #expect(stage.texts[kept] == stage.alone(prompt(40, salt: 1), maxTokens: 30))
    #expect(stage.scheduler.availableBlocks == 8)
    stage.scheduler.abort(id: id)
    stage.scheduler.abort(id: 99)
  }

  // Deadlines end requests in the queue and while they run; what has none is not touched.
  @Test func deadlinesEndRequests() {
    var stage = Stage(blocks: 32) {
      $0.maxSequences = 1
      $0.maxBatchTokens = 64
    }
    let start = stage.now
    let runs = stage.submit(
      prompt: prompt(10, salt: 1), maxTokens: 1_000, deadline: start + .milliseconds(200))
    let waits = stage.submit(
      prompt: prompt(10, salt: 2), maxTokens: 5, deadline: start + .milliseconds(100))
    let patient = stage.submit(prompt: prompt(10, salt: 3), maxTokens: 5)
    #expect(stage.scheduler.nextDeadline == start + .milliseconds(100))
    while stage.ends[waits] == nil, stage.run() {}
    #expect(stage.now < start + .milliseconds(125))
    #expect(stage.ends == [waits: .deadline])
    #expect(stage.scheduler.nextDeadline == start + .milliseconds(200))
    stage.runUntilIdle()
    #expect(stage.ends == [runs: .deadline, waits: .deadline, patient: .length])
    #expect(stage.texts[waits] == nil)
    #expect((18...20).contains(stage.texts[runs]!.count))
    #expect(stage.scheduler.nextDeadline == .never)
    #expect(stage.complaints == [])
  }

  // An idle engine is woken for a deadline: plan says so, and has nothing to do.
  @Test func aDeadlineCanBeAllThatHappens() {
    var stage = Stage(blocks: 32)
    let id = stage.submit(prompt: prompt(4), deadline: stage.now)
    let worked = stage.run()
    #expect(!worked)
    #expect(stage.ends == [id: .deadline])
    #expect(stage.scheduler.isIdle)
  }

  // Smaller priorities first, first come first served among equals.
  @Test func prioritiesOrderTheQueue() {
    var stage = Stage(blocks: 32) {
      $0.maxSequences = 1
      $0.maxBatchTokens = 64
    }
    let first = stage.submit(prompt: prompt(4, salt: 1), maxTokens: 3)
    stage.run()
    let others = [5, 0, 5, -3, 0].enumerated().map { index, priority in
      stage.submit(
        prompt: prompt(4, salt: Int32(index + 2)), maxTokens: 3, priority: priority)
    }
    stage.runUntilIdle()
    let order = stage.times.sorted { $0.value[0] < $1.value[0] }.map(\.key)
    #expect(order == [first] + [3, 1, 4, 0, 2].map { others[$0] })
  }

  // A stream of better requests overtakes a worse one for one ageing step and no longer.
  @Test func nobodyStarves() {
    var stage = Stage(blocks: 32) {
      $0.maxSequences = 1
      $0.maxBatchTokens = 64
      $0.agingStep = .seconds(1)
    }
    for _ in 0..<2 { stage.submit(prompt: prompt(4), maxTokens: 5) }
    let start = stage.now
    let worse = stage.submit(prompt: prompt(4, salt: 2), maxTokens: 5, priority: 1)
    while stage.texts[worse] == nil, stage.now < start + .seconds(10) {
      stage.run()
      if stage.scheduler.report().waiting < 3 { stage.submit(prompt: prompt(4), maxTokens: 5) }
    }
    let waited = stage.times[worse]![0] - start
    #expect(waited >= .seconds(1))
    #expect(waited < .milliseconds(1_300))
  }

  // Priorities that only an attacker would send are the outermost ones.
  @Test func absurdPrioritiesAreClamped() {
    var stage = Stage(blocks: 32) {
      $0.maxSequences = 1
      $0.maxBatchTokens = 64
    }
    let last = stage.submit(prompt: prompt(4, salt: 1), maxTokens: 2, priority: .max)
    let first = stage.submit(prompt: prompt(4, salt: 2), maxTokens: 2, priority: .min)
    stage.runUntilIdle()
    #expect(stage.times[first]![0] < stage.times[last]![0])
  }

  // 100,000 submissions: those within the limits wait, the others are refused with an event, and
  // those that wait cost nothing in each step.
  @Test func theQueueIsBounded() {
    var stage = Stage(blocks: 32) {
      $0.queueLimit = 50_000
      $0.queuedTokensLimit = 120_000
      $0.maxSequences = 1
      $0.maxBatchTokens = 64
    }
    let prompt = prompt(3)
    for id in 1...100_000 as ClosedRange<UInt64> {
      stage.submit(GenerationRequest(id: id, prompt: prompt, maxTokens: 1))
    }
    #expect(stage.scheduler.report().waiting == 40_000)
    #expect(stage.ends.count == 60_000)
    #expect(stage.ends[40_001] == .overloaded)
    for id in 1...39_990 as ClosedRange<UInt64> { stage.scheduler.abort(id: id) }
    for _ in 0..<20 { stage.run() }
    #expect(stage.scheduler.isIdle)
    #expect(stage.ends.count == 60_010)
    #expect(stage.complaints == [])
  }
}
