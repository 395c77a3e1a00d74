import Primitives

/// When to look, after events that come in bursts: once nothing has happened for a while, but not
/// later than patience lasts. A value; the clock is passed in.
struct Debounce {
  let quiet: TimeAmount
  let patience: TimeAmount
  private var burst: (first: Instant, latest: Instant)?

  init(quiet: TimeAmount, patience: TimeAmount) {
    self.quiet = quiet
    self.patience = patience
  }

  /// Nil while there is nothing to look at.
  var due: Instant? {
    burst.map { min($0.latest + quiet, $0.first + patience) }
  }

  mutating func event(at now: Instant) { burst = (burst?.first ?? now, now) }

  /// The burst is over; the next event begins another.
  mutating func looked() { burst = nil }
}
