import Configuration
import Primitives

/// All policies on the same fleet with the same arrivals: how fast and how even they are.
struct Comparison {
  private struct Card {
    let policy: BalancePolicy
    let report: Report
    let share: [Double]
  }

  private var cards: [Card] = []
  private let slowness: [Double]
  private let rate: Double

  /// Members: two fast, two middling, one slow, one very slow.
  private static let fleet = [1.0, 1.0, 1.5, 1.5, 3.0, 6.0]

  init(seed: UInt64, requests: Int) {
    slowness = Self.fleet
    // A place alone needs 30 ms times its slowness, and a quarter more for each request beside it. At
    // this rate the fleet has about ten requests at once: choosing well matters, and it still copes.
    rate = 100
    for policy in BalancePolicy.allCases {
      var scenario = Scenario(seed: seed, climate: .calm, requests: requests, policy: policy)
      scenario.climate = Self.climate
      scenario.slowness = Self.fleet + [1, 1]
      scenario.slope = [Double](repeating: 0.25, count: Scenario.places)
      scenario.openArrivals = .nanoseconds(Int64(1e9 / rate))
      scenario.settings = Self.settings(policy)
      scenario.streamShare = 0
      let report = World(scenario).run()
      let total = Double(max(1, report.served.reduce(0, +)))
      cards.append(
        Card(
          policy: policy, report: report,
          share: report.served.prefix(Self.fleet.count).map { Double($0) / total }))
    }
  }

  private static var climate: Climate {
    var climate = Climate(.calm)
    climate.service = .milliseconds(30) ... .milliseconds(30)
    climate.latency = .microseconds(100) ... .microseconds(200)
    climate.jittery = 0
    climate.ownAnswers = 0
    climate.behindBalancer = 0
    climate.pipelining = 0
    climate.tunnel = 0
    climate.http10 = 0
    climate.bigBody = 0
    climate.bigAnswer = 0
    climate.expectContinue = 0
    climate.interim = 0
    climate.streaming = 0
    climate.drainsEarly = 0
    return climate
  }

  private static func settings(_ policy: BalancePolicy) -> Settings {
    var settings = Settings()
    var listener = ListenerSettings()
    listener.name = "door"
    settings.listeners = [listener]
    var pool = PoolSettings()
    pool.name = "pool0"
    pool.backends = fleet.indices.map { Scenario.member($0) }
    pool.balance.policy = policy
    if policy == .consistentHash { pool.balance.hashKey = .header("x-sim-user") }
    settings.pools = [pool]
    settings.routes = [Scenario.route("all", .any, .pool("pool0"))]
    return settings
  }

  func firstByteP99(of policy: BalancePolicy) -> TimeAmount? {
    cards.first { $0.policy == policy }?.report.firstByteP99
  }

  /// The score card.
  var text: String {
    var lines = [
      "\(cards.first?.report.requests ?? 0) requests, \(Int(rate)) a second, six members whose "
        + "slowness is \(slowness.map { "\($0)" }.joined(separator: " "))",
      "",
      column("policy", 18) + column("p50 ms", 10) + column("p99 ms", 10) + column("worst queue", 13)
        + "share of the members, per cent",
    ]
    for card in cards.sorted(by: { $0.report.firstByteP99 < $1.report.firstByteP99 }) {
      lines.append(
        column(card.policy.rawValue, 18) + column(milliseconds(card.report.firstByteP50), 10)
          + column(milliseconds(card.report.firstByteP99), 10)
          + column("\(card.report.worstQueue)", 13)
          + card.share.map { column("\(Int(($0 * 100).rounded()))", 5) }.joined())
      if let violation = card.report.violation { lines.append(violation) }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func column(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}
