import Primitives

/// A member as a configuration names it.
package struct MemberSpec: Sendable {
  package var name: String
  /// Share of the traffic, 1...256.
  package var weight: Int
  package var cell: LoadCell

  package init(name: String, weight: Int, cell: LoadCell) {
    self.name = name
    self.weight = weight
    self.cell = cell
  }
}

/// One request's stay with one member, from `pick` to `finished`. Trivial.
package struct Ticket: Sendable, Equatable {
  var place: Int32
  /// Tenant of the slot that is meant.
  var generation: UInt32
  /// The breaker's epoch at the pick: verdicts on tickets of an older one do not count.
  var epoch: UInt32
  /// The request decides whether a half-open breaker closes.
  package internal(set) var isProbe = false
  /// Picked below the panic threshold, whatever breaker and probes say.
  package internal(set) var isPanic = false
  /// `firstByte` has been told.
  package internal(set) var hasAnswered = false
  package internal(set) var startedAt: Instant

  package var slot: Int { Int(place) }

  /// Names nothing; may not be finished.
  package static var none: Ticket {
    Ticket(place: -1, generation: 0, epoch: 0, startedAt: .zero)
  }
}

/// Slots that a request has tried. Trivial: a bit each for the first 64, and the last four beyond.
package struct SlotSet: Sendable, Equatable {
  private var low: UInt64 = 0
  private var high = SIMD4<Int32>(repeating: -1)

  package init() {}

  package var isEmpty: Bool { low == 0 && high[0] < 0 }

  @inline(__always)
  package func contains(_ slot: Int) -> Bool {
    if slot < 64 { return low & (1 &<< UInt64(truncatingIfNeeded: slot)) != 0 }
    return any(high .== Int32(truncatingIfNeeded: slot))
  }

  /// A fifth slot beyond the first 64 makes the oldest of those forgotten.
  package mutating func insert(_ slot: Int) {
    if slot < 64 {
      low |= 1 << UInt64(slot)
    } else if !contains(slot) {
      high = SIMD4(Int32(slot), high[0], high[1], high[2])
    }
  }

  package mutating func remove(_ slot: Int) {
    if slot < 64 {
      low &= ~(1 << UInt64(slot))
    } else {
      high.replace(with: -1, where: high .== Int32(truncatingIfNeeded: slot))
    }
  }
}

/// Where a request goes.
package enum Pick: Sendable, Equatable {
  case member(Ticket)
  case none(NoMember)
}

/// Why it goes nowhere. When members differ, the reason that passes soonest is given, which is the
/// order from `allFull` upwards.
package enum NoMember: Sendable, Equatable {
  case noMembers
  /// Drained, or bad by active probes and panic is switched off.
  case allDown
  /// By their breakers, and panic is switched off.
  case allOpen
  /// Every member that could be used has been tried by this request.
  case allTried
  /// Asked to be left alone; the first is back at that time.
  case allCooling(until: Instant)
  /// At the limit of requests in flight.
  case allFull
}

/// How a request's stay ended, seen from the member.
package struct Outcome: Sendable, Equatable {
  package enum Verdict: Sendable, Equatable {
    /// 2xx to 4xx, whole.
    case success
    /// 5xx other than 503, refused, reset, timed out, truncated.
    case failure
    /// 429 or 503.
    case backpressure(retryAfter: TimeAmount?)
    /// Says nothing about the member: the client left, or we cancelled.
    case neutral
  }

  package var verdict: Verdict
  /// Time to first byte. Only looked at when `firstByte` has not been told.
  package var firstByte: TimeAmount?
  /// Time to last byte. nil: since the pick.
  package var total: TimeAmount?

  package init(verdict: Verdict, firstByte: TimeAmount? = nil, total: TimeAmount? = nil) {
    self.verdict = verdict
    self.firstByte = firstByte
    self.total = total
  }
}

/// What a breaker did, for the counters and for the other loops.
package enum BreakerChange: Sendable, Equatable {
  case opened(until: Instant)
  /// Told by a ticket's `isProbe`; other loops need not hear of it.
  case halfOpened
  case closed
}

package struct Transition: Sendable, Equatable {
  package var slot: Int
  package var change: BreakerChange

  package init(slot: Int, change: BreakerChange) {
    self.slot = slot
    self.change = change
  }
}
