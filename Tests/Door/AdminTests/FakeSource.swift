import Balancing
import Primitives
import Telemetry

@testable import Admin

/// A control side that remembers what it was told.
final class FakeSource: AdminSource {
  var fleet = FakeSource.quietFleet()
  var readiness = Readiness()
  var configuration = "listeners:\n  - address: 127.0.0.1:8080\n"
  var nextReload = ReloadResult.applied(changes: [])
  var backendNames = [
    PoolNames(pool: "chat", backends: ["gpu-a", "gpu-b", "unix:/run/gpu c.sock"]),
    PoolNames(pool: "embeddings", backends: []),
  ]
  private(set) var told: [String] = []
  private var drained: Set<String> = []

  func report(_ done: @escaping (FleetReport) -> Void) { done(fleet) }

  func effectiveConfiguration() -> String { configuration }

  func reload(_ done: @escaping (ReloadResult) -> Void) {
    told.append("reload")
    done(nextReload)
  }

  func beginDrain() {
    told.append("drain")
    readiness.isDraining = true
  }

  func setDraining(_ isDraining: Bool, pool: String, backend: String) -> DrainResult {
    guard backendNames.contains(where: { $0.pool == pool && $0.backends.contains(backend) }) else {
      return .unknown
    }
    let changed =
      isDraining ? drained.insert(backend).inserted : drained.remove(backend) != nil
    if changed { told.append("\(isDraining ? "drain" : "undrain") \(pool)/\(backend)") }
    return changed ? .changed : .unchanged
  }

  static let second = Int64(1_000_000_000)

  /// One pool with one backend, on two loops, ten seconds after the start of the clock.
  static func quietFleet() -> FleetReport {
    var names = MetricNames()
    names.pools = ["chat"]
    names.members = [.init(pool: 0, name: "gpu-a")]
    var control = ControlReading()
    control.version = "0.1.0"
    let member = FleetReport.Member(id: 0, name: "gpu-a", address: "127.0.0.1:9001")
    return FleetReport(
      now: Instant(nanoseconds: 10 * second), uptime: .seconds(8),
      loops: [loop([]), loop([])],
      pools: [.init(name: "chat", policy: "weighted_score", members: [member])],
      names: names, control: control, process: ProcessFacts(startSeconds: 1_700_000_000))
  }

  /// What a loop has counted after requests to members, each with a status and a time to first byte.
  static func loop(_ requests: [(member: Int, status: UInt16, firstByte: TimeAmount?)])
    -> MetricsSnapshot
  {
    var metrics = LoopMetrics()
    for request in requests {
      var record = RequestRecord()
      record.route = 0
      record.pool = 0
      record.member = Int32(request.member)
      record.status = request.status
      record.firstByte = request.firstByte
      metrics.requestFinished(record)
    }
    return metrics.snapshot()
  }
}
