import Configuration
import Guard
import HTTP
import HTTP1
import JSONScan
import Primitives
import Routing
import Telemetry

/// Where the guards stand: between the route of a request and its first effect.
///
/// ```
/// route --admin path, preflight--> address, credentials --body needed?--> model --> rates --> on
///            '----------- refused: an answer of ours, nothing taken -----------'
/// ```
extension ProxyCore {
  enum Entry {
    /// No guard has anything to do with it any more.
    case open
    case passed(Handle)
    /// The body must be read before it may go on.
    case inspected(Handle)
    /// It has been answered: the bytes used.
    case answered(Int)
  }

  /// Bytes of a body that are read for the number of tokens, where only that is wanted. What comes
  /// later is corrected at the end, so it is not worth much waiting.
  static var tokenSearch: Int { 64 * 1024 }
  /// Tokens of an answer whose request names no limit: a usual answer of a chat. Corrected at the end.
  static var assumedCompletion: Int { 256 }
  /// Bytes of text that make one token, in English and for most tokenizers.
  static var bytesPerToken: Int { 4 }

  // MARK: Before the route

  /// The route of the request. A preflight request asks for another one: the route of that counts.
  func findRoute(_ bytes: UnsafeRawBufferPointer) -> (id: Int, target: RouteTable.Target)? {
    let authority = requestHead.authority.bytes(in: bytes)
    let path = requestHead.path.bytes(in: bytes)
    if snapshot.guards.hasCORS, let method = preflightMethod(bytes),
      let route = snapshot.routes.find(method: method, authority: authority, path: path),
      snapshot.guards.routes[route.id].cors != nil
    {
      return route
    }
    return snapshot.routes.find(
      method: requestHead.methodRange.bytes(in: bytes), authority: authority, path: path)
  }

  /// The method that a preflight request asks about; nil when it is none.
  private func preflightMethod(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    guard requestHead.method == .options, requestHead.value(of: .origin) != nil else { return nil }
    return requestHead.value(named: "access-control-request-method", in: bytes)?.bytes(in: bytes)
  }

  func requestIsGRPC(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let type = requestHead.value(of: .contentType) else { return false }
    return isGRPC(contentType: type.bytes(in: bytes))
  }

  // MARK: Entry

  /// Asks the guards of listener, route and key, before anything is done for the request.
  mutating func enter(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, route: Int,
    _ limits: ListenerLimits, _ bytes: UnsafeRawBufferPointer, _ now: Instant,
    _ effects: inout Effects
  ) -> Entry {
    requestLines = UnsafeRawBufferPointer(start: nil, count: 0)
    let path = requestHead.path.bytes(in: bytes)
    let isSuspect = AdminPaths.isSuspect(path)
    if snapshot.guards.isOpen, !isSuspect { return .open }
    let guards = snapshot.guards
    if isSuspect {
      let reads = requestHead.method == .get || requestHead.method == .head
      if guards.routes[route].adminPaths.blocks(path, reads: reads) {
        return refuseEntry(
          handle, connection, Refusal(.adminPathBlocked), route: route, nil, bytes, now, &effects)
      }
      if guards.isOpen { return .open }
    }
    return enterGuarded(handle, connection, guards, route, limits, bytes, now, &effects)
  }

  private mutating func enterGuarded(
    _ handle: Handle, _ connection: UnsafeMutablePointer<Connection>, _ guards: GuardRules,
    _ route: Int, _ limits: ListenerLimits, _ bytes: UnsafeRawBufferPointer, _ now: Instant,
    _ effects: inout Effects
  ) -> Entry {
    let listener = connection.pointee.listener
    if guards.hasCORS, guards.routes[route].cors != nil, preflightMethod(bytes) != nil {
      return answerPreflight(handle, connection, guards, route, bytes, now, &effects)
    }
    let client =
      guards.needsClient(listener: listener, route: route)
      ? clientAddress(connection, guards, bytes) : nil
    let seconds = (now.nanoseconds &+ wallClockOffset) / 1_000_000_000
    let finding = guards.examine(
      listener: listener, route: route, client: client, credentials: credentials(bytes),
      cache: &tokenCache, at: now, unixSeconds: seconds)
    let caller: Caller
    switch finding {
    case .passed(let someone): caller = someone
    case .refused(let refusal):
      return refuseEntry(
        handle, connection, refusal, route: route, nil, bytes, now, &effects)
    }
    var passage = Passage(route: route)
    passage.caller = caller
    if let refusal = beginInspection(&passage, connection, guards, bytes) {
      return refuseEntry(handle, connection, refusal, route: route, nil, bytes, now, &effects)
    }
    var needsMore = false
    if passage.scan != nil {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[requestHead.headBytes...])
      switch inspect(&passage, guards, rest, requestHead.framing, limits.modelSearch) {
      case .ready: break
      case .more: needsMore = true
      case .refused(let refusal):
        return refuseEntry(
          handle, connection, refusal, route: route, passage, bytes, now, &effects)
      case .rejected(let rejection):
        refuse(handle, connection, rejection, now, &effects)
        return .answered(bytes.count)
      }
    }
    if !needsMore {
      switch guards.admit(caller, route: route, tokens: estimate(passage), at: now) {
      case .admitted(let admission): passage.admission = admission
      case .refused(let refusal):
        return refuseEntry(
          handle, connection, refusal, route: route, passage, bytes, now, &effects)
      }
    }
    prepareRequest(guards, route, caller, bytes)
    let way = guards.routes + route
    let keepsNothing =
      !needsMore && caller == .nobody && way.pointee.cors == nil
      && way.pointee.answerEdits.isEmpty && passage.scan == nil
    if keepsNothing { return .open }
    rememberTexts(&passage, guards, route, caller, bytes)
    let place = passages.insert(passage)
    return needsMore ? .inspected(place) : .passed(place)
  }

  private func credentials(_ bytes: UnsafeRawBufferPointer) -> Credentials {
    func value(_ field: KnownField) -> UnsafeRawBufferPointer? {
      requestHead.value(of: field)?.bytes(in: bytes)
    }
    for field in [KnownField.authorization, .xAPIKey, .apiKey] where requestHead.isRepeated(field) {
      return .ambiguous
    }
    return Credentials(
      authorization: value(.authorization), xAPIKey: value(.xAPIKey), apiKey: value(.apiKey))
  }

  private func clientAddress(
    _ connection: UnsafeMutablePointer<Connection>, _ guards: GuardRules,
    _ bytes: UnsafeRawBufferPointer
  ) -> ClientAddress? {
    let trusted = guards.listeners[connection.pointee.listener].trusted
    return connection.pointee.peer.withText { peer in
      ClientAddress.find(
        peer: peer, isTrusted: connection.pointee.peer.isTrusted, trusted: trusted
      ) { walk in
        requestHead.visitBackwards(.xForwardedFor, in: bytes) { walk($0) }
      }
    }
  }

  /// Takes out of the head what does not go upstream, and says what is added.
  private mutating func prepareRequest(
    _ guards: GuardRules, _ route: Int, _ caller: Caller, _ bytes: UnsafeRawBufferPointer
  ) {
    let way = guards.routes + route
    if caller != .nobody, way.pointee.dropsCredentials {
      requestHead.drop(.authorization)
      requestHead.drop(.xAPIKey)
      requestHead.drop(.apiKey)
    }
    if way.pointee.requestEdits.isEmpty { return }
    for name in way.pointee.requestEdits.dropped {
      name.withUnsafeBytes { requestHead.drop(named: $0, in: bytes) }
    }
    requestLines = way.pointee.requestLines
  }

  private mutating func rememberTexts(
    _ passage: inout Passage, _ guards: GuardRules, _ route: Int, _ caller: Caller,
    _ bytes: UnsafeRawBufferPointer
  ) {
    if case .token = caller, accessLog != nil {
      tokenCache.lastName.withUnsafeBytes { blocks.append($0, to: &passage.subject) }
    }
    guard let cors = guards.routes[route].cors,
      let origin = requestHead.value(of: .origin)?.bytes(in: bytes), cors.admits(origin)
    else { return }
    blocks.append(origin, to: &passage.origin)
  }

  // MARK: The end

  /// Gives back what the guards hold of an exchange, and completes its record.
  mutating func leave(_ exchange: UnsafeMutablePointer<Exchange>, _ now: Instant) {
    guard let passage = passages.pointer(exchange.pointee.passage) else { return }
    let guards = exchange.pointee.snapshot.guards
    if case .key(let place) = passage.pointee.caller {
      exchange.pointee.record.key = Int32(guards.keys.keys[place].id)
    }
    let used = usedTokens(exchange, passage)
    exchange.pointee.record.promptTokens = UInt32(clamping: used.prompt)
    exchange.pointee.record.completionTokens = UInt32(clamping: used.completion)
    guards.release(passage.pointee.admission, tokens: used.prompt + used.completion, at: now)
  }

  mutating func forgetPassage(_ exchange: UnsafeMutablePointer<Exchange>) {
    guard let passage = passages.pointer(exchange.pointee.passage) else { return }
    blocks.give(&passage.pointee.origin)
    blocks.give(&passage.pointee.subject)
    passages.remove(exchange.pointee.passage)
    exchange.pointee.passage = .none
  }
}
