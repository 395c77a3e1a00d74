import Primitives

/// What `portico status` draws: the fleet as lines of text. Pure; the command prints them.
///
/// With an earlier answer at hand, rates and quantiles are of the time between the two; without one
/// they are of the whole life of the process.
package struct StatusTable {
  package struct Style: Sendable, Equatable {
    /// Width of the terminal; nil where there is none, and lines may be as long as they are.
    package var columns: Int?
    package var isColoured: Bool

    package init(columns: Int?, isColoured: Bool) {
      self.columns = columns
      self.isColoured = isColoured
    }

    /// For a pipe or a file.
    package static var plain: Style { Style(columns: nil, isColoured: false) }
  }

  private let now: FleetView
  private let before: FleetView?
  private let style: Style
  private var lines: [String] = []

  /// - Parameter before: an earlier answer of the same process; one of another is ignored.
  package static func lines(
    _ fleet: FleetView, before: FleetView? = nil, style: Style
  ) -> [String] {
    var table = StatusTable(fleet, before, style)
    table.drawHead()
    for pool in fleet.pools { table.draw(pool) }
    return table.lines
  }

  private init(_ fleet: FleetView, _ before: FleetView?, _ style: Style) {
    now = fleet
    // A clock or an age that went back is another process, with counters of its own.
    let isComparable = before.map { $0.at < fleet.at && $0.uptime <= fleet.uptime } ?? false
    self.before = isComparable ? before : nil
    self.style = style
  }

  // MARK: What stands above

  private mutating func drawHead() {
    var facts = ["portico \(shown(now.version))", "up \(AmountText.span(now.uptime))"]
    facts.append(Self.counted(now.openStreams, "stream"))
    facts.append(Self.counted(now.openConnections, "connection"))
    facts.append(Self.counted(now.loops, "loop"))
    add(facts.joined(separator: "  "), .bold)
    if now.isDraining {
      add("draining: nothing new is taken", .yellow)
    } else if !now.isReady {
      add("not ready: a pool has no usable backend", .red)
    }
    if let error = now.reloadError {
      add("the last reload was refused; the configuration before it is in use:", .yellow)
      for line in error.split(separator: "\n") { add("  \(shown(String(line)))", .yellow) }
    }
  }

  private mutating func draw(_ pool: FleetView.Pool) {
    let changes = pool.members.map { Change($0, earlier($0, pool: pool.name)) }
    let total = changes.reduce(0) { $0 + $1.requests }
    var times = Histogram()
    for change in changes { times.merge(change.firstByte) }
    var facts = [shown(pool.name), shown(pool.policy)]
    facts.append("\(AmountText.rate(rate(total))) req/s")
    facts.append("first byte p50 \(AmountText.time(times.quantile(0.5)?.milliseconds))")
    facts.append("p99 \(AmountText.time(times.quantile(0.99)?.milliseconds))")
    add("")
    add(facts.joined(separator: "  "), .bold)
    if pool.members.isEmpty {
      add("  no backends", .yellow)
      return
    }
    let sheet = TextSheet(
      columns: columns(pool.members, changes, total: total), indent: 2, width: style.columns)
    add(sheet.header, .dim)
    for (index, member) in pool.members.enumerated() {
      add(sheet.row(index), Self.ink(member.state))
    }
  }

  private func columns(
    _ members: [FleetView.Member], _ changes: [Change], total: Int
  ) -> [TextSheet.Column] {
    let shares = changes.map { AmountText.share($0.requests, of: total) }
    // The rank says what goes first when the terminal is narrow: the highest.
    return [
      .init("BACKEND", .left, rank: 0, members.map { shown($0.name) }),
      .init("STATE", .left, rank: 0, members.map { shown($0.state) }),
      .init("SHARE", .right, rank: 4, shares),
      .init("REQ/S", .right, rank: 2, changes.map { AmountText.rate(rate($0.requests)) }),
      .init("IN FLIGHT", .right, rank: 1, members.map { "\($0.inFlight)" }),
      .init("EWMA", .right, rank: 3, members.map { AmountText.time($0.ewma) }),
      .init("P50", .right, rank: 7, changes.map { $0.quantile(0.5) }),
      .init("P99", .right, rank: 6, changes.map { $0.quantile(0.99) }),
      .init("ERRORS", .right, rank: 5, changes.map { "\($0.errors)" }),
      .init("SCORE", .right, rank: 9, members.map { AmountText.score($0.score) }),
      .init("NOTES", .rest, rank: 8, members.map { notes($0) }),
    ]
  }

  /// How long the state lasts or how far it has come, and what went wrong last.
  private func notes(_ member: FleetView.Member) -> String {
    var notes: [String] = []
    switch member.state {
    case "ejected":
      if let open = member.breakerOpen { notes.append("probe in \(AmountText.span(open / 1e3))") }
      if member.breakerLoops < now.loops {
        notes.append("on \(member.breakerLoops) of \(now.loops) loops")
      }
    case "cooling":
      if let cooling = member.cooling { notes.append("\(AmountText.span(cooling / 1e3)) more") }
    case "warming":
      notes.append("slow start \(Int((member.slowStart * 100).rounded())) %")
    default: break
    }
    if let error = member.lastError {
      let age = member.lastErrorAge.map { "\(AmountText.span($0)) ago: " } ?? ""
      notes.append(age + shown(error))
    }
    return notes.joined(separator: "; ")
  }

  // MARK: Since the earlier answer

  private struct Change {
    let requests: Int
    let errors: Int
    let firstByte: Histogram

    init(_ now: FleetView.Member, _ before: FleetView.Member?) {
      requests = max(0, now.requests - (before?.requests ?? 0))
      errors = max(0, now.errors - (before?.errors ?? 0))
      var times = now.firstByte
      if let before {
        for bucket in 0..<(Histogram.boundCount + 1) {
          let old = before.firstByte.counts[bucket]
          times.counts[bucket] -= min(old, times.counts[bucket])
        }
      }
      firstByte = times
    }

    func quantile(_ share: Double) -> String {
      AmountText.time(firstByte.quantile(share)?.milliseconds)
    }
  }

  private func earlier(_ member: FleetView.Member, pool: String) -> FleetView.Member? {
    before?.pools.first { $0.name == pool }?.members.first { $0.name == member.name }
  }

  private func rate(_ requests: Int) -> Double? {
    let seconds = before.map { (now.at - $0.at) / 1e3 } ?? now.uptime
    return seconds > 0 ? Double(requests) / seconds : nil
  }

  // MARK: Lines

  private enum Ink: String {
    case plain = ""
    case bold = "1"
    case dim = "2"
    case red = "31"
    case yellow = "33"
  }

  private static func ink(_ state: String) -> Ink {
    switch state {
    case "ejected", "unhealthy": .red
    case "cooling", "probing": .yellow
    case "draining": .dim
    default: .plain
    }
  }

  private mutating func add(_ text: String, _ ink: Ink = .plain) {
    let cut = style.columns.map { TextSheet.cut(text, to: $0) } ?? text
    let isColoured = style.isColoured && ink != .plain && !cut.isEmpty
    lines.append(isColoured ? "\u{1b}[\(ink.rawValue)m\(cut)\u{1b}[0m" : cut)
  }

  private static func counted(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
  }
}
