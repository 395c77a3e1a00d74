import Balancing
import Primitives
import Telemetry
import Testing

@testable import Admin

/// How what the loops tell becomes one line per backend. A wrong merge shows a backend as fine that
/// half of the loops have given up, or an average that no loop has measured.
struct FleetReportTests {
  private let now = Instant(nanoseconds: 10 * FakeSource.second)

  private func view(
    _ ewma: Int64?, score: Double? = nil, _ breaker: MemberReading.Breaker = .closed,
    openFor: TimeAmount = .zero, ramp: Double = 1
  ) -> FleetReport.LoopView {
    var view = FleetReport.LoopView()
    view.ewma = ewma.map { .milliseconds($0) }
    view.score = score
    view.breaker = breaker
    view.openUntil = breaker == .open ? now + openFor : .zero
    view.ramp = ramp
    return view
  }

  private func summary(
    _ views: [FleetReport.LoopView?], sent: [Int] = [],
    _ change: (inout FleetReport.Member) -> Void = { _ in }
  ) -> MemberSummary {
    var member = FleetReport.Member(id: 0, name: "a", address: "127.0.0.1:1")
    member.views = views
    change(&member)
    let loops = sent.map { count in
      FakeSource.loop(Array(repeating: (member: 0, status: 200, firstByte: nil), count: count))
    }
    return MemberSummary(member, RequestCounts(loops), at: now)
  }

  @Test func averagesAreWeightedByTheRequestsOfEachLoop() {
    let merged = summary([view(100, score: 1), view(200, score: 2)], sent: [3, 1])
    #expect(merged.ewma == .milliseconds(125))
    #expect(merged.score == 1.25)
  }

  // A loop that never asked the member holds its pool's prior, which must not dilute what others saw.
  @Test func aLoopThatSentNothingDoesNotCount() {
    #expect(summary([view(100), view(9_000)], sent: [5, 0]).ewma == .milliseconds(100))
  }

  @Test func withoutRequestsAllLoopsCountTheSame() {
    #expect(summary([view(100), view(200), nil], sent: [0, 0, 0]).ewma == .milliseconds(150))
    #expect(summary([view(nil), view(200)], sent: []).ewma == .milliseconds(200))
    #expect(summary([view(nil), nil], sent: [1, 1]).ewma == nil)
    #expect(summary([view(1, score: .infinity), view(1, score: 3)]).score == 3)
    #expect(summary([]).score == nil)
  }

  @Test func theWorstBreakerIsShownWithTheLatestEnd() {
    let merged = summary([
      view(1, .open, openFor: .seconds(2)), view(1), view(1, .open, openFor: .seconds(7)),
      view(1, .halfOpen),
    ])
    #expect(merged.breaker == .open)
    #expect(merged.openUntil == now + .seconds(7))
    #expect(merged.breakerLoops == 3)
    let probing = summary([view(1), view(1, .halfOpen)])
    #expect(probing.breaker == .halfOpen)
    #expect(probing.openUntil == .zero)
  }

  @Test func theSlowestStartAndTheNewestErrorAreShown() {
    let merged = summary([view(1, ramp: 0.6), view(1, ramp: 0.3)]) {
      $0.failures = [
        .init("probe: refused", at: Instant(nanoseconds: 5)),
        .init("status 502", at: Instant(nanoseconds: 9)),
        .init("timeout", at: Instant(nanoseconds: 7)),
      ]
    }
    #expect(merged.ramp == 0.3)
    #expect(merged.lastFailure?.text == "status 502")
  }

  // The word that a person reads first: the reason that keeps requests away longest stands first.
  @Test func theStateIsTheFirstReasonThatHolds() {
    let ejected = view(1, .open, openFor: .seconds(1), ramp: 0.5)
    #expect(
      summary([ejected]) {
        $0.isDraining = true
        $0.health = .bad
      }.state == .draining)
    #expect(summary([ejected]) { $0.health = .bad }.state == .unhealthy)
    #expect(summary([ejected]) { $0.coolingUntil = .never }.state == .ejected)
    #expect(summary([view(1, .halfOpen)]) { $0.coolingUntil = .never }.state == .probing)
    #expect(summary([view(1, ramp: 0.5)]) { $0.coolingUntil = .never }.state == .cooling)
    #expect(summary([view(1, ramp: 0.5)]) { $0.coolingUntil = now }.state == .warming)
    #expect(summary([view(1)]).state == .serving)
    #expect(summary([]).state == .serving)
  }

  @Test func metricsSayTheSame() {
    let reading = summary([view(100, score: 1.5, .halfOpen)], sent: [1]) {
      $0.health = .good
      $0.inFlight = 3
      $0.probesPassed = 8
      $0.probesFailed = 1
    }.reading
    var expected = MemberReading(member: 0)
    expected.state = .healthy
    expected.breaker = .halfOpen
    expected.inFlight = 3
    expected.ewma = .milliseconds(100)
    expected.score = 1.5
    expected.probesPassed = 8
    expected.probesFailed = 1
    #expect(reading == expected)
    #expect(summary([]) { $0.isDraining = true }.reading.state == .draining)
    #expect(summary([]) { $0.health = .bad }.reading.state == .unhealthy)
    #expect(summary([]).reading.state == .unknown)
  }

  // A client that left is not the backend's error; 5xx is.
  @Test func errorsAreAnswersOfTheFiveHundreds() {
    let loops = [
      FakeSource.loop([(0, 200, nil), (0, 502, nil), (0, 0, nil)]),
      FakeSource.loop([(0, 429, nil), (2, 500, nil)]),
    ]
    let counts = RequestCounts(loops)
    #expect(counts[0].requests == 4)
    #expect(counts[0].errors == 1)
    #expect(counts[1].requests == 0)
    #expect(counts[2].errors == 1)
    #expect(counts[99].requests == 0)
    #expect(counts.sent(to: 0, byLoop: 1) == 1)
    #expect(counts.sent(to: 0, byLoop: 7) == 0)
  }

  /// One pool with a backend in trouble.
  static func troubledFleet() -> FleetReport {
    var fleet = FakeSource.quietFleet()
    let now = fleet.now
    fleet.loops = [
      FakeSource.loop([(0, 200, .milliseconds(40)), (0, 502, nil)]),
      FakeSource.loop([(0, 200, .milliseconds(60))]),
    ]
    var member = fleet.pools[0].members[0]
    member.weight = 4
    member.health = .good
    member.inFlight = 3
    member.coolingUntil = now + .microseconds(1_200_100)
    member.failures = [.init("status 502 \"odd\"", at: Instant(nanoseconds: 6_500_000_000))]
    var open = FleetReport.LoopView()
    open.ewma = .microseconds(41_250)
    open.score = 1.23456
    open.breaker = .open
    open.openUntil = now + .milliseconds(2_500)
    member.views = [open, nil]
    fleet.pools[0].members = [member]
    return fleet
  }

  // The exact text: dashboards, scripts and `portico status` hang on these names and units.
  @Test func theTextOfFleet() {
    var readiness = Readiness()
    readiness.pools = [.init(name: "chat", usable: 1)]
    readiness.lastReloadError = "p.yaml:1:1: no"
    let text = String(decoding: Self.troubledFleet().json(readiness), as: UTF8.self)
    let bounds =
      "0.001,0.0025,0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10,25,50,100,250,500,"
      + "1000,2500,5000,10000,30000,60000,120000,300000,600000"
    #expect(
      text == #"{"version":"0.1.0","at_ms":10000,"uptime_s":8,"ready":true,"draining":false,"#
        + #""reload_error":"p.yaml:1:1: no","loops":2,"open_streams":0,"open_connections":0,"#
        + #""resident_bytes":null,"bounds_ms":["# + bounds
        + #"],"pools":[{"name":"chat","policy":"weighted_score","members":[{"name":"gpu-a","#
        + #""address":"127.0.0.1:9001","weight":4,"state":"ejected","health":"healthy","#
        + #""draining":false,"breaker":"open","breaker_loops":1,"breaker_open_ms":2500,"#
        + #""cooling_ms":1201,"slow_start":1,"ewma_ms":41.25,"score":1.2346,"in_flight":3,"#
        + #""requests":3,"errors":1,"last_error":"status 502 \"odd\"","last_error_age_s":3.5,"#
        + #""ttfb_ms":{"p50":50,"p99":99},"ttfb_counts":["#
        + #"0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,0,0,0,0,0,0,0,0,0,0,0,0]}]}]}"# + "\n")
  }
}
