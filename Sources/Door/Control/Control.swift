import Admin
import Balancing
import CLinux
import Configuration
import EventLoop
import Fleet
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
/// start -> running --SIGHUP, POST /reload, file changed--> running (new snapshot)
///             '--SIGTERM, POST /drain--> settling --settle--> draining --empty or deadline--> ended
/// ```
/// Confined to the control loop. It decides nothing about requests: the loops do.
package final class Control {
  private enum Life {
    case running
    /// `/readyz` says no, and everything is served as before.
    case settling
    /// Listeners are closed; what is open may finish until the deadline.
    case draining(deadline: Instant)
    case ended
  }

  /// How often a draining process looks whether it is empty.
  private static let drainPoll = TimeAmount.milliseconds(100)

  let loop: EventLoop
  private let path: String
  private let loader: ConfigurationLoader
  private let environment: [String: String]
  private let log: OperatorLog
  private let accessLog: AccessLogWriter
  private let service: ServiceManager
  private var builder = SnapshotBuilder()
  private(set) var snapshot: CoreSnapshot
  private let server: ProxyServer
  private var life = Life.running
  private var listeners: [Int: ListenerSettings] = [:]
  private var prober: HealthProber?
  private var watcher: FileWatcher?
  private var signals: SignalSource?
  private var adminServer: HTTPServer?
  private(set) var control = ControlReading()
  private(set) var lastReloadError: String?
  private var probeResults: [Int: ProbeTally] = [:]
  /// Called once, when everything has ended.
  private var onEnd: (() -> Void)?

  /// What active probes have said of a member.
  struct ProbeTally {
    var passed: UInt64 = 0
    var failed: UInt64 = 0
    var lastError: String?
  }
}
