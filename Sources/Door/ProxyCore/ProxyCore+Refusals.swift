import Guard
import HTTP
import HTTP1
import Primitives
import Telemetry

/// What guards answer, and what they add to the answers of others.
extension ProxyCore {
  // MARK: Refusals

  /// Answers a request that is not let in. Nothing has been taken for it.
  mutating func refuseEntry(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ refusal: Refusal,
    route: Int, _ passage: Passage?, _ bytes: UnsafeRawBufferPointer, _ now: Instant,
    _ effects: inout Effects
  ) -> Entry {
    let guards = snapshot.guards
    // A body that has come whole is skipped, so that the connection can stay: a client that is over
    // its rate will come again.
    var used = requestHead.headBytes
    var isWhole = requestHead.framing == .none
    if case .length(let length) = requestHead.framing, length <= UInt64(bytes.count - used) {
      used += Int(length)
      isWhole = true
    }
    let keepAlive = requestHead.keepAlive && !isDraining && isWhole
    putFields(guards, refusal, at: now)
    if let cors = guards.routes[route].cors,
      let origin = requestHead.value(of: .origin)?.bytes(in: bytes), cors.admits(origin)
    {
      putOrigin(cors, origin)
    }
    let status = refusal.reason.status
    write(
      refusal, guards, route, passage,
      SimpleResponse(
        status: status, close: !keepAlive, answersHead: requestHead.method == .head,
        clientIsHTTP11: requestHead.isHTTP11, retryAfterSeconds: refusal.retryAfterSeconds,
        isGRPC: requestIsGRPC(bytes)), &effects)
    effects.write(to: handle)
    recordRefusal(
      connection, refusal.reason, status: status, route: route, key: Self.keyID(refusal, guards),
      head: bytes, now)
    settleLocal(handle, connection, keepAlive: keepAlive, now, &effects)
    return .answered(used)
  }

  /// The same for a request whose body had to be read first.
  mutating func refuseExchange(
    _ handle: Handle, _ exchange: UnsafeMutablePointer<Exchange>, _ refusal: Refusal,
    _ now: Instant, _ effects: inout Effects
  ) {
    let clientHandle = exchange.pointee.client
    guard let client = connections.pointer(clientHandle),
      let passage = passages.pointer(exchange.pointee.passage)
    else { return }
    if passage.pointee.decoder.isFinished {
      client.pointee.input.consume(
        min(passage.pointee.seenBytes, client.pointee.input.count))
      exchange.pointee.requestBody = passage.pointee.decoder
    }
    if !exchange.pointee.requestEnded || isDraining { exchange.pointee.keepAlive = false }
    let guards = exchange.pointee.snapshot.guards
    putFields(guards, refusal, at: now)
    putOrigin(exchange, passage)
    var answer = SimpleResponse(
      status: refusal.reason.status, close: !exchange.pointee.keepAlive,
      answersHead: exchange.pointee.method == .head,
      clientIsHTTP11: exchange.pointee.clientIsHTTP11, isGRPC: exchange.pointee.isGRPC)
    answer.retryAfterSeconds = refusal.retryAfterSeconds
    exchange.pointee.record.status = UInt16(refusal.reason.status)
    write(refusal, guards, passage.pointee.route, passage.pointee, answer, &effects)
    effects.write(to: clientHandle)
    disarm(client)
    finishExchange(handle, exchange, refusal.reason, now, &effects)
  }

  private mutating func write(
    _ refusal: Refusal, _ guards: GuardRules, _ route: Int, _ passage: Passage?,
    _ answer: SimpleResponse, _ effects: inout Effects
  ) {
    var answer = answer
    answer.fields = lines.bytes
    if answer.status == 401 {
      answer.extraFields =
        refusal.reason == .credentialsMissing
        ? "WWW-Authenticate: Bearer\r\n" : "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"
    }
    withUnsafeTemporaryAllocation(byteCount: Sentence.limitBytes, alignment: 8) { memory in
      var text = Sentence(memory)
      let hasModel =
        passage?.scan?.withModel { model in
          refusal.write(guards, route: route, model: model, into: &text)
        } != nil
      if !hasModel { refusal.write(guards, route: route, model: nil, into: &text) }
      writeErrorResponse(
        answer, code: refusal.reason.label, message: text.bytes, into: &effects.gather)
    }
    lines.clear()
  }

  private static func keyID(_ refusal: Refusal, _ guards: GuardRules) -> Int? {
    if case .key(let place) = refusal.caller { guards.keys.keys[place].id } else { nil }
  }

  // MARK: CORS

  /// Answers a page's question whether it may send a request, which no backend needs to see.
  mutating func answerPreflight(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ guards: GuardRules,
    _ route: Int, _ bytes: UnsafeRawBufferPointer, _ now: Instant, _ effects: inout Effects
  ) -> Entry {
    guard let cors = guards.routes[route].cors,
      let origin = requestHead.value(of: .origin)?.bytes(in: bytes), cors.admits(origin)
    else {
      return refuseEntry(
        handle, connection, Refusal(.originNotAllowed), route: route, nil, bytes, now, &effects)
    }
    putAllowedOrigin(cors, origin)
    if cors.echoesHeaders,
      let asked = requestHead.value(named: "access-control-request-headers", in: bytes)
    {
      lines.put("Access-Control-Allow-Headers: ")
      lines.put(asked.bytes(in: bytes))
      lines.endLine()
    }
    lines.put(lines: cors.preflightLines)
    let keepAlive = requestHead.keepAlive && !isDraining && requestHead.framing == .none
    writeSimpleResponse(
      SimpleResponse(
        status: 204, contentType: "", close: !keepAlive, clientIsHTTP11: requestHead.isHTTP11,
        fields: lines.bytes),
      body: UnsafeRawBufferPointer(start: nil, count: 0), into: &effects.gather)
    lines.clear()
    effects.write(to: handle)
    recordRefusal(connection, .answeredLocally, status: 204, route: route, head: bytes, now)
    settleLocal(handle, connection, keepAlive: keepAlive, now, &effects)
    return .answered(requestHead.headBytes)
  }

  private mutating func putAllowedOrigin(_ cors: CORSRules, _ origin: UnsafeRawBufferPointer) {
    lines.put("Access-Control-Allow-Origin: ")
    if cors.saysAny { lines.put("*") } else { lines.put(origin) }
    lines.endLine()
  }

  private mutating func putOrigin(_ cors: CORSRules, _ origin: UnsafeRawBufferPointer) {
    putAllowedOrigin(cors, origin)
    lines.put(lines: cors.answerLines)
  }

  /// For a page that may read the answer; for every other one, that it depends on the origin.
  private mutating func putOrigin(
    _ exchange: UnsafeMutablePointer<Exchange>, _ passage: UnsafeMutablePointer<Passage>
  ) {
    guard let cors = exchange.pointee.snapshot.guards.routes[passage.pointee.route].cors else {
      return
    }
    if !passage.pointee.origin.isEmpty {
      putOrigin(cors, passage.pointee.origin.bytes)
    } else if !cors.saysAny {
      lines.put("Vary: Origin")
      lines.endLine()
    }
  }

  // MARK: Fields of answers

  /// Takes out of a backend's answer what the guards say themselves, and makes their lines.
  mutating func prepareAnswer(
    _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, _ now: Instant
  ) {
    guard let passage = passages.pointer(exchange.pointee.passage) else { return }
    beginCounting(exchange, passage, bytes)
    let guards = exchange.pointee.snapshot.guards
    let way = guards.routes + passage.pointee.route
    if !way.pointee.answerEdits.isEmpty {
      for name in way.pointee.answerEdits.dropped {
        name.withUnsafeBytes { responseHead.drop(named: $0, in: bytes) }
      }
      lines.put(lines: way.pointee.answerEdits.lines)
    }
    if way.pointee.cors != nil {
      responseHead.drop(withPrefix: "access-control-", in: bytes)
      putOrigin(exchange, passage)
    }
    if putStanding(guards, passage.pointee.caller, at: now) {
      responseHead.drop(withPrefix: "x-ratelimit-", in: bytes)
    }
  }

  /// What our own answers to a guarded exchange say besides the error: that a page may read it.
  mutating func prepareOwnAnswer(
    _ exchange: UnsafeMutablePointer<Exchange>, _ answer: inout SimpleResponse
  ) {
    guard let passage = passages.pointer(exchange.pointee.passage) else { return }
    putOrigin(exchange, passage)
    answer.fields = lines.bytes
  }

  /// The fields of OpenAI's API, which its clients know how to read. True when there are any.
  private mutating func putStanding(
    _ guards: GuardRules, _ caller: Caller, at now: Instant
  ) -> Bool {
    guard case .key = caller else { return false }
    var hasAny = false
    if let requests = guards.standing(caller, .requests, at: now) {
      put("requests", requests.limit, requests.remaining, requests.reset)
      hasAny = true
    }
    if let tokens = guards.standing(caller, .tokens, at: now) {
      put("tokens", tokens.limit, tokens.remaining, tokens.reset)
      hasAny = true
    }
    return hasAny
  }

  private mutating func put(
    _ measure: StaticString, _ limit: Int, _ remaining: Int, _ reset: TimeAmount
  ) {
    for (word, value) in [("limit", limit), ("remaining", remaining)] as [(StaticString, Int)] {
      lines.put("x-ratelimit-")
      lines.put(word)
      lines.put("-")
      lines.put(measure)
      lines.put(": ")
      lines.put(decimal: value)
      lines.endLine()
    }
    lines.put("x-ratelimit-reset-")
    lines.put(measure)
    lines.put(": ")
    lines.put(decimal: Int(reset.seconds.rounded(.up)))
    lines.put("s")
    lines.endLine()
  }

  /// What an answer with 429 says: where the caller stands, and, of the rate that is used up, the fields
  /// of the IETF's draft as nearly everybody sends them.
  private mutating func putFields(_ guards: GuardRules, _ refusal: Refusal, at now: Instant) {
    _ = putStanding(guards, refusal.caller, at: now)
    guard let limit = refusal.limit else { return }
    lines.put("RateLimit-Limit: ")
    lines.put(decimal: limit.count)
    lines.endLine()
    lines.put("RateLimit-Remaining: 0")
    lines.endLine()
    if let seconds = refusal.retryAfterSeconds {
      lines.put("RateLimit-Reset: ")
      lines.put(decimal: Int(seconds))
      lines.endLine()
    }
  }
}
