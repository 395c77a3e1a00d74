import Balancing
import Configuration
import Primitives

/// A pool as one loop sees it: the balancer, and for each slot of it the connections kept idle.
struct PoolState: ~Copyable {
  /// What a loop keeps for one member.
  struct Slot {
    var member: CoreSnapshot.Member
    /// Idle connections, last used last. Those that have died meanwhile are skipped when met.
    var idle: [Handle] = []
    /// How long the member keeps its own idle connections, as learnt from `Keep-Alive: timeout=`.
    var learnedIdle: TimeAmount?
  }

  let id: Int
  /// `Host` for HTTP/1.0 requests without one: the authority of the first member.
  var fallbackAuthority: [UInt8] = []
  var settings: PoolSettings
  var balancer: Pool
  /// By the balancer's slots; nil where there is no member.
  var slots: [Slot?] = []
  var budget: RetryBudget
  /// False once no snapshot names it; exchanges that began on it still end on it.
  var isCurrent = true

  init(_ plan: CoreSnapshot.Pool, at now: Instant) {
    id = plan.id
    settings = plan.settings
    balancer = Pool(policy: plan.policy, members: plan.members.map(\.spec), at: now)
    budget = RetryBudget(
      ratio: plan.settings.retry.budget, minimumPerSecond: plan.settings.retry.minimumPerSecond,
      at: now)
    bind(plan.members)
  }

  /// Takes over a new snapshot's members and settings. Members that stay keep their state.
  mutating func apply(_ plan: CoreSnapshot.Pool, at now: Instant) {
    settings = plan.settings
    balancer.apply(policy: plan.policy, members: plan.members.map(\.spec), at: now)
    budget.configure(
      ratio: plan.settings.retry.budget, minimumPerSecond: plan.settings.retry.minimumPerSecond)
    isCurrent = true
    bind(plan.members)
  }

  /// No snapshot names the pool any more.
  mutating func retire(at now: Instant) {
    isCurrent = false
    balancer.apply(policy: balancer.policy, members: [], at: now)
  }

  /// How long an idle connection to this slot's member may wait; nil where there is no member.
  ///
  /// A second less than the member says it waits, so that ours is the first to close.
  func idleLimit(_ slot: Int) -> TimeAmount? {
    guard let state = slots[slot] else { return nil }
    guard let learned = state.learnedIdle else { return settings.timeouts.idle }
    return min(settings.timeouts.idle, max(.zero, learned - .seconds(1)))
  }

  /// Takes a connection that has ended out of its stack. The oldest end first and stand first, so
  /// the search is short.
  mutating func forgetIdle(_ handle: Handle, slot: Int) {
    guard let place = slots[slot]?.idle.firstIndex(of: handle) else { return }
    slots[slot]?.idle.remove(at: place)
  }

  private mutating func bind(_ members: [CoreSnapshot.Member]) {
    fallbackAuthority = members.first?.authority ?? fallbackAuthority
    for member in members {
      guard let slot = balancer.slot(named: member.spec.name) else {
        preconditionFailure("pool: the balancer lost member \(member.spec.name)")
      }
      while slots.count <= slot { slots.append(nil) }
      if slots[slot]?.member.spec.name == member.spec.name {
        // The same name may have got another address: its old connections lead elsewhere.
        if slots[slot]?.member.address != member.address { slots[slot]?.idle = [] }
        slots[slot]?.member = member
      } else {
        slots[slot] = Slot(member: member)
      }
    }
  }
}
