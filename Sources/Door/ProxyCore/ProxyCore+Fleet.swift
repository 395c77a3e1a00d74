import Balancing
import Configuration
import HTTP
import HTTP1
import Primitives
import Telemetry

/// What the control side says: new configurations, draining, and news from other loops.
extension ProxyCore {
  /// Serves new requests by a new configuration. Exchanges under way end on the one they began
  /// with; members, pools and listeners that stay keep their state.
  package mutating func apply(_ new: CoreSnapshot, at now: Instant) {
    snapshot = new
    tokenCache.forget()
    for listener in new.listeners {
      while listeners.count <= listener.id { listeners.append(nil) }
      listeners[listener.id] = listener
    }
    for plan in new.pools {
      while pools.count <= plan.id { pools.append(nil) }
      if let pool = pools[plan.id] {
        pool.pointee.apply(plan, loops: loops, at: now)
      } else {
        let pool = UnsafeMutablePointer<PoolState>.allocate(capacity: 1)
        pool.initialize(to: PoolState(plan, loops: loops, at: now))
        pools[plan.id] = pool
      }
    }
    let current = Set(new.pools.map(\.id))
    for pool in pools {
      if let pool, pool.pointee.isCurrent, !current.contains(pool.pointee.id) {
        pool.pointee.retire(at: now)
      }
    }
  }

  /// A breaker changed on another loop. Slots may differ between loops; identities do not.
  package mutating func peerReported(
    pool: Int, member: Int, _ change: BreakerChange, at now: Instant
  ) {
    guard pool < pools.count, let state = pools[pool],
      let slot = state.pointee.slots.firstIndex(where: { $0?.member.id == member })
    else { return }
    state.pointee.balancer.peerReported(slot, change, at: now)
  }

  /// From now on the listeners' health paths say no; everything is served as before.
  package mutating func beginSettling() { isSettling = true }

  /// From now on answers end their connections, and idle connections are closed.
  package mutating func beginDrain(at now: Instant, into effects: inout Effects) {
    isDraining = true
    closeIdle(&effects)
    announceEnd(at: now, &effects)
  }

  /// Closes the client connections that wait between requests. Where one has sent a request that
  /// has not been read yet, it is served first.
  private mutating func closeIdle(_ effects: inout Effects) {
    var idle: [Handle] = []
    connections.visitAll { handle, connection in
      // One in its handshake has come for a request.
      if connection.pointee.isClient, connection.pointee.phase == .idle,
        connection.pointee.deadlineKind != .handshake
      {
        idle.append(handle)
      }
    }
    for handle in idle {
      guard let connection = connections.pointer(handle), isAlive(handle) else { continue }
      end(handle, connection, .close, &effects)
    }
  }

  /// The time to drain is over, or nobody wants to wait for it: what is still open is cut,
  /// recognisably.
  package mutating func cutAll(
    _ reason: TerminationReason = .drainDeadline, at now: Instant, into effects: inout Effects
  ) {
    var open: [Handle] = []
    exchanges.visitAll { handle, _ in open.append(handle) }
    for handle in open {
      guard let exchange = exchanges.pointer(handle) else { continue }
      exchange.pointee.verdict = .neutral
      if exchange.pointee.state == .tunnel {
        finishTunnel(handle, exchange, reason, now, &effects)
      } else if exchange.pointee.state == .answering {
        cutAnswer(handle, exchange, reason, now, &effects)
      } else {
        failExchange(handle, exchange, reason, now, &effects)
      }
    }
    var clients: [Handle] = []
    connections.visitAll { handle, connection in
      if connection.pointee.isClient, connection.pointee.phase != .lingering {
        clients.append(handle)
      }
    }
    settleSessions(now, &effects)
    for handle in clients {
      guard let connection = connections.pointer(handle) else { continue }
      if connection.pointee.phase == .session {
        endSession(handle, connection, .close, code: 0, now, &effects)
      } else {
        end(handle, connection, .close, &effects)
      }
    }
    settleSessions(now, &effects)
  }

  /// What this loop knows of all members, by pool identity, for the admin side.
  package func memberViews(at now: Instant) -> [[MemberReport]] {
    pools.map { state in
      guard let state, state.pointee.isCurrent else { return [] }
      return state.pointee.balancer.views(at: now).compactMap { view in
        state.pointee.slots[view.slot].map {
          MemberReport(id: $0.member.id, view: view, lastFailure: $0.lastFailure)
        }
      }
    }
  }
}

/// A member as one loop sees it.
package struct MemberReport: Sendable {
  /// Identity for telemetry, the same on every loop.
  package let id: Int
  package let view: MemberView
  package let lastFailure: LastFailure?
}

/// Why and when a member failed a request last.
package struct LastFailure: Sendable {
  package let reason: TerminationReason
  package let at: Instant
}
