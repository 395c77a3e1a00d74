import CLinux
import EventLoop
import Generation
import Glibc
import Primitives

/// The processes of a group, on a loop of their own: performs what `GroupLife` decides.
///
/// Of their own, so that no turn of the server's loop, however long, delays the moment at which a
/// rank's death is noticed, nor lets the channel fill. What comes from the ranks goes to the server's
/// loop as messages, in order. Confined to the loop, hence `@unchecked Sendable`.
final class RankProcesses: LoopDelegate, @unchecked Sendable {
  /// What the server's loop hears, in order.
  enum Notice: Sendable {
    /// `life` counts the groups that became ready or tried to.
    case state(EngineState, life: UInt64)
    case events([EngineEvent], life: UInt64)
    case ended
  }

  /// What is written in epoll's data: which kind, and of which life, so that an event of a group that
  /// is gone means nothing. The loop keeps 0 and 1 for itself.
  private enum Source: UInt64 {
    case exit = 1
    case output, channel, listener
  }

  /// Bytes of orders that rank 0 may leave unread. The server's queue is bounded too; this is many
  /// times what it lets in.
  private static let backlogLimitBytes = 256 << 20
  private static let readBytes = 64 << 10
  /// A process closes its channel a moment before its exit can be seen, and the exit says more.
  private static let exitDelay = TimeAmount.milliseconds(50)

  let loop: EventLoop
  private let settings: RankGroupSettings
  private let tell: @Sendable (Notice) -> Void
  private let log: @Sendable (String) -> Void
  private var machine: GroupLife
  private var life: UInt64 = 0
  private var children: [RankProcess] = []
  /// The end of the pipe whose other ends the ranks watch.
  private var lifeline: Int32 = -1
  private var channel: Int32 = -1
  private var socket: RankSocket?
  private var reader = FrameReader<EngineEvent>()
  private var backlog: [UInt8] = []
  private var written = 0
  private var isWaitingToWrite = false
  private var isTicking = false
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: readBytes, alignment: 16)

  init(
    _ settings: RankGroupSettings, log: @escaping @Sendable (String) -> Void,
    tell: @escaping @Sendable (Notice) -> Void
  ) throws(SystemError) {
    self.settings = settings
    self.log = log
    self.tell = tell
    machine = GroupLife(settings)
    loop = try EventLoop(index: 0, label: "ranks")
  }

  deinit { buffer.deallocate() }

  // MARK: Orders, on the loop

  func start() { perform(machine.handle(.start)) }
  func stop() { perform(machine.handle(.stop)) }

  /// The server has let go of the group: nobody is left to be told.
  func abandon() {
    // mpirun removes its files, for two seconds at most. Nothing else happens on this loop any more.
    if settings.transport == .mpi {
      for child in children { child.signal(SIGTERM) }
      for _ in 0..<200 where children.contains(where: \.isRunning) {
        usleep(10_000)
        for child in children { child.reap() }
      }
    }
    for child in children { child.signal(SIGKILL) }
    for child in children { child.reap(isWaiting: true) }
    tearDown()
    loop.stop()
  }

  /// Sends a frame to rank 0, unless it was meant for a group that is gone.
  func send(_ frame: [UInt8], life: UInt64) {
    guard life == self.life, channel >= 0 else { return }
    backlog.append(contentsOf: frame)
    write()
  }

  // MARK: What machine wants

  private func perform(_ actions: [GroupLife.Action]) {
    for action in actions {
      switch action {
      case .spawn: spawn()
      case .tell(let state): tell(.state(state, life: life))
      case .endOrders:
        if channel >= 0 { _ = portico_shutdown_write(channel) }
      case .terminate:
        for child in children { child.signal(SIGTERM) }
        checkGone()
      case .kill:
        for child in children { child.signal(SIGKILL) }
        checkGone()
      case .pause(let time):
        loop.schedule(after: time) { [weak self] in
          guard let self else { return }
          perform(machine.handle(.pauseOver))
        }
      case .end:
        tearDown()
        tell(.ended)
        loop.stop()
      }
    }
    if machine.isActive { beginTicks() }
  }

  private func beginTicks() {
    guard !isTicking else { return }
    isTicking = true
    loop.schedule(after: GroupLife.tick) { [weak self] in
      guard let self else { return }
      isTicking = false
      perform(machine.handle(.tick))
    }
  }

  private func fail(_ why: String, blaming child: RankProcess? = nil) {
    perform(machine.handle(.failed(why: why, words: child?.lastWords ?? [])))
  }

  // MARK: Starting

  private func spawn() {
    tearDown()
    life += 1
    do throws(SystemError) {
      switch settings.transport {
      case .shared: try spawnRanks()
      case .mpi: try spawnMPI()
      }
    } catch {
      fail(error.description)
      checkGone()
    }
  }

  private func spawnRanks() throws(SystemError) {
    var pipe: [Int32] = [-1, -1]
    var pair: [Int32] = [-1, -1]
    var memory: Int32 = -1
    defer { for end in [pipe[0], pair[1], memory] where end >= 0 { _ = portico_close(end) } }
    _ = try SystemError.check(portico_pipe(&pipe), "make a pipe")
    lifeline = pipe[1]
    _ = try SystemError.check(portico_socketpair(&pair), "make a socket pair")
    take(channel: pair[0])
    if settings.ranks > 1 {
      memory = try SystemError.check(
        SharedCollective.memory(
          ranks: settings.ranks, floatsPerExchange: settings.floatsPerExchange,
          stepBytes: settings.stepBytes), "make memory for \(settings.ranks) ranks")
    }
    for rank in 0..<settings.ranks {
      var passes = [(from: pipe[0], to: RankInvitation.life)]
      if memory >= 0 { passes.append((memory, RankInvitation.memory)) }
      if rank == 0 { passes.append((pair[1], RankInvitation.channel)) }
      var environment = settings.environment
      environment[RankInvitation.variable] = RankInvitation(settings, rank: rank).text
      watch(
        try RankProcess(
          rank: rank, name: "rank \(rank)", path: settings.program,
          arguments: settings.arguments(rank), environment: environment, passes: passes))
    }
  }

  private func spawnMPI() throws(SystemError) {
    guard let mpirun = Self.find(settings.mpirun) else {
      throw SystemError(
        code: ENOENT,
        action: "start \(settings.mpirun), which ranks over MPI need "
          + "(try `apt install openmpi-bin libopenmpi3`)")
    }
    let socket = try RankSocket()
    _ = loop.add(socket.listener, EPOLLIN.rawValue, token: token(.listener))
    var environment = settings.environment
    environment[RankInvitation.variable] =
      RankInvitation(settings, rank: 0, socket: socket.path).text
    // When a rank has died, mpirun ends the others after one second by default: too late for us.
    environment["OMPI_MCA_odls_base_sigkill_timeout"] = "0"
    self.socket = consume socket
    // `/proc/self` would be mpirun's own.
    var program = settings.program
    if program == "/proc/self/exe" { program = "/proc/\(getpid())/exe" }
    let arguments =
      ["mpirun", "-n", "\(settings.ranks)", "--tag-output", "-x", RankInvitation.variable]
      + settings.mpirunArguments + [program] + settings.arguments(0).dropFirst()
    // Should we die, rank 0 sees to its end. A signal from the kernel comes more than once, and at the
    // second SIGTERM mpirun leaves its files where they are, in /dev/shm too.
    watch(
      try RankProcess(
        rank: 0, name: "mpirun", path: mpirun, arguments: arguments, environment: environment,
        passes: [], deathSignal: 0))
  }

  private static func find(_ program: String) -> String? {
    if program.contains("/") { return access(program, X_OK) == 0 ? program : nil }
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    return path.split(separator: ":").map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
  }

  private func watch(_ child: RankProcess) {
    let index = children.count
    children.append(child)
    _ = loop.add(child.pidfd, EPOLLIN.rawValue, token: token(.exit, index))
    _ = loop.add(child.output, EPOLLIN.rawValue, token: token(.output, index))
  }

  private func take(channel descriptor: Int32) {
    channel = descriptor
    reader = FrameReader()
    isWaitingToWrite = false
    _ = loop.add(channel, EPOLLIN.rawValue, token: token(.channel))
  }

  /// Closes what is left of a group. Its processes are gone, or will never be waited for.
  private func tearDown() {
    for child in children {
      if child.output >= 0 { loop.remove(child.output) }
      if child.pidfd >= 0 { loop.remove(child.pidfd) }
    }
    children.removeAll()
    if channel >= 0 { closeChannel() }
    if lifeline >= 0 { _ = portico_close(lifeline) }
    lifeline = -1
    socket = nil
  }

  private func closeChannel() {
    loop.remove(channel)
    _ = portico_close(channel)
    channel = -1
    backlog.removeAll()
    written = 0
  }

  // MARK: What happens

  private func token(_ source: Source, _ index: Int = 0) -> UInt64 {
    life << 16 | UInt64(index) << 4 | source.rawValue
  }

  func ready(_ events: UnsafeBufferPointer<epoll_event>) {
    for event in events {
      var event = event
      let data = portico_event_data(&event)
      guard data >> 16 == life, let source = Source(rawValue: data & 15) else { continue }
      let index = Int(data >> 4 & 0xFFF)
      switch source {
      case .exit: if children.indices.contains(index) { exited(children[index]) }
      case .output: if children.indices.contains(index) { passOn(children[index]) }
      case .channel:
        let flags = portico_event_flags(&event)
        if channel >= 0, flags & EPOLLOUT.rawValue != 0 { write() }
        if channel >= 0, flags & ~EPOLLOUT.rawValue != 0 { readChannel() }
      case .listener: accept()
      }
    }
  }

  var nextDeadline: Instant { .never }
  func deadlinePassed(at now: Instant) {}

  private func exited(_ child: RankProcess) {
    passOn(child)
    guard let why = child.reap() else { return }
    fail(why, blaming: child)
    checkGone()
  }

  private func checkGone() {
    if !children.contains(where: \.isRunning) { perform(machine.handle(.allGone)) }
  }

  private func passOn(_ child: RankProcess) {
    guard child.output >= 0 else { return }
    // At its end the reading closes it, and epoll forgets it by itself.
    for line in child.readOutput() { log("\(child.name): \(line)") }
  }

  private func accept() {
    guard let listener = socket?.listener else { return }
    let descriptor = Sockets.accept(listener).fd
    guard descriptor >= 0 else { return }
    loop.remove(listener)
    socket = nil
    take(channel: descriptor)
  }

  // MARK: The channel

  private func readChannel() {
    var events: [EngineEvent] = []
    defer { if !events.isEmpty { tell(.events(events, life: life)) } }
    for _ in 0..<4 {
      let count = portico_receive(channel, buffer.baseAddress, buffer.count)
      if count == -Int(EAGAIN) { return }
      guard count > 0 else { return channelEnded() }
      reader.receive(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      do throws(MalformedMessage) {
        while let event = try reader.next() {
          perform(machine.handle(.heard))
          if case .ready(let facts) = event {
            perform(machine.handle(.ready(facts)))
          } else {
            events.append(event)
          }
        }
      } catch {
        fail("what rank 0 says makes no sense (\(error))")
        return
      }
      if count < buffer.count { return }
    }
  }

  private func channelEnded() {
    closeChannel()
    let current = life
    loop.schedule(after: Self.exitDelay) { [weak self] in
      guard let self, life == current else { return }
      fail("rank 0 closed its channel")
    }
  }

  private func write() {
    while written < backlog.count {
      let count = backlog.withUnsafeBytes {
        portico_send(channel, $0.baseAddress! + written, $0.count - written)
      }
      guard count > 0 else { break }
      written += count
    }
    if written == backlog.count {
      backlog.removeAll(keepingCapacity: backlog.capacity <= Self.readBytes)
      written = 0
      if isWaitingToWrite { loop.modify(channel, EPOLLIN.rawValue, token: token(.channel)) }
      isWaitingToWrite = false
    } else {
      if written > Self.readBytes {
        backlog.removeFirst(written)
        written = 0
      }
      if !isWaitingToWrite {
        loop.modify(channel, EPOLLIN.rawValue | EPOLLOUT.rawValue, token: token(.channel))
        isWaitingToWrite = true
      }
      if backlog.count > Self.backlogLimitBytes { fail("rank 0 does not read its orders") }
    }
  }
}
