import Primitives

/// What a pool keeps per slot, column by column: a scan walks a few short arrays of numbers instead
/// of many large structs. All entries are trivial; memory only grows, and only on a reload.
struct Columns: ~Copyable {
  /// What a scan must know of a slot besides the shared word.
  enum Mark {
    /// Breaker open or half-open.
    static var ejected: UInt8 { 1 }
    /// Of those: waiting for a request that may probe.
    static var ripe: UInt8 { 2 }
  }

  private(set) var capacity = 0
  /// The shared words. Good for occupied slots: `Pool.cells` holds their owners.
  private(set) var lines: UnsafeMutablePointer<UnsafeMutablePointer<LoadLine>?>
  /// Estimated latency in milliseconds, as of the last sweep or event.
  private(set) var latency: UnsafeMutablePointer<Double>
  private(set) var weight: UnsafeMutablePointer<Double>
  private(set) var inverseWeight: UnsafeMutablePointer<Double>
  /// One over the slow-start factor: 1 for a member that has ramped up, at most 10.
  private(set) var inverseRamp: UnsafeMutablePointer<Double>
  private(set) var marks: UnsafeMutablePointer<UInt8>
  private(set) var members: UnsafeMutablePointer<MemberState>
  /// Slots of the members, in the order of the configuration.
  private(set) var roster: UnsafeMutablePointer<Int32>
  /// Scratch of one pick: the slots among which it chooses, and what they hold.
  private(set) var candidates: UnsafeMutablePointer<Int32>
  private(set) var queues: UnsafeMutablePointer<Double>
  /// Scratch: the loads of which a quantile is taken.
  private(set) var loads: UnsafeMutablePointer<Double>

  init() {
    lines = .allocate(capacity: 0)
    latency = .allocate(capacity: 0)
    weight = .allocate(capacity: 0)
    inverseWeight = .allocate(capacity: 0)
    inverseRamp = .allocate(capacity: 0)
    marks = .allocate(capacity: 0)
    members = .allocate(capacity: 0)
    roster = .allocate(capacity: 0)
    candidates = .allocate(capacity: 0)
    queues = .allocate(capacity: 0)
    loads = .allocate(capacity: 0)
  }

  deinit {
    lines.deallocate()
    latency.deallocate()
    weight.deallocate()
    inverseWeight.deallocate()
    inverseRamp.deallocate()
    marks.deallocate()
    members.deallocate()
    roster.deallocate()
    candidates.deallocate()
    queues.deallocate()
    loads.deallocate()
  }

  /// Makes room for more slots; `filler` is what their members start as.
  mutating func grow(to count: Int, filler: MemberState) {
    guard count > capacity else { return }
    let old = capacity
    capacity = max(count, min(2 * old, old + 1024))
    func move<T: BitwiseCopyable>(_ column: inout UnsafeMutablePointer<T>, _ value: T) {
      let fresh = UnsafeMutablePointer<T>.allocate(capacity: capacity)
      fresh.initialize(from: column, count: old)
      (fresh + old).initialize(repeating: value, count: capacity - old)
      column.deallocate()
      column = fresh
    }
    move(&lines, nil)
    move(&latency, 0)
    move(&weight, 1)
    move(&inverseWeight, 1)
    move(&inverseRamp, 1)
    move(&marks, 0)
    move(&members, filler)
    move(&roster, 0)
    move(&candidates, 0)
    move(&queues, 0)
    move(&loads, 0)
  }
}

/// The part of a member that a scan does not touch.
struct MemberState: BitwiseCopyable {
  var latency = LatencyAverage()
  var breaker: Breaker
  /// When the present slow start began; nil when it is over or there is none.
  var rampStart: Instant?
  /// Active probes called it bad when it was last looked at.
  var wasBad = false
  /// No longer configured; the slot is kept until its last ticket is finished.
  var isRetired = false
  /// Tenants that the slot has had. A ticket names the one that it was made for.
  var generation: UInt32 = 0
  /// Tickets of this loop that are not finished. Count.
  var outstanding = 0
  /// Of those: no first byte yet. Count.
  var waiting = 0
  /// Sum of the start times of those that wait. Wraps: only its distance to `waiting` times now is
  /// used, which is right as long as the ages add up to less than 292 years.
  var waitingStarts: Int64 = 0

  // Inlined, or each call copies the whole state.

  /// What is believed of its latency. As in nginx, requests that wait raise the estimate before they
  /// come back, if they ever do.
  @inline(__always)
  func estimate(at now: Instant, target: Double, _ policy: borrowing PoolPolicy) -> Double {
    max(
      latency.estimate(at: now, target: target, tau: policy.tau),
      waitingAge(at: now) * policy.waitingShare)
  }

  /// The slow-start factor, 0.1...1: linear in the time since the join or the recovery.
  @inline(__always)
  func ramp(_ length: TimeAmount, at now: Instant) -> Double {
    guard let start = rampStart, length > .zero else { return 1 }
    let share = Double((now - start).nanoseconds) / Double(length.nanoseconds)
    return min(1, max(PoolPolicy.rampFloor, share))
  }

  /// Mean age in milliseconds of the requests that wait for a first byte.
  @inline(__always)
  func waitingAge(at now: Instant) -> Double {
    guard waiting > 0 else { return 0 }
    let ages = now.nanoseconds &* Int64(waiting) &- waitingStarts
    return Double(ages) / Double(waiting) / 1e6
  }
}
