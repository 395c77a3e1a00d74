import CLinux
import HTTP

/// Writes the heads of answers.
struct AnswerText {
  /// `Date` is the same text for a second.
  private var dateSecond: Int64 = -1
  private var date = ""

  /// Status line and fields up to, and with, the empty line.
  mutating func head(
    _ status: Int, fields: [(String, String)], framing: Framing, keepAlive: Bool, isHTTP10: Bool,
    into output: inout [UInt8]
  ) {
    output += "HTTP/1.1 ".utf8
    Self.append(UInt64(status), into: &output)
    output.append(0x20)
    let reason = reasonPhrase(status)
    output += UnsafeBufferPointer(start: reason.utf8Start, count: reason.utf8CodeUnitCount)
    output += "\r\n".utf8
    for (name, value) in fields {
      output += name.utf8
      output += ": ".utf8
      // A line end in a value would let whoever chose it write fields of their own.
      output += value.utf8.lazy.map { $0 < 0x20 && $0 != 0x09 ? 0x20 : $0 }
      output += "\r\n".utf8
    }
    switch framing {
    case .length(let bytes):
      output += "Content-Length: ".utf8
      Self.append(bytes, into: &output)
      output += "\r\n".utf8
    case .chunked: output += "Transfer-Encoding: chunked\r\n".utf8
    case .none, .untilClose: break
    }
    output += "Date: ".utf8
    output += dateText().utf8
    if !keepAlive {
      output += "\r\nConnection: close".utf8
    } else if isHTTP10 {
      output += "\r\nConnection: keep-alive".utf8
    }
    output += "\r\n\r\n".utf8
  }

  private mutating func dateText() -> String {
    let second = portico_realtime_ns() / 1_000_000_000
    if second != dateSecond {
      dateSecond = second
      date = Self.date(second)
    }
    return date
  }

  static func append(_ number: UInt64, into output: inout [UInt8]) {
    if number >= 10 { append(number / 10, into: &output) }
    output.append(UInt8(ascii: "0") + UInt8(number % 10))
  }

  static func appendHexadecimal(_ number: Int, into output: inout [UInt8]) {
    if number >= 16 { appendHexadecimal(number >> 4, into: &output) }
    let digit = UInt8(number & 15)
    output.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
  }

  /// Seconds since 1970 as RFC 9110 writes them: `Sun, 06 Nov 1994 08:49:37 GMT`.
  static func date(_ seconds: Int64) -> String {
    let days = seconds / 86_400
    let time = seconds % 86_400
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    let months = [
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    // Howard Hinnant's civil_from_days: years that begin in March, in cycles of 400.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 2 : monthFromMarch - 10
    let year = yearOfEra + era * 400 + (month < 2 ? 1 : 0)
    func two(_ n: Int64) -> String { n < 10 ? "0\(n)" : "\(n)" }
    let clock = "\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))"
    return "\(weekdays[Int(days % 7)]), \(two(day)) \(months[Int(month)]) \(year) \(clock) GMT"
  }
}
