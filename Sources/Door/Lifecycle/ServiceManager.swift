import CLinux
import EventLoop
import Glibc
import Primitives

/// What systemd wants to hear from a service of `Type=notify-reload`; see sd_notify(3).
///
/// Where nobody listens (`NOTIFY_SOCKET` is not set) everything here does nothing. Messages may be
/// sent from any thread; the watchdog belongs to its loop, which is checked: hence `@unchecked`.
package final class ServiceManager: @unchecked Sendable {
  private let loop: EventLoop
  private var ping: TimerList.Token?

  /// - Parameter loop: The one whose life the watchdog shows.
  package init(loop: EventLoop) { self.loop = loop }

  /// Started, or reloaded: what was announced by `reloading` is over.
  package func ready(status: String) { send("READY=1\nSTATUS=\(Self.line(status))") }

  /// A reload begins. systemd tells it from an older one by the time.
  package func reloading() {
    send("RELOADING=1\nMONOTONIC_USEC=\(portico_monotonic_ns() / 1_000)")
  }

  /// The drain begins, and may take this long; systemd's own limit is put off until then.
  package func stopping(within limit: TimeAmount, status: String) {
    send(
      "STOPPING=1\nEXTEND_TIMEOUT_USEC=\(limit.nanoseconds / 1_000)\nSTATUS=\(Self.line(status))")
  }

  /// One line for `systemctl status`.
  package func status(_ text: String) { send("STATUS=\(Self.line(text))") }

  private func send(_ state: String) { _ = portico_notify(state) }

  /// A newline would begin another assignment.
  static func line(_ text: String) -> String {
    String(text.map { $0.isNewline ? " " : $0 })
  }

  // MARK: Watchdog

  /// Pings from now on, if systemd asks for it. A loop that hangs does not ping, and systemd
  /// restarts us. To be called on the loop.
  ///
  /// - Returns: The time between pings, nil when none are asked for.
  @discardableResult
  package func startWatchdog() -> TimeAmount? {
    loop.preconditionCurrent()
    stopWatchdog()
    let interval = Self.pingInterval(
      limit: Self.environment("WATCHDOG_USEC"), process: Self.environment("WATCHDOG_PID"),
      own: getpid())
    if let interval { pingEvery(interval) }
    return interval
  }

  package func stopWatchdog() {
    loop.preconditionCurrent()
    if let ping { loop.cancel(ping) }
    ping = nil
  }

  private func pingEvery(_ interval: TimeAmount) {
    send("WATCHDOG=1")
    ping = loop.schedule(after: interval) { [weak self] in self?.pingEvery(interval) }
  }

  /// Half of the limit, as sd_watchdog_enabled(3) recommends. A `WATCHDOG_PID` that is not ours
  /// was meant for a parent.
  static func pingInterval(limit: String?, process: String?, own: Int32) -> TimeAmount? {
    if let process, Int32(process) != own { return nil }
    guard let limit = limit.flatMap({ Int64($0) }), limit > 0, limit < .max / 500 else {
      return nil
    }
    return .nanoseconds(limit * 500)
  }

  private static func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }
}
