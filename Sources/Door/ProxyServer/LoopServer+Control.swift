import Balancing
import CLinux
import Configuration
import EventLoop
import Primitives
import ProxyCore
import Telemetry

/// What the control side asks of a loop. Comes as messages, so on the loop.
extension LoopServer {
  /// Listens on a descriptor made by the control side.
  func open(_ descriptor: Int32, id: Int, settings: ListenerSettings) {
    let place = listeners.firstIndex { $0.descriptor < 0 } ?? listeners.count
    let listener = Listener(descriptor: descriptor, id: id, settings: settings)
    if place == listeners.count { listeners.append(listener) } else { listeners[place] = listener }
    watchListener(place)
  }

  /// Takes what waits in the listener's queue, then closes it: nobody who has connected is dropped.
  func closeListener(id: Int) {
    guard let place = listeners.firstIndex(where: { $0.id == id && $0.descriptor >= 0 }) else {
      return
    }
    while accept(place) {}
    loop.remove(listeners[place].descriptor)
    _ = portico_close(listeners[place].descriptor)
    listeners[place] = Listener(descriptor: -1, id: -1, settings: ListenerSettings())
  }

  func updateListener(id: Int, settings: ListenerSettings) {
    guard let place = listeners.firstIndex(where: { $0.id == id }) else { return }
    let old = listeners[place]
    listeners[place] = Listener(
      descriptor: old.descriptor, id: id, settings: settings, isPaused: old.isPaused)
  }

  func apply(_ snapshot: CoreSnapshot) { core.apply(snapshot, at: EventLoop.now()) }

  func peerReported(pool: Int, member: Int, _ change: BreakerChange) {
    core.peerReported(pool: pool, member: member, change, at: EventLoop.now())
  }

  func beginSettling() { core.beginSettling() }

  func setAccessLog(_ ring: AccessLogRing?) {
    core.accessLog = ring
    core.wallClockOffset = portico_realtime_ns() - portico_monotonic_ns()
  }

  func beginDrain() {
    core.beginDrain(at: EventLoop.now(), into: &effects)
    perform()
  }

  func cutAll(_ reason: TerminationReason) {
    core.cutAll(reason, at: EventLoop.now(), into: &effects)
    perform()
    while let next = consequences.popLast() { feed(next) }
  }

  /// What the control side wants to know of this loop.
  func report() -> ProxyServer.Report {
    ProxyServer.Report(
      loop: loop.index, metrics: core.metrics.snapshot(),
      members: core.memberViews(at: EventLoop.now()),
      openExchanges: core.openExchanges, openClients: core.openClients)
  }
}
