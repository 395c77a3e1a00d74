import Primitives
import Scheduler
import Testing

@Suite struct LawTests {
  private let start = Instant(nanoseconds: 5_000_000_000)

  private func law(_ size: Int = 64) -> BatchLaw {
    BatchLaw(
      maxBatchSize: size, gapTarget: .milliseconds(100), watermark: 2, blocksPerRequest: 10)
  }

  // B = min(MaxBatchSize / CurrentLoad, GPUMemoryLimit), literally.
  @Test(arguments: [
    (64, 1.0, 1_000, 64), (64, 2.0, 1_000, 32), (64, 8.0, 1_000, 8), (64, 1.0, 20, 20),
    (64, 3.0, 20, 20), (64, 3.0, 22, 21), (64, 1.0, 0, 1), (64, 1.0, -5, 1), (4, 8.0, 100, 1),
    (1, 1.0, 1, 1), (100, 1.5, 67, 66), (64, 1.0, .max, 64),
  ])
  func theFormula(size: Int, load: Double, memory: Int, result: Int) {
    #expect(
      BatchLaw.batchSize(maxBatchSize: size, currentLoad: load, memoryLimit: memory) == result)
  }

  // GPUMemoryLimit = running + floor((free + cached - watermark) / E).
  @Test(arguments: [
    (0, 102, 2, 10.0, 10), (5, 102, 2, 10.0, 15), (5, 101, 2, 10.0, 14), (5, 0, 2, 10.0, 4),
    (5, 22, 2, 2.5, 13),
  ])
  func theMemoryLimit(running: Int, available: Int, watermark: Int, each: Double, result: Int) {
    #expect(
      BatchLaw.memoryLimit(
        running: running, available: available, watermark: watermark, blocksPerRequest: each)
        == result)
  }

  // More load never means a larger batch, less memory neither, and the result is in its bounds.
  @Test(arguments: UInt64(0)..<20) func theLawIsMonotonic(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<500 {
      let size = 1 + random.below(300)
      let load = 1 + 7 * random.unit()
      let memory = random.below(400) - 20
      let b = BatchLaw.batchSize(maxBatchSize: size, currentLoad: load, memoryLimit: memory)
      #expect((1...size).contains(b))
      let more = BatchLaw.batchSize(
        maxBatchSize: size, currentLoad: load + random.unit(), memoryLimit: memory)
      #expect(more <= b)
      let less = BatchLaw.batchSize(
        maxBatchSize: size, currentLoad: load, memoryLimit: memory - random.below(50))
      #expect(less <= b)
      let running = random.below(100)
      let available = random.below(2_000)
      let each = 1 + 50 * random.unit()
      let fewer = BatchLaw.memoryLimit(
        running: running, available: max(0, available - random.below(100)), watermark: 10,
        blocksPerRequest: each)
      #expect(
        fewer
          <= BatchLaw.memoryLimit(
            running: running, available: available, watermark: 10, blocksPerRequest: each))
    }
  }

  // Gaps twice as long as wished: the load approaches 2 within a second or two, and goes back to 1
  // when nobody waits any more.
  @Test func theLoadIsAveragedOverASecond() {
    var law = law()
    law.update(running: 1, available: 1_000, at: start)
    #expect(law.currentLoad == 1)
    for tick in 1...10 {
      for _ in 0..<20 { law.tokenCame(after: .milliseconds(200)) }
      law.update(running: 1, available: 1_000, at: start + .milliseconds(100) * Int64(tick))
    }
    // 2 - (2 - 1) / e.
    #expect(abs(law.averageLoad - 1.632) < 0.001)
    for tick in 11...50 {
      law.tokenCame(after: .milliseconds(200))
      law.update(running: 1, available: 1_000, at: start + .milliseconds(100) * Int64(tick))
    }
    #expect(abs(law.currentLoad - 2) < 0.02)
    #expect(law.target == 32)
    law.update(running: 0, available: 1_000, at: start + .seconds(10))
    #expect(law.currentLoad == 1)
    #expect(law.averageLoad < 0.1)
  }

  // The 95th percentile: one slow gap in twenty is not seen, two are.
  @Test(arguments: [(1, 0.5), (2, 4.0)]) func theNinetyFifthPercentile(slow: Int, ratio: Double) {
    var law = law()
    law.update(running: 1, available: 1_000, at: start)
    for index in 0..<20 { law.tokenCame(after: .milliseconds(index < slow ? 400 : 50)) }
    // Long after: the average is what was last seen.
    law.update(running: 1, available: 1_000, at: start + .seconds(60))
    #expect(abs(law.averageLoad - ratio) < 1e-9)
  }

  // However many tokens come between two looks, the newest decide and memory is bounded.
  @Test func manyGapsAreBounded() {
    var law = law()
    law.update(running: 1, available: 1_000, at: start)
    for _ in 0..<5_000 { law.tokenCame(after: .seconds(9)) }
    for _ in 0..<1_024 { law.tokenCame(after: .milliseconds(300)) }
    law.update(running: 1, available: 1_000, at: start + .seconds(60))
    #expect(abs(law.averageLoad - 3) < 1e-9)
  }

  // The load is clamped to 8: a hopeless machine still runs an eighth.
  @Test func theLoadIsClamped() {
    var law = law()
    law.update(running: 1, available: 1_000, at: start)
    law.tokenCame(after: .seconds(20))
    law.update(running: 1, available: 1_000, at: start + .seconds(60))
    #expect(law.currentLoad == 8)
    #expect(law.limit == 8)
  }

  // Down at once but not twice in 250 ms; up by a tenth, at least 1, per 100 ms.
  @Test func theLimitFollowsWithHysteresis() {
    var law = law()
    var now = start
    func limit(available: Int, after time: TimeAmount) -> Int {
      now = now + time
      law.update(running: 0, available: available, at: now)
      return law.limit
    }
    #expect(limit(available: 1_000, after: .zero) == 64)
    #expect(limit(available: 402, after: .milliseconds(10)) == 40)
    #expect(limit(available: 102, after: .milliseconds(100)) == 40)
    #expect(law.target == 10)
    #expect(limit(available: 102, after: .milliseconds(140)) == 40)
    #expect(limit(available: 102, after: .milliseconds(10)) == 10)
    #expect(limit(available: 1_000, after: .milliseconds(99)) == 10)
    #expect(limit(available: 1_000, after: .milliseconds(1)) == 11)
    #expect(limit(available: 1_000, after: .milliseconds(50)) == 11)
    #expect(limit(available: 1_000, after: .milliseconds(50)) == 12)
    #expect(limit(available: 1_000, after: .milliseconds(800)) == 20)
    #expect(limit(available: 1_000, after: .milliseconds(100)) == 22)
    #expect(limit(available: 1_000, after: .seconds(10)) == 64)
  }

  // What a request needs is learnt from those that end.
  @Test func blocksPerRequestAreLearnt() {
    var law = law()
    for _ in 0..<200 { law.requestEnded(blocks: 3) }
    #expect(abs(law.blocksPerRequest - 3) < 0.01)
    for _ in 0..<200 { law.requestEnded(blocks: 0) }
    #expect(law.blocksPerRequest >= 1)
  }

  // The whole of it: streams that are too slow hold newcomers back, and nobody is put out.
  @Test func slowStreamsHoldNewcomersBack() {
    var stage = Stage(blocks: 2_000) { $0.maxSequences = 32 }
    stage.decodeTime = .milliseconds(400)
    for salt in 1...20 as ClosedRange<Int32> {
      stage.submit(prompt: prompt(4, salt: salt), maxTokens: 30)
    }
    for _ in 0..<12 { stage.run() }
    let report = stage.scheduler.report()
    #expect(report.running == 20)
    #expect(report.currentLoad > 3.5)
    #expect(report.batchLimit < 10)
    #expect(report.batchLimit >= 8)
    #expect(report.memoryLimit == 20 + (2_000 - 20 * 1 - 20) / 32)
    for salt in 21...24 as ClosedRange<Int32> {
      stage.submit(prompt: prompt(4, salt: salt), maxTokens: 30)
    }
    stage.run()
    #expect(stage.scheduler.report().running == 20)
    #expect(stage.scheduler.report().waiting == 4)
    stage.runUntilIdle()
    #expect(stage.ends.count == 24)
  }
}

@Suite struct PaceTests {
  private let settings = SchedulerSettings(blocks: 100, contextLimit: 1_000)

  // Alone, prompts get the whole step; while nothing is known, the minimum beside decodes.
  @Test func beforeAnythingIsKnown() {
    let pace = StepPace()
    #expect(pace.prefillBudget(decodes: 0, settings) == 512)
    #expect(pace.prefillBudget(decodes: 3, settings) == 4)
  }

  // (gap - t_decode) * tokens per second, where the gap is the target or 1.8 times the usual one.
  @Test func theBudgetFollowsTheGap() {
    var pace = StepPace()
    pace.record(decodes: 0, prefillTokens: 500, took: .milliseconds(500))
    pace.record(decodes: 4, prefillTokens: 0, took: .milliseconds(50))
    #expect(pace.decodeSeconds(4) == 0.05)
    #expect(pace.prefillSeconds == 0.001)
    // 1.8 * 50 - 50.
    #expect(pace.prefillBudget(decodes: 4, settings) == 40)
    var slow = StepPace()
    slow.record(decodes: 0, prefillTokens: 500, took: .milliseconds(500))
    slow.record(decodes: 4, prefillTokens: 0, took: .milliseconds(70))
    // 100 - 70.
    #expect((29...30).contains(slow.prefillBudget(decodes: 4, settings)))
    slow.record(decodes: 32, prefillTokens: 0, took: .milliseconds(150))
    #expect(slow.prefillBudget(decodes: 32, settings) == 4)
  }

  // Never more than the step has room for, not even where prompts cost nothing.
  @Test func theBudgetIsBounded() {
    var pace = StepPace()
    pace.record(decodes: 0, prefillTokens: 1_000_000, took: .zero)
    pace.record(decodes: 4, prefillTokens: 0, took: .milliseconds(50))
    #expect(pace.prefillBudget(decodes: 4, settings) == 508)
    #expect(pace.prefillBudget(decodes: 510, settings) == 2)
    #expect(pace.prefillBudget(decodes: 512, settings) == 0)
  }

  // What prompt tokens add to a mixed step is learnt from mixed steps.
  @Test func mixedStepsAreLearntApart() throws {
    var pace = StepPace()
    pace.record(decodes: 0, prefillTokens: 500, took: .milliseconds(500))
    pace.record(decodes: 4, prefillTokens: 0, took: .milliseconds(50))
    for _ in 0..<60 { pace.record(decodes: 4, prefillTokens: 40, took: .milliseconds(60)) }
    let cost = try #require(pace.prefillSeconds)
    #expect(abs(cost - 0.000_25) < 0.000_001)
    #expect((159...160).contains(pace.prefillBudget(decodes: 4, settings)))
  }

  // Prompts that follow so closely that nobody decodes alone do not stay at the minimum for ever.
  @Test func decodingIsLearntFromMixedSteps() throws {
    var pace = StepPace()
    pace.record(decodes: 0, prefillTokens: 500, took: .milliseconds(500))
    pace.record(decodes: 2, prefillTokens: 4, took: .milliseconds(54))
    #expect(abs(try #require(pace.decodeSeconds(2)) - 0.05) < 1e-9)
    #expect((39...40).contains(pace.prefillBudget(decodes: 2, settings)))
  }

  // A hiccup of the machine is hardly believed; a lasting change is, within some ten steps.
  @Test func aHiccupIsHardlyBelieved() throws {
    var pace = StepPace()
    for _ in 0..<10 { pace.record(decodes: 4, prefillTokens: 0, took: .milliseconds(50)) }
    pace.record(decodes: 4, prefillTokens: 0, took: .seconds(60))
    #expect(try #require(pace.decodeSeconds(4)) < 0.081)
    for _ in 0..<20 { pace.record(decodes: 4, prefillTokens: 0, took: .milliseconds(50)) }
    #expect(try #require(pace.decodeSeconds(4)) < 0.051)
    for _ in 0..<20 { pace.record(decodes: 4, prefillTokens: 0, took: .milliseconds(100)) }
    #expect(try #require(pace.decodeSeconds(4)) > 0.099)
  }

  // A batch size that was not seen is taken as the nearest one that was.
  @Test func unseenSizesAreTakenAsTheNearest() {
    var pace = StepPace()
    pace.record(decodes: 2, prefillTokens: 0, took: .milliseconds(20))
    pace.record(decodes: 64, prefillTokens: 0, took: .milliseconds(60))
    #expect(pace.decodeSeconds(3) == 0.02)
    #expect(pace.decodeSeconds(1) == 0.02)
    #expect(pace.decodeSeconds(50) == 0.06)
    #expect(pace.decodeSeconds(.max) == 0.06)
  }
}

@Suite struct SettingsTests {
  // The operator reads these.
  @Test func whatDoesNotWorkIsSaid() {
    func problem(_ change: (inout SchedulerSettings) -> Void) -> String? {
      var settings = SchedulerSettings(blocks: 100, contextLimit: 1_000)
      change(&settings)
      return settings.problem
    }
    #expect(problem { _ in } == nil)
    #expect(
      problem { $0.blocks = 0 }
        == "the KV pool has 0 blocks; it needs 1...67108864: give it more memory")
    #expect(
      problem { $0.blockTokens = 0 }
        == "a KV block of 0 tokens is outside 1...4096; 16 is usual")
    #expect(problem { $0.contextLimit = 1 } == "a context of 1 tokens is outside 2...1073741824")
    #expect(
      problem { $0.maxBatchTokens = 0 }
        == "0 tokens per step is outside 1...1048576; 512 is usual on a CPU")
    #expect(
      problem { $0.maxSequences = 600 }
        == "600 sequences at a time is outside 1...512, the tokens of one step; each running "
        + "sequence needs one of them")
    #expect(
      problem { $0.prefillChunkLimit = 8 }
        == "a prefill chunk of 8 tokens is less than a KV block of 16; leave it out for no limit")
    #expect(
      problem { $0.minimumPrefillTokens = 0 }
        == "at least 0 prompt tokens per step is outside 1...512, the tokens of one step")
    #expect(
      problem { $0.gapTarget = .zero }
        == "a gap between tokens of 0s is outside 1us...1h; 100ms is usual")
    #expect(
      problem { $0.gapStretch = .nan }
        == "gaps stretched nan times is outside 1...1000; 1.8 is usual")
    #expect(
      problem { $0.watermarkBlocks = 100 }
        == "100 blocks kept free is outside 0...99, the KV pool; 1 % is usual")
    #expect(
      problem { $0.queueLimit = 0 }
        == "a queue of 0 requests and 16777216 tokens holds nothing")
    #expect(
      problem { $0.agingStep = .seconds(4_000) }
        == "an ageing step of 4000s is outside 0s...1h; 10s is usual")
  }

  // A pool of one block has a watermark of 0, not of all it has.
  @Test func theSmallestPoolWorks() {
    var stage = Stage(blocks: 1)
    let id = stage.submit(prompt: prompt(3), maxTokens: 4)
    stage.runUntilIdle()
    #expect(stage.ends[id] == .length)
  }
}
