import CCurl
import CLinux
import Configuration
import EventLoop
import Primitives

/// What the prober's loop tells the control loop about one probe.
struct ProbeReport: Sendable {
  let id: Target.ID
  let incarnation: UInt64
  let verdict: Verdict
  let verdictChanged: Bool
  let outcome: ProbeOutcome
  let end: Instant
  let elapsed: TimeAmount
}

/// Performs the probes: one libcurl multi handle on an event loop of its own.
///
/// libcurl says which descriptors it wants watched and when it wants to be called; the loop does
/// both, so a probe costs work for its own events only, however many others are waiting.
/// `curl_multi_poll` would look at every open connection at each event.
///
/// A loop of its own, since the control loop must not wait for a thousand probes. Everything here
/// belongs to that loop; the class is `@unchecked Sendable` because every entry checks it.
final class ProbeLoop: LoopDelegate, @unchecked Sendable {
  /// Probes under way at once; the others wait for a place. A thousand members of which all time
  /// out (2 s of every 5 s) need 400.
  static let probesUnderWayLimit = 512

  private struct Member {
    var target: Target
    let incarnation: UInt64
    var state = ProbeState()
    /// The probe under way, if there is one.
    var transfer: UnsafeMutablePointer<Transfer>?
    /// When the next probe starts. Means nothing while one is under way.
    var due: Instant
    /// The one entry of the heap that counts. Others are of before a change.
    var visit: Instant
  }

  private let loop: EventLoop
  private let deliver: @Sendable ([ProbeReport]) -> Void
  private let multi: UnsafeMutableRawPointer
  private var random: SeededRandom
  private var members = Slab<Member>()
  private var byID: [Target.ID: Handle] = [:]
  private var visits = DeadlineHeap()
  private var underWay = 0
  /// When libcurl wants to be called.
  private var curlDeadline = Instant.never
  /// Those of the present turn.
  private var reports: [ProbeReport] = []
  private var isStopped = false

  /// libcurl asks that this be done once, before anything else of it.
  private static let globalInit: CURLcode = portico_curl_global_init()

  init(
    loop: EventLoop, random: SeededRandom, deliver: @escaping @Sendable ([ProbeReport]) -> Void
  ) {
    precondition(Self.globalInit == CURLE_OK, "libcurl cannot be initialised")
    guard let multi = curl_multi_init() else { preconditionFailure("no memory for libcurl") }
    self.loop = loop
    self.random = random
    self.deliver = deliver
    self.multi = multi
    // Unretained: `stop` ends the multi handle before the loop lets go of this object.
    _ = portico_curl_multi_callbacks(
      multi,
      { _, descriptor, want, context, known in
        Unmanaged<ProbeLoop>.fromOpaque(context!).takeUnretainedValue()
          .watch(descriptor, want, isKnown: known != nil)
        return 0
      },
      { _, milliseconds, context in
        Unmanaged<ProbeLoop>.fromOpaque(context!).takeUnretainedValue()
          .curlDeadline =
          milliseconds < 0 ? .never : EventLoop.now() + .milliseconds(Int64(milliseconds))
        return 0
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  // MARK: Members

  /// Makes the members exactly these. One of a known incarnation keeps its state and its place in
  /// time; the others are new and are probed at once, a little apart.
  func apply(_ targets: [(target: Target, incarnation: UInt64)]) {
    loop.preconditionCurrent()
    if isStopped { return }
    let now = EventLoop.now()
    var gone = byID
    var fresh: [(target: Target, incarnation: UInt64)] = []
    for item in targets {
      guard let handle = byID[item.target.id], let member = members.pointer(handle),
        member.pointee.incarnation == item.incarnation
      else {
        fresh.append(item)
        continue
      }
      gone[item.target.id] = nil
      let hasNewInterval =
        member.pointee.target.settings.interval != item.target.settings.interval
      member.pointee.target = item.target
      if hasNewInterval, member.pointee.transfer == nil {
        // Not all at once: a shorter interval may have passed for the whole fleet already.
        let due = ProbeTiming.within(item.target.settings.interval, of: now, using: &random)
        if due < member.pointee.due { schedule(handle, member, at: due, now) }
      }
    }
    for handle in gone.values { forget(handle) }
    for (index, item) in fresh.enumerated() {
      let due = now + ProbeTiming.firstDelay(index: index, of: fresh.count)
      let handle = members.insert(
        Member(target: item.target, incarnation: item.incarnation, due: due, visit: due))
      byID[item.target.id] = handle
      schedule(handle, members.pointer(handle)!, at: due, now)
    }
  }

  /// Cancels every probe, without a verdict, and frees what libcurl holds.
  func stop() {
    loop.preconditionCurrent()
    if isStopped { return }
    isStopped = true
    for handle in byID.values { forget(handle) }
    byID = [:]
    curl_multi_cleanup(multi)
  }

  private func forget(_ handle: Handle) {
    guard let member = members.pointer(handle) else { return }
    if let transfer = member.pointee.transfer { close(transfer) }
    if byID[member.pointee.target.id] == handle { byID[member.pointee.target.id] = nil }
    members.remove(handle)
  }

  private func schedule(
    _ handle: Handle, _ member: UnsafeMutablePointer<Member>, at due: Instant, _ now: Instant
  ) {
    member.pointee.due = due
    member.pointee.visit = DeadlineHeap.visit(due, at: now)
    visits.schedule(handle, at: member.pointee.visit)
  }

  // MARK: Turns

  var nextDeadline: Instant {
    if isStopped { return .never }
    return underWay < Self.probesUnderWayLimit ? min(visits.next, curlDeadline) : curlDeadline
  }

  func ready(_ events: UnsafeBufferPointer<epoll_event>) {
    if isStopped { return }
    for event in events {
      var event = event
      let flags = portico_event_flags(&event)
      var mask: Int32 = 0
      if flags & EPOLLIN.rawValue != 0 { mask |= CURL_CSELECT_IN }
      if flags & EPOLLOUT.rawValue != 0 { mask |= CURL_CSELECT_OUT }
      if flags & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { mask |= CURL_CSELECT_ERR }
      var running: Int32 = 0
      _ = curl_multi_socket_action(
        multi, Self.descriptor(of: portico_event_data(&event)), mask, &running)
    }
    finishTurn(at: EventLoop.now())
  }

  func deadlinePassed(at now: Instant) {
    if isStopped { return }
    while underWay < Self.probesUnderWayLimit, let (handle, visit) = visits.popDue(at: now) {
      guard let member = members.pointer(handle), member.pointee.visit == visit,
        member.pointee.transfer == nil
      else { continue }
      if member.pointee.due <= now {
        begin(handle, member, at: now)
      } else {
        schedule(handle, member, at: member.pointee.due, now)
      }
    }
    finishTurn(at: now)
  }

  /// Lets libcurl do what is due, collects what has ended, and tells the control loop, once.
  private func finishTurn(at now: Instant) {
    if curlDeadline <= now {
      curlDeadline = .never
      var running: Int32 = 0
      _ = curl_multi_socket_action(multi, curl_socket_t(-1), 0, &running)
    }
    var result = CURLE_OK
    while let easy = portico_curl_multi_next_done(multi, &result) {
      end(Transfer.of(easy), result, at: now)
    }
    if reports.isEmpty { return }
    deliver(reports)
    reports.removeAll(keepingCapacity: true)
  }

  private func begin(_ handle: Handle, _ member: UnsafeMutablePointer<Member>, at now: Instant) {
    guard let transfer = Transfer.begin(member.pointee.target, owner: handle, at: now) else {
      report(handle, member, .inconclusive(.other("no memory")), since: now, at: now)
      return
    }
    underWay += 1
    member.pointee.transfer = transfer
    _ = curl_multi_add_handle(multi, transfer.pointee.easy)
  }

  private func end(
    _ transfer: UnsafeMutablePointer<Transfer>, _ result: CURLcode, at now: Instant
  ) {
    let handle = transfer.pointee.owner
    let start = transfer.pointee.start
    let outcome = transfer.pointee.outcome(result)
    close(transfer)
    guard let member = members.pointer(handle) else {
      preconditionFailure("a probe has outlived its member")
    }
    member.pointee.transfer = nil
    report(handle, member, outcome, since: start, at: now)
  }

  private func close(_ transfer: UnsafeMutablePointer<Transfer>) {
    _ = curl_multi_remove_handle(multi, transfer.pointee.easy)
    Transfer.end(transfer)
    underWay -= 1
  }

  private func report(
    _ handle: Handle, _ member: UnsafeMutablePointer<Member>, _ outcome: ProbeOutcome,
    since start: Instant, at now: Instant
  ) {
    let settings = member.pointee.target.settings
    let hasChanged =
      switch outcome {
      case .good:
        member.pointee.state.record(isGood: true, rise: settings.rise, fall: settings.fall)
      case .bad:
        member.pointee.state.record(isGood: false, rise: settings.rise, fall: settings.fall)
      case .inconclusive:
        false
      }
    reports.append(
      ProbeReport(
        id: member.pointee.target.id, incarnation: member.pointee.incarnation,
        verdict: member.pointee.state.verdict, verdictChanged: hasChanged, outcome: outcome,
        end: now, elapsed: now - start))
    let due = ProbeTiming.next(
      after: start, interval: settings.interval, jitter: settings.jitter, using: &random)
    // A probe that took longer than its interval is followed by the next at once.
    schedule(handle, member, at: max(due, now), now)
  }

  // MARK: libcurl's descriptors

  /// Their data in the loop's set: a bit above, which the loop's own two never have.
  private static func token(of descriptor: Int32) -> UInt64 { 1 << 32 | UInt64(descriptor) }
  private static func descriptor(of token: UInt64) -> Int32 { Int32(token & 0x7fff_ffff) }

  /// Called by libcurl. Only notes down what it wants: calling it from here is not allowed.
  private func watch(_ descriptor: Int32, _ want: Int32, isKnown: Bool) {
    if want == CURL_POLL_REMOVE {
      loop.remove(descriptor)
      return
    }
    var interest: UInt32 = 0
    if want & CURL_POLL_IN != 0 { interest |= EPOLLIN.rawValue }
    if want & CURL_POLL_OUT != 0 { interest |= EPOLLOUT.rawValue }
    if isKnown {
      loop.modify(descriptor, interest, token: Self.token(of: descriptor))
    } else if loop.add(descriptor, interest, token: Self.token(of: descriptor)) >= 0 {
      _ = curl_multi_assign(multi, descriptor, UnsafeMutableRawPointer(bitPattern: 1))
    }
  }
}
