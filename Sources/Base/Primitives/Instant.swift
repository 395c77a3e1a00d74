/// A length of time. Nanoseconds in one machine word.
///
/// `Swift.Duration` counts attoseconds in 128 bits; its conversions cost several nanoseconds each,
/// and a request makes about ten of them. Settings, deadlines and measurements all use this type.
@frozen
@usableFromInline
package struct TimeAmount: Hashable, Comparable, Sendable, CustomStringConvertible {
  @usableFromInline package var nanoseconds: Int64

  @inlinable package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  @inlinable package static func nanoseconds(_ n: Int64) -> Self { Self(nanoseconds: n) }
  @inlinable package static func microseconds(_ n: Int64) -> Self { Self(nanoseconds: n * 1_000) }
  @inlinable package static func milliseconds(_ n: Int64) -> Self {
    Self(nanoseconds: n * 1_000_000)
  }
  @inlinable package static func seconds(_ n: Int64) -> Self {
    Self(nanoseconds: n * 1_000_000_000)
  }
  @inlinable package static var zero: Self { Self(nanoseconds: 0) }

  @inlinable package var seconds: Double { Double(nanoseconds) / 1e9 }
  @inlinable package var milliseconds: Double { Double(nanoseconds) / 1e6 }

  @inlinable package static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }
  @inlinable package static func + (a: Self, b: Self) -> Self {
    Self(nanoseconds: a.nanoseconds + b.nanoseconds)
  }
  @inlinable package static func - (a: Self, b: Self) -> Self {
    Self(nanoseconds: a.nanoseconds - b.nanoseconds)
  }
  @inlinable package static func * (a: Self, n: Int64) -> Self {
    Self(nanoseconds: a.nanoseconds * n)
  }

  /// The largest unit that shows the amount exactly, as the YAML spells it: `250ms`, `10s`, `5m`.
  @usableFromInline package var description: String {
    let units: [(Int64, String)] = [
      (3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms"),
      (1_000, "us"),
    ]
    for (size, unit) in units where nanoseconds != 0 && nanoseconds % size == 0 {
      return "\(nanoseconds / size)\(unit)"
    }
    return nanoseconds == 0 ? "0s" : "\(nanoseconds)ns"
  }
}

/// A point on the monotonic clock. Never read here: it is passed in, so that a simulation can own it.
@frozen
@usableFromInline
package struct Instant: Hashable, Comparable, Sendable {
  @usableFromInline package var nanoseconds: Int64

  @inlinable package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// Later than every deadline.
  @inlinable package static var never: Self { Self(nanoseconds: .max) }
  /// Earlier than every event; what "has not happened" compares as.
  @inlinable package static var zero: Self { Self(nanoseconds: 0) }

  @inlinable package static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }
  @inlinable package static func - (a: Self, b: Self) -> TimeAmount {
    TimeAmount(nanoseconds: a.nanoseconds &- b.nanoseconds)
  }
  /// Saturates at `never`, so that "no limit" may be written as a very long time.
  @inlinable package static func + (a: Self, b: TimeAmount) -> Self {
    let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
    return Self(nanoseconds: overflow ? .max : sum)
  }
  @inlinable package static func - (a: Self, b: TimeAmount) -> Self {
    Self(nanoseconds: a.nanoseconds &- b.nanoseconds)
  }
}
