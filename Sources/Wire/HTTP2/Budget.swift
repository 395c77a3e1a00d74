import Primitives

/// A bucket of things that a peer may do now and then and not without end.
struct Budget: Sendable {
  private let burst: Double
  private let perSecond: Double
  private var left: Double
  private var at: Instant?

  init(burst: Int, perSecond: Int) {
    self.burst = Double(burst)
    self.perSecond = Double(perSecond)
    left = Double(burst)
  }

  /// Takes one. False when there is none: the peer has overdone it.
  mutating func take(at now: Instant) -> Bool {
    if let at { left = min(burst, left + max(0, (now - at).seconds) * perSecond) }
    at = now
    guard left >= 1 else { return false }
    left -= 1
    return true
  }
}
