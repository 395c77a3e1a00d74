import Primitives

/// Closures by the time at which they are due, kept sorted. For the few timers of a loop's own household; the
/// data path has its own deadlines.
package struct TimerList {
  /// Names one timer; a token of a timer that has run or was removed is harmless.
  package struct Token: Hashable {
    fileprivate let id: UInt64
  }

  private var entries: [(at: Instant, id: UInt64, action: () -> Void)] = []
  private var nextID: UInt64 = 0

  package init() {}

  /// When the first is due; `never` when there is none.
  package var next: Instant { entries.last?.at ?? .never }

  /// Keeps the entries sorted, latest first: a handful at most, so insertion beats a heap.
  package mutating func insert(at instant: Instant, _ action: @escaping () -> Void) -> Token {
    nextID += 1
    let place = entries.firstIndex { $0.at <= instant } ?? entries.endIndex
    entries.insert((instant, nextID, action), at: place)
    return Token(id: nextID)
  }

  package mutating func remove(_ token: Token) {
    entries.removeAll { $0.id == token.id }
  }

  package mutating func popDue(at now: Instant) -> (() -> Void)? {
    guard let last = entries.last, last.at <= now else { return nil }
    return entries.removeLast().action
  }
}
