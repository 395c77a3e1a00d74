import JSON
import Primitives
import Testing

@testable import Admin

/// What `portico status` draws, to the character. A table that wraps or a column that lies is
/// worse than none at night.
struct StatusTableTests {
  /// Counters as of `at` seconds: 40 requests per second to `gpu-a`, 10 to `gpu-b-west`.
  private func fleet(at seconds: Int, change: (inout JSONText) -> Void = { _ in }) throws
    -> FleetView
  {
    var text = JSONText()
    text.object { text in
      text.put("version", "0.1.0")
      text.put("at_ms", seconds * 1_000)
      text.put("uptime_s", Double(seconds), places: 0)
      text.put("ready", true)
      text.put("draining", false)
      text.put("reload_error", String?.none)
      text.put("loops", 2)
      text.put("open_streams", 31)
      text.put("open_connections", 1)
      text.array("pools") { text in
        text.object { text in
          text.put("name", "chat")
          text.put("policy", "weighted_score")
          text.array("members") { text in
            member(&text, "gpu-a", "serving", sent: 40 * seconds, bucket: 14, ewma: 51.26)
            member(&text, "gpu-b-west", "warming", sent: 10 * seconds, bucket: 18, ewma: 1_240)
            member(
              &text, "gpu-c", "ejected", sent: 7, bucket: 11, ewma: 640, errors: 7,
              error: "status 502: connection reset by peer while reading the head")
            member(&text, "gpu-d", "draining", sent: 0, bucket: 0, ewma: nil)
          }
        }
        text.object { text in
          text.put("name", "empty")
          text.put("policy", "random")
          text.array("members") { _ in }
        }
      }
    }
    return try FleetView(JSONValue(text.bytes))
  }

  private func member(
    _ text: inout JSONText, _ name: String, _ state: String, sent: Int, bucket: Int, ewma: Double?,
    errors: Int = 0, error: String? = nil
  ) {
    text.object { text in
      text.put("name", name)
      text.put("state", state)
      text.put("in_flight", name == "gpu-a" ? 4 : 0)
      text.put("ewma_ms", ewma, places: 3)
      text.put("score", ewma.map { $0 / 100 }, places: 4)
      text.put("slow_start", state == "warming" ? 0.4 : 1, places: 3)
      text.put("breaker_loops", state == "ejected" ? 1 : 0)
      text.put("breaker_open_ms", state == "ejected" ? 7_600 : nil)
      text.put("cooling_ms", Int?.none)
      text.put("requests", sent)
      text.put("errors", errors)
      text.put("last_error", error)
      text.put("last_error_age_s", error.map { _ in 3.4 }, places: 1)
      text.array("ttfb_counts") { text in
        for index in 0..<28 { text.value(index == bucket ? sent : 0) }
      }
    }
  }

  private func draw(
    _ fleet: FleetView, before: FleetView? = nil, columns: Int? = nil, colour: Bool = false
  ) -> String {
    StatusTable.lines(fleet, before: before, style: .init(columns: columns, isColoured: colour))
      .joined(separator: "\n")
  }

  @Test func aPipeGetsEverything() throws {
    #expect(
      draw(try fleet(at: 7_500)) == """
        portico 0.1.0  up 2 h 5 min  31 streams  1 connection  2 loops

        chat  weighted_score  50 req/s  first byte p50 41 ms  p99 975 ms
          BACKEND     STATE     SHARE  REQ/S  IN FLIGHT    EWMA     P50     P99  ERRORS  SCORE  NOTES
          gpu-a       serving    80 %     40          4   51 ms   38 ms   50 ms       0   0.51
          gpu-b-west  warming    20 %     10          0  1.24 s  750 ms  995 ms       0  12.40  slow start 40 %
          gpu-c       ejected     0 %    0.0          0  640 ms  3.8 ms  5.0 ms       7   6.40  probe in 8 s; on 1 of 2 loops; 3 s ago: status 502: connection reset by peer while reading the head
          gpu-d       draining    0 %    0.0          0       -       -       -       0      -

        empty  random  0.0 req/s  first byte p50 -  p99 -
          no backends
        """)
  }

  @Test func twoAnswersMakeRatesOfTheTimeBetween() throws {
    #expect(
      draw(try fleet(at: 110), before: try fleet(at: 100), columns: 120) == """
        portico 0.1.0  up 1 min  31 streams  1 connection  2 loops

        chat  weighted_score  50 req/s  first byte p50 41 ms  p99 975 ms
          BACKEND     STATE     SHARE  REQ/S  IN FLIGHT    EWMA     P50     P99  ERRORS  SCORE  NOTES
          gpu-a       serving    80 %     40          4   51 ms   38 ms   50 ms       0   0.51
          gpu-b-west  warming    20 %     10          0  1.24 s  750 ms  995 ms       0  12.40  slow start 40 %
          gpu-c       ejected     0 %    0.0          0  640 ms       -       -       0   6.40  probe in 8 s; on 1 of 2 loops; …
          gpu-d       draining    0 %    0.0          0       -       -       -       0      -

        empty  random  0.0 req/s  first byte p50 -  p99 -
          no backends
        """)
  }

  // Another process behind the same address: comparing its counters would give nonsense.
  @Test func anAnswerOfAnotherProcessIsNotCompared() throws {
    let alone = draw(try fleet(at: 50))
    #expect(draw(try fleet(at: 50), before: try fleet(at: 100)) == alone)
    #expect(draw(try fleet(at: 50), before: try fleet(at: 50)) == alone)
  }

  @Test(arguments: [100, 72, 40, 24, 12, 5, 1])
  func noLineIsWiderThanTheTerminal(columns: Int) throws {
    for line in StatusTable.lines(
      try fleet(at: 100), style: .init(columns: columns, isColoured: false))
    {
      #expect(line.count <= columns, "'\(line)'")
    }
  }

  @Test func aNarrowTerminalKeepsWhatMatters() throws {
    #expect(
      draw(try fleet(at: 100), columns: 64) == """
        portico 0.1.0  up 1 min  31 streams  1 connection  2 loops

        chat  weighted_score  50 req/s  first byte p50 41 ms  p99 975 ms
          BACKEND     STATE     SHARE  REQ/S  IN FLIGHT    EWMA  ERRORS
          gpu-a       serving    80 %     40          4   51 ms       0
          gpu-b-west  warming    20 %     10          0  1.24 s       0
          gpu-c       ejected     0 %    0.1          0  640 ms       7
          gpu-d       draining    0 %    0.0          0       -       0

        empty  random  0.0 req/s  first byte p50 -  p99 -
          no backends
        """)
  }

  @Test func colourMarksOnlyWhatNeedsAttention() throws {
    #expect(
      draw(try fleet(at: 100), columns: 50, colour: true).replacing("\u{1b}", with: "ESC") == """
        ESC[1mportico 0.1.0  up 1 min  31 streams  1 connection…ESC[0m

        ESC[1mchat  weighted_score  50 req/s  first byte p50 41…ESC[0m
        ESC[2m  BACKEND     STATE     REQ/S  IN FLIGHT    EWMAESC[0m
          gpu-a       serving      40          4   51 ms
          gpu-b-west  warming      10          0  1.24 s
        ESC[31m  gpu-c       ejected     0.1          0  640 msESC[0m
        ESC[2m  gpu-d       draining    0.0          0       -ESC[0m

        ESC[1mempty  random  0.0 req/s  first byte p50 -  p99 -ESC[0m
        ESC[33m  no backendsESC[0m
        """)
  }

  @Test func troubleStandsOnTop() throws {
    var view = try fleet(at: 100)
    view.pools = []
    view.isReady = false
    view.reloadError = "p.yaml:3:1: unknown key 'x'\np.yaml:4:1: \u{1b}[2J"
    let head = "portico 0.1.0  up 1 min  31 streams  1 connection  2 loops\n"
    let reload = """
      the last reload was refused; the configuration before it is in use:
        p.yaml:3:1: unknown key 'x'
        p.yaml:4:1: \u{fffd}[2J
      """
    #expect(draw(view) == head + "not ready: a pool has no usable backend\n" + reload)
    view.isDraining = true
    #expect(draw(view) == head + "draining: nothing new is taken\n" + reload)
  }

  // Names come from other people's files and errors from other people's machines.
  @Test func controlCharactersDoNotReachTheTerminal() throws {
    var view = try fleet(at: 100)
    view.pools[0].members[0].name = "a\u{1b}[31m\nb\u{9b}1m"
    view.pools[0].members[0].state = "odd\u{7}"
    view.pools[0].members[0].lastError = "\u{1b}]0;title\u{7}"
    view.pools[0].members[0].lastErrorAge = nil
    let text = draw(view)
    #expect(!text.contains("\u{1b}") && !text.contains("\u{9b}") && !text.contains("\u{7}"))
    #expect(text.contains("a\u{fffd}[31m\u{fffd}b\u{fffd}1m"))
  }

  @Test(
    arguments: [
      (nil, "-"), (0.0004, "0 µs"), (0.42, "420 µs"), (5.06, "5.1 ms"), (9.96, "10 ms"),
      (180.4, "180 ms"), (999.6, "1.00 s"), (2_403, "2.40 s"), (61_000, "61.0 s"), (.nan, "-"),
      (-1, "-"),
    ] as [(Double?, String)])
  func timesHaveThreeDigits(ms: Double?, text: String) {
    #expect(AmountText.time(ms) == text)
  }

  @Test(arguments: [
    (0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (3_599, "59 min"), (7_400, "2 h 3 min"),
    (350_000, "4 d 1 h"), (-5, "0 s"), (.infinity, "11574074 d 1 h"),
  ])
  func spansArePlain(seconds: Double, text: String) {
    #expect(AmountText.span(seconds) == text)
  }

  @Test(arguments: [
    ("[]", "version"), ("{}", "version"), (#"{"version":1}"#, "version"),
    (#"{"version":"1","at_ms":1,"uptime_s":1,"ready":true,"draining":0}"#, "draining"),
    (
      #"{"version":"1","at_ms":1,"uptime_s":1,"ready":true,"draining":false,"loops":1.5}"#, "loops"
    ),
  ])
  func anotherProgramsAnswerIsRefused(text: String, field: String) throws {
    let value = try JSONValue(text)
    #expect(throws: FleetView.Misfit(field: field)) { try FleetView(value) }
    #expect(
      FleetView.Misfit(field: field).description
        == "the answer has no usable '\(field)'; is it from another version of Portico?")
  }
}
