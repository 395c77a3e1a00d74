import CLinux
import Dispatch
import Glibc
import Primitives
import Synchronization
import Testing

@testable import RankGroup

/// Ranks as threads of this process, each with its own mapping of the memory.
private func group(
  _ count: Int, floats: Int = 600, stepBytes: Int = 100, limit: TimeAmount = .seconds(30)
) throws -> [SharedCollective] {
  let memory = SharedCollective.memory(
    ranks: count, floatsPerExchange: floats, stepBytes: stepBytes)
  #expect(memory >= 0)
  defer { close(memory) }
  return try (0..<count).map {
    try SharedCollective(memory: memory, rank: $0, patience: .init(limit: limit))
  }
}

/// Runs one body per rank at the same time, and gives what they threw.
private func together(
  _ ranks: [SharedCollective], _ body: @escaping @Sendable (SharedCollective) throws -> Void
) -> [String] {
  let errors = Mutex<[String]>([])
  let threads = DispatchGroup()
  for rank in ranks {
    Thread.run(in: threads) {
      do {
        try body(rank)
      } catch {
        errors.withLock { $0.append("\(error)") }
      }
    }
  }
  threads.wait()
  return errors.withLock { $0.sorted() }
}

/// A thread of its own: ranks wait for each other, and Dispatch has as many threads as cores.
private enum Thread {
  static func run(in group: DispatchGroup, _ body: @escaping @Sendable () -> Void) {
    group.enter()
    let box = Unmanaged.passRetained(
      Box {
        body()
        group.leave()
      })
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
    precondition(result == 0)
    pthread_detach(thread)
  }

  private final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}

private func expectedSum(_ ranks: Int, _ round: Int, _ i: Int) -> Float {
  var sum = value(0, round, i)
  for rank in 1..<max(ranks, 1) { sum += value(rank, round, i) }
  return sum
}

private func value(_ rank: Int, _ round: Int, _ i: Int) -> Float {
  // Sizes that differ so much that the order of the sum shows in its bits.
  let sizes: [Float] = [1e8, 1, -1e8, 3e-3]
  return sizes[(rank + i + round) % 4] * Float(1 + (i * 7 + rank * 13 + round) % 97)
}

extension Processes {
  /// What breaks here: sums in another order on another rank, a part that is overwritten while it is
  /// read, a wait without end.
  @Suite(.serialized) struct CollectiveTests {
    /// All ranks get the bits of the sum in order of ranks, whatever the count, round after round
    /// without a barrier between.
    @Test(arguments: [1, 2, 3, 4, 5, 8]) func sums(count: Int) throws {
      let errors = together(try group(count)) { rank in
        let y = UnsafeMutablePointer<Float>.allocate(capacity: 600)
        defer { y.deallocate() }
        for round in 0..<100 {
          let width = 1 + (round * 137) % 600
          let part = rank.nextPartial(count: width)
          for i in 0..<width { part[i] = value(rank.rank, round, i) }
          try rank.exchange(count: width)
          y.update(repeating: 0.25, count: 600)
          rank.addSum(of: 0..<(width / 3), to: y)
          rank.addSum(of: (width / 3)..<width, to: y)
          for i in 0..<width {
            let expected = 0.25 + expectedSum(count, round, i)
            guard y[i].bitPattern == expected.bitPattern else {
              throw GroupBroken("round \(round), \(i): \(y[i]) is not \(expected)")
            }
          }
          guard width == 600 || y[width] == 0.25 else { throw GroupBroken("wrote too far") }
          for other in 0..<count where rank.partial(of: other)[0] != value(other, round, 0) {
            throw GroupBroken("round \(round): the part of rank \(other) is not its")
          }
        }
      }
      #expect(errors == [])
    }

    /// The alone one does nothing, and does it right.
    @Test func solo() throws {
      let solo = SoloCollective(floatsPerExchange: 10)
      var y: [Float] = [1, 2, 3]
      let part = solo.nextPartial(count: 3)
      for i in 0..<3 { part[i] = 10 }
      solo.exchange(count: 3)
      y.withUnsafeMutableBufferPointer { solo.addSum(of: 1..<3, to: $0.baseAddress!) }
      #expect(y == [1, 12, 13])
      #expect(solo.partial(of: 0)[2] == 10)
      #expect(solo.meet(7, within: .seconds(1)) == 7)
      var bytes: [UInt8] = []
      #expect(throws: GroupBroken("a group of one rank has nobody to follow")) {
        try solo.follow(into: &bytes)
      }
    }

    @Test func theLeastOfAll() throws {
      let errors = together(try group(4)) { rank in
        for round in 0..<50 {
          let least = try rank.meet(round * 10 - rank.rank, within: .seconds(30))
          guard least == round * 10 - 3 else { throw GroupBroken("\(least)") }
        }
      }
      #expect(errors == [])
    }

    /// Steps of all sizes reach all ranks in order, though rank 0 runs ahead and others are slow.
    @Test(arguments: [2, 4]) func steps(count: Int) throws {
      let errors = together(try group(count)) { rank in
        var bytes: [UInt8] = []
        for step in 0..<200 {
          let expected = [UInt8](repeating: UInt8(step), count: step % 101)
          if rank.rank == 0 {
            try rank.lead(expected)
          } else {
            if step % 50 == 0 { usleep(2_000) }
            try rank.follow(into: &bytes)
            guard bytes == expected else { throw GroupBroken("step \(step) is \(bytes)") }
          }
        }
      }
      #expect(errors == [])
    }

    /// A rank that does not come is named, after the deadline and not before.
    @Test func theDeadline() throws {
      let ranks = try group(3, limit: .milliseconds(80))
      let errors = together(Array(ranks[..<2])) { rank in
        _ = rank.nextPartial(count: 1)
        let start = portico_monotonic_ns()
        defer { #expect(portico_monotonic_ns() - start >= 80_000_000) }
        try rank.exchange(count: 1)
      }
      #expect(
        errors == [
          "rank 0: rank 2 did not come to an exchange within 80ms",
          "rank 1: rank 2 did not come to an exchange within 80ms",
        ])
      #expect(throws: GroupBroken("rank 0: rank 1 did not come to the meeting within 10ms")) {
        try ranks[0].meet(1, within: .milliseconds(10))
      }
      // Two steps fit; for the third somebody must have read the first.
      try ranks[0].lead([1])
      try ranks[0].lead([2])
      #expect(throws: GroupBroken("rank 0: rank 1 did not come to the last step within 80ms")) {
        try ranks[0].lead([3])
      }
    }

    /// Ranks that do not compute the same thing are found out at the first exchange.
    @Test func countsThatDiffer() throws {
      let errors = together(try group(2)) { rank in
        try rank.exchange(count: 10 + rank.rank)
      }
      #expect(
        errors == [
          "rank 0: rank 1 came to an exchange with another count",
          "rank 1: rank 0 came to an exchange with another count",
        ])
    }

    /// Whoever gives up takes the others along, wherever they wait.
    @Test func givingUp() throws {
      let ranks = try group(4)
      let errors = together(ranks) { rank in
        var bytes: [UInt8] = []
        switch rank.rank {
        case 0: try rank.exchange(count: 1)
        case 1: try rank.follow(into: &bytes)
        case 2: _ = try rank.meet(1, within: .seconds(30))
        default:
          usleep(20_000)
          rank.abandon()
        }
      }
      #expect(errors == (0..<3).map { "rank \($0): rank 3 has given the group up" })
    }

    @Test func tooMuchAndTooLittle() throws {
      let ranks = try group(2, stepBytes: 4)
      #expect(throws: GroupBroken("a step takes 5 bytes, and the group was made for 4")) {
        try ranks[0].lead([1, 2, 3, 4, 5])
      }
      #expect(SharedCollective.memory(ranks: 0, floatsPerExchange: 1, stepBytes: 1) == -EINVAL)
      #expect(SharedCollective.memory(ranks: 65, floatsPerExchange: 1, stepBytes: 1) == -EINVAL)
      #expect(SharedCollective.memory(ranks: 2, floatsPerExchange: .max, stepBytes: 1) == -EINVAL)
      #expect(SharedCollective.memory(ranks: 2, floatsPerExchange: 1, stepBytes: .max) == -EINVAL)
    }

    /// Memory that is not a group's is refused, and a descriptor that is none.
    @Test func otherMemory() throws {
      var pipe: [Int32] = [-1, -1]
      #expect(portico_pipe(&pipe) == 0)
      defer { for end in pipe { close(end) } }
      #expect(throws: GroupBroken("rank 0 cannot use the group's memory: Bad message")) {
        try SharedCollective(memory: pipe[0], rank: 0)
      }
      #expect(throws: GroupBroken("rank 0 cannot use the group's memory: Bad file descriptor")) {
        try SharedCollective(memory: -1, rank: 0)
      }
      let memory = SharedCollective.memory(ranks: 2, floatsPerExchange: 1, stepBytes: 1)
      defer { close(memory) }
      #expect(throws: GroupBroken("rank 2 cannot use the group's memory: Bad message")) {
        try SharedCollective(memory: memory, rank: 2)
      }
      // It cannot shrink under those who read it.
      #expect(ftruncate(memory, 0) == -1)
    }
  }
}
