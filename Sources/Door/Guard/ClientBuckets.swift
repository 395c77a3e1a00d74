import Primitives
import Synchronization

/// One rate bucket for each client, in a table of fixed size that all loops share: no lock, no
/// allocation, and no growth however many addresses come.
///
/// A client's bucket lies in one of the eight places of its set. A new client takes a place whose
/// bucket is empty again, which forgets nothing, or else the one that will be empty first: with more
/// clients at their limit than places somebody is forgiven early, and it is counted.
package final class ClientBuckets: Sendable {
  /// Clients. Count. 1 MiB of memory; an IPv6 client is its /64, and far fewer are ever at their limit
  /// at the same time.
  package static let capacity = 65_536
  private static let ways = 8

  private final class Memory: @unchecked Sendable {
    // `@unchecked`: only atomics stand here.
    let cells: UnsafeMutablePointer<Cell>
    init() {
      cells = .allocate(capacity: ClientBuckets.capacity)
      for index in 0..<ClientBuckets.capacity { (cells + index).initialize(to: Cell()) }
    }
    deinit {
      cells.deinitialize(count: ClientBuckets.capacity)
      cells.deallocate()
    }
  }

  private struct Cell: ~Copyable {
    let client = Atomic<UInt64>(0)
    let arrival = Atomic<Int64>(0)
  }

  private let memory = Memory()
  private let seed: UInt64
  private let evicted = Atomic<Int>(0)

  /// - Parameter seed: so that nobody outside can choose addresses that share a set.
  package init(seed: UInt64) { self.seed = seed }

  /// Buckets that were given to another client before they were empty. Count.
  package var evictions: Int { evicted.load(ordering: .relaxed) }

  /// Takes units from the bucket of a client.
  package func take(
    _ client: UInt64, _ units: Int64, _ limit: RateLimit, at now: Instant
  ) -> RateLimit.Decision {
    let name = mixed(client)
    return memory.cells[place(of: name, at: now)].arrival.take(units, limit, at: now)
  }

  /// Corrects a charge, if the client still has its bucket.
  package func correct(
    _ client: UInt64, _ charge: RateCharge, units: Int64, _ limit: RateLimit, at now: Instant
  ) {
    let name = mixed(client)
    let first = set(of: name)
    for way in 0..<Self.ways
    where memory.cells[first + way].client.load(ordering: .relaxed) == name {
      memory.cells[first + way].arrival.correct(charge, units: units, limit, at: now)
      return
    }
  }

  private func set(of name: UInt64) -> Int {
    Int(truncatingIfNeeded: name >> 16) & (Self.capacity / Self.ways - 1) * Self.ways
  }

  private func place(of name: UInt64, at now: Instant) -> Int {
    let first = set(of: name)
    while true {
      var best = first
      var earliest = Int64.max
      var owner: UInt64 = 0
      for index in first..<(first + Self.ways) {
        let client = memory.cells[index].client.load(ordering: .relaxed)
        if client == name { return index }
        let arrival = client == 0 ? Int64.min : memory.cells[index].arrival.load(ordering: .relaxed)
        if arrival < earliest {
          earliest = arrival
          best = index
          owner = client
        }
      }
      // Another loop may take the place, or be letting the same client in, at the same time.
      let (exchanged, original) = memory.cells[best].client.compareExchange(
        expected: owner, desired: name, ordering: .relaxed)
      if exchanged {
        if earliest > now.nanoseconds {
          evicted.wrappingAdd(1, ordering: .relaxed)
          memory.cells[best].arrival.store(now.nanoseconds, ordering: .relaxed)
        }
        return best
      }
      if original == name { return best }
    }
  }

  /// Never zero, which is a free place. The finaliser of SplitMix64.
  private func mixed(_ client: UInt64) -> UInt64 {
    var x = client &+ seed
    x = (x ^ x >> 30) &* 0xbf58_476d_1ce4_e5b9
    x = (x ^ x >> 27) &* 0x94d0_49bb_1331_11eb
    x ^= x >> 31
    return x == 0 ? 1 : x
  }
}
