import Balancing
import Glibc
import Primitives
import Testing

/// Numbers, not verdicts: `PORTICO_BENCH=1 swift test -c release --filter BalancingTests.Benchmark`.
@Suite(.enabled(if: getenv("PORTICO_BENCH") != nil), .serialized)
struct Benchmark {
  /// What a pick, a first byte and an end cost, for each rule and size of pool. Blocks of 64 picks,
  /// 64 first bytes and 64 ends take turns; of 10,000 blocks the lower quartile is shown, because a
  /// busy machine only adds. The clock advances by 10 us per pick, as at 100,000 requests per second.
  @Test(arguments: [4, 64, 1_000], [false, true])
  func costs(members: Int, weighted: Bool) {
    for rule in PoolPolicy.Rule.allCases {
      let weights = (0..<members).map { weighted ? 1 + $0 % 4 : 1 }
      var stage = Stage(members, weights: weights) { $0.rule = rule }
      var tickets = Array(repeating: Ticket.none, count: 64)
      var blocks: [(pick: Int64, answer: Int64, end: Int64)] = []
      var key: UInt64 = 0
      for _ in 0..<10_000 {
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
        blocks.append((picked - start, answered - picked, nanoseconds() - answered))
      }
      /// The quartile: half of the samples of a busy machine are somebody else's work.
      func quartile(_ part: KeyPath<(pick: Int64, answer: Int64, end: Int64), Int64>) -> Int64 {
        blocks.map { $0[keyPath: part] }.sorted()[blocks.count / 4] / 64
      }
      print(
        "\(members) members, \(weighted ? "weights 1 to 4" : "equal weights"), \(rule): "
          + "pick \(quartile(\.pick)) ns, first byte \(quartile(\.answer)) ns, "
          + "end \(quartile(\.end)) ns")
    }
  }

  /// What the rare work costs: a pick that brings all estimates up to date (ten a second), a reload
  /// that changes nothing, and one that makes the hash ring anew.
  @Test(arguments: [64, 1_000])
  func upkeep(members: Int) {
    var stage = Stage(members) { $0.rule = .consistentHash }
    var best = (sweep: Int64.max, same: Int64.max, other: Int64.max)
    for round in 0..<20 {
      for _ in 0..<64 {
        stage.finish(stage.ticket(key: stage.random.next()), .success, firstByte: .seconds(1))
      }
      stage.wait(.seconds(1))
      let start = nanoseconds()
      let ticket = stage.ticket(key: 1)
      best.sweep = min(best.sweep, nanoseconds() - start)
      stage.finish(ticket, .success)
      let specs = stage.names.indices.map {
        MemberSpec(name: stage.names[$0], weight: 1, cell: stage.cells[$0])
      }
      let first = round % 2 == 0 ? specs : specs.dropLast()
      let second = round % 2 == 1 ? specs : specs.dropLast()
      stage.pool.apply(policy: stage.pool.policy, members: first, at: stage.now)
      let again = nanoseconds()
      stage.pool.apply(policy: stage.pool.policy, members: first, at: stage.now)
      let change = nanoseconds()
      stage.pool.apply(policy: stage.pool.policy, members: second, at: stage.now)
      best.other = min(best.other, nanoseconds() - change)
      best.same = min(best.same, change - again)
    }
    print(
      "\(members) members: pick with sweep \(best.sweep) ns, same reload \(best.same / 1_000) us, "
        + "other reload \(best.other / 1_000) us")
  }

  /// How the rules fare on the same fleet and the same arrivals: four members, one of them five times
  /// slower. At 26 requests per second that one can bear an even share, at 85 (two thirds of what
  /// they can do together) it cannot.
  @Test(arguments: [1, 4], [26.0, 85.0])
  func rulesCompared(loops: Int, rate: Double) {
    for rule in PoolPolicy.Rule.allCases where rule != .consistentHash {
      var policy = PoolPolicy()
      policy.rule = rule
      var fleet = FakeFleet(
        [100, 100, 100, 500].map { FakeFleet.Member(service: $0) }, rate: rate, policy: policy,
        loops: loops, seed: 7)
      fleet.run(requests: 50_000)
      print(
        "\(loops) loops, \(Int(rate))/s, \(rule): p50 \(Int(fleet.percentile(0.5))) ms, "
          + "p99 \(Int(fleet.percentile(0.99))) ms, picks \(fleet.counts)")
    }
  }

  private func nanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
