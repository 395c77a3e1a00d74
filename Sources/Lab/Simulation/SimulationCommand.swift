import Configuration
import Primitives

/// `portico sim`: the fleet in a bottle.
package enum SimulationCommand {
  private static let help = """
    usage: portico sim [--seed N] [--seeds COUNT] [--climate NAME] [--requests N] [--policy NAME]
                       [--trace] [--mutate NAME] [--compare]

    Runs the front door against simulated clients, backends and networks in virtual time. Everything
    follows from the seed. Beliefs that must always hold are checked all the time; the first one that
    breaks is printed with what led to it, and the exit status is 1.

      --seed N         the first seed (default 1)
      --seeds COUNT    so many seeds from there on (default 1)
      --climate NAME   calm, busy, flaky, hostile, slow, reload or chaos (default: each seed its own)
      --requests N     requests per seed (default 200)
      --policy NAME    weighted_score, round_robin, random, least_request, power_of_two, peak_ewma,
                       hot_cold or consistent_hash (default: each pool its own)
      --trace          print every event and effect
      --mutate NAME    make a mistake on purpose, which must be found:
                       \(Mutation.allCases.map(\.rawValue).joined(separator: ", "))
      --compare        run all policies on the same uneven fleet and arrivals, and print a score card
      --help           this text

    """

  private struct Usage: Error {
    let text: String
  }

  private struct Options {
    var seed: UInt64 = 1
    var seeds = 1
    var climate: Climate.Name?
    var requests = 200
    var policy: BalancePolicy?
    var isLoud = false
    var mutation = Mutation.none
    var compares = false
    var wantsHelp = false
  }

  /// - Returns: the exit status: 0, 1 when a belief broke, 2 for wrong usage.
  package static func run(arguments: [String]) -> Int32 {
    let options: Options
    do throws(Usage) {
      options = try parse(arguments)
    } catch {
      complain("portico sim: \(error.text)\nTry 'portico sim --help'.\n")
      return 2
    }
    if options.wantsHelp {
      print(help, terminator: "")
      return 0
    }
    if options.compares {
      print(Comparison(seed: options.seed, requests: options.requests).text, terminator: "")
      return 0
    }
    return simulate(options)
  }

  /// Each seed its own climate, in turn.
  package static func climate(of seed: UInt64) -> Climate.Name {
    Climate.Name.allCases[Int(seed % UInt64(Climate.Name.allCases.count))]
  }

  private static func simulate(_ options: Options) -> Int32 {
    var total = Total()
    for seed in options.seed..<(options.seed &+ UInt64(options.seeds)) {
      let report = Simulation.simulate(
        seed: seed, climate: options.climate ?? climate(of: seed), requests: options.requests,
        policy: options.policy, mutation: options.mutation, isLoud: options.isLoud)
      if let violation = report.violation {
        print(violation)
        return 1
      }
      total.add(report)
    }
    print(total.text(single: options.seeds == 1), terminator: "")
    return 0
  }

  private static func parse(_ arguments: [String]) throws(Usage) -> Options {
    var options = Options()
    var rest = arguments[...]
    func value(_ name: String) throws(Usage) -> String {
      guard let value = rest.popFirst() else { throw Usage(text: "'\(name)' needs a value") }
      return value
    }
    func number(_ name: String, _ range: ClosedRange<UInt64>) throws(Usage) -> UInt64 {
      let text = try value(name)
      guard let number = UInt64(text), range.contains(number) else {
        throw Usage(
          text: "'\(name) \(text)': not a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }
    func choice<T>(_ name: String, _ choices: [T], _ label: (T) -> String) throws(Usage) -> T {
      let text = try value(name)
      guard let choice = choices.first(where: { label($0) == text }) else {
        throw Usage(
          text: "'\(name) \(text)': not one of \(choices.map(label).joined(separator: ", "))")
      }
      return choice
    }
    while let argument = rest.popFirst() {
      switch argument {
      case "--help", "-h": options.wantsHelp = true
      case "--seed": options.seed = try number(argument, 0...(1 << 62))
      case "--seeds": options.seeds = Int(try number(argument, 1...100_000_000))
      case "--requests": options.requests = Int(try number(argument, 1...1_000_000))
      case "--climate":
        options.climate = try choice(argument, Climate.Name.allCases) { $0.rawValue }
      case "--policy":
        options.policy = try choice(argument, BalancePolicy.allCases) { $0.rawValue }
      case "--mutate":
        options.mutation = try choice(argument, Mutation.allCases) { $0.rawValue }
      case "--trace": options.isLoud = true
      case "--compare": options.compares = true
      default: throw Usage(text: "unknown option '\(argument)'")
      }
    }
    return options
  }
}

/// The sum of several runs, for people.
private struct Total {
  private var runs = 0
  private var requests = 0
  private var outcomes: [String: Int] = [:]
  private var picks = 0
  private var retries = 0
  private var openings = 0
  private var events = 0
  private var seconds = 0.0
  private var last: Report?
  private var hash: UInt64 = 0

  mutating func add(_ report: Report) {
    runs += 1
    requests += report.requests
    outcomes.merge(report.outcomes, uniquingKeysWith: +)
    picks += report.picks
    retries += report.retries
    openings += report.openings
    events += report.events
    seconds += report.virtualTime.seconds
    hash = hash &* 31 &+ report.traceHash
    last = report
  }

  func text(single: Bool) -> String {
    var rows: [(String, String)] = []
    if single, let last {
      rows.append(("seed", "\(last.seed), climate \(last.climate.rawValue)"))
    } else {
      rows.append(("seeds", "\(runs)"))
    }
    rows.append(("requests", "\(requests) in \(Int(seconds)) s of virtual time"))
    for (name, count) in outcomes.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
      rows.append(("  " + name, "\(count)"))
    }
    rows.append(("attempts", "\(picks), of which retries \(retries)"))
    rows.append(("breakers opened", "\(openings)"))
    if single, let last {
      rows.append(
        (
          "time to first byte",
          "p50 \(milliseconds(last.firstByteP50)) ms, p99 \(milliseconds(last.firstByteP99)) ms"
        ))
    }
    rows.append(("events and effects", "\(events)"))
    rows.append(("trace", String(hash, radix: 16)))
    return rows.map { name, value in
      name + String(repeating: " ", count: max(1, 28 - name.count)) + value + "\n"
    }.joined()
  }
}

/// With one digit behind the point.
func milliseconds(_ amount: TimeAmount) -> String {
  let tenths = (amount.nanoseconds + 50_000) / 100_000
  return "\(tenths / 10).\(tenths % 10)"
}
