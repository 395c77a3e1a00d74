/// The deadlines of many owners, at most one each, as a binary heap with lazy removal.
///
/// A deadline moves several times per request, nearly always to a later time, so moving must cost
/// nothing: an owner remembers for when it is scheduled, asks again only when its new deadline is
/// earlier, and is scheduled anew when it is found not to be due. No entry is further away than
/// `horizon`, so entries left behind by owners that moved cannot pile up.
@usableFromInline
package struct DeadlineHeap: ~Copyable {
  @usableFromInline
  struct Entry {
    @usableFromInline var at: Instant
    @usableFromInline var owner: Handle
    @inlinable init(at: Instant, owner: Handle) {
      self.at = at
      self.owner = owner
    }
  }

  /// How far ahead an entry may lie.
  @inlinable package static var horizon: TimeAmount { .seconds(8) }

  @usableFromInline var heap: [Entry] = []

  @inlinable package init() {}

  /// When to look next; `never` when nothing is scheduled.
  @inlinable package var next: Instant { heap.first?.at ?? .never }
  @inlinable package var count: Int { heap.count }

  /// When an owner with this deadline is to be looked at.
  @inlinable package static func visit(_ deadline: Instant, at now: Instant) -> Instant {
    min(deadline, now + horizon)
  }

  @inlinable package mutating func schedule(_ owner: Handle, at instant: Instant) {
    var child = heap.count
    heap.append(Entry(at: instant, owner: owner))
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].at < heap[parent].at else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  /// The next owner whose visit is due, with the time for which it was scheduled.
  @inlinable package mutating func popDue(at now: Instant) -> (owner: Handle, at: Instant)? {
    guard let first = heap.first, first.at <= now else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      var parent = 0
      while true {
        var child = 2 * parent + 1
        if child >= heap.count { break }
        if child + 1 < heap.count, heap[child + 1].at < heap[child].at { child += 1 }
        guard heap[child].at < heap[parent].at else { break }
        heap.swapAt(parent, child)
        parent = child
      }
    }
    return (first.owner, first.at)
  }
}
