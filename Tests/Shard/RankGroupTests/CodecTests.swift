import Generation
import Primitives
import Testing

@testable import RankGroup

extension SeededRandom {
  /// Small numbers and extreme ones.
  fileprivate mutating func int() -> Int {
    switch below(4) {
    case 0: below(1_000)
    case 1: .max
    case 2: .min
    default: Int(truncatingIfNeeded: next())
    }
  }

  fileprivate mutating func tokens() -> [Int32] {
    (0..<below(20)).map { _ in Int32(truncatingIfNeeded: next()) }
  }

  fileprivate mutating func float() -> Float { Float(unit()) * 100 - 50 }

  fileprivate mutating func step() -> StepBatch {
    var batch = StepBatch()
    batch.step = next()
    batch.tokens = tokens()
    batch.blocks = tokens()
    for _ in 0..<below(5) {
      let start = below(batch.tokens.count + 1)
      let block = below(batch.blocks.count + 1)
      batch.segments.append(
        StepBatch.Segment(
          start: start, count: below(batch.tokens.count - start + 1), position: below(100_000),
          blockStart: block, blockCount: below(batch.blocks.count - block + 1),
          isSampled: below(2) == 0))
    }
    return batch
  }

  fileprivate mutating func order() -> EngineOrder {
    if below(3) == 0 { return .abort(id: next()) }
    var sampling = SamplingParameters()
    sampling.temperature = float()
    sampling.topK = int()
    sampling.topP = float()
    sampling.minP = float()
    sampling.repetitionPenalty = float()
    sampling.presencePenalty = float()
    sampling.frequencyPenalty = float()
    sampling.seed = next()
    sampling.logitBias = tokens().map { .init(token: $0, bias: float()) }
    sampling.logprobs = below(2) == 0 ? nil : below(21)
    return .submit(
      GenerationRequest(
        id: next(), prompt: tokens(), sampling: sampling, maxTokens: int(), minTokens: int(),
        endTokens: tokens(), priority: int(),
        deadline: below(2) == 0 ? .never : Instant(nanoseconds: Int64(int()))))
  }

  fileprivate mutating func event() -> EngineEvent {
    switch below(4) {
    case 0:
      return .ready(
        EngineFacts(
          ranks: int(), contextLimit: int(), blockTokens: int(), blocks: int(),
          weightBytes: int(), kvBytes: int(), startNanoseconds: Int64(int())))
    case 1:
      let logprobs = TokenLogprobs(
        drawn: float(), top: tokens().map { .init(token: $0, logprob: float()) })
      return .token(
        GeneratedToken(
          id: next(), token: Int32(truncatingIfNeeded: next()), cachedTokens: below(1_000),
          logprobs: below(2) == 0 ? nil : logprobs))
    case 2:
      return .finished(id: next(), FinishReason.allCases[below(FinishReason.allCases.count)])
    default:
      var report = EngineReport()
      report.steps = next()
      report.running = int()
      report.waiting = int()
      report.blocksUsed = int()
      report.blocksCached = int()
      report.promptTokens = next()
      report.cachedPromptTokens = next()
      report.generatedTokens = next()
      report.preemptions = next()
      report.maxBatchSize = int()
      report.currentLoad = unit()
      report.memoryLimit = int()
      report.batchLimit = int()
      report.tokenBudget = int()
      report.stepNanoseconds = Int64(int())
      return .report(report)
    }
  }
}

private func reads<Message: EngineMessage>(
  _ bytes: [UInt8], _: Message.Type
) throws -> [Message] {
  var reader = FrameReader<Message>()
  bytes.withUnsafeBytes { reader.receive($0) }
  var messages: [Message] = []
  while let message = try reader.next() { messages.append(message) }
  return messages
}

/// What breaks here: a field that is forgotten, or read in another order than it is written; and a
/// damaged message that traps instead of being refused.
@Suite struct CodecTests {
  @Test(arguments: UInt64(0)..<100) func aStepComesBack(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let step = random.step()
    var bytes: [UInt8] = [1, 2, 3]
    step.encode(into: &bytes)
    var read = StepBatch()
    read.tokens = [9]
    try read.decode(bytes)
    #expect(read == step)
    // Each byte that is missing, and one too many, is noticed.
    for count in 0..<bytes.count {
      #expect(throws: MalformedMessage.self) { try read.decode(Array(bytes[..<count])) }
    }
    #expect(throws: MalformedMessage.self) { try read.decode(bytes + [0]) }
    #expect(read.segments.allSatisfy { $0.start + $0.count <= read.tokens.count })
  }

  @Test(arguments: UInt64(0)..<100) func ordersAndEventsComeBack(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let orders = (0..<8).map { _ in random.order() }
    let events = (0..<8).map { _ in random.event() }
    var bytes: [UInt8] = []
    for order in orders { order.append(to: &bytes) }
    #expect(try reads(bytes, EngineOrder.self) == orders)
    bytes = []
    for event in events { event.append(to: &bytes) }
    #expect(try reads(bytes, EngineEvent.self) == events)

    // In pieces of any size it is the same.
    var reader = FrameReader<EngineEvent>()
    var read: [EngineEvent] = []
    var place = 0
    while place < bytes.count {
      let end = min(bytes.count, place + 1 + random.below(60))
      bytes[place..<end].withUnsafeBytes { reader.receive($0) }
      while let event = try reader.next() { read.append(event) }
      place = end
    }
    #expect(read == events)
    #expect(reader.isEmpty)
  }

  /// Bits that flip, and bytes that never were a message, are read as something or refused; nothing
  /// traps, and no count makes memory.
  @Test(arguments: UInt64(0)..<200) func damage(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var bytes: [UInt8] = []
    random.order().append(to: &bytes)
    random.event().append(to: &bytes)
    var step: [UInt8] = []
    random.step().encode(into: &step)
    for _ in 0..<50 {
      var damaged = bytes
      damaged[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
      _ = try? reads(damaged, EngineOrder.self)
      _ = try? reads(damaged, EngineEvent.self)
      var damagedStep = step
      damagedStep[random.below(step.count)] ^= 1 << UInt8(random.below(8))
      var batch = StepBatch()
      _ = try? batch.decode(damagedStep)
      let noise = (0..<random.below(100)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      _ = try? reads(noise, EngineOrder.self)
      _ = try? batch.decode(noise)
    }
  }

  /// The words that an operator would see.
  @Test func refusals() {
    func refusal(_ bytes: [UInt8]) -> String {
      do {
        return "\(try reads(bytes, EngineEvent.self))"
      } catch {
        return "\(error)"
      }
    }
    #expect(refusal([255, 255, 255, 255]) == "a message says that it has 4294967295 bytes")
    #expect(refusal([0, 0, 0, 0]) == "a message says that it has 0 bytes")
    #expect(refusal([1, 0, 0, 0, 77]) == "there is no event of kind 77")
    #expect(refusal([1, 0, 0, 0, 1]) == "there is no event of kind 1")
    #expect(refusal([2, 0, 0, 0, 5, 0]) == "a message ends too early")
    let finished: [UInt8] = [10, 0, 0, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0, 99]
    #expect(refusal(finished) == "there is no end of kind 99")
    let longer: [UInt8] = [11, 0, 0, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    #expect(refusal(longer) == "a message has 1 bytes too many")
    var batch = StepBatch()
    batch.segments = [
      .init(start: 0, count: 1, position: 0, blockStart: 0, blockCount: 0, isSampled: true)
    ]
    var bytes: [UInt8] = []
    batch.encode(into: &bytes)
    #expect(throws: MalformedMessage("a segment points outside of its step")) {
      try batch.decode(bytes)
    }
    bytes[bytes.count - 1] = 2
    #expect(throws: MalformedMessage("a flag is 2")) { try batch.decode(bytes) }
    let many: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]
    #expect(throws: MalformedMessage("a message has 0 bytes for 4294967295 things of 4")) {
      try batch.decode(many)
    }
  }

  /// A request that no frame carries is known before it is written.
  @Test func tooLongForAFrame() {
    var request = GenerationRequest(id: 1, prompt: [1], maxTokens: 1)
    #expect(EngineOrder.canCarry(request))
    request.prompt = Array(repeating: 1, count: EngineFrame.orderLimitBytes / 4)
    #expect(!EngineOrder.canCarry(request))
  }

  /// What the supervisor writes into the environment the rank reads; anything else is refused.
  @Test func invitations() {
    var settings = RankGroupSettings(ranks: 4, floatsPerExchange: 1_000) { _ in [] }
    settings.patience.limit = .seconds(3)
    let invitation = RankInvitation(settings, rank: 3, socket: "/tmp/a b/c")
    #expect(RankInvitation(invitation.text) == invitation)
    for text in [
      "", "shared", "shared 4 4 1 1 1 1 1 ", "shared -1 4 1 1 1 1 1 ", "smoke 0 4 1 1 1 1 1 ",
      "shared 0 0 1 1 1 1 1 ", "shared 0 4 x 1 1 1 1 ", "shared 0 4 0 1 1 1 1 ",
    ] {
      #expect(RankInvitation(text) == nil, "\(text)")
    }
  }
}
