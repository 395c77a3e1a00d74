import Balancing
import Configuration

/// What the operator wrote, as the balancer understands it.
extension PoolPolicy {
  package init(_ pool: PoolSettings) {
    self.init()
    rule =
      switch pool.balance.policy {
      case .weightedScore: .weightedScore
      case .roundRobin: .roundRobin
      case .random: .random
      case .leastRequest: .leastRequest
      case .powerOfTwo: .powerOfTwo
      case .peakEWMA: .peakEWMA
      case .hotCold: .hotCold
      case .consistentHash: .consistentHash
      }
    alpha = pool.balance.alpha
    beta = pool.balance.beta
    units = pool.balance.units == .relative ? .relative : .raw
    latency = pool.balance.latency == .firstByte ? .firstByte : .full
    tau = pool.balance.tau
    slowStart = pool.balance.slowStart
    hotQuantile = pool.balance.hotQuantile
    hashBound = pool.balance.hashBound
    breakerEnabled = pool.breaker.enabled
    failures = pool.breaker.failures
    errorRate = pool.breaker.errorRate
    window = pool.breaker.window
    minimumVolume = pool.breaker.minimumVolume
    cooldown = pool.breaker.cooldown
    backpressure = pool.breaker.backpressure
    backpressureLimit = pool.breaker.backpressureLimit
    maxEjected = pool.breaker.maxEjected
    panicThreshold = pool.breaker.panicThreshold
  }
}
