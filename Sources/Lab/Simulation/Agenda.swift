import Primitives

/// What will happen in the world, in the order of virtual time; what happens at the same instant
/// happens in the order in which it was planned, so that a seed decides everything.
struct Agenda {
  enum Happening {
    // The network.
    case arrive(link: Int, toProxy: Bool, count: Int)
    case finish(link: Int, toProxy: Bool)
    case reset(link: Int, toProxy: Bool)
    case connected(link: Int, code: Int32)
    case accepted(link: Int)
    /// The receiver has read: the sender may go on.
    case room(link: Int, toProxy: Bool)
    // The loops.
    case turn(loop: Int)
    case deadline(loop: Int)
    case announcement(Int)
    /// The kernel gives up the last bytes of a closed connection.
    case farewell(link: Int)
    // The peers.
    case client(Int, Client.Wish, generation: Int)
    case backend(Int, BackendConnection.Wish, generation: Int)
    case streamClient(Int, StreamClient.Wish, stream: Int, generation: Int)
    case stream(Int, StreamBackend.Wish, stream: Int)
    case weather(backend: Int)
    /// A member is drained or fails its probes, or is well again.
    case memberTurn(Int)
    // The operator.
    case reload(Int)
    case apply(loop: Int, reload: Int)
    case settle
    case drain
    case cut
    // The oracles.
    case mustBeGone(link: Int)
    case mustBeAborted(request: Int, link: Int, behind: Int, isRead: Bool)
  }

  private struct Entry {
    let at: Instant
    let order: UInt64
    let happening: Happening

    func isBefore(_ other: Entry) -> Bool {
      at == other.at ? order < other.order : at < other.at
    }
  }

  private var heap: [Entry] = []
  private var planned: UInt64 = 0

  var isEmpty: Bool { heap.isEmpty }
  var count: Int { heap.count }

  mutating func plan(_ happening: Happening, at instant: Instant) {
    var child = heap.count
    heap.append(Entry(at: instant, order: planned, happening: happening))
    planned += 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].isBefore(heap[parent]) else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func next() -> (at: Instant, happening: Happening)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      var parent = 0
      while true {
        var child = 2 * parent + 1
        if child >= heap.count { break }
        if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
        guard heap[child].isBefore(heap[parent]) else { break }
        heap.swapAt(parent, child)
        parent = child
      }
    }
    return (first.at, first.happening)
  }
}
