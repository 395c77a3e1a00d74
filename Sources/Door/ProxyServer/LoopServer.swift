import Balancing
import CLinux
import Configuration
import EventLoop
import Glibc
import Primitives
import ProxyCore
import TLS
import Telemetry

/// Performs one loop's effects on real sockets. Decides nothing.
///
/// ```
/// epoll -> read -> core.handle(event) -> effects -> write/close/connect -> (blocked) -> core ...
/// ```
/// Sockets are edge-triggered: they are registered once, and pausing costs no system call. Bytes
/// are read into one buffer of the loop and written from there: between read and write nothing is
/// copied, and a connection without unsent bytes owns no memory here.
///
/// Lives and dies on its loop; not Sendable on purpose. What other threads may do stands in
/// `ProxyServer`.
final class LoopServer: LoopDelegate {
  /// Reads of one socket before the others get their turn. Count.
  private static let readsPerTurn = 4
  /// Pieces of one write above which they are put together first. Count.
  private static let segmentsPerWrite = 256
  /// Accepts of one listener in a turn. Count.
  static let acceptsPerTurn = 64
  /// Between two tries to accept after descriptors ran out.
  static let acceptPause = TimeAmount.milliseconds(100)
  /// A trouble that lasts is said so often.
  static let complaintPause = TimeAmount.seconds(10)
  /// Unsent bytes of a closed connection are given up after this.
  static let flushTime = TimeAmount.seconds(30)
  /// Tokens of other things than connections have even generations.
  static let listenerGeneration: UInt32 = 2
  static let farewellGeneration: UInt32 = 4

  private static let interest =
    EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue

  struct Listener {
    let descriptor: Int32
    let id: Int
    let trusted: [AddressBlock]
    let connectionLimit: Int
    /// TLS is spoken, behind a PROXY protocol header if there is to be one.
    let isSecure: Bool
    let awaitsHeader: Bool
    var isPaused: Bool

    init(descriptor: Int32, id: Int, settings: ListenerSettings, isPaused: Bool = false) {
      self.descriptor = descriptor
      self.id = id
      self.isPaused = isPaused
      trusted = settings.trustedProxies
      connectionLimit = settings.connectionLimit
      isSecure = settings.tls != nil
      awaitsHeader = settings.proxyProtocol
    }
  }

  let loop: EventLoop
  var core: ProxyCore
  var effects = Effects()
  let board: LoadBoard
  private let input: UnsafeMutableRawBufferPointer
  /// What the session at work has decrypted, and what it wants to be sent. Only with TLS.
  let plaintext: UnsafeMutableRawBufferPointer
  var ciphertext = CipherBuffer()
  /// By listener and pool identity.
  var listenerSecurity: [Int: ListenerSecurity] = [:]
  var poolSecurity: [Int: TLSClientContext] = [:]
  var nextSecurityComplaint = Instant.zero
  let sockets = SocketTable()
  var listeners: [Listener] = []
  /// Sockets whose readiness was not used up, to be read again in the next turn.
  private var again: [Handle] = []
  /// What performing brought about, to be told to the core after the present effects.
  var consequences: [Event] = []
  var farewells: [Farewell?] = []
  private var vector: [iovec] = []
  /// Before this, nothing more is said about pauses.
  var nextComplaint = Instant.zero
  /// Loops to which a fresh connection may be handed over, this one included.
  var peers: [LoopServer.Address] = []
  var onAnnouncement: ((_ pool: Int, _ member: Int, BreakerChange) -> Void)?
  var onComplaint: ((String) -> Void)?

  /// What another loop may know of this one.
  struct Address: Sendable {
    let adopt: @Sendable (_ descriptor: Int32, _ listener: Int, _ peer: SocketAddress?) -> Void
  }

  /// A closed connection whose last bytes are still on their way.
  struct Farewell {
    let descriptor: Int32
    var output: WaitingBytes
  }

  init(
    loop: EventLoop, of loops: Int, snapshot: CoreSnapshot, board: LoadBoard, seed: UInt64
  ) {
    self.loop = loop
    self.board = board
    input = .allocate(byteCount: ProxyCore.clientReadLimit, alignment: 4_096)
    // The kernel lends its pages when they are first written to: without TLS it costs nothing.
    plaintext = .allocate(byteCount: Self.plaintextBytes, alignment: 4_096)
    core = ProxyCore(
      loop: loop.index, of: loops, snapshot: snapshot, seed: seed, at: EventLoop.now(),
      isAlive: { [sockets] in sockets.isAlive($0) })
    core.holdsOutput = true
    loop.onTurn = { [unowned self] in core.metrics.turnEnded($0) }
  }

  deinit {
    input.deallocate()
    plaintext.deallocate()
    sockets.close()
  }

  // MARK: LoopDelegate

  var nextDeadline: Instant { core.nextDeadline }
  var hasWork: Bool { !again.isEmpty }

  func deadlinePassed(at now: Instant) {
    feed(.deadlinePassed)
    publishLoad()
  }

  func publishLoad() {
    board.setOpenStreams(core.openExchanges, loop: loop.index)
    board.setDescriptors(wantedDescriptors, loop: loop.index)
  }

  func ready(_ events: UnsafeBufferPointer<epoll_event>) {
    // Ends first: an idle connection that its backend has closed must not be taken for a request
    // that is in the same turn.
    core.turnStart = loop.turnStart
    core.surveyedAt = loop.surveyedAt
    if core.needsWallClock {
      // The wall clock may jump; what is logged follows it.
      core.wallClockOffset = portico_realtime_ns() - portico_monotonic_ns()
    }
    let ending = EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
    for event in events {
      var event = event
      let flags = portico_event_flags(&event)
      if flags & ending != 0 { ready(Handle(bits: portico_event_data(&event)), flags) }
    }
    for event in events {
      var event = event
      let flags = portico_event_flags(&event)
      if flags & ending == 0 { ready(Handle(bits: portico_event_data(&event)), flags) }
    }
    readAgain()
    publishLoad()
  }

  func turnEnded() {
    guard core.hasHeldOutput else { return }
    core.sendHeldOutput(at: EventLoop.now(), into: &effects)
    perform()
    while let next = consequences.popLast() { feed(next) }
  }

  private func ready(_ handle: Handle, _ flags: UInt32) {
    guard handle.generation & 1 == 1 else {
      if handle.generation == Self.listenerGeneration {
        accept(Int(handle.index))
      } else if handle.generation == Self.farewellGeneration {
        flushFarewell(Int(handle.index))
      }
      return
    }
    guard let socket = sockets[handle] else { return }
    if socket.pointee.isConnecting {
      guard flags & (EPOLLOUT.rawValue | EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 else { return }
      socket.pointee.isConnecting = false
      let code = portico_socket_error(socket.pointee.descriptor)
      if code == 0, let link = socket.pointee.link {
        startHandshake(handle, socket, link)
        return
      }
      feed(code == 0 ? .connected(handle) : .connectFailed(handle, code: code))
    } else if flags & EPOLLOUT.rawValue != 0, !socket.pointee.output.isEmpty {
      flush(handle, socket)
    }
    let incoming =
      EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
    guard flags & incoming != 0, let socket = sockets[handle] else { return }
    socket.pointee.isReadable = true
    if flags & EPOLLRDHUP.rawValue != 0 { socket.pointee.hungUp = true }
    if flags & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0, socket.pointee.isPaused,
      !socket.pointee.isUpstream
    {
      // Paused, and gone both ways: no read would tell.
      socket.pointee.hasEnded = true
      feed(.broken(handle, code: 0))
      return
    }
    read(handle)
  }

  // MARK: Reading

  private func read(_ handle: Handle) {
    var reads = 0
    while let socket = sockets[handle], socket.pointee.isReadable, !socket.pointee.isPaused,
      !socket.pointee.hasEnded
    {
      if reads == Self.readsPerTurn {
        list(handle, socket)
        return
      }
      reads += 1
      let limit = socket.pointee.isUpstream ? ProxyCore.upstreamReadLimit : input.count
      let count = portico_receive(socket.pointee.descriptor, input.baseAddress, limit)
      if count > 0 {
        core.metrics.moved(count, socket.pointee.isUpstream ? .fromBackend : .fromClient)
        // A short read has emptied the socket, unless the end is waiting behind the bytes.
        if count < limit, !socket.pointee.hungUp { socket.pointee.isReadable = false }
        let bytes = UnsafeRawBufferPointer(rebasing: input[..<count])
        if let link = socket.pointee.link {
          receive(bytes, handle, link)
        } else {
          feed(.received(handle, bytes))
        }
      } else if count == 0 {
        socket.pointee.hasEnded = true
        if let link = socket.pointee.link, !socket.pointee.isReset {
          ended(handle, link)
          continue
        }
        feed(socket.pointee.isReset ? .broken(handle, code: ECONNRESET) : .ended(handle))
      } else if count == -Int(EAGAIN) {
        socket.pointee.isReadable = false
      } else {
        socket.pointee.hasEnded = true
        if let link = socket.pointee.link {
          broke(handle, link, code: Int32(-count))
        } else {
          feed(.broken(handle, code: Int32(-count)))
        }
      }
    }
    if let socket = sockets[handle], socket.pointee.hungUp, !socket.pointee.hasEnded {
      feed(.hungUp(handle))
    }
  }

  private func list(_ handle: Handle, _ socket: UnsafeMutablePointer<Socket>) {
    guard !socket.pointee.isListed else { return }
    socket.pointee.isListed = true
    again.append(handle)
  }

  private func readAgain() {
    guard !again.isEmpty else { return }
    let listed = again
    again.removeAll(keepingCapacity: true)
    for handle in listed {
      guard let socket = sockets[handle] else { continue }
      socket.pointee.isListed = false
      read(handle)
    }
  }

  // MARK: Performing

  /// Tells the core an event and performs what it decides, until nothing follows.
  func feed(_ event: Event) {
    core.handle(event, at: EventLoop.now(), into: &effects)
    perform()
    while let next = consequences.popLast() {
      core.handle(next, at: EventLoop.now(), into: &effects)
      perform()
    }
  }

  func perform() {
    for index in effects.list.indices {
      switch effects.list[index] {
      case .write(let handle, let segments): write(handle, segments)
      case .finish(let handle): finish(handle)
      case .close(let handle): close(handle, flushing: true, reset: false)
      case .drop(let handle): close(handle, flushing: false, reset: false)
      case .reset(let handle): close(handle, flushing: false, reset: true)
      case .connect(let handle, let pool, let slot): connect(handle, pool, slot)
      case .pause(let handle): sockets[handle]?.pointee.isPaused = true
      case .resume(let handle): resume(handle)
      case .announce(let pool, let member, let change): onAnnouncement?(pool, member, change)
      }
    }
    effects.reset()
  }

  private func resume(_ handle: Handle) {
    guard let socket = sockets[handle] else { return }
    socket.pointee.isPaused = false
    if socket.pointee.isReadable { list(handle, socket) }
  }

  private func write(_ handle: Handle, _ segments: Range<Int>) {
    guard let socket = sockets[handle], !socket.pointee.isWriteDead else { return }
    if let link = socket.pointee.link {
      write(handle, socket, link, segments)
      return
    }
    if !socket.pointee.output.isEmpty {
      for segment in effects.gather.segments[segments] {
        socket.pointee.output.append(.init(start: segment.base, count: segment.count))
      }
      return
    }
    if segments.count > Self.segmentsPerWrite {
      writeLong(handle, socket, segments)
      return
    }
    var total = 0
    let sent: Int
    if segments.count == 1 {
      let only = effects.gather.segments[segments.lowerBound]
      total = only.count
      sent = portico_send(socket.pointee.descriptor, only.base, only.count)
    } else {
      vector.removeAll(keepingCapacity: true)
      for segment in effects.gather.segments[segments] {
        total += segment.count
        vector.append(
          iovec(iov_base: UnsafeMutableRawPointer(mutating: segment.base), iov_len: segment.count))
      }
      sent = portico_send_gathered(socket.pointee.descriptor, vector, Int32(vector.count))
    }
    core.metrics.moved(max(sent, 0), socket.pointee.isUpstream ? .toBackend : .toClient)
    if sent == total { return }
    if sent < 0, sent != -Int(EAGAIN) {
      writeFailed(handle, socket, code: Int32(-sent), isWhole: true)
      return
    }
    keepUnsent(socket, segments, sent: max(sent, 0))
    consequences.append(.blocked(handle))
  }

  /// A write in very many pieces, as a peer makes it who sends chunks of one byte: put together
  /// first, since the kernel takes no more than 1,024 pieces at once.
  private func writeLong(
    _ handle: Handle, _ socket: UnsafeMutablePointer<Socket>, _ segments: Range<Int>
  ) {
    keepUnsent(socket, segments, sent: 0)
    var isWhole = true
    while !socket.pointee.output.isEmpty {
      let bytes = socket.pointee.output.bytes
      let sent = portico_send(socket.pointee.descriptor, bytes.baseAddress, bytes.count)
      if sent == -Int(EAGAIN) {
        consequences.append(.blocked(handle))
        return
      }
      if sent < 0 {
        writeFailed(handle, socket, code: Int32(-sent), isWhole: isWhole)
        return
      }
      isWhole = false
      core.metrics.moved(sent, socket.pointee.isUpstream ? .toBackend : .toClient)
      socket.pointee.output.consume(sent)
    }
  }

  private func keepUnsent(
    _ socket: UnsafeMutablePointer<Socket>, _ segments: Range<Int>, sent: Int
  ) {
    var skip = sent
    for segment in effects.gather.segments[segments] {
      if skip >= segment.count {
        skip -= segment.count
        continue
      }
      socket.pointee.output.append(
        UnsafeRawBufferPointer(start: segment.base + skip, count: segment.count - skip))
      skip = 0
    }
  }

  /// The peer takes no more. A backend may have answered before it closed: its bytes are still
  /// read; a client that does not read has left.
  ///
  /// - Parameter isWhole: not a byte of the write was taken. Where some were, the backend may have
  ///   seen the request, and it may not be taken for one that was never sent.
  func writeFailed(
    _ handle: Handle, _ socket: UnsafeMutablePointer<Socket>, code: Int32, isWhole: Bool
  ) {
    socket.pointee.isWriteDead = true
    socket.pointee.isReset = code == ECONNRESET
    socket.pointee.output.free()
    if socket.pointee.isUpstream {
      if isWhole { consequences.append(.refused(handle)) }
      socket.pointee.isReadable = true
      list(handle, socket)
    } else {
      socket.pointee.hasEnded = true
      consequences.append(.broken(handle, code: code))
    }
  }

  private func flush(_ handle: Handle, _ socket: UnsafeMutablePointer<Socket>) {
    while !socket.pointee.output.isEmpty {
      let bytes = socket.pointee.output.bytes
      let sent = portico_send(socket.pointee.descriptor, bytes.baseAddress, bytes.count)
      if sent == -Int(EAGAIN) { return }
      if sent < 0 {
        writeFailed(handle, socket, code: Int32(-sent), isWhole: false)
        while let next = consequences.popLast() { feed(next) }
        return
      }
      core.metrics.moved(sent, socket.pointee.isUpstream ? .toBackend : .toClient)
      socket.pointee.output.consume(sent)
    }
    if socket.pointee.finishesWhenFlushed {
      socket.pointee.finishesWhenFlushed = false
      _ = portico_shutdown_write(socket.pointee.descriptor)
    }
    if let link = socket.pointee.link {
      guard link.hasSaidBlocked else { return }
      link.hasSaidBlocked = false
    }
    feed(.drained(handle))
  }

  private func finish(_ handle: Handle) {
    guard let socket = sockets[handle] else { return }
    if let link = socket.pointee.link { sayCloseNotify(handle, socket, link) }
    if socket.pointee.output.isEmpty {
      _ = portico_shutdown_write(socket.pointee.descriptor)
    } else {
      socket.pointee.finishesWhenFlushed = true
    }
  }

  private func close(_ handle: Handle, flushing: Bool, reset: Bool) {
    guard let socket = sockets[handle] else { return }
    let descriptor = socket.pointee.descriptor
    if flushing, let link = socket.pointee.link { sayCloseNotify(handle, socket, link) }
    if flushing, !socket.pointee.output.isEmpty, !socket.pointee.isWriteDead {
      sayFarewell(descriptor, socket.pointee.output)
    } else {
      socket.pointee.output.free()
      if reset { _ = portico_arm_reset(descriptor) }
      _ = portico_close(descriptor)
    }
    socket.pointee = Socket()
  }

  private func connect(_ handle: Handle, _ pool: Int, _ slot: Int) {
    guard let address = core.address(pool: pool, slot: slot) else {
      consequences.append(.connectFailed(handle, code: ECONNABORTED))
      return
    }
    var link: SecureLink?
    if let name = core.serverName(pool: pool, slot: slot) {
      guard let context = poolSecurity[pool] else {
        consequences.append(.connectFailed(handle, code: ECONNABORTED))
        return
      }
      link = SecureLink(connecting: context, to: name)
    }
    let descriptor = Sockets.connect(address)
    if descriptor < 0 {
      consequences.append(.connectFailed(handle, code: -descriptor))
      return
    }
    let result = register(handle, descriptor)
    if result < 0 {
      _ = portico_close(descriptor)
      consequences.append(.connectFailed(handle, code: -result))
      return
    }
    let socket = sockets.place(handle, descriptor)
    socket.pointee.isUpstream = true
    socket.pointee.isConnecting = true
    socket.pointee.link = link
  }

  /// Has a fresh descriptor watched, or says why not, as `-errno`: what the kernel watches for all
  /// processes of a user is limited (`fs.epoll.max_user_watches`), and so is its memory.
  func register(_ handle: Handle, _ descriptor: Int32) -> Int32 {
    loop.add(descriptor, Self.interest, token: handle.bits)
  }
}
