import Primitives

/// The circuit breaker of one member in one loop.
///
/// ```
///            failures in a row, or error rate
///   closed ------------------------------------> open(until)
///     ^  ^                                        |  ^   ^
///     |  '---- another loop's probe succeeded ----'  |   |
///     |                             cool-down over,  |   | probe failed (later `until`), or
///     |                        right to probe taken  v   | said nothing (`until` is now)
///     '-------------- probe succeeded ------------ probing
/// ```
/// The epoch grows on every way into `open` and `probing`, never into `closed`: verdicts on requests
/// that were sent before do not count, and a probe that closed the breaker at its first byte is still
/// judged when it breaks off later. The right to probe (one over all loops, in `LoadCell`) is held
/// exactly while the state is `probing`; `Pool` gives it back on every way out.
struct Breaker {
  enum State: Equatable {
    case closed
    /// From `until` on, it waits for a request that may probe.
    case open(until: Instant)
    case probing
  }

  private(set) var state = State.closed
  private(set) var epoch: UInt32 = 0
  private(set) var failuresInRow = 0
  private(set) var window: RollingWindow
  /// Openings in a row. Count. Falls by one for each cool-down of health, as Envoy's multiplier.
  private var openings = 0
  private var closedAt: Instant

  init(window: TimeAmount, at now: Instant) {
    self.window = RollingWindow(length: window, at: now)
    closedAt = now
  }

  var isClosed: Bool { state == .closed }
  var isProbing: Bool { state == .probing }

  /// The cool-down is over and nobody here probes.
  func isRipe(at now: Instant) -> Bool {
    switch state {
    case .closed, .probing: false
    case .open(let until): until <= now
    }
  }

  mutating func beginProbe() {
    precondition(!isClosed && !isProbing, "breaker: a probe begins from open, not \(state)")
    state = .probing
    epoch &+= 1
  }

  /// Judges a request that ended or, for a probe, answered. `mayOpen` says that the pool can spare
  /// the member; `jitter` is in 0..<1.
  mutating func judge(
    _ ticket: Ticket, _ verdict: Outcome.Verdict, at now: Instant, _ policy: borrowing PoolPolicy,
    mayOpen: Bool, jitter: Double
  ) -> BreakerChange? {
    guard ticket.epoch == epoch else { return nil }
    switch (state, verdict) {
    case (.closed, .success):
      failuresInRow = 0
      window.count(isFailure: false, at: now)
      return nil
    case (.closed, .failure):
      failuresInRow += 1
      window.count(isFailure: true, at: now)
      let (inRow, volume, rate) = (policy.failures, policy.minimumVolume, policy.errorRate)
      guard failuresInRow >= inRow || window.volume >= volume && window.failureShare >= rate,
        mayOpen, policy.breakerEnabled
      else { return nil }
      return open(at: now, policy, jitter: jitter)
    case (.closed, .backpressure), (.closed, .neutral):
      return nil
    case (.probing, _) where !ticket.isProbe:
      return nil
    case (.probing, .success):
      close(at: now, policy)
      return .closed
    case (.probing, .failure):
      return open(at: now, policy, jitter: jitter)
    case (.probing, .backpressure), (.probing, .neutral):
      // Alive but busy, or unknown: the next request may probe. The cool-down of back-pressure is
      // kept elsewhere and delays it.
      state = .open(until: now)
      epoch &+= 1
      return nil
    case (.open, _):
      return nil
    }
  }

  /// Another loop has opened its breaker.
  mutating func follow(until: Instant) {
    openings += 1
    enterOpen(until: until)
  }

  mutating func close(at now: Instant, _ policy: borrowing PoolPolicy) {
    state = .closed
    failuresInRow = 0
    window = RollingWindow(length: policy.window, at: now)
    closedAt = now
  }

  private mutating func open(at now: Instant, _ policy: borrowing PoolPolicy, jitter: Double)
    -> BreakerChange
  {
    let base = max(1, policy.cooldown.nanoseconds)
    if isClosed { openings = max(0, openings - Int((now - closedAt).nanoseconds / base)) }
    openings += 1
    let (product, overflow) = base.multipliedReportingOverflow(by: Int64(openings))
    let limit = max(base, policy.cooldownLimit.nanoseconds)
    let length = overflow ? limit : min(product, limit)
    let extra = Int64(Double(length) * policy.cooldownJitter * jitter)
    let until = now + .nanoseconds(length) + .nanoseconds(extra)
    enterOpen(until: until)
    return .opened(until: until)
  }

  private mutating func enterOpen(until: Instant) {
    state = .open(until: until)
    epoch &+= 1
    failuresInRow = 0
  }
}
