import Generation
import Primitives

/// What the server and rank 0 say to each other, as frames: length of the rest (4 bytes), kind (1),
/// body; little-endian. Both ends are one program, so there is no version.
enum EngineFrame {
  /// Bytes that one order may take: four million tokens of prompt. Far above any context, and a bound
  /// of what a damaged length can cost.
  static let orderLimitBytes = 16 << 20
  /// Bytes that one event may take: a token with its log probabilities is below 1 KiB.
  static let eventLimitBytes = 64 << 10
}

private enum Kind {
  static let submit: UInt8 = 1
  static let abort: UInt8 = 2
  static let ready: UInt8 = 3
  static let token: UInt8 = 4
  static let finished: UInt8 = 5
  static let report: UInt8 = 6
}

/// Something that crosses the channel.
protocol EngineMessage: Sendable {
  static var limitBytes: Int { get }
  var kind: UInt8 { get }
  func write(to writer: inout ByteWriter)
  init(kind: UInt8, from reader: inout ByteReader) throws(MalformedMessage)
}

extension EngineMessage {
  /// Appends a frame.
  func append(to bytes: inout [UInt8]) {
    var writer = ByteWriter()
    swap(&writer.bytes, &bytes)
    let start = writer.bytes.count
    writer.write(0 as UInt32)
    writer.write(kind)
    write(to: &writer)
    let length = writer.bytes.count - start - 4
    precondition(length <= Self.limitBytes, "a message of \(length) bytes was not refused before")
    withUnsafeBytes(of: UInt32(length).littleEndian) {
      for i in 0..<4 { writer.bytes[start + i] = $0[i] }
    }
    swap(&writer.bytes, &bytes)
  }
}

extension EngineOrder: EngineMessage {
  static var limitBytes: Int { EngineFrame.orderLimitBytes }

  var kind: UInt8 {
    switch self {
    case .submit: Kind.submit
    case .abort: Kind.abort
    }
  }

  func write(to writer: inout ByteWriter) {
    switch self {
    case .submit(let request): request.write(to: &writer)
    case .abort(let id): writer.write(id)
    }
  }

  init(kind: UInt8, from reader: inout ByteReader) throws(MalformedMessage) {
    switch kind {
    case Kind.submit: self = .submit(try GenerationRequest(from: &reader))
    case Kind.abort: self = .abort(id: try reader.read())
    default: throw MalformedMessage("there is no order of kind \(kind)")
    }
  }
}

extension EngineEvent: EngineMessage {
  static var limitBytes: Int { EngineFrame.eventLimitBytes }

  var kind: UInt8 {
    switch self {
    case .ready: Kind.ready
    case .token: Kind.token
    case .finished: Kind.finished
    case .report: Kind.report
    }
  }

  func write(to writer: inout ByteWriter) {
    switch self {
    case .ready(let facts): facts.write(to: &writer)
    case .token(let token): token.write(to: &writer)
    case .finished(let id, let reason):
      writer.write(id)
      writer.write(reason.rawValue)
    case .report(let report): report.write(to: &writer)
    }
  }

  init(kind: UInt8, from reader: inout ByteReader) throws(MalformedMessage) {
    switch kind {
    case Kind.ready: self = .ready(try EngineFacts(from: &reader))
    case Kind.token: self = .token(try GeneratedToken(from: &reader))
    case Kind.finished:
      let id = try reader.read(UInt64.self)
      let number = try reader.read(UInt8.self)
      guard let reason = FinishReason(rawValue: number) else {
        throw MalformedMessage("there is no end of kind \(number)")
      }
      self = .finished(id: id, reason)
    case Kind.report: self = .report(try EngineReport(from: &reader))
    default: throw MalformedMessage("there is no event of kind \(kind)")
    }
  }
}

// MARK: Bodies

extension GenerationRequest {
  fileprivate func write(to writer: inout ByteWriter) {
    writer.write(id)
    writer.write(prompt)
    writer.write(sampling.temperature)
    writer.write(Int64(sampling.topK))
    writer.write(sampling.topP)
    writer.write(sampling.minP)
    writer.write(sampling.repetitionPenalty)
    writer.write(sampling.presencePenalty)
    writer.write(sampling.frequencyPenalty)
    writer.write(sampling.seed)
    writer.write(count: sampling.logitBias.count)
    for entry in sampling.logitBias {
      writer.write(entry.token)
      writer.write(entry.bias)
    }
    // -1 for none.
    writer.write(Int64(sampling.logprobs ?? -1))
    writer.write(Int64(maxTokens))
    writer.write(Int64(minTokens))
    writer.write(endTokens)
    writer.write(Int64(priority))
    writer.write(deadline.nanoseconds)
  }

  fileprivate init(from reader: inout ByteReader) throws(MalformedMessage) {
    self.init(
      id: try reader.read(), prompt: try reader.readTokens(),
      sampling: try SamplingParameters(from: &reader), maxTokens: try reader.readInt(),
      minTokens: try reader.readInt(), endTokens: try reader.readTokens(),
      priority: try reader.readInt(), deadline: Instant(nanoseconds: try reader.read()))
  }
}

extension SamplingParameters {
  fileprivate init(from reader: inout ByteReader) throws(MalformedMessage) {
    self.init()
    temperature = try reader.readFloat()
    topK = try reader.readInt()
    topP = try reader.readFloat()
    minP = try reader.readFloat()
    repetitionPenalty = try reader.readFloat()
    presencePenalty = try reader.readFloat()
    frequencyPenalty = try reader.readFloat()
    seed = try reader.read()
    for _ in 0..<(try reader.readCount(ofSize: 8)) {
      logitBias.append(LogitBias(token: try reader.read(), bias: try reader.readFloat()))
    }
    let wanted = try reader.readInt()
    logprobs = wanted < 0 ? nil : wanted
  }
}

extension EngineFacts {
  fileprivate func write(to writer: inout ByteWriter) {
    for number in [ranks, contextLimit, blockTokens, blocks, weightBytes, kvBytes] {
      writer.write(Int64(number))
    }
    writer.write(startNanoseconds)
  }

  fileprivate init(from reader: inout ByteReader) throws(MalformedMessage) {
    self.init(
      ranks: try reader.readInt(), contextLimit: try reader.readInt(),
      blockTokens: try reader.readInt(), blocks: try reader.readInt(),
      weightBytes: try reader.readInt(), kvBytes: try reader.readInt(),
      startNanoseconds: try reader.read())
  }
}

extension GeneratedToken {
  fileprivate func write(to writer: inout ByteWriter) {
    writer.write(id)
    writer.write(token)
    writer.write(count: cachedTokens)
    guard let logprobs else { return writer.write(0 as UInt8) }
    writer.write(1 as UInt8)
    writer.write(logprobs.drawn)
    writer.write(count: logprobs.top.count)
    for entry in logprobs.top {
      writer.write(entry.token)
      writer.write(entry.logprob)
    }
  }

  fileprivate init(from reader: inout ByteReader) throws(MalformedMessage) {
    self.init(
      id: try reader.read(), token: try reader.read(), cachedTokens: try reader.readCount())
    guard try reader.readFlag() else { return }
    let drawn = try reader.readFloat()
    var top: [TokenLogprobs.Entry] = []
    for _ in 0..<(try reader.readCount(ofSize: 8)) {
      top.append(.init(token: try reader.read(), logprob: try reader.readFloat()))
    }
    logprobs = TokenLogprobs(drawn: drawn, top: top)
  }
}

extension EngineReport {
  fileprivate func write(to writer: inout ByteWriter) {
    for counter in [steps, promptTokens, cachedPromptTokens, generatedTokens, preemptions] {
      writer.write(counter)
    }
    for number in [
      running, waiting, blocksUsed, blocksCached, maxBatchSize, memoryLimit, batchLimit,
      tokenBudget,
    ] {
      writer.write(Int64(number))
    }
    writer.write(currentLoad)
    writer.write(stepNanoseconds)
  }

  fileprivate init(from reader: inout ByteReader) throws(MalformedMessage) {
    self.init()
    steps = try reader.read()
    promptTokens = try reader.read()
    cachedPromptTokens = try reader.read()
    generatedTokens = try reader.read()
    preemptions = try reader.read()
    running = try reader.readInt()
    waiting = try reader.readInt()
    blocksUsed = try reader.readInt()
    blocksCached = try reader.readInt()
    maxBatchSize = try reader.readInt()
    memoryLimit = try reader.readInt()
    batchLimit = try reader.readInt()
    tokenBudget = try reader.readInt()
    currentLoad = try reader.readDouble()
    stepNanoseconds = try reader.read()
  }
}

extension ByteReader {
  fileprivate mutating func readInt() throws(MalformedMessage) -> Int {
    Int(try read(Int64.self))
  }
}

extension EngineOrder {
  /// Whether a request fits into one frame.
  static func canCarry(_ request: GenerationRequest) -> Bool {
    // 256 is above all that is not in an array.
    let bytes =
      (request.prompt.count + request.endTokens.count) * 4 + request.sampling.logitBias.count * 8
      + 256
    return bytes <= limitBytes
  }
}
