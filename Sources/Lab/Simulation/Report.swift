import Configuration
import Primitives

/// What a run came to.
package struct Report: Sendable, Equatable {
  package let seed: UInt64
  package let climate: Climate.Name
  package let requests: Int
  /// By name, in the order of their likelihood.
  package let outcomes: [String: Int]
  package let firstByteP50: TimeAmount
  package let firstByteP99: TimeAmount
  package let picks: Int
  package let retries: Int
  package let openings: Int
  /// Answers by place. Counts.
  package let served: [Int]
  /// Most requests that one place had at once. Count.
  package let worstQueue: Int
  package let virtualTime: TimeAmount
  package let happenings: Int
  package let events: Int
  package let traceHash: UInt64
  package let mostHeld: Int
  /// The belief that broke, when and how; nil when all held.
  package let violation: String?

  init(_ world: World, happenings: Int) {
    seed = world.scenario.seed
    climate = world.scenario.climate.name
    requests = world.requests.count
    var outcomes: [String: Int] = [:]
    var times: [Int64] = []
    for request in world.requests {
      let name: String =
        switch request.outcome {
        case nil: "open"
        case .answered(let status): status < 400 ? "answered" : "answered with an error"
        case .refused: request.isForwarded ? "refused" : "answered by the front door"
        case .cut: "cut"
        case .unanswered: "unanswered"
        case .left: "left"
        case .tunnelled: "tunnelled"
        }
      outcomes[name, default: 0] += 1
      if let first = request.firstByteAt, request.isForwarded {
        times.append((first - request.sentAt).nanoseconds)
      }
    }
    self.outcomes = outcomes
    times.sort()
    func quantile(_ share: Double) -> TimeAmount {
      times.isEmpty
        ? .zero : .nanoseconds(times[min(times.count - 1, Int(share * Double(times.count)))])
    }
    firstByteP50 = quantile(0.5)
    firstByteP99 = quantile(0.99)
    picks = world.picks
    retries = world.requests.reduce(0) { $0 + max(0, $1.attempts.count - 1) }
    openings = world.openings
    served = world.backends.map(\.served)
    worstQueue = world.backends.map(\.mostActive).max() ?? 0
    virtualTime = world.now - Instant(nanoseconds: 1_000_000_000)
    self.happenings = happenings
    events = world.trace.count
    traceHash = world.trace.hash
    mostHeld = world.mostHeld
    let seconds = virtualTime.seconds
    violation = world.violation.map { text in
      """
      seed \(world.scenario.seed), climate \(world.scenario.climate.name.rawValue), \
      at \(seconds) s: \(text)
      last events:
        \(world.trace.lastLines.joined(separator: "\n  "))
      replay: portico sim --seed \(world.scenario.seed) --climate \
      \(world.scenario.climate.name.rawValue) --requests \(world.scenario.requests) --trace
      """
    }
  }
}

/// Runs one seed.
package func simulate(
  seed: UInt64, climate: Climate.Name, requests: Int = 80, policy: BalancePolicy? = nil,
  mutation: Mutation = .none, isLoud: Bool = false
) -> Report {
  var scenario = Scenario(seed: seed, climate: climate, requests: requests, policy: policy)
  scenario.mutation = mutation
  let note = CrashNote.enter(
    "crashed in seed \(seed), climate \(climate.rawValue), requests \(requests)")
  defer { CrashNote.leave(note) }
  return World(scenario, isLoud: isLoud).run()
}
