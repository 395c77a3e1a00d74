import Synchronization

/// What loops know of each other's load, to hand fresh connections over and to share the
/// descriptors. Counters, no locks.
package final class LoadBoard: Sendable {
  /// A loop hands a fresh connection over when it has this many more open streams than the least
  /// loaded one: below that the cost of the hand-over is larger than the gain.
  private static let tolerance = 4

  private final class Cell: Sendable {
    let streams = Atomic<Int>(0)
    let descriptors = Atomic<Int>(0)
  }

  private let loops: [Cell]
  /// Connections on their way from one loop to another. Count.
  private let underWay = Atomic<Int>(0)
  /// Descriptors for clients and backends, over all loops. Count.
  private let descriptorLimit: Int

  /// - Parameter descriptorLimit: of the process. Some of it is kept for what else needs one: the
  ///   loops themselves, configuration, logs, the admin side, probes.
  package init(loops: Int, descriptorLimit: Int) {
    self.loops = (0..<loops).map { _ in Cell() }
    let kept = 32 + 4 * loops + min(descriptorLimit / 10, 1_024)
    self.descriptorLimit = max(2, descriptorLimit - kept)
  }

  func setOpenStreams(_ count: Int, loop: Int) {
    loops[loop].streams.store(count, ordering: .relaxed)
  }

  /// Counts a connection that is about to be handed to a loop, before that loop says so itself.
  func handedOver(to loop: Int) {
    loops[loop].streams.wrappingAdd(1, ordering: .relaxed)
    underWay.wrappingAdd(1, ordering: .relaxed)
  }

  /// It has come, and is counted among those of its loop from now on.
  func arrived() { underWay.wrappingSubtract(1, ordering: .relaxed) }

  /// Descriptors that a loop's clients have, or may come to need.
  func setDescriptors(_ count: Int, loop: Int) {
    loops[loop].descriptors.store(count, ordering: .relaxed)
  }

  /// True when one more client can be let in: itself, and a connection to a backend for it. A client
  /// for whom there were none could only be told so, while in the listener's queue it waits until
  /// there is one.
  var hasRoom: Bool {
    var sum = 2 + 2 * underWay.load(ordering: .relaxed)
    for cell in loops { sum += cell.descriptors.load(ordering: .relaxed) }
    return sum <= descriptorLimit
  }

  /// The loop that should take a connection that this one has accepted; nil for this one.
  func lessLoaded(than loop: Int) -> Int? {
    guard loops.count > 1 else { return nil }
    let own = loops[loop].streams.load(ordering: .relaxed)
    var best = loop
    var least = own - Self.tolerance
    for other in loops.indices where other != loop {
      let load = loops[other].streams.load(ordering: .relaxed)
      if load < least {
        least = load
        best = other
      }
    }
    return best == loop ? nil : best
  }
}
