import Balancing
import Glibc
import Primitives
import ProxyCore
import Telemetry

/// What is asked at the moment at which a loop does something.
extension LoopPerformer {
  // MARK: The trace

  func note(_ event: Event) {
    let now = world.now
    switch event {
    case .accepted(let handle): world.trace.note(now, index, .accepted, handle)
    case .received(let handle, let bytes):
      world.trace.note(now, index, .received, handle, bytes.count)
      world.trace.mix(bytes)
    case .ended(let handle): world.trace.note(now, index, .ended, handle)
    case .hungUp(let handle): world.trace.note(now, index, .hungUp, handle)
    case .broken(let handle, let code):
      world.trace.note(now, index, .broken, handle, Int(code))
    case .secured, .securingFailed:
      preconditionFailure("the simulation's world speaks in clear")
    case .connected(let handle): world.trace.note(now, index, .connected, handle)
    case .connectFailed(let handle, let code):
      world.trace.note(now, index, .connectFailed, handle, Int(code))
    case .refused(let handle): world.trace.note(now, index, .refused, handle)
    case .blocked(let handle): world.trace.note(now, index, .blocked, handle)
    case .drained(let handle): world.trace.note(now, index, .drained, handle)
    case .deadlinePassed: world.trace.note(now, index, .deadlinePassed)
    }
  }

  func note(_ effect: Effect, bytes: Int) {
    let now = world.now
    switch effect {
    case .write(let handle, _): world.trace.note(now, index, .write, handle, bytes)
    case .finish(let handle): world.trace.note(now, index, .finish, handle)
    case .close(let handle): world.trace.note(now, index, .close, handle)
    case .drop(let handle): world.trace.note(now, index, .drop, handle)
    case .reset(let handle): world.trace.note(now, index, .reset, handle)
    case .connect(let handle, let pool, let slot):
      world.trace.note(now, index, .connect, handle, pool, slot)
    case .pause(let handle): world.trace.note(now, index, .pause, handle)
    case .resume(let handle): world.trace.note(now, index, .resume, handle)
    case .announce(let pool, let member, _):
      world.trace.note(now, index, .announce, .none, pool, member)
    }
  }

  static func name(_ effect: Effect) -> String {
    switch effect {
    case .write: "a write"
    case .finish: "a half-close"
    case .close, .drop, .reset: "a close"
    case .connect: "a connect"
    case .pause: "a pause"
    case .resume: "a resume"
    case .announce: "an announcement"
    }
  }

  // MARK: Choices

  /// A member has just been picked: it must be one of the configuration, and its breaker may not be
  /// open unless so few are healthy that all are used.
  func checkPick(_ pool: Int, _ slot: Int) {
    let views = core.memberViews(at: world.now)
    guard pool < views.count, let report = views[pool].first(where: { $0.view.slot == slot }) else {
      world.fail("pool \(pool) slot \(slot) was picked and is not in the configuration")
      return
    }
    if report.view.isDraining { world.fail("'\(report.view.name)' was picked and is drained") }
    world.picks += 1
    guard case .open(let until) = report.view.breaker else { return }
    let live = views[pool].count { !$0.view.isDraining }
    let healthy = views[pool].count {
      !$0.view.isDraining && $0.view.health != .bad && $0.view.breaker == .closed
    }
    let threshold = core.snapshot.pools.first { $0.id == pool }?.policy.panicThreshold ?? 0
    if Double(healthy) >= threshold * Double(live) {
      world.fail(
        "'\(report.view.name)' was picked while its breaker is open until \(until), "
          + "\(healthy) of \(live) members being healthy")
    }
  }

  /// The first write of an attempt on a kept connection is when its member was picked.
  func checkAttempt(_ socket: SimSocket, _ begin: UnsafeRawBufferPointer) {
    guard Self.beginsRequest(begin) else { return }
    defer { socket.hasServed = true }
    socket.link?.attemptAt = world.now
    guard socket.hasServed else { return }
    checkPick(socket.pool, socket.slot)
    let address = core.address(pool: socket.pool, slot: socket.slot)
    if address != socket.address {
      world.fail(
        "a request went to \(socket.address.map(\.description) ?? "?") on a kept connection, "
          + "and its member is at \(address.map(\.description) ?? "no address") now")
    }
  }

  /// `METHOD /sim/`.
  private static func beginsRequest(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let base = bytes.baseAddress, bytes.count > 16,
      let space = memchr(base, 0x20, 10).map({ UnsafeRawPointer($0) })
    else { return false }
    return memcmp(space, " /sim/", 6) == 0
  }

  // MARK: Memory

  /// A peer that does not read costs at most what one event may bring, once for each way of being
  /// late: the bytes that were handled when it blocked, and those that were under way. A backend may
  /// get what was kept for a retry besides, which is 64 KiB in all scenarios.
  func checkMemory(_ socket: SimSocket) {
    let scenario = world.scenario
    let read =
      socket.isUpstream ? scenario.clientReadLimit + 32_768 : scenario.upstreamReadLimit
    var limit = 2 * read + 32_768
    // A stream cannot be stopped before its window is used.
    if scenario.hasStreams { limit += Self.streamWindow }
    // A session lets go of what each of its streams has kept, at once.
    if socket.isSession { limit *= 2 + openStreams(socket) }
    world.mostHeld = max(world.mostHeld, socket.output.count)
    if socket.output.count > limit {
      world.fail(
        "\(socket.output.count) bytes wait for \(socket.handle), limit \(limit): "
          + "a peer that does not read costs memory without bound")
    }
  }

  /// And so does a connection whose bytes cannot be used yet: a read, a head, and what was kept.
  func checkHeld() {
    world.tells += 1
    guard world.tells % 32 == 0 else { return }
    let limit =
      2 * world.scenario.clientReadLimit + 65_536
      + (world.scenario.hasStreams ? Self.streamWindow : 0)
    let held = max(core.largestInput, core.largestWaiting)
    world.mostHeld = max(world.mostHeld, held)
    if held > limit { world.fail("a connection keeps \(held) bytes of input, limit \(limit)") }
  }

  /// What a stream of a client may bring before any of it has been used.
  private static var streamWindow: Int { 256 * 1024 }

  private func openStreams(_ socket: SimSocket) -> Int {
    if let client = socket.link?.peer as? StreamClient { return client.openStreams }
    return (socket.link?.peer as? BackendConnection)?.streams?.openStreams ?? 0
  }

  // MARK: The end

  private func describe(_ socket: SimSocket) -> String {
    "\(socket.isUpstream ? "upstream" : "client") #\(socket.handle.index).\(socket.handle.generation)"
      + (socket.isPaused ? " paused" : "") + (socket.isConnecting ? " connecting" : "")
      + (socket.hasEnded ? " ended" : "") + " \(socket.output.count) bytes unsent"
  }

  func checkEnd() {
    if sockets.count != 0 {
      world.fail("loop \(index): sockets are left: \(sockets.all.map(describe))")
    }
    if core.openExchanges != 0 {
      world.fail("loop \(index): \(core.openExchanges) exchanges never ended")
    }
    if core.openConnections != 0 {
      world.fail("loop \(index): \(core.openConnections) connections are left")
    }
    if core.openStreams != 0 || core.openSessions != 0 {
      world.fail(
        "loop \(index): \(core.openStreams) streams and \(core.openSessions) sessions are left")
    }
    if core.lentBlocks != 0 {
      world.fail("loop \(index): \(core.lentBlocks) blocks are still lent")
    }
    if core.openClients != 0 {
      world.fail("loop \(index): \(core.openClients) clients are counted")
    }
    let metrics = core.metrics.snapshot()
    if metrics.openStreams != 0 {
      world.fail("loop \(index): the gauge of open streams ends at \(metrics.openStreams)")
    }
    world.completed += metrics.terminations[Int(TerminationReason.completed.rawValue)]
    for state in 0..<3 where metrics.upstream[state] != 0 {
      world.fail("loop \(index): gauge \(state) of connections ends at \(metrics.upstream[state])")
    }
  }
}
