import Balancing
import Glibc
import Primitives
import Testing

/// Numbers, not verdicts: `PORTICO_BENCH=1 swift test -c release --filter BalancingTests.Benchmark`.
@Suite(.enabled(if: getenv("PORTICO_BENCH") != nil), .serialized)
struct Benchmark {
  /// What a pick, a first byte and an end cost, for each rule and size of pool. Blocks of 64 picks,
  /// 64 first bytes and 64 ends take turns; the best of ten rounds counts. The clock advances by
  /// 10 us per pick, so that sweeps and fading cost what they do at 100,000 requests per second.
  @Test(arguments: [4, 64, 1_000], [false, true])
  func costs(members: Int, weighted: Bool) {
    for rule in PoolPolicy.Rule.allCases {
      let weights = (0..<members).map { weighted ? 1 + $0 % 4 : 1 }
      var stage = Stage(members, weights: weights) { $0.rule = rule }
      var tickets = Array(repeating: Ticket.none, count: 64)
      var best = (pick: Int64.max, answer: Int64.max, end: Int64.max)
      var key: UInt64 = 0
      for _ in 0..<10 {
        var sums = (pick: Int64(0), answer: Int64(0), end: Int64(0))
        for _ in 0..<1_000 {
          let start = nanoseconds()
          for index in 0..<64 {
            stage.now = stage.now + .microseconds(10)
            key &+= 0x9e37_79b9_7f4a_7c15
            tickets[index] = stage.ticket(key: key)
          }
          let picked = nanoseconds()
          for index in 0..<64 {
            let latency = TimeAmount.microseconds(Int64(20_000 + tickets[index].slot % 7))
            stage.pool.firstByte(&tickets[index], latency: latency, isHealthy: true, at: stage.now)
          }
          let answered = nanoseconds()
          for index in 0..<64 { stage.finish(tickets[index], .success) }
          sums.pick += picked - start
          sums.answer += answered - picked
          sums.end += nanoseconds() - answered
        }
        best.pick = min(best.pick, sums.pick)
        best.answer = min(best.answer, sums.answer)
        best.end = min(best.end, sums.end)
      }
      let count: Int64 = 64_000
      print(
        "\(members) members, \(weighted ? "weights 1 to 4" : "equal weights"), \(rule): "
          + "pick \(best.pick / count) ns, first byte \(best.answer / count) ns, "
          + "end \(best.end / count) ns")
    }
  }

  /// How the rules fare on the same fleet and the same arrivals: four members, one of them five times
  /// slower, at two thirds of their capacity.
  @Test(arguments: [1, 4])
  func rulesCompared(loops: Int) {
    for rule in PoolPolicy.Rule.allCases where rule != .consistentHash {
      var policy = PoolPolicy()
      policy.rule = rule
      var fleet = FakeFleet(
        [100, 100, 100, 500].map { FakeFleet.Member(service: $0) }, rate: 85, policy: policy,
        loops: loops, seed: 7)
      fleet.run(requests: 50_000)
      print(
        "\(loops) loops, \(rule): p50 \(Int(fleet.percentile(0.5))) ms, "
          + "p99 \(Int(fleet.percentile(0.99))) ms, picks \(fleet.counts)")
    }
  }

  private func nanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
