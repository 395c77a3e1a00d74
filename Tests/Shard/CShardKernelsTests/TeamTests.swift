import CShardKernels
import Synchronization
import Testing

/// What a team's work writes to.
private final class Ledger: Sendable {
  let team: UInt
  let rounds: Int
  let counts: [Counter]
  let late = Atomic<Int>(0)
  let arrived = Atomic<Int>(0)
  let taken = Atomic<Int>(0)

  final class Counter: Sendable { let value = Atomic<Int>(0) }

  init(_ team: OpaquePointer, rounds: Int, counters: Int = 0) {
    self.team = UInt(bitPattern: team)
    self.rounds = rounds
    counts = (0..<counters).map { _ in Counter() }
  }

  var pointer: OpaquePointer { OpaquePointer(bitPattern: team)! }

  func run(_ work: pk_work) {
    pk_team_run(pointer, work, Unmanaged.passUnretained(self).toOpaque())
  }

  static func from(_ context: UnsafeMutableRawPointer?) -> Ledger {
    Unmanaged<Ledger>.fromOpaque(context!).takeUnretainedValue()
  }
}

extension KernelTests {
  @Suite struct TeamTests {
    // After a barrier every thread must see what all wrote before it: one that leaves early counts too
    // few. More threads than CPUs must get through too, by sleeping.
    @Test(arguments: [1, 2, 3, 8], [0, 1])
    func barriersHold(threads: Int, pin: Int) throws {
      let team = try #require(pk_team_create(Int32(threads), Int32(pin)))
      #expect(Int(pk_team_size(team)) == threads)
      let ledger = Ledger(team, rounds: threads > 3 ? 200 : 1_000)
      for _ in 0..<3 {
        ledger.arrived.store(0, ordering: .relaxed)
        ledger.run { context, thread in
          let ledger = Ledger.from(context)
          let size = Int(pk_team_size(ledger.pointer))
          for round in 1...ledger.rounds {
            ledger.arrived.wrappingAdd(1, ordering: .relaxed)
            pk_team_barrier(ledger.pointer, thread)
            if ledger.arrived.load(ordering: .relaxed) < round * size {
              ledger.late.wrappingAdd(1, ordering: .relaxed)
            }
            pk_team_barrier(ledger.pointer, thread)
          }
        }
        #expect(ledger.arrived.load(ordering: .relaxed) == ledger.rounds * threads)
      }
      #expect(ledger.late.load(ordering: .relaxed) == 0)
      pk_team_destroy(team)
    }

    // Every item is taken exactly once, in two loops that take turns.
    @Test(arguments: [1, 7, 64, 1_000], [1, 3])
    func everyItemIsTakenOnce(count: Int, grain: Int) throws {
      let team = try #require(pk_team_create(3, 0))
      let ledger = Ledger(team, rounds: grain, counters: count)
      ledger.run { context, thread in
        let ledger = Ledger.from(context)
        let count = ledger.counts.count
        for loop in 0..<6 {
          let slot = Int32(loop % 2)
          if thread == 0 { pk_team_rewind(ledger.pointer, slot) }
          pk_team_barrier(ledger.pointer, thread)
          while true {
            let first = Int(
              pk_team_take(ledger.pointer, slot, Int32(count), Int32(ledger.rounds)))
            if first >= count { break }
            for item in first..<min(first + ledger.rounds, count) {
              ledger.counts[item].value.wrappingAdd(1, ordering: .relaxed)
            }
          }
          pk_team_barrier(ledger.pointer, thread)
        }
      }
      #expect(ledger.counts.allSatisfy { $0.value.load(ordering: .relaxed) == 6 })
      pk_team_destroy(team)
    }

    // Runs that come after a pause find their threads asleep, and wake them.
    @Test func sleepersWake() throws {
      let team = try #require(pk_team_create(2, 0))
      let ledger = Ledger(team, rounds: 0)
      for _ in 0..<20 {
        ledger.run { context, _ in
          Ledger.from(context).taken.wrappingAdd(1, ordering: .relaxed)
        }
        pause(microseconds: 300)
      }
      #expect(ledger.taken.load(ordering: .relaxed) == 40)
      pk_team_destroy(team)
    }

    @Test func absurdSizesAreRefused() {
      #expect(pk_team_create(0, 0) == nil)
      #expect(pk_team_create(-3, 0) == nil)
      #expect(pk_team_create(.max, 0) == nil)
      pk_team_destroy(nil)
    }

    // Memory comes zeroed, can be written to its end, and what cannot be had is not.
    @Test func memory() throws {
      for bytes in [1, 4_096, 2 << 20, (2 << 20) + 1] {
        let memory = try #require(pk_memory_map(bytes))
        #expect(UInt(bitPattern: memory) % 64 == 0)
        let end = memory.assumingMemoryBound(to: UInt8.self) + (bytes - 1)
        #expect(end.pointee == 0)
        end.pointee = 1
        pk_memory_unmap(memory, bytes)
      }
      #expect(pk_memory_map(.max) == nil)
      #expect(pk_memory_map(1 << 62) == nil)
      pk_memory_unmap(nil, 10)
    }
  }
}
