import Primitives
import Synchronization

/// What all loops know about one backend of one pool: how many requests it holds, whether it is
/// wanted, and who may probe it. The only thing that picks share; no lock, no message.
///
/// Loops read and count with relaxed atomics: the numbers steer a choice, they order nothing else.
package final class LoadCell: Sendable {
  /// What the active probes say.
  package enum Health: UInt64, Sendable {
    /// Not probed yet, or never: used until proven bad.
    case unknown = 0
    case good = 1
    case bad = 2
  }

  /// Allocated once and freed in `deinit`, never moved; everything behind it is atomic. So any
  /// thread that holds the cell may use it. A `Pool` keeps the cell of each occupied slot in
  /// `Pool.cells` and clears its slot's pointer together with it, so its pointers never dangle.
  nonisolated(unsafe) let line: UnsafeMutablePointer<LoadLine>

  package init() {
    // A cache line of its own: counting on one backend must not slow down the scan of another.
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
    line = memory.bindMemory(to: LoadLine.self, capacity: 1)
    line.initialize(to: LoadLine())
  }

  deinit {
    line.deinitialize(count: 1)
    UnsafeMutableRawPointer(line).deallocate()
  }

  /// Requests that the backend holds, over all loops. Count.
  package var inFlight: Int { Int(line.pointee.word.load(ordering: .relaxed) & LoadLine.countMask) }

  package var health: Health {
    let word = line.pointee.word.load(ordering: .relaxed)
    return Health(rawValue: (word & LoadLine.healthMask) >> LoadLine.healthShift) ?? .unknown
  }

  package func setHealth(_ health: Health) {
    line.pointee.change {
      $0 & ~LoadLine.healthMask | health.rawValue << LoadLine.healthShift
    }
  }

  /// An administrator wants no new requests here. Stands above everything, panic included.
  package var isDraining: Bool {
    line.pointee.word.load(ordering: .relaxed) & LoadLine.draining != 0
  }

  package func setDraining(_ isDraining: Bool) {
    line.pointee.change { isDraining ? $0 | LoadLine.draining : $0 & ~LoadLine.draining }
  }

  /// A loop holds the right to probe a half-open breaker.
  package var isProbing: Bool { line.pointee.probing.load(ordering: .relaxed) }

  /// The backend asked to be left alone until then, by 429 or 503; `zero` when it never did.
  package var coolingUntil: Instant {
    Instant(nanoseconds: line.pointee.coolingUntil.load(ordering: .relaxed))
  }
}

/// The memory of a cell: one word that a scan loads per member, and two that it seldom needs.
struct LoadLine: ~Copyable {
  /// Requests in flight in the low half, flags above: one load tells a scan all it must know.
  let word = Atomic<UInt64>(0)
  /// Nanoseconds of the monotonic clock, which all loops share. Only grows.
  let coolingUntil = Atomic<Int64>(0)
  let probing = Atomic<Bool>(false)

  static var countMask: UInt64 { 0xffff_ffff }
  static var healthShift: UInt64 { 32 }
  static var healthMask: UInt64 { 3 << 32 }
  /// `Health.bad` in place.
  static var bad: UInt64 { 2 << 32 }
  static var draining: UInt64 { 1 << 34 }
  /// `coolingUntil` has been set once. Never cleared: taking it back safely would cost more than
  /// looking at the time.
  static var hasCooled: UInt64 { 1 << 35 }
  /// Flags that make a scan look more closely.
  static var blockers: UInt64 { bad | draining | hasCooled }

  func change(_ edit: (UInt64) -> UInt64) {
    var old = word.load(ordering: .relaxed)
    while true {
      let (done, seen) = word.weakCompareExchange(
        expected: old, desired: edit(old), ordering: .relaxed)
      if done { return }
      old = seen
    }
  }

  /// Counts one request in, unless the backend holds `limit` already. Exact over all loops.
  @inline(__always)
  func enter(limit: UInt64) -> Bool {
    let old = word.wrappingAdd(1, ordering: .relaxed).oldValue
    if old & Self.countMask < limit { return true }
    word.wrappingSubtract(1, ordering: .relaxed)
    return false
  }

  @inline(__always)
  func leave(_ count: UInt64 = 1) {
    let old = word.wrappingSubtract(count, ordering: .relaxed).oldValue
    precondition(old & Self.countMask >= count, "load cell: more requests left than had entered")
  }

  func cool(until: Instant) {
    coolingUntil.max(until.nanoseconds, ordering: .relaxed)
    word.bitwiseOr(Self.hasCooled, ordering: .relaxed)
  }

  func takeProbe() -> Bool {
    probing.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing)
      .exchanged
  }

  func returnProbe() { probing.store(false, ordering: .releasing) }
}
