import Generation
import Primitives
import Scheduler
import Testing

@Suite struct BatchingTests {
  // Continuous batching: a request joins while another is in the middle, and both say what they say
  // alone.
  @Test func aRequestJoinsWhileAnotherDecodes() {
    var stage = Stage(blocks: 32)
    let first = stage.submit(prompt: prompt(20))
    for _ in 0..<3 { stage.run() }
    let second = stage.submit(prompt: prompt(5, salt: 2))
    stage.run()
    #expect(stage.batch.segments.count == 2)
    stage.runUntilIdle()
    #expect(stage.texts[first] == stage.alone(prompt(20)))
    #expect(stage.texts[second] == stage.alone(prompt(5, salt: 2)))
    #expect(stage.ends == [first: .length, second: .length])
    #expect(stage.complaints == [])
  }

  // The first plan of an idle scheduler has nothing to do; steps count from 1 without a gap, so a
  // plan without work must not use up a number.
  @Test func stepsCountWork() {
    var stage = Stage(blocks: 8)
    var worked = [stage.run()]
    stage.submit(prompt: prompt(3), maxTokens: 2)
    worked.append(stage.run())
    #expect(stage.batch.step == 1)
    worked.append(stage.run())
    worked.append(stage.run())
    #expect(worked == [false, true, true, false])
    #expect(stage.scheduler.isIdle)
    stage.submit(prompt: prompt(3), maxTokens: 1)
    stage.run()
    #expect(stage.batch.step == 3)
  }

  // A long prompt alone takes the whole budget of each step, and only its last piece is sampled.
  @Test func aLongPromptIsCutIntoPieces() {
    var stage = Stage(blocks: 128) {
      $0.maxBatchTokens = 100
      $0.maxSequences = 4
    }
    let id = stage.submit(prompt: prompt(250), maxTokens: 1)
    var pieces: [Int] = []
    var sampled: [Bool] = []
    while stage.run() {
      pieces.append(stage.batch.segments[0].count)
      sampled.append(stage.batch.segments[0].isSampled)
    }
    #expect(pieces == [100, 100, 50])
    #expect(sampled == [false, false, true])
    #expect(stage.texts[id] == stage.alone(prompt(250), maxTokens: 1))
  }

  // With a limit per sequence, a short prompt passes beside a long one. Pieces that leave budget
  // end with a block.
  @Test func aShortPromptPassesBesideALongOne() {
    var stage = Stage(blocks: 128) {
      $0.maxBatchTokens = 100
      $0.maxSequences = 4
      $0.prefillChunkLimit = 60
    }
    stage.submit(prompt: prompt(250), maxTokens: 1)
    let short = stage.submit(prompt: prompt(20, salt: 2), maxTokens: 1)
    stage.run()
    #expect(stage.batch.segments.map(\.count) == [48, 20])
    #expect(stage.ends[short] == .length)
  }

  // The promise of the issue: a 2,000-token prompt does not stretch the gaps of other streams
  // beyond twice their size, and still gets on.
  @Test func aLongPromptDoesNotStallStreams() throws {
    var stage = Stage(blocks: 400)
    let streams = (1...4).map { stage.submit(prompt: prompt(10, salt: $0), maxTokens: 600) }
    for _ in 0..<50 { stage.run() }
    let long = stage.submit(prompt: prompt(2_000, salt: 9), maxTokens: 1)
    let begin = stage.now
    stage.runUntilIdle()
    for id in streams {
      #expect(stage.gaps(id).allSatisfy { $0 <= 20 })
      #expect(stage.texts[id]?.count == 600)
    }
    // Alone it takes 2 s; beside streams of 10 ms that may become 18 ms, 8 of 18 ms are its own.
    let last = try #require(stage.times[long]?.last)
    #expect((last - begin).seconds < 5)
  }

  // On a machine that is slower than the target, prompts still get through, by the minimum.
  @Test func aSlowMachineComputesTheMinimum() {
    var stage = Stage(blocks: 64)
    stage.decodeTime = .milliseconds(300)
    stage.submit(prompt: prompt(10), maxTokens: 60)
    for _ in 0..<5 { stage.run() }
    stage.submit(prompt: prompt(20, salt: 2), maxTokens: 1)
    stage.run()
    #expect(stage.batch.segments.map(\.count) == [1, 4])
  }

  // Prompt and context: one token fits behind a prompt of contextLimit - 1, none behind a longer.
  @Test func theContextEndsATextWithLength() {
    var stage = Stage(blocks: 16, contextLimit: 32)
    let last = stage.submit(prompt: prompt(31), maxTokens: 100)
    let long = stage.submit(prompt: prompt(32, salt: 2), maxTokens: 100)
    let usual = stage.submit(prompt: prompt(20, salt: 3), maxTokens: .max)
    #expect(stage.ends == [long: .length])
    stage.runUntilIdle()
    #expect(stage.texts[last]?.count == 1)
    #expect(stage.texts[usual]?.count == 12)
    #expect(stage.ends == [last: .length, long: .length, usual: .length])
    #expect(stage.complaints == [])
  }

  // What the server should have refused does not stop the engine.
  @Test func whatMakesNoSenseEndsAtOnce() {
    var stage = Stage(blocks: 16)
    let empty = stage.submit(prompt: [])
    let none = stage.submit(prompt: prompt(4), maxTokens: 0)
    let negative = stage.submit(prompt: prompt(4), maxTokens: -1)
    #expect(stage.ends == [empty: .length, none: .length, negative: .length])
    #expect(stage.scheduler.isIdle)
  }

  // An end token is reported, and ends; before minTokens it is masked, and does not.
  @Test func endTokensEnd() {
    var stage = Stage(blocks: 16)
    let text = stage.alone(prompt(5))
    var request = GenerationRequest(
      id: 7, prompt: prompt(5), maxTokens: 8, endTokens: [5_000, text[2]])
    stage.submit(request)
    stage.run()
    #expect(stage.scheduler.sampled.map(\.maskedTokens) == [[]])
    stage.runUntilIdle()
    #expect(stage.ends[7] == .endToken)
    #expect(stage.texts[7] == Array(text[...2]))

    request.id = 8
    request.minTokens = 3
    stage.submit(request)
    var masked: [[Int32]] = []
    var index: [Int] = []
    while stage.run() {
      masked += stage.scheduler.sampled.map(\.maskedTokens)
      index += stage.scheduler.sampled.map(\.outputIndex)
    }
    #expect(Array(masked[..<4]) == [[5_000, text[2]], [5_000, text[2]], [5_000, text[2]], []])
    #expect(index == Array(0..<index.count))
    // The fake model does not look at the mask.
    #expect(stage.texts[8]?.prefix(3) == text[..<3])
  }

  // Penalties need the history, prompt and output apart, at each row.
  @Test func theHistoryIsLent() {
    var stage = Stage(blocks: 16)
    stage.submit(prompt: prompt(5))
    stage.run()
    stage.run()
    var seen: [[Int32]] = []
    stage.midStep = { scheduler in
      seen = scheduler.withTokens(of: 0) { [Array($0), Array($1)] }
    }
    stage.run()
    #expect(seen == [prompt(5), Array(stage.alone(prompt(5))[..<2])])
  }

  // Logits that are not numbers end that sequence alone, and what it computed is not found again.
  @Test func brokenLogitsEndOneSequence() {
    var stage = Stage(blocks: 32)
    let good = stage.submit(prompt: prompt(40))
    let bad = stage.submit(prompt: prompt(40, salt: 2))
    stage.broken = [bad]
    stage.runUntilIdle()
    #expect(stage.ends == [good: .length, bad: .notANumber])
    #expect(stage.texts[good] == stage.alone(prompt(40)))
    #expect(stage.texts[bad] == nil)
    let again = stage.submit(prompt: prompt(40, salt: 2))
    stage.runUntilIdle()
    #expect(stage.cached[again] == 0)
    #expect(stage.complaints == [])
  }

  // Two that compute the same block in one step: when the one that others know breaks, the other
  // keeps its own.
  @Test func aBrokenTwinIsNotShared() {
    var stage = Stage(blocks: 32)
    // 17 tokens: the block is full when the 16th is computed.
    let first = stage.submit(prompt: prompt(10), maxTokens: 20)
    let second = stage.submit(prompt: prompt(10), maxTokens: 20)
    for _ in 0..<6 { stage.run() }
    stage.broken = [first]
    stage.run()
    #expect(stage.ends == [first: .notANumber])
    #expect(stage.complaints == [])
    stage.runUntilIdle()
    #expect(stage.texts[second] == stage.alone(prompt(10), maxTokens: 20))
    #expect(stage.complaints == [])
  }

  // The report is what /metrics shows.
  @Test func theReportCounts() {
    var stage = Stage(blocks: 32) {
      $0.maxSequences = 1
      $0.maxBatchTokens = 64
    }
    stage.submit(prompt: prompt(40), maxTokens: 3)
    stage.submit(prompt: prompt(40), maxTokens: 3)
    stage.run()
    var report = stage.scheduler.report()
    #expect(report.running == 1)
    #expect(report.waiting == 1)
    #expect(report.blocksUsed == 3)
    #expect(report.tokenBudget == 64)
    #expect(report.stepNanoseconds == 40_000_000)
    stage.runUntilIdle()
    report = stage.scheduler.report()
    #expect(report.steps == 6)
    #expect(report.running == 0)
    #expect(report.blocksUsed == 0)
    #expect(report.blocksCached == 2)
    #expect(report.promptTokens == 80)
    #expect(report.cachedPromptTokens == 32)
    #expect(report.generatedTokens == 6)
    #expect(report.maxBatchSize == 1)
    #expect(report.batchLimit == 1)
  }
}
