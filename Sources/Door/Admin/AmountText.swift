/// Amounts for people: three digits or so, and a unit.
enum AmountText {
  /// Milliseconds as `420 µs`, `5.1 ms`, `180 ms`, `2.40 s`.
  static func time(_ milliseconds: Double?) -> String {
    guard let ms = milliseconds, ms.isFinite, ms >= 0 else { return "-" }
    if ms < 1 { return "\(Int((ms * 1_000).rounded())) µs" }
    if ms < 9.95 { return "\(decimal(ms, places: 1)) ms" }
    if ms < 999.5 { return "\(Int(ms.rounded())) ms" }
    return "\(decimal(min(ms, 1e12) / 1_000, places: ms < 9_995 ? 2 : 1)) s"
  }

  /// Seconds as `12 s`, `5 min`, `2 h 3 min`, `4 d 1 h`.
  static func span(_ seconds: Double) -> String {
    let s = Int(min(max(0, seconds), 1e12).rounded())
    if s < 60 { return "\(s) s" }
    if s < 3_600 { return "\(s / 60) min" }
    if s < 86_400 { return "\(s / 3_600) h \(s % 3_600 / 60) min" }
    return "\(s / 86_400) d \(s % 86_400 / 3_600) h"
  }

  static func rate(_ perSecond: Double?) -> String {
    guard let perSecond else { return "-" }
    return perSecond < 9.95 ? decimal(perSecond, places: 1) : "\(Int(perSecond.rounded()))"
  }

  static func share(_ part: Int, of total: Int) -> String {
    total > 0 ? "\(Int((100 * Double(part) / Double(total)).rounded())) %" : "-"
  }

  static func score(_ score: Double?) -> String {
    guard let score, abs(score) < 1e12 else { return "-" }
    return decimal(score, places: 2)
  }

  private static func decimal(_ number: Double, places: Int) -> String {
    let scale = places == 1 ? 10 : 100
    let scaled = Int((abs(number) * Double(scale)).rounded())
    let fraction = String(scaled % scale)
    let zeros = String(repeating: "0", count: places - fraction.count)
    return "\(number < 0 && scaled > 0 ? "-" : "")\(scaled / scale).\(zeros)\(fraction)"
  }
}
