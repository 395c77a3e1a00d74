import Balancing
import Configuration
import HTTP1
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
    var lastFailure: LastFailure?
    /// HTTP/2 sessions to it that take more streams.
    var sessions: [Handle] = []
    /// What TLS has agreed on last time; nil while nothing is known.
    var agreedHTTP2: Bool?
    /// Which address is meant: grows when a reload moves the member or gives its slot to another.
    var tenancy: UInt32
  }

  let id: Int
  /// `Host` for HTTP/1.0 requests without one: the authority of the first member.
  var fallbackAuthority: [UInt8] = []
  var settings: PoolSettings
  /// Name of the header (lower case) or cookie that consistent hashing goes by.
  var hashName: [UInt8]
  var balancer: Pool
  /// By the balancer's slots; nil where there is no member.
  var slots: [Slot?] = []
  var budget: RetryBudget
  /// False once no snapshot names it; exchanges that began on it still end on it.
  var isCurrent = true
  private var tenancies: UInt32 = 0

  init(_ plan: CoreSnapshot.Pool, loops: Int, at now: Instant) {
    id = plan.id
    settings = plan.settings
    hashName = Self.hashName(plan.settings)
    balancer = Pool(policy: plan.policy, members: plan.members.map(\.spec), at: now)
    budget = RetryBudget(
      ratio: plan.settings.retry.budget, minimumPerSecond: Self.share(plan, loops), at: now)
    bind(plan.members)
  }

  /// Takes over a new snapshot's members and settings. Members that stay keep their state.
  mutating func apply(_ plan: CoreSnapshot.Pool, loops: Int, at now: Instant) {
    // What was connected in another way is not used again.
    let isMoved =
      settings.tls != plan.settings.tls || settings.wireProtocol != plan.settings.wireProtocol
    settings = plan.settings
    hashName = Self.hashName(plan.settings)
    balancer.apply(policy: plan.policy, members: plan.members.map(\.spec), at: now)
    budget.configure(
      ratio: plan.settings.retry.budget, minimumPerSecond: Self.share(plan, loops))
    isCurrent = true
    bind(plan.members, isMoved: isMoved)
  }

  /// This loop's part of the retries that are allowed however few requests there are; at least one,
  /// so that a loop with little traffic can still save a request.
  private static func share(_ plan: CoreSnapshot.Pool, _ loops: Int) -> Int {
    let all = plan.settings.retry.minimumPerSecond
    return all == 0 ? 0 : max(1, all / loops)
  }

  /// No snapshot names the pool any more.
  mutating func retire(at now: Instant) {
    isCurrent = false
    balancer.apply(policy: balancer.policy, members: [], at: now)
  }

  /// What consistent hashing goes by; nil where the policy is another, or the request lacks it.
  func hashKey(of head: borrowing RequestHead, in bytes: UnsafeRawBufferPointer) -> UInt64? {
    guard settings.balance.policy == .consistentHash, !hashName.isEmpty else { return nil }
    switch settings.balance.hashKey {
    case nil: return nil
    case .header:
      return hashName.withUnsafeBytes { head.value(named: $0, in: bytes) }
        .map { Balancing.hashKey($0.bytes(in: bytes)) }
    case .cookie:
      guard let cookies = head.value(of: .cookie) else { return nil }
      return Self.cookie(hashName, in: cookies.bytes(in: bytes)).map(Balancing.hashKey)
    }
  }

  /// The value of a cookie in a `Cookie` field.
  private static func cookie(
    _ name: [UInt8], in field: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    for pair in field.split(separator: 0x3b) {
      var start = pair.startIndex
      while start < pair.endIndex, pair[start] == 0x20 { start += 1 }
      let valueStart = start + name.count + 1
      guard valueStart <= pair.endIndex, pair[valueStart - 1] == 0x3d,
        pair[start..<(valueStart - 1)].elementsEqual(name)
      else { continue }
      return UnsafeRawBufferPointer(rebasing: field[valueStart..<pair.endIndex])
    }
    return nil
  }

  private static func hashName(_ settings: PoolSettings) -> [UInt8] {
    switch settings.balance.hashKey {
    case nil: []
    case .header(let name): Array(name.lowercased().utf8)
    case .cookie(let name): Array(name.utf8)
    }
  }

  /// Requests to this slot's member are streams of a session.
  func speaksHTTP2(_ slot: Int) -> Bool {
    switch settings.wireProtocol {
    case .h1: false
    case .h2: true
    case .auto: settings.tls != nil && slots[slot]?.agreedHTTP2 != false
    }
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

  /// A session takes no more streams.
  mutating func forget(session: Handle, slot: Int) {
    slots[slot]?.sessions.removeAll { $0 == session }
  }

  private mutating func bind(_ members: [CoreSnapshot.Member], isMoved: Bool = false) {
    fallbackAuthority = members.first?.authority ?? fallbackAuthority
    for member in members {
      guard let slot = balancer.slot(named: member.spec.name) else {
        preconditionFailure("pool: the balancer lost member \(member.spec.name)")
      }
      while slots.count <= slot { slots.append(nil) }
      if slots[slot]?.member.spec.name == member.spec.name {
        // The same name may have got another address: its old connections lead elsewhere.
        if isMoved || slots[slot]?.member.address != member.address {
          tenancies &+= 1
          slots[slot]?.idle = []
          slots[slot]?.sessions = []
          slots[slot]?.agreedHTTP2 = nil
          slots[slot]?.tenancy = tenancies
        }
        slots[slot]?.member = member
      } else {
        tenancies &+= 1
        slots[slot] = Slot(member: member, tenancy: tenancies)
      }
    }
  }
}
