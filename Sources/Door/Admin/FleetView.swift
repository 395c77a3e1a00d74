import JSON
import Primitives

/// An answer of `/fleet` as `portico status` reads it.
package struct FleetView: Sendable {
  package struct Pool: Sendable {
    package var name: String
    package var policy: String
    package var members: [Member]
  }

  package struct Member: Sendable {
    package var name: String
    package var state: String
    package var inFlight: Int
    package var ewma: Double?
    package var score: Double?
    package var slowStart: Double
    package var breakerLoops: Int
    /// Milliseconds until the breaker's probe, or until cooling is over.
    package var breakerOpen: Double?
    package var cooling: Double?
    package var requests: Int
    package var errors: Int
    package var lastError: String?
    package var lastErrorAge: Double?
    package var firstByte: Histogram
  }

  package var version: String
  /// The server's monotonic clock. Milliseconds.
  package var at: Double
  /// Seconds.
  package var uptime: Double
  package var isReady: Bool
  package var isDraining: Bool
  package var reloadError: String?
  package var loops: Int
  package var openStreams: Int
  package var openConnections: Int
  package var pools: [Pool]

  /// What is missing or of another kind than expected: most likely the other side is of another
  /// version, or not Portico at all.
  package struct Misfit: Error, Equatable, CustomStringConvertible {
    package let field: String
    package var description: String {
      "the answer has no usable '\(field)'; is it from another version of Portico?"
    }
  }

  package init(_ value: JSONValue) throws(Misfit) {
    version = try Self.text(value, "version")
    at = try Self.number(value, "at_ms")
    uptime = try Self.number(value, "uptime_s")
    isReady = try Self.flag(value, "ready")
    isDraining = try Self.flag(value, "draining")
    reloadError = value["reload_error"]?.text
    loops = try Self.count(value, "loops")
    openStreams = try Self.count(value, "open_streams")
    openConnections = try Self.count(value, "open_connections")
    pools = []
    for pool in try Self.list(value, "pools") { pools.append(try Pool(pool)) }
  }

  fileprivate static func text(_ value: JSONValue, _ name: String) throws(Misfit) -> String {
    guard let text = value[name]?.text else { throw Misfit(field: name) }
    return text
  }

  fileprivate static func number(_ value: JSONValue, _ name: String) throws(Misfit) -> Double {
    guard let number = value[name]?.number else { throw Misfit(field: name) }
    return number
  }

  /// A whole number that a Double holds exactly.
  fileprivate static func count(_ value: JSONValue, _ name: String) throws(Misfit) -> Int {
    guard let count = Int(exactly: try number(value, name)) else { throw Misfit(field: name) }
    return count
  }

  fileprivate static func flag(_ value: JSONValue, _ name: String) throws(Misfit) -> Bool {
    guard let flag = value[name]?.flag else { throw Misfit(field: name) }
    return flag
  }

  fileprivate static func list(_ value: JSONValue, _ name: String) throws(Misfit) -> [JSONValue] {
    guard let list = value[name]?.elements else { throw Misfit(field: name) }
    return list
  }
}

extension FleetView.Pool {
  fileprivate init(_ value: JSONValue) throws(FleetView.Misfit) {
    name = try FleetView.text(value, "name")
    policy = try FleetView.text(value, "policy")
    members = []
    for member in try FleetView.list(value, "members") {
      members.append(try FleetView.Member(member))
    }
  }
}

extension FleetView.Member {
  fileprivate init(_ value: JSONValue) throws(FleetView.Misfit) {
    name = try FleetView.text(value, "name")
    state = try FleetView.text(value, "state")
    inFlight = try FleetView.count(value, "in_flight")
    ewma = value["ewma_ms"]?.number
    score = value["score"]?.number
    slowStart = try FleetView.number(value, "slow_start")
    breakerLoops = try FleetView.count(value, "breaker_loops")
    breakerOpen = value["breaker_open_ms"]?.number
    cooling = value["cooling_ms"]?.number
    requests = try FleetView.count(value, "requests")
    errors = try FleetView.count(value, "errors")
    lastError = value["last_error"]?.text
    lastErrorAge = value["last_error_age_s"]?.number
    firstByte = Histogram()
    let counts = try FleetView.list(value, "ttfb_counts")
    guard counts.count == Histogram.boundCount + 1 else {
      throw FleetView.Misfit(field: "ttfb_counts")
    }
    for (bucket, count) in counts.enumerated() {
      guard let count = count.number.flatMap({ UInt64(exactly: $0) }) else {
        throw FleetView.Misfit(field: "ttfb_counts")
      }
      firstByte.counts[bucket] = count
    }
  }
}
