/// What the probes say about a member.
package enum Verdict: String, Sendable, Hashable {
  /// Not yet proven either way: used, because a fleet must serve from its first second.
  case unknown
  case good
  case bad

  /// Whether requests may be sent there as far as probes are concerned.
  package var isUsable: Bool { self != .bad }
}

/// Rise and fall of one member.
///
/// ```
///                 one good probe
///   [unknown] ----------------------> [good] <--+
///       |                               |       | `rise` good in a row
///       | `fall` bad in a row           | `fall` bad in a row
///       |                               v       |
///       +---------------------------> [bad] ----+
/// ```
///
/// An unknown member needs only one good probe, since it is in use already and there is nothing to
/// win by waiting; it needs as many bad ones as a good member, so that a probe that is lost while
/// everything starts takes nobody out. A result against the run begins the run anew.
package enum ProbeState: Sendable, Hashable {
  case unknown(failures: Int)
  case good(failures: Int)
  case bad(successes: Int)

  package init() { self = .unknown(failures: 0) }

  package var verdict: Verdict {
    switch self {
    case .unknown: .unknown
    case .good: .good
    case .bad: .bad
    }
  }

  /// Takes one probe into account. A run that is already past a limit that a reload has lowered
  /// takes effect with the next probe, not before it.
  ///
  /// - Returns: Whether the verdict is another than before.
  package mutating func record(isGood: Bool, rise: Int, fall: Int) -> Bool {
    switch (self, isGood) {
    case (.unknown, true):
      self = .good(failures: 0)
      return true
    case (.unknown(let failures), false):
      if failures + 1 >= fall {
        self = .bad(successes: 0)
        return true
      }
      self = .unknown(failures: failures + 1)
    case (.good, true):
      self = .good(failures: 0)
    case (.good(let failures), false):
      if failures + 1 >= fall {
        self = .bad(successes: 0)
        return true
      }
      self = .good(failures: failures + 1)
    case (.bad(let successes), true):
      if successes + 1 >= rise {
        self = .good(failures: 0)
        return true
      }
      self = .bad(successes: successes + 1)
    case (.bad, false):
      self = .bad(successes: 0)
    }
    return false
  }
}
