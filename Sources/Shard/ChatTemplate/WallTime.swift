/// A date and a time of day for `strftime_now`, from whoever has a clock and knows its zone.
package struct WallTime: Sendable, Equatable {
  package let year: Int
  /// 1 to 12.
  package let month: Int
  /// 1 to 31.
  package let day: Int
  package let hour: Int
  package let minute: Int
  package let second: Int

  package init(
    year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0
  ) {
    self.year = min(max(year, 1), 9999)
    self.month = min(max(month, 1), 12)
    self.day = min(max(day, 1), 31)
    self.hour = min(max(hour, 0), 23)
    self.minute = min(max(minute, 0), 59)
    self.second = min(max(second, 0), 60)
  }

  /// The time in UTC of so many seconds after 1970.
  package init(secondsSince1970 seconds: Int) {
    let days = seconds.quotientFloored(by: 86_400)
    let rest = seconds - days * 86_400
    // Civil from days, by H. Hinnant: years begin in March, eras have 400 years.
    let shifted = days + 719_468
    let era = shifted.quotientFloored(by: 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    self.init(
      year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month: month,
      day: dayOfYear - (153 * shiftedMonth + 2) / 5 + 1, hour: rest / 3600,
      minute: rest / 60 % 60, second: rest % 60)
  }

  /// Days before the first of each month in a year that does not leap.
  private static let daysBefore = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
  ]
  private static let weekdays = [
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
  ]

  private var isLeap: Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

  /// From 1.
  private var dayOfYear: Int { Self.daysBefore[month - 1] + day + (month > 2 && isLeap ? 1 : 0) }

  /// From 0, a Sunday.
  private var weekday: Int {
    let before = year - 1
    return (before * 365 + before / 4 - before / 100 + before / 400 + dayOfYear) % 7
  }

  /// `strftime` of C in its own locale. What it does not know stands as it is.
  func formatted(_ format: MarkedText) -> MarkedText {
    var text = MarkedText()
    var place = 0
    while place < format.count {
      let byte = format.bytes[place]
      guard byte == UInt8(ascii: "%"), place + 1 < format.count else {
        let next = format.scalar(at: place).next
        text.append(format, place..<next)
        place = next
        continue
      }
      var end = place + 1
      // `%-d`: without the zero before it.
      let isBare = format.bytes[end] == UInt8(ascii: "-") && end + 1 < format.count
      if isBare { end += 1 }
      if let field = field(format.bytes[end]) {
        var shown = field[...]
        if isBare {
          while shown.count > 1, shown.first == "0" || shown.first == " " { shown.removeFirst() }
        }
        text.append(shown.utf8, trusted: true)
        place = end + 1
      } else {
        text.append(format, place..<end)
        place = end
      }
    }
    return text
  }

  private func field(_ letter: UInt8) -> String? {
    func digits(_ value: Int, _ width: Int = 2, _ pad: String = "0") -> String {
      let text = String(value)
      return String(repeating: pad, count: max(width - text.utf8.count, 0)) + text
    }
    let hour12 = hour % 12 == 0 ? 12 : hour % 12
    switch letter {
    case UInt8(ascii: "Y"): return String(year)
    case UInt8(ascii: "y"): return digits(year % 100)
    case UInt8(ascii: "C"): return digits(year / 100)
    case UInt8(ascii: "m"): return digits(month)
    case UInt8(ascii: "d"): return digits(day)
    case UInt8(ascii: "e"): return digits(day, 2, " ")
    case UInt8(ascii: "H"): return digits(hour)
    case UInt8(ascii: "I"): return digits(hour12)
    case UInt8(ascii: "M"): return digits(minute)
    case UInt8(ascii: "S"): return digits(second)
    case UInt8(ascii: "p"): return hour < 12 ? "AM" : "PM"
    case UInt8(ascii: "B"): return Self.months[month - 1]
    case UInt8(ascii: "b"), UInt8(ascii: "h"): return String(Self.months[month - 1].prefix(3))
    case UInt8(ascii: "A"): return Self.weekdays[weekday]
    case UInt8(ascii: "a"): return String(Self.weekdays[weekday].prefix(3))
    case UInt8(ascii: "w"): return String(weekday)
    case UInt8(ascii: "u"): return String(weekday == 0 ? 7 : weekday)
    case UInt8(ascii: "j"): return digits(dayOfYear, 3)
    case UInt8(ascii: "U"): return digits((dayOfYear + 6 - weekday) / 7)
    case UInt8(ascii: "W"): return digits((dayOfYear + 6 - (weekday + 6) % 7) / 7)
    case UInt8(ascii: "F"): return "\(digits(year, 4))-\(digits(month))-\(digits(day))"
    case UInt8(ascii: "D"), UInt8(ascii: "x"):
      return "\(digits(month))/\(digits(day))/\(digits(year % 100))"
    case UInt8(ascii: "T"), UInt8(ascii: "X"):
      return "\(digits(hour)):\(digits(minute)):\(digits(second))"
    case UInt8(ascii: "R"): return "\(digits(hour)):\(digits(minute))"
    case UInt8(ascii: "f"): return "000000"
    // `datetime.now()` of Python knows no zone.
    case UInt8(ascii: "z"), UInt8(ascii: "Z"): return ""
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "%"): return "%"
    default: return nil
    }
  }
}

extension Int {
  fileprivate func quotientFloored(by divisor: Int) -> Int {
    let quotient = self / divisor
    return self % divisor < 0 ? quotient - 1 : quotient
  }
}
