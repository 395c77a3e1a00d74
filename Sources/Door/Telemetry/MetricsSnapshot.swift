import Primitives

/// Everything one loop has counted, as a value that may travel.
///
/// A loop counts into one (`LoopMetrics`), copies it when a reader asks, and goes on; the reader
/// merges the copies of all loops. Counters only rise, so copies of different moments add up to
/// something a scraper can live with.
package struct MetricsSnapshot: Sendable {
  package struct Route: Sendable {
    package var duration = Histogram()
  }

  package struct Pool: Sendable {
    package var queue = Histogram()
    package var connect = Histogram()
    package var retryBudgetExhausted: UInt64 = 0
    /// Attempts by how their connection was got.
    package var attemptsOnNew: UInt64 = 0
    package var attemptsOnReused: UInt64 = 0
    /// By `TerminationReason` of the attempt that failed.
    package var retries = [UInt64](repeating: 0, count: TerminationReason.allCases.count)
    package var handshakes = HandshakeCounts()
  }

  package struct Member: Sendable {
    package var firstByte = Histogram()
    /// By `MemberReading.Breaker` that was entered.
    package var breakerEntered: [3 of UInt64] = .init(repeating: 0)
  }

  package struct Listener: Sendable {
    package var accepted: UInt64 = 0
    /// May be negative in one loop, when a connection was handed over to another.
    package var open: Int64 = 0
    package var handshakes = HandshakeCounts()
  }

  package struct Key: Sendable {
    /// By `CodeClass`.
    package var requests: [6 of UInt64] = .init(repeating: 0)
    package var promptTokens: UInt64 = 0
    package var completionTokens: UInt64 = 0
  }

  package internal(set) var requests = RequestCells()
  package internal(set) var routes: [Route] = []
  package internal(set) var pools: [Pool] = []
  package internal(set) var members: [Member] = []
  package internal(set) var listeners: [Listener] = []
  package internal(set) var keys: [Key] = []
  package internal(set) var added = Histogram()
  package internal(set) var turns = Histogram()
  /// By `TerminationReason`.
  package internal(set) var terminations = [UInt64](
    repeating: 0, count: TerminationReason.allCases.count)
  /// By raw value of `HTTP.Rejection`.
  package internal(set) var rejections = [UInt64](repeating: 0, count: 256)
  /// By `Direction`.
  package internal(set) var bytes: [4 of UInt64] = .init(repeating: 0)
  /// By `LimitName`.
  package internal(set) var limits = [UInt64](repeating: 0, count: LimitName.allCases.count)
  /// By `UpstreamState`.
  package internal(set) var upstream: [3 of Int64] = .init(repeating: 0)
  package internal(set) var openStreams: Int64 = 0
  package internal(set) var acceptPaused: UInt64 = 0
  package internal(set) var glitches: UInt64 = 0
  /// HTTP/2 connections of clients, and of ours to backends.
  package internal(set) var sessions = [SessionCells(), SessionCells()]

  package init() {}

  /// Adds what another loop has counted. The turns are added too; `PrometheusText` shows them by
  /// loop, from before the merge.
  package mutating func merge(_ other: MetricsSnapshot) {
    requests.merge(other.requests)
    routes.grow(to: other.routes.count, with: Route())
    for (index, route) in other.routes.enumerated() {
      routes[index].duration.merge(route.duration)
    }
    pools.grow(to: other.pools.count, with: Pool())
    for (index, pool) in other.pools.enumerated() {
      pools[index].queue.merge(pool.queue)
      pools[index].connect.merge(pool.connect)
      pools[index].retryBudgetExhausted += pool.retryBudgetExhausted
      pools[index].attemptsOnNew += pool.attemptsOnNew
      pools[index].attemptsOnReused += pool.attemptsOnReused
      pools[index].retries.add(pool.retries)
      pools[index].handshakes.merge(pool.handshakes)
    }
    members.grow(to: other.members.count, with: Member())
    for (index, member) in other.members.enumerated() {
      members[index].firstByte.merge(member.firstByte)
      for state in 0..<3 { members[index].breakerEntered[state] += member.breakerEntered[state] }
    }
    listeners.grow(to: other.listeners.count, with: Listener())
    for (index, listener) in other.listeners.enumerated() {
      listeners[index].accepted += listener.accepted
      listeners[index].open += listener.open
      listeners[index].handshakes.merge(listener.handshakes)
    }
    keys.grow(to: other.keys.count, with: Key())
    for (index, key) in other.keys.enumerated() {
      for codeClass in 0..<6 { keys[index].requests[codeClass] &+= key.requests[codeClass] }
      keys[index].promptTokens &+= key.promptTokens
      keys[index].completionTokens &+= key.completionTokens
    }
    added.merge(other.added)
    turns.merge(other.turns)
    terminations.add(other.terminations)
    rejections.add(other.rejections)
    limits.add(other.limits)
    for way in 0..<4 { bytes[way] += other.bytes[way] }
    for state in 0..<3 { upstream[state] += other.upstream[state] }
    openStreams += other.openStreams
    acceptPaused += other.acceptPaused
    glitches += other.glitches
    for side in sessions.indices { sessions[side].add(other.sessions[side]) }
  }

  /// The sum over all loops.
  package static func merged(_ snapshots: [MetricsSnapshot]) -> MetricsSnapshot {
    var sum = snapshots.first ?? MetricsSnapshot()
    for snapshot in snapshots.dropFirst() { sum.merge(snapshot) }
    return sum
  }

  /// A copy that shares no storage with the loop's own.
  func detached() -> MetricsSnapshot {
    var copy = self
    copy.requests = requests.detached()
    copy.routes = routes.detached()
    copy.pools = pools.detached()
    for index in copy.pools.indices { copy.pools[index].retries = pools[index].retries.detached() }
    copy.members = members.detached()
    copy.listeners = listeners.detached()
    copy.keys = keys.detached()
    copy.terminations = terminations.detached()
    copy.rejections = rejections.detached()
    copy.limits = limits.detached()
    return copy
  }
}

extension Array {
  /// Makes room for ids that were not seen before; the element is made only then.
  mutating func grow(to count: Int, with element: @autoclosure () -> Element) {
    if count > self.count {
      append(contentsOf: repeatElement(element(), count: count - self.count))
    }
  }
}

extension [UInt64] {
  fileprivate mutating func add(_ other: [UInt64]) {
    for index in 0..<Swift.min(count, other.count) { self[index] &+= other[index] }
  }
}
