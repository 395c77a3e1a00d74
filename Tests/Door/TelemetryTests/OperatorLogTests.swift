import Synchronization
import Testing

@testable import Telemetry

/// Collects the lines that an operator's log would show.
final class HeardLines: Sendable {
  private let lines = Mutex<[String]>([])

  var all: [String] { lines.withLock { $0 } }

  func log(at wall: Int64 = 1_764_032_082_123_456_789) -> OperatorLog {
    OperatorLog(
      clock: { wall },
      sink: { bytes in
        let line = String(decoding: bytes, as: UTF8.self)
        self.lines.withLock { $0.append(line) }
      })
  }
}

struct OperatorLogTests {
  // Whoever cuts these lines with awk relies on one event being one line, whatever a message holds.
  @Test func anEventIsOneLine() {
    let heard = HeardLines()
    let log = heard.log()
    log.info("listening", ["address": "127.0.0.1:8080", "loops": "2"])
    log.warn("first\nsecond \u{1B}[31m 'quoted' \"twice\"")
    log.error(
      "refused", ["why": "no such file", "said": "a=\"b\"\\\n", "empty": "", "name": "é"])
    #expect(
      heard.all == [
        "2025-11-25T00:54:42.123Z info listening address=127.0.0.1:8080 loops=2\n",
        "2025-11-25T00:54:42.123Z warn first\\u000asecond \\u001b[31m 'quoted' \"twice\"\n",
        "2025-11-25T00:54:42.123Z error refused why=\"no such file\" said=\"a=\\\"b\\\"\\\\\\u000a\""
          + " empty=\"\" name=é\n",
      ])
  }
}

struct ByteTextTests {
  // Dates around leap days and century ends, where hand-made calendars go wrong.
  @Test(arguments: [
    (Int64(0), "1970-01-01T00:00:00.000Z"),
    (951_782_399_999, "2000-02-28T23:59:59.999Z"),
    (951_782_400_000, "2000-02-29T00:00:00.000Z"),
    (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
    (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
    (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
    (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    (-1, "1970-01-01T00:00:00.000Z"),
  ])
  func datesAreRight(milliseconds: Int64, expected: String) {
    var text = ByteText()
    text.put(timeOf: milliseconds * 1_000_000)
    #expect(String(decoding: text.bytes, as: UTF8.self) == expected)
  }

  @Test(arguments: [
    (UInt64(0), "0"), (9, "9"), (10, "10"), (12_345, "12345"), (.max, "18446744073709551615"),
  ])
  func decimalsAreRight(value: UInt64, expected: String) {
    var text = ByteText()
    text.put(decimal: value)
    #expect(String(decoding: text.bytes, as: UTF8.self) == expected)
  }

  @Test(arguments: [
    (Int64(0), "0.000"), (999, "0.000"), (1_000, "0.001"), (84_112_345, "84.112"),
    (.max, "9223372036854.775"), (-7, "0.000"),
  ])
  func millisecondsKeepThreeDigits(nanoseconds: Int64, expected: String) {
    var text = ByteText()
    text.put(millisecondsOf: nanoseconds)
    #expect(String(decoding: text.bytes, as: UTF8.self) == expected)
  }

  @Test(arguments: [
    (0.0, "0"), (-3, "-3"), (0.1, "0.1"), (1e-7, "1e-07"), (1e300, "1e+300"), (.infinity, "+Inf"),
    (-.infinity, "-Inf"), (.nan, "NaN"), (1_764_032_082, "1764032082"),
  ])
  func numbersReadBackExactly(value: Double, expected: String) {
    var text = ByteText()
    text.append(value)
    #expect(String(decoding: text.bytes, as: UTF8.self) == expected)
  }

  // Growing must carry what was there.
  @Test func aTextGrows() {
    var text = ByteText(capacity: 4)
    for _ in 0..<100 {
      text.reserve(5)
      text.put("12345")
    }
    #expect(
      String(decoding: text.bytes, as: UTF8.self) == String(repeating: "12345", count: 100))
  }
}
