import Admin
import Balancing
import CLinux
import Configuration
import Dispatch
import EventLoop
import Fleet
import Glibc
import HTTPServer
import Lifecycle
import Primitives
import ProxyCore
import ProxyServer
import Telemetry

/// The life of a front door: loads its file, opens its listeners, swaps configurations, answers its
/// admin side, drains and ends.
///
/// ```
/// start -> running --SIGHUP, POST /reload, file changed--> running (new snapshot, or complaints)
///             '--SIGTERM, POST /drain--> settling --settle--> draining --empty or deadline--> idle
/// ```
/// Confined to the control loop, after `start`. It decides nothing about requests: the loops do.
package final class Control {
  enum Life: Equatable {
    case running
    /// `/readyz` says no, and everything is served as before.
    case settling
    /// Listeners are closed; what is open may finish until the deadline.
    case draining(until: Instant)
    /// Nothing is open any more.
    case drained
  }

  /// How often a draining process looks whether it is empty.
  private static let drainPoll = TimeAmount.milliseconds(50)
  /// What is written when streams are cut needs a moment to leave.
  private static let farewell = TimeAmount.milliseconds(200)

  package let loop: EventLoop
  package let options: ControlOptions
  let log: OperatorLog
  let server: ProxyServer
  let startedAt = EventLoop.now()
  let startSeconds = Double(portico_realtime_ns()) / 1e9
  private let service: ServiceManager
  private let loading = DispatchQueue(label: "portico.loading")
  private var signals: SignalSource?
  private var watcher: FileWatcher?
  private var adminServer: HTTPServer?
  private var adminHandler: AdminHandler?
  private var accessLog: AccessLogWriter?
  private var accessLogDropped: UInt64 = 0

  var builder: SnapshotBuilder
  var settings: Settings
  /// What the loops serve by.
  private(set) var snapshot: CoreSnapshot
  private(set) var securityFiles: SecurityFiles
  /// By listener name; of those that have no file of keys.
  var tickets: [String: Tickets] = [:]
  /// The next rotation of them.
  var rotation: TimerList.Token?
  var prober: HealthProber?
  /// Where listeners really listen, by identity.
  package private(set) var addresses: [Int: SocketAddress] = [:]
  package private(set) var adminAddress: SocketAddress?
  private(set) var life = Life.running
  private(set) var tally = ControlReading()
  private(set) var lastReloadError: String?
  private var waitingForReload: [(ReloadResult) -> Void] = []
  private var isReloading = false
  /// What to watch from the start.
  private var files: [String] = []
  private var endsWhenDrained = false
  /// Called once, when a signal has ended everything.
  package var onEnd: (() -> Void)?

  /// Loads the file and opens everything; nothing is served yet if it throws.
  package init(_ options: ControlOptions, _ setup: Setup, log: OperatorLog) throws {
    self.options = options
    self.log = log
    settings = setup.settings
    securityFiles = setup.security
    loop = try EventLoop(index: -1, label: "control")
    service = ServiceManager(loop: loop)
    var builder = SnapshotBuilder(seed: .random(in: .min ... .max))
    let snapshot = builder.build(setup.settings)
    self.snapshot = snapshot
    self.builder = builder
    let descriptorLimit = Int(portico_raise_descriptor_limit())
    let loops = setup.settings.loops > 0 ? setup.settings.loops : options.cores
    server = try ProxyServer(
      loops: loops, snapshot: snapshot, seed: UInt64(bitPattern: portico_realtime_ns()),
      descriptorLimit: descriptorLimit > 0 ? descriptorLimit : .max / 2,
      complain: { log.warn($0) })
    tally.version = options.version
    tally.certificates = setup.security.certificates
    server.apply(securityPlan(for: snapshot, setup.security))
    try openAccessLog()
    var bound: [(ProxyServer.Bound, CoreSnapshot.Listener)] = []
    for listener in snapshot.listeners {
      let sockets = try server.bind(listener.settings.address)
      addresses[listener.id] = sockets.address
      bound.append((sockets, listener))
    }
    try openAdmin()
    for (sockets, listener) in bound {
      server.open(sockets, id: listener.id, settings: listener.settings)
    }
    tally.lastReloadSeconds = startSeconds
    for warning in setup.warnings { log.warn(warning) }
    files = setup.watched
  }

  /// Begins to live: signals, file watching, probes.
  ///
  /// - Parameter loadedAt: the watcher's clock before the files were read; nil when they cannot have
  ///   changed since.
  package func start(loadedAt: Int64?) throws {
    let bound = LoopBound(self, on: loop)
    // The admin's server takes the loop's turns; without one nobody else would.
    if let adminServer { adminServer.start() } else { loop.start(MessagesOnly()) }
    signals = try SignalSource(loop: loop) { signal in bound.post { $0.signalled(signal) } }
    loop.post { bound.value.begin(loadedAt: loadedAt) }
  }

  private func begin(loadedAt: Int64?) {
    let bound = LoopBound(self, on: loop)
    do {
      prober = try HealthProber(
        control: loop, seed: UInt64(bitPattern: portico_realtime_ns())
      ) { id, verdict in bound.value.probed(id, verdict) }
      prober?.apply(targets: Target.all(in: settings))
    } catch {
      log.error("no health probes: \(error)")
    }
    do {
      watcher = try FileWatcher(loop: loop) { event in bound.value.filesChanged(event) }
      watcher?.watch(paths: files, loadedAt: loadedAt)
    } catch {
      log.warn("changes of the configuration file will not be noticed: \(error)")
    }
    rotateTickets()
    watchExpiry()
    _ = service.startWatchdog()
    service.ready(status: "serving \(settings.pools.count) pools")
    log.info(
      "ready",
      [
        "listeners": settings.listeners.map(\.name).joined(separator: ","),
        "pools": settings.pools.map(\.name).joined(separator: ","),
        "admin": adminAddress.map { "\($0)" } ?? "off",
      ])
  }

  private func openAdmin() throws {
    guard let admin = settings.admin else { return }
    let handler = AdminHandler(source: self, token: admin.token)
    let server = HTTPServer(loop: loop, handler: handler)
    adminAddress = try server.listen(on: admin.address)
    adminHandler = handler
    adminServer = server
  }

  // MARK: The access log

  private func openAccessLog() throws {
    if let old = accessLog {
      accessLogDropped += old.droppedLines
      accessLog = nil
    }
    let destination: AccessLogDestination
    switch settings.accessLog.destination {
    case .off:
      server.setAccessLog(nil)
      return
    case .stdout: destination = .stdout
    case .file(let path): destination = .file(path: path)
    }
    let writer = try AccessLogWriter(to: destination, loops: server.loopCount, log: log)
    accessLog = writer
    server.setAccessLog(writer.rings)
  }

  var accessLogDroppedLines: UInt64 { accessLogDropped + (accessLog?.droppedLines ?? 0) }

  // MARK: Signals

  private func signalled(_ signal: Signal) {
    switch signal {
    case .hangUp: reload { _ in }
    case .user1:
      accessLog?.reopen()
      log.info("log files reopened")
    case .terminate, .interrupt:
      if endsWhenDrained {
        log.warn("told twice to stop: cutting what is open")
        cut(.stopped)
        return
      }
      endsWhenDrained = true
      beginDrain()
      if life == .drained { end() }
    }
  }

  // MARK: Draining

  package func beginDrain() {
    guard life == .running else { return }
    life = .settling
    tally.isDraining = true
    server.beginSettling()
    service.stopping(
      within: settings.drain.settle + settings.drain.deadline + .seconds(5), status: "draining")
    log.info(
      "draining",
      ["settle": "\(settings.drain.settle)", "deadline": "\(settings.drain.deadline)"])
    loop.schedule(after: settings.drain.settle) { [self] in closeListeners() }
  }

  private func closeListeners() {
    guard life == .settling else { return }
    life = .draining(until: EventLoop.now() + settings.drain.deadline)
    for id in addresses.keys { closeListener(id) }
    server.beginDrain()
    pollDrain()
  }

  private func closeListener(_ id: Int) {
    // While ours still listens, the socket at that path is no successor's.
    if case .unix(let path) = addresses[id] { unlink(path) }
    server.closeListener(id: id)
    addresses[id] = nil
  }

  private func pollDrain() {
    let bound = LoopBound(self, on: loop)
    server.report { reports in
      let open = reports.reduce(0) { $0 + $1.openExchanges }
      let clients = reports.reduce(0) { $0 + $1.openClients }
      bound.post { $0.drainPolled(openExchanges: open, openClients: clients) }
    }
  }

  private func drainPolled(openExchanges: Int, openClients: Int) {
    guard case .draining(let deadline) = life else { return }
    if openClients == 0 {
      finishDrain()
    } else if EventLoop.now() >= deadline {
      log.warn("the drain deadline has passed", ["cut": "\(openExchanges)"])
      cut(.drainDeadline)
    } else {
      loop.schedule(after: Self.drainPoll) { [self] in pollDrain() }
    }
  }

  private func cut(_ reason: TerminationReason) {
    server.cutAll(reason)
    loop.schedule(after: Self.farewell) { [self] in finishDrain() }
  }

  private func finishDrain() {
    guard life != .drained else { return }
    life = .drained
    log.info("drained")
    if endsWhenDrained { end() }
  }

  private func end() {
    for id in addresses.keys { closeListener(id) }
    prober?.stop()
    adminServer?.close()
    if let accessLog { _ = accessLog.close(within: .seconds(2)) }
    server.stop()
    onEnd?()
  }

  // MARK: Reloading

  private func filesChanged(_ event: FileWatcher.Event) {
    switch event {
    case .changed(let paths):
      log.info("configuration changed on disk", ["files": paths.joined(separator: ",")])
      reload { _ in }
    case .cannotWatch(let error):
      log.warn("changes of the configuration may go unnoticed: \(error)")
    }
  }

  /// Loads the file anew and swaps it in, or changes nothing and says why. Requests that come while
  /// one is under way share the next.
  package func reload(_ done: @escaping (ReloadResult) -> Void) {
    waitingForReload.append(done)
    guard !isReloading else { return }
    isReloading = true
    service.reloading()
    let answers = waitingForReload
    waitingForReload = []
    let bound = LoopBound((control: self, answers: answers), on: loop)
    let options = options
    loading.async {
      let clock = FileWatcher.clock()
      let result = Setup.load(path: options.path, environment: options.environment)
      bound.post { $0.control.loaded(result, at: clock, $0.answers) }
    }
  }

  private func loaded(
    _ result: Setup.Result, at clock: Int64,
    _ answers: [(ReloadResult) -> Void]
  ) {
    let outcome: ReloadResult
    switch result {
    case .refused(let refused):
      watcher?.watch(paths: refused.watched, loadedAt: clock)
      outcome = .refused(complaints: refused.complaints)
    case .loaded(let setup):
      watcher?.watch(paths: setup.watched, loadedAt: clock)
      for warning in setup.warnings { log.warn(warning) }
      do {
        outcome = .applied(changes: try swap(setup))
      } catch {
        outcome = .refused(complaints: ["\(error)"])
      }
    }
    record(outcome)
    service.ready(status: "serving \(settings.pools.count) pools")
    isReloading = false
    for answer in answers { answer(outcome) }
    if !waitingForReload.isEmpty {
      let next = waitingForReload.removeFirst()
      reload(next)
    }
  }

  private func record(_ outcome: ReloadResult) {
    switch outcome {
    case .applied(let changes):
      tally.reloadsApplied += 1
      tally.lastReloadSucceeded = true
      tally.lastReloadSeconds = Double(portico_realtime_ns()) / 1e9
      lastReloadError = nil
      log.info("configuration applied", ["changes": "\(changes.count)"])
      for change in changes { log.info(change) }
    case .refused(let complaints):
      tally.reloadsRejected += 1
      tally.lastReloadSucceeded = false
      lastReloadError = complaints.joined(separator: "\n")
      log.error("configuration refused; the one before it stays in use")
      for complaint in complaints { log.error(complaint) }
    }
  }

  /// Puts new settings to use. New listeners are opened first: a port in use changes nothing.
  private func swap(_ setup: Setup) throws -> [String] {
    let old = settings
    let new = setup.settings
    let changes =
      difference(old: old, new: new) + setup.security.changes(since: securityFiles)
      + Self.postponed(old, new)
    var next = builder
    let snapshot = next.build(new)
    var fresh: [(ProxyServer.Bound, CoreSnapshot.Listener)] = []
    let before = Dictionary(
      old.listeners.map { ($0.name, $0.address) }, uniquingKeysWith: { first, _ in first })
    do {
      for listener in snapshot.listeners
      where life == .running && before[listener.settings.name] != listener.settings.address {
        let isOurs = addresses.values.contains(listener.settings.address)
        fresh.append((try server.bind(listener.settings.address, isOurs: isOurs), listener))
      }
    } catch {
      for (sockets, _) in fresh { server.discard(sockets) }
      throw error
    }
    builder = next
    settings = new
    self.snapshot = snapshot
    securityFiles = setup.security
    tally.certificates = setup.security.certificates
    server.apply(snapshot, securityPlan(for: snapshot, setup.security))
    let secure = Set(new.listeners.lazy.filter { $0.tls != nil }.map(\.name))
    tickets = tickets.filter { secure.contains($0.key) }
    rotateTickets()
    let staying = Set(snapshot.listeners.map(\.id))
    for id in addresses.keys where !staying.contains(id) { closeListener(id) }
    for (sockets, listener) in fresh {
      if addresses[listener.id] != nil { closeListener(listener.id) }
      server.open(sockets, id: listener.id, settings: listener.settings)
      addresses[listener.id] = sockets.address
    }
    prober?.apply(targets: Target.all(in: new))
    forgetProbes(of: old)
    adminHandler?.setToken(new.admin?.token)
    if old.accessLog != new.accessLog {
      do { try openAccessLog() } catch { log.error("\(error)") }
    }
    return changes
  }

  /// What an edit asks for and a running process cannot do.
  private static func postponed(_ old: Settings, _ new: Settings) -> [String] {
    var lines: [String] = []
    if old.loops != new.loops { lines.append("loops: takes effect at the next start") }
    if old.admin?.address != new.admin?.address {
      lines.append("admin.address: takes effect at the next start")
    }
    return lines
  }

  /// A member that is probed no longer is unknown again: nothing would ever call it good.
  private func forgetProbes(of old: Settings) {
    let probed = Set(Target.all(in: settings).map(\.id))
    for target in Target.all(in: old) where !probed.contains(target.id) {
      builder.cell(pool: target.id.pool, backend: target.id.backend)?.setHealth(.unknown)
    }
  }

  private func probed(_ id: Target.ID, _ verdict: Verdict) {
    guard let cell = builder.cell(pool: id.pool, backend: id.backend) else { return }
    switch verdict {
    case .unknown: cell.setHealth(.unknown)
    case .good: cell.setHealth(.good)
    case .bad: cell.setHealth(.bad)
    }
    log.info(
      "health", ["pool": id.pool, "backend": id.backend, "verdict": "\(verdict)"])
  }
}

/// What the command line says.
package struct ControlOptions: Sendable {
  package let path: String
  package let environment: [String: String]
  package let cores: Int
  package let version: String

  package init(path: String, environment: [String: String], cores: Int, version: String) {
    self.path = path
    self.environment = environment
    self.cores = cores
    self.version = version
  }
}

/// Takes the turns of a loop that has messages and timers, and no descriptors of its own.
private final class MessagesOnly: LoopDelegate {
  func ready(_ events: UnsafeBufferPointer<epoll_event>) {}
  func deadlinePassed(at now: Instant) {}
  var nextDeadline: Instant { .never }
}
