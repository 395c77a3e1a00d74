import HTTP
import Primitives
import Testing

@testable import Telemetry

struct PrometheusTextTests {
  private static func names() -> MetricNames {
    var names = MetricNames()
    names.listeners = ["127.0.0.1:8080"]
    names.routes = ["chat", "embed"]
    names.pools = ["gpu", "cpu"]
    names.members = [
      .init(pool: 0, name: "10.0.0.1:9001"), .init(pool: 0, name: "10.0.0.2:9001"),
      .init(pool: 1, name: "10.0.0.3:9001"),
    ]
    names.rejections = ["bad_start_line", "bad_field"]
    return names
  }

  private static func record(_ member: Int32, _ status: UInt16) -> RequestRecord {
    var record = RequestRecord()
    record.listener = 0
    record.route = 0
    record.pool = 0
    record.member = member
    record.status = status
    record.attempts = 1
    record.queue = .microseconds(30)
    record.connect = .microseconds(200)
    record.firstByte = .milliseconds(80)
    record.duration = .seconds(2)
    record.added = .microseconds(42)
    return record
  }

  private static func encode(
    _ snapshots: [MetricsSnapshot], _ names: MetricNames, _ members: [MemberReading] = []
  ) throws -> PrometheusParser {
    var control = ControlReading()
    control.version = "0.1"
    return try PrometheusParser(
      PrometheusText.encode(
        snapshots: snapshots, names: names, members: members, control: control,
        process: .read(startSeconds: 1_764_032_082.5)))
  }

  // The whole text passes the strict reader, and every family that the catalogue promises is there,
  // also before the first request: dashboards are built on an idle proxy.
  @Test func anIdleProxyShowsEveryFamily() throws {
    let text = try Self.encode([], Self.names())
    #expect(text.order == Metric.all.map { $0.name.description })
    #expect(text.value("portico_build_info", ["version": "0.1"]) == 1)
    #expect(text.value("process_start_time_seconds") == 1_764_032_082.5)
    #expect(text.value("portico_open_connections", ["listener": "127.0.0.1:8080"]) == 0)
    #expect(
      text.value(
        "portico_time_to_first_byte_seconds_count", ["pool": "cpu", "backend": "10.0.0.3:9001"])
        == 0)
    #expect((text.value("process_resident_memory_bytes") ?? 0) > 1_000_000)
    #expect((text.value("process_open_fds") ?? 0) > 2)
  }

  // Two loops that served the same member must add up; each loop's turns stay its own.
  @Test func loopsAreMergedAndTurnsAreNot() throws {
    var one = LoopMetrics()
    var two = LoopMetrics()
    one.requestFinished(Self.record(0, 200))
    two.requestFinished(Self.record(0, 200))
    two.requestFinished(Self.record(1, 503))
    one.turnEnded(.microseconds(7))
    two.turnEnded(.seconds(3))
    one.connectionOpened(listener: 0)
    two.connectionOpened(listener: 0)
    two.connectionOpened(listener: 0)
    // Handed over from loop two and closed by loop one.
    one.connectionClosed(listener: 0)
    one.connectionClosed(listener: 0)
    one.moved(1_000, .fromClient)
    two.moved(24, .fromClient)
    one.retried(pool: 0, reason: .connectRefused)
    two.retryBudgetExhausted(pool: 1)
    two.breakerEntered(.open, member: 1)
    two.rejected(1)
    two.upstreamConnection(from: nil, to: .connecting)
    two.upstreamConnection(from: .connecting, to: .active)
    one.limitReached(.retryBody)
    one.acceptPaused()
    one.glitched()
    one.streamOpened()
    two.streamOpened()
    one.streamEnded()
    var reading = MemberReading(member: 1)
    reading.inFlight = 3
    reading.ewma = .milliseconds(125)
    reading.score = 0.1
    reading.state = .healthy
    reading.breaker = .open
    reading.probesFailed = 2
    let text = try Self.encode([one.snapshot(), two.snapshot()], Self.names(), [reading])

    let first = ["route": "chat", "pool": "gpu", "backend": "10.0.0.1:9001"]
    let second = ["route": "chat", "pool": "gpu", "backend": "10.0.0.2:9001"]
    let member = ["pool": "gpu", "backend": "10.0.0.2:9001"]
    func of(_ labels: [String: String], _ key: String, _ value: String) -> [String: String] {
      labels.merging([key: value]) { $1 }
    }
    #expect(text.value("portico_requests_total", of(first, "code_class", "2xx")) == 2)
    #expect(text.value("portico_requests_total", of(first, "code_class", "5xx")) == 0)
    #expect(text.value("portico_requests_total", of(second, "code_class", "5xx")) == 1)
    #expect(text.value("portico_request_duration_seconds_sum", ["route": "chat"]) == 6)
    #expect(
      text.value("portico_request_duration_seconds_bucket", ["route": "chat", "le": "2.5"]) == 3)
    #expect(
      text.value("portico_request_duration_seconds_bucket", ["route": "chat", "le": "1"]) == 0)
    #expect(text.value("portico_queue_seconds_bucket", ["pool": "gpu", "le": "0.0001"]) == 3)
    #expect(text.value("portico_connect_seconds_count", ["pool": "gpu"]) == 3)
    #expect(text.value("portico_added_latency_seconds_bucket", ["le": "0.000025"]) == 0)
    #expect(text.value("portico_added_latency_seconds_bucket", ["le": "0.00005"]) == 3)
    #expect(text.value("portico_loop_turn_seconds_bucket", ["loop": "0", "le": "0.00001"]) == 1)
    #expect(text.value("portico_loop_turn_seconds_bucket", ["loop": "1", "le": "1"]) == 0)
    #expect(text.value("portico_loop_turn_seconds_bucket", ["loop": "1", "le": "+Inf"]) == 1)
    #expect(text.value("portico_connections_total", ["listener": "127.0.0.1:8080"]) == 3)
    #expect(text.value("portico_open_connections", ["listener": "127.0.0.1:8080"]) == 1)
    #expect(text.value("portico_bytes_total", ["direction": "from_client"]) == 1_024)
    #expect(text.value("portico_retries_total", ["pool": "gpu", "reason": "connect_refused"]) == 1)
    #expect(text.value("portico_retry_budget_exhausted_total", ["pool": "cpu"]) == 1)
    #expect(text.value("portico_breaker_transitions_total", of(member, "to", "open")) == 1)
    #expect(text.value("portico_breaker_state", of(member, "state", "open")) == 1)
    #expect(text.value("portico_breaker_state", of(member, "state", "closed")) == 0)
    #expect(text.value("portico_backend_state", of(member, "state", "healthy")) == 1)
    #expect(text.value("portico_backend_in_flight", member) == 3)
    #expect(text.value("portico_backend_ewma_seconds", member) == 0.125)
    #expect(text.value("portico_backend_score", member) == 0.1)
    #expect(text.value("portico_health_probes_total", of(member, "result", "failed")) == 2)
    #expect(text.value("portico_rejections_total", ["reason": "bad_field"]) == 1)
    #expect(text.value("portico_upstream_connections", ["state": "connecting"]) == 0)
    #expect(text.value("portico_upstream_connections", ["state": "active"]) == 1)
    #expect(text.value("portico_limit_reached_total", ["limit": "retry_body"]) == 1)
    #expect(text.value("portico_accept_paused_total") == 1)
    #expect(text.value("portico_glitches_total") == 1)
    #expect(text.value("portico_open_streams") == 1)
    #expect(
      text.value("portico_terminations_total", ["source": "none", "reason": "completed"]) == 3)
    #expect(
      text.value("portico_upstream_attempts_total", ["pool": "gpu", "connection": "new"]) == 3)
  }

  // A backend's name comes from a file; one quote in it must not void the whole scrape.
  @Test func namesAreEscaped() throws {
    var names = MetricNames()
    names.pools = ["a\"b\\c\nd"]
    names.members = [.init(pool: 0, name: "gpu {é}, \"1\"")]
    let text = try Self.encode([], names, [MemberReading(member: 0)])
    #expect(
      text.value(
        "portico_backend_in_flight", ["pool": "a\"b\\c\nd", "backend": "gpu {é}, \"1\""]) == 0)
  }

  // After a reload removed a member its series end; those of others, and of requests that never
  // reached one, stay.
  @Test func whatAReloadRemovedIsNotShown() throws {
    var loop = LoopMetrics()
    loop.requestFinished(Self.record(0, 200))
    loop.requestFinished(Self.record(1, 200))
    var lost = RequestRecord()
    lost.reason = .noRoute
    lost.status = 404
    loop.requestFinished(lost)
    var gone = Self.record(RequestRecord.none, 0)
    gone.reason = .clientClosed
    loop.requestFinished(gone)
    var names = Self.names()
    names.members[0] = nil
    names.routes[1] = nil
    let readings = [MemberReading(member: 0), MemberReading(member: 9)]
    let text = try Self.encode([loop.snapshot()], names, readings)
    for family in text.families.values {
      for sample in family.samples { #expect(sample.labels["backend"] != "10.0.0.1:9001") }
    }
    #expect(
      text.value(
        "portico_requests_total",
        ["route": "", "pool": "", "backend": "", "code_class": "4xx"]) == 1)
    #expect(
      text.value(
        "portico_requests_total",
        ["route": "chat", "pool": "gpu", "backend": "", "code_class": "none"]) == 1)
  }

  // A tunnel of an hour would push every quantile of the route to its end.
  @Test func tunnelsDoNotCountAsDurations() {
    var loop = LoopMetrics()
    var tunnel = Self.record(0, 101)
    tunnel.isUpgrade = true
    loop.requestFinished(tunnel)
    #expect(loop.snapshot().routes[0].duration.count == 0)
    #expect(loop.snapshot().members[0].firstByte.count == 1)
  }

  // The reader that judges all of the above must itself refuse what it should.
  @Test(arguments: [
    ("# HELP a_total A.\n# TYPE a_total counter\na_total 1\na_total 1\n", "twice: a_total"),
    ("# HELP a A.\n# TYPE a counter\na 1\n", "a: no _total"),
    ("a 1\n", "sample first: a 1"),
    ("# HELP a A.\n# TYPE a gauge\nb 1\n", "b stands in the family a"),
    ("# HELP a A.\n# TYPE a gauge\na{b=\"1\"} x\n", "bad value: a{b=\"1\"} x"),
    (
      "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
      "a: the last bucket is not +Inf with the count"
    ),
  ])
  func theReaderIsStrict(text: String, complaint: String) {
    #expect(throws: PrometheusParser.Complaint(description: complaint)) {
      try PrometheusParser(Array(text.utf8))
    }
  }
}
