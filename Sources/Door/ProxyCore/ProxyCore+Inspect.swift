import Guard
import HTTP
import HTTP1
import JSONScan
import Primitives
import Telemetry

/// Reading bodies for the guards: the model and the tokens of a request, the usage of an answer.
extension ProxyCore {
  enum Inspected {
    case ready
    /// More of the body must come.
    case more
    case refused(Refusal)
    /// It breaks HTTP.
    case rejected(Rejection)
  }

  // MARK: The request

  /// Finds out whether the body must be read, and judges a model that stands in the target.
  mutating func beginInspection(
    _ passage: inout Passage, _ connection: UnsafeMutablePointer<Connection>,
    _ guards: GuardRules, _ bytes: UnsafeRawBufferPointer
  ) -> Refusal? {
    let caller = passage.caller
    let hasBody = requestHead.framing.hasBody
    passage.needsTokens = hasBody && guards.limits(of: caller).tokens != nil
    if guards.needsModel(caller, route: passage.route) {
      if let refusal = judgeTarget(&passage, guards, bytes) { return refusal }
      if !passage.isJudged {
        // Without a body nothing is generated, but a tunnel may bring anything.
        if !hasBody, requestHead.upgrade != .none { return Refusal(.modelMissing) }
        passage.needsModel = hasBody
      }
    }
    guard passage.needsModel || passage.needsTokens else {
      if case .length(let length) = requestHead.framing {
        passage.promptEstimate = Int(clamping: length) / Self.bytesPerToken
      }
      return nil
    }
    passage.scan = RequestScan(awaiting: passage.needsModel ? .model : [])
    passage.decoder = BodyDecoder(connection.pointee.incoming(requestHead.framing))
    return nil
  }

  /// `/v2/models/NAME/...` (Open Inference Protocol) and `?model=NAME` (realtime APIs).
  private func judgeTarget(
    _ passage: inout Passage, _ guards: GuardRules, _ bytes: UnsafeRawBufferPointer
  ) -> Refusal? {
    let path = requestHead.path.bytes(in: bytes)
    let prefix: StaticString = "/v2/models/"
    let start = prefix.utf8CodeUnitCount
    if path.count > start,
      UnsafeRawBufferPointer(rebasing: path[..<start]).elementsEqual(
        UnsafeRawBufferPointer(start: prefix.utf8Start, count: start))
    {
      let end = path[start...].firstIndex(of: 0x2f) ?? path.count
      return judge(UnsafeRawBufferPointer(rebasing: path[start..<end]), &passage, guards)
    }
    guard requestHead.upgrade != .none else { return nil }
    let query = requestHead.query.bytes(in: bytes)
    let name: StaticString = "model="
    for pair in query.split(separator: 0x26) {
      let pair = UnsafeRawBufferPointer(rebasing: pair)
      guard pair.count > 6,
        UnsafeRawBufferPointer(rebasing: pair[..<6]).elementsEqual(
          UnsafeRawBufferPointer(start: name.utf8Start, count: 6))
      else { continue }
      if let refusal = judge(UnsafeRawBufferPointer(rebasing: pair[6...]), &passage, guards) {
        return refusal
      }
    }
    return nil
  }

  private func judge(
    _ encoded: UnsafeRawBufferPointer, _ passage: inout Passage, _ guards: GuardRules
  ) -> Refusal? {
    let caller = passage.caller
    let route = passage.route
    let refusal = withUnsafeTemporaryAllocation(byteCount: encoded.count + 1, alignment: 1) { out in
      var count = 0
      var position = 0
      while position < encoded.count {
        if encoded[position] == 0x25, position + 2 < encoded.count,
          let byte = UInt8(hexadecimal: encoded[position + 1], encoded[position + 2])
        {
          out[count] = byte
          position += 3
        } else {
          out[count] = encoded[position]
          position += 1
        }
        count += 1
      }
      return guards.judge(
        model: UnsafeRawBufferPointer(rebasing: out[..<count]), caller, route: route)
    }
    passage.isJudged = true
    return refusal
  }

  /// Reads further bytes of the body, as they came.
  mutating func inspect(
    _ passage: inout Passage, _ guards: GuardRules, _ bytes: UnsafeRawBufferPointer,
    _ framing: Framing, _ modelSearch: Int
  ) -> Inspected {
    guard passage.scan != nil else { return .ready }
    let (progress, rejection) = read(&passage, bytes)
    if let rejection { return .rejected(rejection) }
    if passage.needsModel, !passage.isJudged {
      switch progress {
      case .refused(let scan):
        var refusal = Refusal(.modelMissing)
        refusal.scan = scan
        return .refused(refusal)
      case .needMore, .limitReached:
        guard passage.seenBytes >= modelSearch else { return .more }
        var refusal = Refusal(.modelMissing)
        refusal.count = modelSearch
        return .refused(refusal)
      case .found, .ended:
        let caller = passage.caller
        let route = passage.route
        let verdict = passage.scan!.withModel { guards.judge(model: $0, caller, route: route) }
        guard let verdict else { return .refused(Refusal(.modelMissing)) }
        if let refusal = verdict { return .refused(refusal) }
        passage.isJudged = true
      }
    }
    if passage.needsTokens, !passage.decoder.isFinished, progress != .ended,
      passage.scan!.outputLimit == nil, passage.seenBytes < Self.tokenSearch
    {
      if case .refused = progress {} else { return .more }
    }
    passage.promptEstimate = promptTokens(passage, framing)
    // A body that is no JSON has no model to be twice in.
    if !passage.needsModel { passage.needsTokens = false }
    return .ready
  }

  /// Follows the body and lets the scan see what is in it.
  private mutating func read(
    _ passage: inout Passage, _ bytes: UnsafeRawBufferPointer
  ) -> (ScanProgress, Rejection?) {
    var progress = ScanProgress.needMore
    let result = passage.decoder.decode(
      bytes, outFraming: .untilClose, limits: Self.bodyLimits, into: &scratch)
    passage.seenBytes += result.consumed
    for segment in scratch.segments {
      progress = passage.scan!.scan(
        UnsafeRawBufferPointer(start: segment.base, count: segment.count))
    }
    scratch.reset()
    if passage.decoder.isFinished { progress = passage.scan!.finish() }
    return (progress, result.rejected)
  }

  private func promptTokens(_ passage: Passage, _ framing: Framing) -> Int {
    guard let scan = passage.scan else { return 0 }
    if passage.decoder.isFinished {
      let bytes = scan.promptBytes > 0 ? scan.promptBytes : scan.offset
      return bytes / Self.bytesPerToken + scan.promptNumbers
    }
    if case .length(let length) = framing { return Int(clamping: length) / Self.bytesPerToken }
    return scan.offset / Self.bytesPerToken
  }

  /// Tokens that the request may take, prompt and completion.
  func estimate(_ passage: Passage) -> Int {
    guard let scan = passage.scan else { return passage.promptEstimate }
    let output = min(scan.outputLimit ?? Self.assumedCompletion, Int(Int32.max))
    let choices = min(max(1, scan.choices ?? 1), 1 << 20)
    return passage.promptEstimate + output * choices
  }

  /// Begins to wait for the model: nothing of the request has had an effect yet.
  mutating func awaitModel(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, _ now: Instant,
    _ effects: inout Effects
  ) {
    exchange.pointee.state = .inspecting
    writeRequestHead(connection, exchange, bytes, &effects)
    effects.gather.copyOpen(to: &exchange.pointee.replay, of: &blocks)
    effects.gather.discardOpen()
    if bytes.count == requestHead.headBytes { sendContinue(handle, exchange, &effects) }
    exchange.pointee.expectsContinue = false
    watchBody(handle, connection, now)
  }

  /// More of a body that waits for its model. It stays in the client's input until it may leave.
  mutating func inspectMore(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, _ now: Instant,
    _ effects: inout Effects
  ) {
    guard let passage = passages.pointer(exchange.pointee.passage) else { return }
    blocks.append(bytes, to: &connection.pointee.input)
    connection.pointee.windowBytes += bytes.count
    let guards = exchange.pointee.snapshot.guards
    switch inspect(
      &passage.pointee, guards, bytes, exchange.pointee.requestFraming,
      listener(connection).modelSearch)
    {
    case .more:
      let limit = exchange.pointee.bodyLimit
      if limit > 0, let scan = passage.pointee.scan, scan.offset > limit {
        refuse(handle, connection, .bodyTooLarge, now, &effects)
      }
    case .rejected(let rejection): refuse(handle, connection, rejection, now, &effects)
    case .refused(let refusal):
      refuseExchange(connection.pointee.exchange, exchange, refusal, now, &effects)
    case .ready:
      let tokens = estimate(passage.pointee)
      switch guards.admit(
        passage.pointee.caller, route: passage.pointee.route, tokens: tokens, at: now)
      {
      case .refused(let refusal):
        refuseExchange(connection.pointee.exchange, exchange, refusal, now, &effects)
      case .admitted(let admission):
        passage.pointee.admission = admission
        goOn(handle, connection, exchange, now, &effects)
      }
    }
  }

  /// The body that is being read has ended with its stream.
  mutating func inspectEnd(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant, _ effects: inout Effects
  ) {
    guard let passage = passages.pointer(exchange.pointee.passage) else { return }
    _ = passage.pointee.decoder.finishAtClose(outFraming: .untilClose, into: &scratch)
    inspectMore(
      handle, connection, exchange, UnsafeRawBufferPointer(start: nil, count: 0), now, &effects)
  }

  /// The model is known and allowed: the first attempt, with what has been kept.
  private mutating func goOn(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>,
    _ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant, _ effects: inout Effects
  ) {
    let exchangeHandle = connection.pointee.exchange
    exchange.pointee.state = .waiting
    exchange.pointee.record.added = now - turnStart
    if connection.pointee.deadlineKind == .bodyRate { disarm(connection) }
    pools[exchange.pointee.pool]!.pointee.budget.deposit(at: now)
    switch attempt(exchangeHandle, exchange, now, &effects) {
    case .connection: sendFromReplay(exchangeHandle, exchange, now, &effects)
    case .connecting: pause(handle, connection, .noUpstream, &effects)
    case .failed: break
    }
  }

  /// Looks at what leaves of a body whose model has been judged: a second one would be the engine's
  /// choice. False when there is one.
  mutating func scanOn(
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, _ consumed: Int
  ) -> Bool {
    guard let passage = passages.pointer(exchange.pointee.passage),
      passage.pointee.scan != nil, passage.pointee.needsModel
    else { return true }
    passage.pointee.sentBytes += consumed
    let fresh = passage.pointee.sentBytes - passage.pointee.seenBytes
    guard fresh > 0 else { return true }
    let (progress, _) = read(
      &passage.pointee, UnsafeRawBufferPointer(rebasing: bytes[(consumed - fresh)..<consumed]))
    if case .refused = progress { return false }
    return true
  }

  // MARK: The answer

  /// Begins to read the answer, where somebody wants to know its tokens.
  mutating func beginCounting(
    _ exchange: UnsafeMutablePointer<Exchange>, _ passage: UnsafeMutablePointer<Passage>,
    _ bytes: UnsafeRawBufferPointer
  ) {
    guard passage.pointee.caller != .nobody, responseHead.status < 300,
      responseHead.value(of: .contentEncoding) == nil
    else { return }
    if responseHead.isEventStream {
      passage.pointee.usage = UsageScan(.eventStream)
    } else if Self.isJSON(responseHead.contentType.bytes(in: bytes)) {
      passage.pointee.usage = UsageScan(.json)
    }
    passage.pointee.answerDecoder = BodyDecoder(responseHead.framing)
  }

  private static func isJSON(_ type: UnsafeRawBufferPointer) -> Bool {
    let wanted: StaticString = "application/json"
    guard type.count >= 16 else { return false }
    for index in 0..<16 where type[index] | 0x20 != wanted.utf8Start[index] | 0x20 { return false }
    return true
  }

  mutating func countAnswer(
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, _ consumed: Int
  ) {
    guard let passage = passages.pointer(exchange.pointee.passage),
      passage.pointee.usage != nil, consumed > 0
    else { return }
    _ = passage.pointee.answerDecoder.decode(
      UnsafeRawBufferPointer(rebasing: bytes[..<consumed]), outFraming: .untilClose,
      limits: Self.bodyLimits, into: &scratch)
    for segment in scratch.segments {
      passage.pointee.usage!.scan(
        UnsafeRawBufferPointer(start: segment.base, count: segment.count))
    }
    scratch.reset()
  }

  /// Tokens that an exchange has taken: as the engine says, or else by what has passed. An answer that
  /// is an error has taken none.
  func usedTokens(
    _ exchange: UnsafeMutablePointer<Exchange>, _ passage: UnsafeMutablePointer<Passage>
  ) -> (prompt: Int, completion: Int) {
    let status = exchange.pointee.record.status
    guard passage.pointee.caller != .nobody, (200..<300).contains(status),
      exchange.pointee.requestPayload > 0
    else { return (0, 0) }
    var events = 0
    if passage.pointee.usage != nil {
      passage.pointee.usage!.finish()
      events = passage.pointee.usage!.events
      if let usage = passage.pointee.usage!.usage {
        let prompt = max(0, usage.input ?? passage.pointee.promptEstimate)
        let completion = usage.output ?? usage.total.map { $0 - prompt } ?? 0
        return (min(prompt, Int(Int32.max)), min(max(0, completion), Int(Int32.max)))
      }
    }
    let bytes = Int(clamping: exchange.pointee.record.responseBytes)
    return (
      passage.pointee.promptEstimate, events > 0 ? events : bytes / Self.bytesPerToken
    )
  }
}

extension UInt8 {
  fileprivate init?(hexadecimal high: UInt8, _ low: UInt8) {
    func digit(_ byte: UInt8) -> UInt8? {
      switch byte {
      case 0x30...0x39: byte - 0x30
      case 0x41...0x46, 0x61...0x66: (byte | 0x20) - 0x57
      default: nil
      }
    }
    guard let high = digit(high), let low = digit(low) else { return nil }
    self = high << 4 | low
  }
}
