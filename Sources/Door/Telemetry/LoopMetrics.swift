import Primitives

/// What one loop counts, as it happens. Belongs to that loop: no locks, no atomics.
///
/// Recording allocates only when an id is seen for the first time. A reader asks the loop for a
/// `snapshot` by message and merges what it gets from all loops.
package struct LoopMetrics: ~Copyable {
  private var counted = MetricsSnapshot()

  package init() {}

  /// A copy of everything counted so far, which the loop may send away.
  ///
  /// Costs the loop one copy of the arrays: 80 µs for 1,000 members behind four routes (release build).
  package func snapshot() -> MetricsSnapshot { counted.detached() }

  // MARK: Requests

  /// Counts a request that has ended. Once per request.
  package mutating func requestFinished(_ record: RequestRecord) {
    counted.terminations[Int(record.reason.rawValue)] &+= 1
    counted.requests.count(
      RequestCells.Key(route: record.route, pool: record.pool, member: record.member),
      CodeClass(status: record.status))
    if record.route >= 0 {
      let route = Int(record.route)
      counted.routes.grow(to: route + 1, with: .init())
      // A tunnel lasts as long as its ends like: it would drown the requests.
      if !record.isUpgrade { counted.routes[route].duration.record(record.duration) }
    }
    if record.key >= 0 {
      let key = Int(record.key)
      counted.keys.grow(to: key + 1, with: .init())
      counted.keys[key].requests[Int(CodeClass(status: record.status).rawValue)] &+= 1
      counted.keys[key].promptTokens &+= UInt64(record.promptTokens)
      counted.keys[key].completionTokens &+= UInt64(record.completionTokens)
    }
    if record.pool >= 0 {
      let pool = Int(record.pool)
      counted.pools.grow(to: pool + 1, with: .init())
      counted.pools[pool].queue.record(record.queue)
      if let connect = record.connect { counted.pools[pool].connect.record(connect) }
      if record.attempts > 0 {
        if record.upstreamConnectionReused {
          counted.pools[pool].attemptsOnReused &+= 1
        } else {
          counted.pools[pool].attemptsOnNew &+= 1
        }
      }
    }
    if record.member >= 0, let firstByte = record.firstByte {
      let member = Int(record.member)
      counted.members.grow(to: member + 1, with: .init())
      counted.members[member].firstByte.record(firstByte)
    }
    if let added = record.added { counted.added.record(added) }
  }

  /// An attempt failed for this reason and another one begins.
  package mutating func retried(pool: Int, reason: TerminationReason) {
    counted.pools.grow(to: pool + 1, with: .init())
    counted.pools[pool].retries[Int(reason.rawValue)] &+= 1
  }

  /// An attempt might have been repeated, but the pool's retry budget was used up.
  package mutating func retryBudgetExhausted(pool: Int) {
    counted.pools.grow(to: pool + 1, with: .init())
    counted.pools[pool].retryBudgetExhausted &+= 1
  }

  package mutating func breakerEntered(_ state: MemberReading.Breaker, member: Int) {
    counted.members.grow(to: member + 1, with: .init())
    counted.members[member].breakerEntered[Int(state.rawValue)] &+= 1
  }

  /// A request was turned away by the parser; `rejection` is the raw value of `HTTP.Rejection`.
  package mutating func rejected(_ rejection: UInt8) {
    counted.rejections[Int(rejection)] &+= 1
  }

  package mutating func limitReached(_ limit: LimitName) {
    counted.limits[Int(limit.rawValue)] &+= 1
  }

  /// A peer did something odd but legal.
  package mutating func glitched() { counted.glitches &+= 1 }

  package mutating func streamOpened() { counted.openStreams &+= 1 }
  package mutating func streamEnded() { counted.openStreams &-= 1 }

  // MARK: Connections and bytes

  package mutating func connectionOpened(listener: Int) {
    counted.listeners.grow(to: listener + 1, with: .init())
    counted.listeners[listener].accepted &+= 1
    counted.listeners[listener].open &+= 1
  }

  package mutating func connectionClosed(listener: Int) {
    counted.listeners.grow(to: listener + 1, with: .init())
    counted.listeners[listener].open &-= 1
  }

  // MARK: HTTP/2

  package mutating func sessionBegan(isClient: Bool) {
    counted.sessions[isClient ? 0 : 1].open &+= 1
  }

  package mutating func sessionEnded(isClient: Bool, _ reason: SessionEnd) {
    counted.sessions[isClient ? 0 : 1].open &-= 1
    counted.sessions[isClient ? 0 : 1].ended[Int(reason.rawValue)] &+= 1
  }

  // MARK: TLS

  package mutating func handshakeDone(
    listener: Int, _ version: TLSVersionSeen, isResumed: Bool
  ) {
    counted.listeners.grow(to: listener + 1, with: .init())
    counted.listeners[listener].handshakes.succeeded(version, isResumed: isResumed)
  }

  package mutating func handshakeFailed(listener: Int, _ failure: HandshakeFailure) {
    counted.listeners.grow(to: listener + 1, with: .init())
    counted.listeners[listener].handshakes.failed(failure)
  }

  package mutating func handshakeDone(pool: Int, _ version: TLSVersionSeen, isResumed: Bool) {
    counted.pools.grow(to: pool + 1, with: .init())
    counted.pools[pool].handshakes.succeeded(version, isResumed: isResumed)
  }

  package mutating func handshakeFailed(pool: Int, _ failure: HandshakeFailure) {
    counted.pools.grow(to: pool + 1, with: .init())
    counted.pools[pool].handshakes.failed(failure)
  }

  /// Open client connections of a listener on this loop. Count.
  package func openConnections(listener: Int) -> Int {
    listener < counted.listeners.count ? Int(counted.listeners[listener].open) : 0
  }

  /// Accepting stopped for a while, because descriptors ran out or a limit was reached.
  package mutating func acceptPaused() { counted.acceptPaused &+= 1 }

  /// An upstream connection changed what it does; nil is "did not exist" and "is gone".
  package mutating func upstreamConnection(from: UpstreamState?, to: UpstreamState?) {
    if let from { counted.upstream[Int(from.rawValue)] &-= 1 }
    if let to { counted.upstream[Int(to.rawValue)] &+= 1 }
  }

  /// Bytes that were read from or written to sockets, framing included.
  package mutating func moved(_ bytes: Int, _ direction: Direction) {
    counted.bytes[Int(direction.rawValue)] &+= UInt64(truncatingIfNeeded: bytes)
  }

  // MARK: The loop itself

  package mutating func turnEnded(_ length: TimeAmount) { counted.turns.record(length) }
}
