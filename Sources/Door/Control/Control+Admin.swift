import Admin
import Balancing
import Configuration
import EventLoop
import Fleet
import Primitives
import ProxyCore
import ProxyServer
import Telemetry

/// What the admin side shows, and what it may ask for.
extension Control: AdminSource {
  package func report(_ done: @escaping (FleetReport) -> Void) {
    let bound = LoopBound((control: self, done: done), on: loop)
    server.report { reports in
      bound.post { $0.done($0.control.fleetReport(reports)) }
    }
  }

  private func fleetReport(_ reports: [ProxyServer.Report]) -> FleetReport {
    let now = EventLoop.now()
    // By identity, once per report: a thousand members in each of many loops are looked up below.
    let seen = reports.map { report in
      Dictionary(
        report.members.joined().map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }
    let pools = settings.pools.map { pool in
      FleetReport.Pool(
        name: pool.name, policy: pool.balance.policy.rawValue,
        members: pool.backends.compactMap { member($0, pool: pool.name, seen) })
    }
    var control = tally
    control.accessLogDroppedLines = accessLogDroppedLines
    return FleetReport(
      now: now, uptime: now - startedAt, loops: reports.map(\.metrics), pools: pools,
      names: currentNames, control: control, process: ProcessFacts.read(startSeconds: startSeconds))
  }

  private func member(
    _ backend: BackendSettings, pool: String, _ seen: [[Int: MemberReport]]
  ) -> FleetReport.Member? {
    guard let id = builder.memberID(pool: pool, backend: backend.name) else { return nil }
    var member = FleetReport.Member(
      id: id, name: backend.name, address: "\(backend.address)", weight: backend.weight,
      cell: builder.members[id].cell)
    if let health = prober?.health(of: Target.ID(pool: pool, backend: backend.name)) {
      member.probesPassed = health.goodProbes
      member.probesFailed = health.badProbes
      if let error = health.lastError {
        member.failures.append(.init("probe: \(error)", at: health.lastErrorAt))
      }
    }
    for loop in seen {
      let known = loop[id]
      member.views.append(known.map { FleetReport.LoopView($0.view) })
      if let failure = known?.lastFailure {
        member.failures.append(.init("request: \(failure.reason.label)", at: failure.at))
      }
    }
    return member
  }

  /// Names of what the present configuration has; what a reload removed has none.
  private var currentNames: MetricNames {
    var names = builder.names
    let pools = Set(settings.pools.map(\.name))
    let routes = Set(settings.routes.map(\.name))
    let members = Set(
      settings.pools.flatMap { pool in pool.backends.map { "\(pool.name)\n\($0.name)" } })
    names.pools = names.pools.map { $0.flatMap { pools.contains($0) ? $0 : nil } }
    names.routes = names.routes.map { $0.flatMap { routes.contains($0) ? $0 : nil } }
    names.members = names.members.map { member in
      guard let member, let pool = builder.names.pools[member.pool],
        members.contains("\(pool)\n\(member.name)")
      else { return nil }
      return member
    }
    return names
  }

  package var readiness: Readiness {
    var readiness = Readiness()
    readiness.isDraining = life != .running
    readiness.lastReloadError = lastReloadError
    readiness.pools = settings.pools.map { pool in
      var summary = Readiness.Pool(name: pool.name, usable: 0)
      for backend in pool.backends {
        guard let cell = builder.cell(pool: pool.name, backend: backend.name) else { continue }
        if cell.isDraining {
          summary.draining += 1
        } else if cell.health == .bad {
          summary.unhealthy += 1
        } else {
          summary.usable += 1
        }
      }
      return summary
    }
    return readiness
  }

  package func effectiveConfiguration() -> String { render(settings, showSecrets: false) }

  package func setDraining(_ isDraining: Bool, pool: String, backend: String) -> DrainResult {
    guard
      settings.pools.contains(where: {
        $0.name == pool && $0.backends.contains { $0.name == backend }
      }),
      let cell = builder.cell(pool: pool, backend: backend)
    else { return .unknown }
    guard cell.isDraining != isDraining else { return .unchanged }
    cell.setDraining(isDraining)
    log.info(
      isDraining ? "backend drains" : "backend serves again", ["pool": pool, "backend": backend])
    return .changed
  }

  package var backendNames: [PoolNames] {
    settings.pools.map { PoolNames(pool: $0.name, backends: $0.backends.map(\.name)) }
  }
}
