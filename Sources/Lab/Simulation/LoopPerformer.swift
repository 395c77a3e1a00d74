import Balancing
import Configuration
import Glibc
import Primitives
import ProxyCore
import Telemetry

/// A connection of the front door as its simulated loop knows it.
final class SimSocket {
  let link: Link?
  let handle: Handle
  let isUpstream: Bool
  var isConnecting = false
  var isReadable = false
  var isPaused = false
  var hungUp = false
  var hasEnded = false
  var finishesWhenFlushed = false
  var isFinished = false
  var isWriteDead = false
  var isReset = false
  var isListed = false
  /// It stands among those that a turn looks at; and then also what has happened to it.
  var isReady = false
  var canWrite = false
  let output = ByteQueue()
  /// Where a backend's connection leads.
  var pool = 0
  var slot = 0
  var address: SocketAddress?
  /// A request has been sent on it.
  var hasServed = false
  var mutated = false
  /// It carries HTTP/2.
  var isSession = false
  var hasWritten = false

  init(_ link: Link?, _ handle: Handle, isUpstream: Bool) {
    self.link = link
    self.handle = handle
    self.isUpstream = isUpstream
  }
}

/// The living sockets of a loop. A class of its own, so that the core's question "is it alive?" can
/// hold it.
final class SimSockets {
  private var places: [SimSocket?] = []
  private(set) var count = 0

  subscript(handle: Handle) -> SimSocket? {
    let index = Int(handle.index)
    guard index < places.count, let socket = places[index], socket.handle == handle else {
      return nil
    }
    return socket
  }

  var all: [SimSocket] { places.compactMap { $0 } }

  func place(_ socket: SimSocket) {
    let index = Int(socket.handle.index)
    while places.count <= index { places.append(nil) }
    precondition(places[index] == nil, "a socket's place was taken twice")
    places[index] = socket
    count += 1
  }

  func remove(_ handle: Handle) {
    places[Int(handle.index)] = nil
    count -= 1
  }

  func isAlive(_ handle: Handle) -> Bool {
    guard let socket = self[handle], let link = socket.link, !socket.hungUp else { return false }
    return link.toProxy.arrived == 0 && !link.toProxy.finArrived && !link.toProxy.resetArrived
  }
}

/// Performs one loop's effects on simulated connections, as `LoopServer` does on real ones: edges of
/// readiness, bounded reads per turn, and the order of things within a turn are the same. What the
/// oracles want to know is asked here.
final class LoopPerformer {
  private static let readsPerTurn = 4
  /// Unsent bytes of a closed connection are given up after this.
  private static let flushTime = TimeAmount.seconds(30)

  let index: Int
  unowned let world: World
  private(set) var core: ProxyCore
  private var effects = Effects()
  private let input: UnsafeMutableRawBufferPointer
  let sockets = SimSockets()
  private var ready: [SimSocket] = []
  private var again: [SimSocket] = []
  private var consequences: [Event] = []
  /// Closed connections whose last bytes are still on their way, by link.
  private var farewells: [Int: ByteQueue] = [:]
  private var turnIsPlanned = false
  private var deadlinePlanned = Instant.never
  /// A member's ticket taken behind the core's back.
  private var leak: LeakedTicket?

  init(index: Int, world: World, snapshot: CoreSnapshot) {
    self.index = index
    self.world = world
    input = .allocate(byteCount: world.scenario.clientReadLimit, alignment: 16)
    core = ProxyCore(
      loop: index, of: world.scenario.loops, snapshot: snapshot,
      seed: world.scenario.seed &* 31 &+ UInt64(index),
      at: world.now, isAlive: { [sockets] in sockets.isAlive($0) })
    core.holdsOutput = world.scenario.holdsOutput
  }

  deinit { input.deallocate() }

  private var mutation: Mutation { world.scenario.mutation }

  // MARK: Turns

  /// Something has happened to a connection.
  func notice(_ link: Link, canWrite: Bool = false) {
    if canWrite, farewells[link.id] != nil {
      flushFarewell(link)
      return
    }
    guard let socket = sockets[link.handle], socket.link === link else { return }
    if canWrite { socket.canWrite = true }
    if !socket.isReady {
      socket.isReady = true
      ready.append(socket)
    }
    planTurn()
  }

  private func planTurn() {
    guard !turnIsPlanned else { return }
    turnIsPlanned = true
    let delay = world.network.between(world.scenario.climate.turnDelay)
    world.plan(.turn(loop: index), at: world.now + delay)
  }

  func turn() {
    turnIsPlanned = false
    core.turnStart = world.now
    let listed = ready
    ready.removeAll(keepingCapacity: true)
    for socket in listed { socket.isReady = false }
    func isEnding(_ socket: SimSocket) -> Bool {
      socket.link.map { $0.toProxy.finArrived || $0.toProxy.resetArrived } ?? true
    }
    // Ends first, as the real loop.
    let ending = listed.map(isEnding)
    for (place, socket) in listed.enumerated() where ending[place] { look(at: socket) }
    for (place, socket) in listed.enumerated() where !ending[place] { look(at: socket) }
    readAgain()
    if !again.isEmpty { planTurn() }
    turnEnded()
  }

  /// What was held goes out, as at the end of each turn of a real loop.
  private func turnEnded() {
    if core.hasHeldOutput, mutation != .forgetHeld {
      core.sendHeldOutput(at: world.now, into: &effects)
      perform()
      while let next = consequences.popLast() { feed(next) }
      if core.hasHeldOutput { world.fail("loop \(index): output is held beyond its turn") }
    }
    planDeadline()
  }

  private func look(at socket: SimSocket) {
    guard let link = socket.link, sockets[socket.handle] === socket else { return }
    if socket.isConnecting { return }
    if socket.canWrite {
      socket.canWrite = false
      if !socket.output.isEmpty { flush(socket, link) }
      guard sockets[socket.handle] === socket else { return }
    }
    guard link.toProxy.arrived > 0 || link.toProxy.finArrived || link.toProxy.resetArrived else {
      return
    }
    socket.isReadable = true
    if link.toProxy.finArrived || link.toProxy.resetArrived { socket.hungUp = true }
    if link.toProxy.resetArrived, socket.isPaused, !socket.isUpstream {
      socket.hasEnded = true
      feed(.broken(socket.handle, code: 0))
      return
    }
    read(socket)
  }

  func connected(_ link: Link, code: Int32) {
    guard let socket = sockets[link.handle], socket.link === link else { return }
    core.turnStart = world.now
    socket.isConnecting = false
    feed(
      code == 0 ? .connected(link.handle) : .connectFailed(link.handle, code: code))
    if code == 0 { notice(link) }
    turnEnded()
  }

  // MARK: Reading

  private func read(_ socket: SimSocket) {
    guard let link = socket.link else { return }
    var reads = 0
    while sockets[socket.handle] === socket, socket.isReadable, !socket.isPaused,
      !socket.hasEnded
    {
      if reads == Self.readsPerTurn {
        list(socket)
        return
      }
      reads += 1
      let limit = socket.isUpstream ? world.scenario.upstreamReadLimit : input.count
      let count = world.proxyReceive(link, UnsafeMutableRawBufferPointer(rebasing: input[..<limit]))
      if count > 0 {
        if count < limit, !socket.hungUp { socket.isReadable = false }
        feed(.received(socket.handle, UnsafeRawBufferPointer(rebasing: input[..<count])))
      } else if count == 0 {
        socket.hasEnded = true
        if socket.isReset {
          feed(.broken(socket.handle, code: ECONNRESET))
          continue
        }
        feed(
          .ended(socket.handle),
          isLost: mutation == (socket.isUpstream ? .loseBackendEnd : .loseEnd))
      } else if count == -Int(EAGAIN) {
        socket.isReadable = false
      } else {
        socket.hasEnded = true
        feed(.broken(socket.handle, code: Int32(-count)))
      }
    }
    if sockets[socket.handle] === socket, socket.hungUp, !socket.hasEnded {
      feed(.hungUp(socket.handle))
    }
  }

  private func list(_ socket: SimSocket) {
    guard !socket.isListed else { return }
    socket.isListed = true
    again.append(socket)
    planTurn()
  }

  private func readAgain() {
    guard !again.isEmpty else { return }
    let listed = again
    again.removeAll(keepingCapacity: true)
    for socket in listed {
      socket.isListed = false
      read(socket)
    }
  }

  // MARK: Events

  private func feed(_ event: Event, isLost: Bool = false) {
    if isLost { return }
    tell(event)
    // As the real loop: the last that came about is told first.
    while let next = consequences.popLast() { tell(next) }
  }

  private func tell(_ event: Event) {
    guard world.violation == nil else { return }
    note(event)
    core.handle(event, at: world.now, into: &effects)
    perform()
    checkHeld()
    if case .deadlinePassed = event, core.nextDeadline <= world.now {
      world.fail("a deadline was left in the past: \(core.nextDeadline)")
    }
  }

  /// Arms the loop's timer.
  private func planDeadline() {
    let next = core.nextDeadline
    guard next < deadlinePlanned, mutation != .ignoreDeadlines else { return }
    deadlinePlanned = next
    world.plan(.deadline(loop: index), at: max(next, world.now))
  }

  func deadlineCame() {
    guard world.now >= deadlinePlanned else { return }
    deadlinePlanned = .never
    if core.nextDeadline <= world.now {
      core.turnStart = world.now
      feed(.deadlinePassed)
    }
    turnEnded()
  }

  // MARK: Performing

  private func perform() {
    for place in effects.list.indices {
      let effect = effects.list[place]
      note(effect, bytes: bytes(of: effect))
      switch effect {
      case .write(let handle, let segments):
        guard let socket = living(handle, effect) else { continue }
        write(socket, segments)
      case .finish(let handle):
        guard let socket = living(handle, effect) else { continue }
        finish(socket)
      case .close(let handle):
        guard let socket = living(handle, effect) else { continue }
        close(socket, flushing: true, reset: false)
      case .drop(let handle):
        guard let socket = living(handle, effect) else { continue }
        close(socket, flushing: false, reset: false)
      case .reset(let handle):
        guard let socket = living(handle, effect) else { continue }
        close(socket, flushing: mutation == .cleanCut, reset: mutation != .cleanCut)
      case .connect(let handle, let pool, let slot):
        connect(handle, pool, slot)
      case .pause(let handle):
        guard let socket = living(handle, effect) else { continue }
        if socket.isPaused { world.fail("\(handle) was paused twice") }
        if mutation != .forgetPause { socket.isPaused = true }
      case .resume(let handle):
        guard let socket = living(handle, effect) else { continue }
        if !socket.isPaused, mutation != .forgetPause {
          world.fail("\(handle) was resumed and not paused")
        }
        if mutation == .forgetResume, !socket.isUpstream { continue }
        socket.isPaused = false
        if socket.isReadable { list(socket) }
      case .announce(let pool, let member, let change):
        world.announce(from: index, pool: pool, member: member, change)
      }
    }
    effects.reset()
  }

  private func bytes(of effect: Effect) -> Int {
    guard case .write(_, let segments) = effect else { return 0 }
    return effects.gather.segments[segments].reduce(0) { $0 + $1.count }
  }

  /// The socket of an effect. The core may name only the living.
  private func living(_ handle: Handle, _ effect: Effect) -> SimSocket? {
    if let socket = sockets[handle] { return socket }
    world.fail("\(Self.name(effect)) for \(handle), which is dead")
    return nil
  }

  private func write(_ socket: SimSocket, _ segments: Range<Int>) {
    if segments.isEmpty { world.fail("an empty write to \(socket.handle)") }
    if socket.isFinished { world.fail("a write to \(socket.handle) behind its half-close") }
    guard let link = socket.link, !socket.isWriteDead else { return }
    if socket.isUpstream, let first = effects.gather.segments[segments].first {
      checkAttempt(socket, UnsafeRawBufferPointer(start: first.base, count: first.count))
    }
    let wasEmpty = socket.output.isEmpty
    let before = socket.output.count
    for segment in effects.gather.segments[segments] {
      let bytes = UnsafeRawBufferPointer(start: segment.base, count: segment.count)
      world.trace.mix(bytes)
      socket.output.append(bytes)
    }
    if socket.isUpstream, !socket.hasWritten {
      socket.isSession = socket.output.bytes.starts(with: "PRI * HTTP/2".utf8)
    }
    if socket.isSession { lookAtFrames(socket, link, from: before) }
    socket.hasWritten = true
    mutate(socket, wasEmpty)
    if wasEmpty {
      let total = socket.output.count
      let sent = world.proxySend(link, socket.output.bytes)
      if sent < 0, sent != -Int(EAGAIN) {
        writeFailed(socket, code: Int32(-sent), isWhole: true)
        return
      }
      socket.output.consume(max(0, sent))
      if sent < total { consequences.append(.blocked(socket.handle)) }
    }
    checkMemory(socket)
  }

  private func writeFailed(_ socket: SimSocket, code: Int32, isWhole: Bool) {
    socket.isWriteDead = true
    socket.isReset = code == ECONNRESET
    socket.output.removeAll()
    if socket.isUpstream {
      if isWhole { consequences.append(.refused(socket.handle)) }
      socket.isReadable = true
      list(socket)
    } else {
      socket.hasEnded = true
      consequences.append(.broken(socket.handle, code: code))
    }
  }

  private func flush(_ socket: SimSocket, _ link: Link) {
    while !socket.output.isEmpty {
      let sent = world.proxySend(link, socket.output.bytes)
      if sent == -Int(EAGAIN) { return }
      if sent < 0 {
        writeFailed(socket, code: Int32(-sent), isWhole: false)
        while let next = consequences.popLast() { feed(next) }
        return
      }
      socket.output.consume(sent)
    }
    if socket.finishesWhenFlushed {
      socket.finishesWhenFlushed = false
      world.proxyFinish(link)
    }
    feed(.drained(socket.handle))
  }

  private func finish(_ socket: SimSocket) {
    guard let link = socket.link else { return }
    socket.isFinished = true
    if socket.output.isEmpty {
      world.proxyFinish(link)
    } else {
      socket.finishesWhenFlushed = true
    }
  }

  private func close(_ socket: SimSocket, flushing: Bool, reset: Bool) {
    sockets.remove(socket.handle)
    guard let link = socket.link else { return }
    if flushing, !socket.output.isEmpty, !socket.isWriteDead {
      farewells[link.id] = socket.output
      link.closedByProxyAt = world.now
      world.plan(.farewell(link: link.id), at: world.now + Self.flushTime)
      flushFarewell(link)
    } else {
      world.proxyClose(link, reset: reset)
    }
  }

  private func flushFarewell(_ link: Link) {
    guard let output = farewells[link.id] else { return }
    while !output.isEmpty {
      let sent = world.proxySend(link, output.bytes)
      if sent == -Int(EAGAIN) { return }
      if sent < 0 { break }
      output.consume(sent)
    }
    farewells[link.id] = nil
    world.proxyClose(link, reset: false)
  }

  func giveUpFarewell(_ link: Link) {
    if farewells.removeValue(forKey: link.id) != nil {
      world.gaveUp(link)
      world.proxyClose(link, reset: false)
    }
  }

  private func connect(_ handle: Handle, _ pool: Int, _ slot: Int) {
    let address = core.address(pool: pool, slot: slot)
    checkPick(pool, slot)
    guard let address, let place = Scenario.place(address),
      !world.network.chance(world.scenario.climate.connectFailure)
    else {
      sockets.place(SimSocket(nil, handle, isUpstream: true))
      consequences.append(.connectFailed(handle, code: EADDRNOTAVAIL))
      return
    }
    let link = world.connect(loop: index, handle: handle, place: place)
    let socket = SimSocket(link, handle, isUpstream: true)
    socket.isConnecting = true
    socket.pool = pool
    socket.slot = slot
    socket.address = address
    sockets.place(socket)
    if mutation == .leakTicket, leak == nil {
      leak = LeakedTicket(world.builder.members[0].cell, at: world.now)
    }
  }

  // MARK: What others ask for

  func adopt(_ link: Link, _ client: any User) {
    // Behind a balancer that speaks the PROXY protocol every peer has the balancer's address.
    let peer = client.isBehindBalancer ? Scenario.balancer : client.address
    let handle = core.reserveClient(
      listener: client.isBehindBalancer ? 1 : 0, peer: PeerAddress(peer), at: world.now)
    link.handle = handle
    let socket = SimSocket(link, handle, isUpstream: false)
    socket.isSession = client is StreamClient
    sockets.place(socket)
    feed(.accepted(handle))
    notice(link)
    turnEnded()
  }

  func apply(_ snapshot: CoreSnapshot) {
    world.trace.note(world.now, index, .reload)
    core.apply(snapshot, at: world.now)
    planDeadline()
  }

  func peerReported(pool: Int, member: Int, _ change: BreakerChange) {
    world.trace.note(world.now, index, .peerReported, .none, pool, member)
    core.peerReported(pool: pool, member: member, change, at: world.now)
  }

  func beginSettling() {
    world.trace.note(world.now, index, .settle)
    core.beginSettling()
  }

  func beginDrain() {
    world.trace.note(world.now, index, .drain)
    core.beginDrain(at: world.now, into: &effects)
    perform()
    while let next = consequences.popLast() { feed(next) }
    turnEnded()
  }

  func cutAll() {
    world.trace.note(world.now, index, .cut)
    core.cutAll(at: world.now, into: &effects)
    perform()
    while let next = consequences.popLast() { feed(next) }
    turnEnded()
  }

  // MARK: Mutations

  private func mutate(_ socket: SimSocket, _ wasEmpty: Bool) {
    guard mutation != .none, wasEmpty, !socket.mutated, socket.output.count > 20 else { return }
    switch mutation {
    case .dropByte:
      socket.mutated = true
      socket.output.truncate(to: socket.output.count - 1)
    case .flipByte:
      socket.mutated = true
      socket.output.flipLast()
    case .duplicateWrite:
      socket.mutated = true
      socket.output.append(
        UnsafeRawBufferPointer(start: socket.output.bytes.baseAddress, count: socket.output.count))
    case .crossClients:
      if !socket.isUpstream, let link = socket.link { world.crossInto(link, socket.output.bytes) }
    case .repeatRequest:
      if socket.isUpstream, let address = socket.address, let place = Scenario.place(address) {
        socket.mutated = true
        world.repeatRequest(loop: index, place: place, socket.output.bytes)
      }
    case .effectAfterDeath:
      if !socket.isUpstream {
        _ = living(Handle(index: 9_999, generation: 1), .finish(socket.handle))
      }
    case .dropTrailers, .loseEndStream, .crossStreams, .loseReset, .forgetHeld: break
    case .none, .leakTicket, .forgetResume, .forgetPause, .loseEnd, .loseBackendEnd,
      .ignoreDeadlines, .cleanCut:
      break
    }
  }
}

/// A request that is counted in and never out.
private final class LeakedTicket {
  private var pool: Pool
  init(_ cell: LoadCell, at now: Instant) {
    pool = Pool(
      policy: PoolPolicy(), members: [MemberSpec(name: "leak", weight: 1, cell: cell)], at: now)
    var random = SeededRandom(seed: 1)
    _ = pool.pick(at: now, random: &random, hashKey: nil, avoiding: SlotSet(), inFlightLimit: 0)
  }
}
