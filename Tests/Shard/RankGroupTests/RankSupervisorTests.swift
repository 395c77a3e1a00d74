import CLinux
import EventLoop
import Generation
import Glibc
import Primitives
import RankGroup
import Testing

extension Processes {
  /// Stories with real processes. What breaks here: requests that nobody answers, a group that does not
  /// come back, processes or memory that stay.
  ///
  /// One after the other, since each looks at what is left of it.
  @Suite(.serialized) struct RankSupervisorTests {
    private func isStarting(_ state: EngineState?, _ why: String) -> Bool {
      if case .starting(let text) = state { text.hasPrefix(why) } else { false }
    }

    /// Requests go in, tokens come out, and rank 0 has checked every sum on the way.
    @Test(arguments: [1, 2, 4]) func aGroupWorks(ranks: Int) throws {
      let group = try GroupControl(ranks: ranks)
      eventually("ready") { group.starts == 1 }
      #expect(group.ranks.count == ranks)
      group.submit(1, tokens: 20)
      group.submit(2, tokens: 10)
      group.submit(3, tokens: 1_000_000_000)
      eventually("two texts") { group.now.finished.count == 2 }
      #expect(group.now.tokens[1] == 20)
      #expect(group.now.tokens[2] == 10)
      group.abort(3)
      var before = -1
      eventually("no more tokens") {
        let count = group.now.tokens[3] ?? 0
        defer { before = count }
        usleep(20_000)
        return count == before
      }
      group.stop()
      #expect(group.now.states.last == .ended(why: "stopped"))
      #expect(group.now.restarts == 0)
      #expect(group.now.lines == [])
    }

    /// `kill -9` of each rank in turn, in the middle of work: the server hears it, and
    /// the group comes back with all ranks new.
    @Test(arguments: [1, 2, 4]) func aRankIsKilled(ranks: Int) throws {
      let group = try GroupControl(ranks: ranks) { $0.firstPause = .milliseconds(5) }
      eventually("ready") { group.starts == 1 }
      for victim in 0..<ranks {
        let before = group.ranks
        try #require(before.count == ranks)
        group.submit(UInt64(victim), tokens: 1_000_000_000)
        eventually("a token") { group.now.tokens[UInt64(victim)] != nil }
        usleep(UInt32.random(in: 0...5_000))
        let states = group.now.states.count
        kill(before[victim], SIGKILL)
        // 1 to 5 ms when measured.
        eventually("the news", within: 5) { group.now.states.count > states }
        #expect(isStarting(group.now.states[states], "rank \(victim) was killed by signal 9"))
        eventually("ready again") { group.starts == victim + 2 }
        #expect(Set(group.ranks).isDisjoint(with: before))
      }
      #expect(group.now.restarts == ranks)
      group.submit(99, tokens: 3)
      eventually("a text") { group.now.finished.contains(99) }
      group.stop()
    }

    /// A rank that hangs does not hang the group for longer than the deadline.
    @Test func aRankIsStopped() throws {
      let group = try GroupControl(ranks: 2) { $0.patience.limit = .milliseconds(150) }
      eventually("ready") { group.starts == 1 }
      kill(group.ranks[1], SIGSTOP)
      group.submit(1, tokens: 1_000_000_000)
      eventually("ready again") { group.starts == 2 }
      let why =
        "rank 0 ended with exit code 1; its last words: rank 0: rank 1 did not come to an exchange "
        + "within 150ms"
      #expect(group.now.states.contains(.starting(why: why)))
      group.stop()
    }

    /// Rank 0 lives but says nothing.
    @Test func rank0FallsSilent() throws {
      let group = try GroupControl(ranks: 2, "mute") { $0.heartbeatLimit = .milliseconds(500) }
      eventually("ready twice") { group.starts == 2 }
      #expect(group.now.states.contains(.starting(why: "rank 0 has not reported for 500ms")))
      group.stop()
    }

    @Test func aStartThatDoesNotEnd() throws {
      let group = try GroupControl(ranks: 1, "hang") {
        $0.startLimit = .milliseconds(250)
        $0.failureLimit = 2
      }
      let why =
        "the group did not become ready within 250ms before the group was ready, 2 times in a row"
      eventually("ended") { group.now.states.last == .ended(why: why) }
      eventually("nobody") { group.ranks == [] }
    }

    /// A fault that every start has: given up after five, with what the rank said about it.
    @Test func aRankThatCrashesAtStart() throws {
      let group = try GroupControl(ranks: 2, "crash") { $0.firstPause = .milliseconds(1) }
      let why =
        "rank 1 ended with exit code 3 before the group was ready, 5 times in a row; its last "
        + "words: loading weights | no such tensor: lm_head.weight"
      eventually("ended") { group.now.states.last == .ended(why: why) }
      #expect(group.now.lines.count { $0 == "rank 1: no such tensor: lm_head.weight" } == 5)
      eventually("nobody") { group.ranks == [] && GroupControl.sharedMemories() == 0 }
    }

    @Test func aProgramThatIsNotThere() throws {
      let group = try GroupControl(ranks: 2) {
        $0.program = "/no/such/program"
        $0.failureLimit = 2
      }
      let why =
        "cannot start rank 0 (/no/such/program): No such file or directory before the group was "
        + "ready, 2 times in a row"
      eventually("ended") { group.now.states.last == .ended(why: why) }
    }

    @Test func garbageOnTheChannel() throws {
      let group = try GroupControl(ranks: 2, "garbage")
      eventually("ready") { group.starts == 1 }
      group.submit(1, tokens: 1_000_000_000)
      let why =
        "what rank 0 says makes no sense (a message says that it has 4294967295 bytes)"
      eventually("news") { group.now.states.contains(.starting(why: why)) }
      eventually("ready again") { group.starts == 2 }
      group.stop()
    }

    /// Ranks that want to stay do not.
    @Test func ranksThatDoNotEnd() throws {
      let group = try GroupControl(ranks: 2, "stubborn") { $0.stopLimit = .milliseconds(250) }
      eventually("ready") { group.starts == 1 }
      group.stop()
    }

    /// Stopped before it was started, and let go without a start: nothing to wait for.
    @Test func neverStarted() throws {
      let group = try GroupControl(ranks: 1, isStarted: false)
      group.stop()
      #expect(group.now.states == [])
      try GroupControl(ranks: 1, isStarted: false).drop()
    }

    /// A server that lets go of its engine leaves nothing behind.
    @Test func theSupervisorIsDropped() throws {
      let group = try GroupControl(ranks: 2)
      eventually("ready") { group.starts == 1 }
      group.drop()
      eventually("nobody") { group.ranks == [] && GroupControl.sharedMemories() == 0 }
    }
  }
}
