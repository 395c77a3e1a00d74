import Primitives

/// A number as people write it, with the unit behind it: `1.5GiB`, `250ms`, `50%`.
///
/// Kept in millionths, so that what is shown reads back as exactly the same value.
package struct Measure {
  package let millionths: UInt64
  package let unit: String

  /// Digits, up to six decimals, then the unit, which may be set off by spaces.
  package init?(_ text: String) {
    let bytes = Array(text.utf8)
    var index = 0
    var total: UInt64 = 0
    var digits = 0
    while index < bytes.count, (0x30...0x39).contains(bytes[index]) {
      guard digits < 13 else { return nil }
      total = total * 10 + UInt64(bytes[index] - 0x30)
      digits += 1
      index += 1
    }
    guard digits > 0 else { return nil }
    var decimals = 0
    if index < bytes.count, bytes[index] == 0x2e {
      index += 1
      while index < bytes.count, (0x30...0x39).contains(bytes[index]) {
        guard decimals < 6 else { return nil }
        total = total * 10 + UInt64(bytes[index] - 0x30)
        decimals += 1
        index += 1
      }
      guard decimals > 0 else { return nil }
    }
    for _ in decimals..<6 { total *= 10 }
    millionths = total
    while index < bytes.count, bytes[index] == 0x20 { index += 1 }
    var end = bytes.count
    while end > index, bytes[end - 1] == 0x20 { end -= 1 }
    unit = String(decoding: bytes[index..<end], as: UTF8.self)
  }

  package var value: Double { Double(millionths) / 1e6 }

  /// The number without its unit.
  package var number: String { decimalText(value) }

  /// The number times a factor, when that is whole and fits.
  package func times(_ factor: UInt64) -> Int64? {
    let (high, low) = millionths.multipliedFullWidth(by: factor)
    guard high < 1_000_000 else { return nil }
    let (quotient, remainder) = UInt64(1_000_000).dividingFullWidth((high, low))
    return remainder == 0 ? Int64(exactly: quotient) : nil
  }
}

/// Up to six decimals, none that are zero.
package func decimalText(_ value: Double) -> String {
  let millionths = UInt64((value * 1e6).rounded())
  var fraction = String(millionths % 1_000_000)
  fraction = String(repeating: "0", count: 6 - fraction.utf8.count) + fraction
  while fraction.last == "0" { fraction.removeLast() }
  let whole = String(millionths / 1_000_000)
  return fraction.isEmpty ? whole : "\(whole).\(fraction)"
}

// MARK: Durations

private let durationUnits: [(name: String, nanoseconds: UInt64)] = [
  ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
]

/// Units as people also write them, with what to write instead.
private let durationSlips: [(words: [String], unit: String, factor: UInt64)] = [
  (["msec", "msecs", "milli", "millis", "millisecond", "milliseconds"], "ms", 1),
  (["sec", "secs", "second", "seconds"], "s", 1),
  (["min", "mins", "minute", "minutes"], "m", 1),
  (["hr", "hrs", "hour", "hours"], "h", 1),
  (["d", "day", "days"], "h", 24),
]

extension Kind where Value == TimeAmount {
  package static func duration(_ range: ClosedRange<TimeAmount>) -> Kind {
    .scalar(
      "a duration such as 10s",
      json: scalarJSON([
        ("type", .text("string")), ("pattern", .text("^[0-9]+(\\.[0-9]+)?(ms|s|m|h)$")),
      ]),
      show: { .word($0.description) },
      parse: { parseDuration($0, range) })
  }
}

package func parseDuration(_ text: String, _ range: ClosedRange<TimeAmount>) -> Parsed<TimeAmount> {
  guard let measure = Measure(text) else { return .unlike }
  let number = measure.number
  if measure.unit.isEmpty {
    return .problem("is \(number) without a unit; write \(number)s, or \(number)ms, \(number)m")
  }
  guard let unit = durationUnits.first(where: { $0.name == measure.unit }), !text.contains(" ")
  else {
    return .problem(unknownUnit(measure, written: text))
  }
  // Milliseconds are the finest that an event loop keeps.
  guard let milliseconds = measure.times(unit.nanoseconds / 1_000_000) else {
    return .problem("must be whole milliseconds, not '\(shown(text))'")
  }
  let (nanoseconds, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
  let amount = TimeAmount(nanoseconds: overflow ? .max : nanoseconds)
  guard range.contains(amount) else {
    return .problem(
      "must be from \(range.lowerBound) to \(range.upperBound), not \(shown(text))")
  }
  return .value(amount)
}

private func unknownUnit(_ measure: Measure, written: String) -> String {
  let unit = measure.unit
  if durationUnits.contains(where: { $0.name == unit }) {
    return "is '\(shown(written))' with a space; write \(measure.number)\(unit)"
  }
  let lower = unit.lowercased()
  for slip in durationSlips where slip.words.contains(lower) {
    let number = decimalText(measure.value * Double(slip.factor))
    return "has the unknown unit '\(shown(unit))'; write \(number)\(slip.unit)"
  }
  if durationUnits.contains(where: { $0.name == lower }) {
    return "has the unknown unit '\(shown(unit))'; write \(measure.number)\(lower)"
  }
  if let sum = compound(written) {
    return "has two units; write \(sum)"
  }
  return "has the unknown unit '\(shown(unit))'; use ms, s, m or h"
}

/// `1m30s`, which other programs take, as one amount.
private func compound(_ text: String) -> TimeAmount? {
  var sum: Int64 = 0
  var rest = Substring(text)
  while !rest.isEmpty {
    let digits = rest.prefix { ("0"..."9").contains($0) }
    let letters = rest.dropFirst(digits.count).prefix { $0.isLetter }
    guard let count = Int64(digits), count < 1_000_000,
      let unit = durationUnits.first(where: { $0.name == letters })
    else { return nil }
    sum += count * Int64(unit.nanoseconds / 1_000_000)
    rest = rest.dropFirst(digits.count + letters.count)
  }
  return sum < 1_000_000_000_000 ? .milliseconds(sum) : nil
}

// MARK: Sizes

private let sizeUnits: [(name: String, bytes: Int)] = [
  ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
  ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000), ("B", 1),
]

/// The largest unit that shows the size exactly.
package func sizeText(_ bytes: Int) -> String {
  for unit in sizeUnits where bytes != 0 && bytes % unit.bytes == 0 {
    return "\(bytes / unit.bytes)\(unit.name)"
  }
  return "\(bytes)B"
}

package func parseSize(_ text: String, _ range: ClosedRange<Int>) -> Parsed<Int> {
  guard let measure = Measure(text) else { return .unlike }
  let number = measure.number
  if measure.unit.isEmpty {
    let exact = measure.times(1).map { sizeText(Int($0)) }
    let other =
      exact.flatMap { $0 == "\(number)B" ? nil : ", which is \($0)" } ?? ", or \(number)KiB"
    return .problem("is \(number) without a unit; write \(number)B\(other)")
  }
  guard let unit = sizeUnits.first(where: { $0.name == measure.unit }), !text.contains(" ") else {
    if let unit = sizeUnits.first(where: { $0.name == measure.unit }) {
      return .problem("is '\(shown(text))' with a space; write \(number)\(unit.name)")
    }
    return .problem("has the unknown unit '\(shown(measure.unit))'; \(sizeHint(measure))")
  }
  guard let bytes = measure.times(UInt64(unit.bytes)) else {
    return .problem("must be whole bytes, not '\(shown(text))'")
  }
  guard range.contains(Int(bytes)) else {
    return .problem(
      "must be from \(sizeText(range.lowerBound)) to \(sizeText(range.upperBound)), not "
        + shown(text))
  }
  return .value(Int(bytes))
}

private func sizeHint(_ measure: Measure) -> String {
  var letters = measure.unit.uppercased()
  if letters.hasSuffix("/S") { letters.removeLast(2) }
  let isBinary = letters.dropFirst().first == "I"
  guard let first = letters.first, "BKMGT".contains(first), letters.utf8.count <= 3 else {
    return "use B, KiB, MiB, GiB, or KB, MB, GB"
  }
  if first == "B" { return "write \(measure.number)B" }
  let binary = "\(measure.number)\(first)iB"
  return isBinary ? "write \(binary)" : "write \(binary), or \(measure.number)\(first)B"
}

// MARK: Shares

package func parseRatio(_ text: String, _ range: ClosedRange<Double>) -> Parsed<Double> {
  guard let measure = Measure(text), measure.unit.isEmpty || measure.unit == "%" else {
    return .unlike
  }
  var millionths = measure.millionths
  if measure.unit == "%" {
    guard millionths % 100 == 0 else { return .unlike }
    millionths /= 100
  }
  let value = Double(millionths) / 1e6
  if range.contains(value) { return .value(value) }
  let meant = value > 1 && value <= 100 && measure.unit.isEmpty && range.contains(value / 100)
  return .problem(
    "must be from \(decimalText(range.lowerBound)) to \(decimalText(range.upperBound)), not "
      + shown(text) + (meant ? "; write \(measure.number)% if that was meant" : ""))
}
