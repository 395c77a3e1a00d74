import Primitives
import Telemetry

/// What an admitted request holds until its exchange ends.
package struct Admission: Sendable, Equatable {
  package var caller = Caller.nobody
  /// It counts among the requests in progress of its key.
  package var holdsSlot = false
  /// Tokens that were charged on an estimate.
  package var charge: RateCharge?

  package init() {}
}

extension GuardRules {
  package enum Verdict {
    case admitted(Admission)
    case refused(Refusal)
  }

  /// Whether the model may be used; nil is one that a request without a body does not name.
  package func judge(model: UnsafeRawBufferPointer, _ caller: Caller, route: Int) -> Refusal? {
    let isForbidden: Bool
    if case .key(let place) = caller, !keys.keys[place].models.isEmpty,
      !keys.keys[place].models.matches(model)
    {
      isForbidden = true
    } else {
      isForbidden = !routes[route].models.isEmpty && !routes[route].models.matches(model)
    }
    guard isForbidden else { return nil }
    var refusal = Refusal(.modelNotAllowed)
    refusal.caller = caller
    return refusal
  }

  /// Takes a request's share of everything that is limited, or nothing at all.
  ///
  /// - Parameter tokens: that it may take, prompt and completion, as far as that can be told.
  package func admit(_ caller: Caller, route: Int, tokens count: Int, at now: Instant) -> Verdict {
    var admission = Admission()
    admission.caller = caller
    let limits = limits(of: caller)
    if case .key(let place) = caller {
      guard keys.keys[place].cell.begin(limit: limits.concurrency) else {
        var refusal = Refusal(.keyConcurrency)
        refusal.caller = caller
        refusal.count = limits.concurrency
        return .refused(refusal)
      }
      admission.holdsSlot = true
    }
    let way = routes + route
    var taken: (bucket: RateBucket, limit: RateLimit, charge: RateCharge)?
    if let limit = way.pointee.limit, let bucket = way.pointee.bucket {
      let decision = bucket.take(1, limit, at: now)
      if let refusal = refusal(.routeRequestRate, decision, limit, caller, units: 1) {
        release(admission, tokens: nil, at: now)
        return .refused(refusal)
      }
      if case .admitted(let arrival) = decision {
        taken = (bucket, limit, RateCharge(units: 1, arrival: arrival))
      }
    }
    if let refusal = charge(caller, limits, tokens: count, &admission, at: now) {
      if let taken { taken.bucket.correct(taken.charge, units: 0, taken.limit, at: now) }
      release(admission, tokens: nil, at: now)
      return .refused(refusal)
    }
    return .admitted(admission)
  }

  /// The caller's own rates. Takes from none when one of them refuses.
  private func charge(
    _ caller: Caller, _ limits: CallerLimits, tokens count: Int, _ admission: inout Admission,
    at now: Instant
  ) -> Refusal? {
    var requests: RateCharge?
    if let limit = limits.requests {
      let decision = take(caller, .requests, 1, limit, at: now)
      if let refusal = refusal(.keyRequestRate, decision, limit, caller, units: 1) {
        return refusal
      }
      if case .admitted(let arrival) = decision {
        requests = RateCharge(units: 1, arrival: arrival)
      }
    }
    if let limit = limits.tokens {
      let decision = take(caller, .tokens, Int64(count), limit, at: now)
      if let refusal = refusal(.keyTokenRate, decision, limit, caller, units: count) {
        if let requests, let limit = limits.requests {
          correct(caller, .requests, requests, units: 0, limit, at: now)
        }
        return refusal
      }
      if case .admitted(let arrival) = decision {
        admission.charge = RateCharge(units: Int64(count), arrival: arrival)
      }
    }
    return nil
  }

  /// Gives back what an exchange held. Once per admission.
  ///
  /// - Parameter tokens: that it took in truth; nil when the estimate stays.
  package func release(_ admission: Admission, tokens: Int?, at now: Instant) {
    if case .key(let place) = admission.caller, admission.holdsSlot {
      keys.keys[place].cell.end()
    }
    if let charge = admission.charge, let tokens,
      let limit = limits(of: admission.caller).tokens
    {
      correct(admission.caller, .tokens, charge, units: Int64(tokens), limit, at: now)
    }
  }

  // MARK: Buckets

  package enum Measure {
    case requests
    case tokens
  }

  private func refusal(
    _ reason: TerminationReason, _ decision: RateLimit.Decision, _ limit: RateLimit,
    _ caller: Caller, units: Int
  ) -> Refusal? {
    var refusal = Refusal(reason)
    refusal.limit = limit
    refusal.caller = caller
    refusal.count = units
    switch decision {
    case .admitted: return nil
    case .refused(let wait): refusal.wait = wait
    case .impossible: break
    }
    return refusal
  }

  private func take(
    _ caller: Caller, _ measure: Measure, _ units: Int64, _ limit: RateLimit, at now: Instant
  ) -> RateLimit.Decision {
    switch caller {
    case .nobody: .admitted(arrival: 0)
    case .key(let place): bucket(place, measure).take(units, limit, at: now)
    case .token(let name):
      clients(measure)?.take(name, units, limit, at: now) ?? .admitted(arrival: 0)
    }
  }

  private func correct(
    _ caller: Caller, _ measure: Measure, _ charge: RateCharge, units: Int64, _ limit: RateLimit,
    at now: Instant
  ) {
    switch caller {
    case .nobody: break
    case .key(let place): bucket(place, measure).correct(charge, units: units, limit, at: now)
    case .token(let name): clients(measure)?.correct(name, charge, units: units, limit, at: now)
    }
  }

  private func bucket(_ place: Int, _ measure: Measure) -> RateBucket {
    measure == .requests ? keys.keys[place].requests : keys.keys[place].tokens
  }

  private func clients(_ measure: Measure) -> ClientBuckets? {
    measure == .requests ? tokens?.requests : tokens?.tokens
  }

  /// What is left of a key's rate, for the fields of an answer.
  package func standing(
    _ caller: Caller, _ measure: Measure, at now: Instant
  ) -> (limit: Int, remaining: Int, reset: TimeAmount)? {
    guard case .key(let place) = caller else { return nil }
    let limits = keys.keys[place].limits
    guard let limit = measure == .requests ? limits.requests : limits.tokens else { return nil }
    let bucket = bucket(place, measure)
    return (limit.count, bucket.remaining(limit, at: now), bucket.reset(limit, at: now))
  }
}
