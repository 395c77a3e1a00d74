import Synchronization

/// What loops know of each other's load, to hand fresh connections over. Counters, no locks.
package final class LoadBoard: Sendable {
  /// A loop hands a fresh connection over when it has this many more open streams than the least
  /// loaded one: below that the cost of the hand-over is larger than the gain.
  private static let tolerance = 4

  private final class Cell: Sendable {
    let value = Atomic<Int>(0)
  }

  private let loops: [Cell]

  package init(loops: Int) {
    self.loops = (0..<loops).map { _ in Cell() }
  }

  func setOpenStreams(_ count: Int, loop: Int) {
    loops[loop].value.store(count, ordering: .relaxed)
  }

  /// Counts a connection that is about to be handed to a loop, before that loop says so itself.
  func expectOne(loop: Int) { loops[loop].value.wrappingAdd(1, ordering: .relaxed) }

  /// The loop that should take a connection that this one has accepted; nil for this one.
  func lessLoaded(than loop: Int) -> Int? {
    guard loops.count > 1 else { return nil }
    let own = loops[loop].value.load(ordering: .relaxed)
    var best = loop
    var least = own - Self.tolerance
    for other in loops.indices where other != loop {
      let load = loops[other].value.load(ordering: .relaxed)
      if load < least {
        least = load
        best = other
      }
    }
    return best == loop ? nil : best
  }
}
