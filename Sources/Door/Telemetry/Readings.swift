import Primitives

/// What one member is like at the moment of a scrape. The admin gathers it; nothing here counts.
package struct MemberReading: Sendable, Equatable {
  package enum State: UInt8, Sendable, CaseIterable {
    case unknown
    case healthy
    case unhealthy
    case draining

    package var label: StaticString {
      switch self {
      case .unknown: "unknown"
      case .healthy: "healthy"
      case .unhealthy: "unhealthy"
      case .draining: "draining"
      }
    }
  }

  package enum Breaker: UInt8, Sendable, CaseIterable {
    case closed
    case open
    case halfOpen

    package var label: StaticString {
      switch self {
      case .closed: "closed"
      case .open: "open"
      case .halfOpen: "half_open"
      }
    }
  }

  package var member: Int
  package var state = State.unknown
  package var breaker = Breaker.closed
  /// Requests in flight over all loops. Count.
  package var inFlight = 0
  /// The average the balancer uses; nil before the first sample.
  package var ewma: TimeAmount?
  /// What the policy compares, lowest wins; nil for policies that do not score.
  package var score: Double?
  package var probesPassed: UInt64 = 0
  package var probesFailed: UInt64 = 0

  package init(member: Int) { self.member = member }
}

/// What the process as a whole has been through. Kept by the control loop.
package struct ControlReading: Sendable, Equatable {
  package var reloadsApplied: UInt64 = 0
  package var reloadsRejected: UInt64 = 0
  /// The running configuration is the one on disk.
  package var lastReloadSucceeded = true
  /// Seconds since 1970 of the last configuration that was put to use.
  package var lastReloadSeconds = 0.0
  package var accessLogDroppedLines: UInt64 = 0
  package var isDraining = false
  package var certificates: [CertificateReading] = []
  /// `portico version` says the same.
  package var version = "unknown"

  package init() {}
}

/// Names by id. A name that is nil belongs to what a reload removed: its series end.
package struct MetricNames: Sendable {
  package struct Member: Sendable, Equatable {
    package var pool: Int
    package var name: String
    package init(pool: Int, name: String) {
      self.pool = pool
      self.name = name
    }
  }

  package var listeners: [String?] = []
  package var routes: [String?] = []
  package var pools: [String?] = []
  package var members: [Member?] = []
  package var keys: [String?] = []
  /// Labels of `HTTP.Rejection` by raw value.
  package var rejections: [String] = []

  package init() {}
}
