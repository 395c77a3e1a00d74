import Balancing
import Glibc
import Primitives

/// A discrete-event model of a fleet behind one or more loops, for tests of policies: members serve
/// so many requests at once, each for an exponential time, and keep the others waiting in order.
struct FakeFleet: ~Copyable {
  struct Member {
    /// Mean time of one request in milliseconds, the half of it before the first byte.
    var service: Double
    /// Requests served at once; the rest wait.
    var parallel = 4
  }

  private enum Happening {
    case arrival
    case firstByte(request: Int)
    case end(request: Int)
  }

  private struct Request {
    var ticket: Ticket
    var loop: Int
    var member: Int
    var arrived: Instant
  }

  var members: [Member]
  var cells: [LoadCell]
  /// Requests per second.
  var rate: Double
  private(set) var now = Instant(nanoseconds: 1_000_000_000)
  /// Times to first byte in milliseconds, in order of arrival of the first byte.
  private(set) var latencies: [Double] = []
  /// Picks per member.
  private(set) var counts: [Int]
  private var loops: [UnsafeMutablePointer<Pool>]
  private var random: SeededRandom
  private var heap: [(at: Instant, serial: Int, what: Happening)] = []
  private var serial = 0
  private var requests: [Request?] = []
  private var busy: [Int]
  private var waiting: [[Int]]

  init(
    _ members: [Member], rate: Double, policy: PoolPolicy, loops loopCount: Int = 1,
    weights: [Int]? = nil, seed: UInt64
  ) {
    self.members = members
    self.rate = rate
    let cells = members.map { _ in LoadCell() }
    self.cells = cells
    let specs = members.indices.map {
      MemberSpec(name: "m\($0)", weight: weights?[$0] ?? 1, cell: cells[$0])
    }
    loops = []
    for _ in 0..<loopCount {
      let place = UnsafeMutablePointer<Pool>.allocate(capacity: 1)
      place.initialize(to: Pool(policy: policy, members: specs, at: now))
      loops.append(place)
    }
    random = SeededRandom(seed: seed)
    counts = members.map { _ in 0 }
    busy = members.map { _ in 0 }
    waiting = members.map { _ in [] }
  }

  deinit {
    for loop in loops {
      loop.deinitialize(count: 1)
      loop.deallocate()
    }
  }

  /// Lets so many more requests arrive, and then all end.
  mutating func run(requests count: Int) {
    var rest = count
    schedule(.arrival, after: gap())
    rest -= 1
    while let next = pop() {
      now = next.at
      switch next.what {
      case .arrival:
        arrive()
        if rest > 0 {
          rest -= 1
          schedule(.arrival, after: gap())
        }
      case .firstByte(let index):
        let request = requests[index]!
        latencies.append((now - request.arrived).milliseconds)
        loops[request.loop].pointee.firstByte(
          &requests[index]!.ticket, latency: now - request.arrived, isHealthy: true, at: now)
      case .end(let index):
        end(index)
      }
    }
  }

  mutating func forgetResults() {
    latencies = []
    counts = members.map { _ in 0 }
  }

  func percentile(_ share: Double) -> Double {
    let sorted = latencies.sorted()
    return sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]
  }

  private mutating func arrive() {
    let loop = random.below(loops.count)
    let pick = loops[loop].pointee.pick(
      at: now, random: &random, hashKey: nil, avoiding: SlotSet(), inFlightLimit: 0)
    guard case .member(let ticket) = pick else { preconditionFailure("fleet: \(pick)") }
    let member = ticket.slot
    counts[member] += 1
    let index = requests.count
    requests.append(Request(ticket: ticket, loop: loop, member: member, arrived: now))
    if busy[member] < members[member].parallel {
      serve(index)
    } else {
      waiting[member].append(index)
    }
  }

  private mutating func serve(_ index: Int) {
    let member = requests[index]!.member
    busy[member] += 1
    let time = exponential(members[member].service)
    schedule(.firstByte(request: index), after: time / 2)
    schedule(.end(request: index), after: time)
  }

  private mutating func end(_ index: Int) {
    let request = requests[index]!
    requests[index] = nil
    loops[request.loop].pointee.finished(
      request.ticket, Outcome(verdict: .success), at: now, random: &random)
    busy[request.member] -= 1
    if !waiting[request.member].isEmpty { serve(waiting[request.member].removeFirst()) }
  }

  private mutating func gap() -> Double { exponential(1_000 / rate) }

  private mutating func exponential(_ mean: Double) -> Double {
    -mean * log(1 - random.unit())
  }

  private mutating func schedule(_ what: Happening, after milliseconds: Double) {
    serial += 1
    var child = heap.count
    heap.append((now + .nanoseconds(Int64(milliseconds * 1e6)), serial, what))
    while child > 0, precedes(child, (child - 1) / 2) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func pop() -> (at: Instant, serial: Int, what: Happening)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if heap.isEmpty { return first }
    heap[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= heap.count { break }
      if child + 1 < heap.count, precedes(child + 1, child) { child += 1 }
      if !precedes(child, parent) { break }
      heap.swapAt(child, parent)
      parent = child
    }
    return first
  }

  private func precedes(_ a: Int, _ b: Int) -> Bool {
    (heap[a].at, heap[a].serial) < (heap[b].at, heap[b].serial)
  }
}
