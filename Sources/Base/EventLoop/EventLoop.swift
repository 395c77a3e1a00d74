import CLinux
import Dispatch
import Glibc
import Primitives
import Synchronization

/// What a loop is good for: it takes the readiness of its descriptors, a turn at a time.
///
/// Called on the loop only.
package protocol LoopDelegate: AnyObject {
  /// Descriptors that are ready, with the data under which they were added.
  func ready(_ events: UnsafeBufferPointer<epoll_event>)
  /// `nextDeadline` has passed.
  func deadlinePassed(at now: Instant)
  /// When the delegate wants `deadlinePassed`; asked once at the end of each turn.
  var nextDeadline: Instant { get }
  /// True when there is work that no descriptor will announce: the next turn comes at once, if need
  /// be with no events.
  var hasWork: Bool { get }
  /// Everything that was ready, due or posted has been taken: what was put off to send it together
  /// goes now.
  func turnEnded()
}

extension LoopDelegate {
  package var hasWork: Bool { false }
  package func turnEnded() {}
}

/// One event loop: a serial Dispatch queue with one read source on the loop's own epoll descriptor.
///
/// A source per socket would cost nine more system calls per event, because Dispatch re-arms each
/// on its manager thread. Here Dispatch only says "this loop has something to do"; the loop then
/// drains its own epoll set, and waits in it for `stay` before it hands its thread back, so a busy
/// loop meets Dispatch never and an idle process has no threads of ours.
///
/// ```
/// [parked in Dispatch] --epoll readable--> [turns] --nothing for `stay`--> [parked in Dispatch]
/// ```
///
/// Timers are a timerfd and messages an eventfd in the same set, so either wakes a parked loop.
/// Owned objects are confined to the loop's queue: that, not a lock, is why the class may be
/// `@unchecked Sendable`. What other threads may call is `post`, `start` and `stop`.
package final class EventLoop: @unchecked Sendable {
  /// Data of events that belong to the loop itself. Handles have odd generations and never collide.
  private static let mailboxToken: UInt64 = 0
  private static let timerToken: UInt64 = 1
  /// Events taken from the kernel in one turn.
  private static let eventsPerTurn = 512
  /// How long a loop waits in its own set before it hands the thread back. Milliseconds.
  ///
  /// Each return to Dispatch costs about 20 µs of wake-ups; a token stream has an event every few
  /// milliseconds, so a loop with any stream at all stays.
  private static let stayMilliseconds: Int32 = 200

  package let index: Int
  private let queue: DispatchQueue
  private let set: Int32
  private let mailboxDescriptor: Int32
  private let timerDescriptor: Int32
  private let events: UnsafeMutablePointer<epoll_event>
  private let mailbox = Mutex<[@Sendable () -> Void]>([])
  private var source: (any DispatchSourceRead)?
  private var delegate: (any LoopDelegate)?
  private var timers = TimerList()
  private var armedFor = Instant.never
  private var isStopping = false
  /// The start of the present turn.
  package private(set) var turnStart = Instant.zero
  /// When every readiness of every descriptor was known last: what had happened until then has been
  /// reported, or is being in this turn.
  package private(set) var surveyedAt = Instant.zero
  /// Called at the end of each turn with its length; for telemetry.
  package var onTurn: ((TimeAmount) -> Void)?

  package init(index: Int, label: String) throws(SystemError) {
    self.index = index
    queue = DispatchQueue(label: "portico.\(label)")
    set = try SystemError.check(portico_epoll_create(), "epoll_create")
    mailboxDescriptor = try SystemError.check(portico_eventfd(), "eventfd")
    timerDescriptor = try SystemError.check(portico_timerfd(), "timerfd_create")
    events = .allocate(capacity: Self.eventsPerTurn)
    _ = portico_epoll_add(set, mailboxDescriptor, EPOLLIN.rawValue, Self.mailboxToken)
    _ = portico_epoll_add(set, timerDescriptor, EPOLLIN.rawValue, Self.timerToken)
  }

  deinit {
    events.deallocate()
    _ = portico_close(timerDescriptor)
    _ = portico_close(mailboxDescriptor)
    _ = portico_close(set)
  }

  /// The monotonic clock. The pure rooms never call it.
  package static func now() -> Instant { Instant(nanoseconds: portico_monotonic_ns()) }

  /// Begins to take turns. The loop keeps its delegate until it has stopped.
  package func start(_ delegate: any LoopDelegate) {
    self.delegate = delegate
    let source = DispatchSource.makeReadSource(fileDescriptor: set, queue: queue)
    source.setEventHandler { [unowned self] in turns() }
    // The source holds the loop until it has been cancelled.
    source.setCancelHandler { [self] in
      self.source = nil
      self.delegate = nil
    }
    self.source = source
    source.activate()
  }

  /// Ends the loop after the messages already posted. May be called from any thread, more than once.
  package func stop() {
    post { [self] in
      isStopping = true
      source?.cancel()
    }
  }

  package func preconditionCurrent() {
    dispatchPrecondition(condition: .onQueue(queue))
  }

  // MARK: Messages

  /// Runs a message on the loop, after those posted before it. May be called from any thread.
  package func post(_ message: @escaping @Sendable () -> Void) {
    let wasEmpty = mailbox.withLock { messages in
      messages.append(message)
      return messages.count == 1
    }
    guard wasEmpty else { return }
    var one: UInt64 = 1
    _ = portico_write(mailboxDescriptor, &one, 8)
  }

  private func deliver() {
    var count: UInt64 = 0
    _ = portico_read(mailboxDescriptor, &count, 8)
    let messages = mailbox.withLock { messages in
      defer { messages = [] }
      return messages
    }
    for message in messages { message() }
  }

  // MARK: Descriptors and timers, on the loop only

  package func add(_ descriptor: Int32, _ interest: UInt32, token: UInt64) -> Int32 {
    portico_epoll_add(set, descriptor, interest, token)
  }

  package func modify(_ descriptor: Int32, _ interest: UInt32, token: UInt64) {
    _ = portico_epoll_modify(set, descriptor, interest, token)
  }

  package func remove(_ descriptor: Int32) {
    _ = portico_epoll_remove(set, descriptor)
  }

  /// Runs a closure once, at the end of the turn in which its time has come.
  @discardableResult
  package func schedule(
    after delay: TimeAmount, _ action: @escaping () -> Void
  ) -> TimerList.Token {
    timers.insert(at: Self.now() + delay, action)
  }

  package func cancel(_ token: TimerList.Token) { timers.remove(token) }

  // MARK: Turns

  private func turns() {
    while !isStopping {
      let hasWork = delegate?.hasWork ?? false
      let count = portico_epoll_wait(
        set, events, Int32(Self.eventsPerTurn), hasWork ? 0 : Self.stayMilliseconds)
      if count == 0, !hasWork { return }
      precondition(count >= 0, "epoll_wait failed with \(-count): the loop's own descriptor is bad")
      let start = Self.now()
      turnStart = start
      if count < Self.eventsPerTurn { surveyedAt = start }
      turn(UnsafeMutableBufferPointer(start: events, count: Int(count)))
      if let onTurn { onTurn(Self.now() - start) }
    }
  }

  /// Takes the loop's own events out, gives the rest to the delegate, and runs what is due.
  private func turn(_ ready: UnsafeMutableBufferPointer<epoll_event>) {
    var kept = 0
    var hasMail = false
    var isDue = false
    for event in ready {
      var event = event
      switch portico_event_data(&event) {
      case Self.mailboxToken: hasMail = true
      case Self.timerToken: isDue = true
      default:
        ready[kept] = event
        kept += 1
      }
    }
    if kept > 0 || ready.isEmpty { delegate?.ready(UnsafeBufferPointer(rebasing: ready[..<kept])) }
    if hasMail { deliver() }
    if isDue {
      var expirations: UInt64 = 0
      _ = portico_read(timerDescriptor, &expirations, 8)
      armedFor = .never
      let now = Self.now()
      if let delegate, delegate.nextDeadline <= now { delegate.deadlinePassed(at: now) }
      while let action = timers.popDue(at: now) { action() }
    }
    delegate?.turnEnded()
    arm()
  }

  /// Programs the timerfd, only when something must happen earlier than it is set for.
  private func arm() {
    let next = min(delegate?.nextDeadline ?? .never, timers.next)
    guard next < armedFor else { return }
    armedFor = next
    _ = portico_timerfd_set(timerDescriptor, max(next.nanoseconds, 1))
  }
}
