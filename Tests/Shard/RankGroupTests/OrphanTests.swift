import CLinux
import Generation
import Glibc
import Primitives
import Testing

@testable import RankGroup

extension Processes {
  /// What breaks here: a rank that works on, or waits on, for a group that is not there any more.
  @Suite(.serialized) struct OrphanTests {
    /// Two ranks, of which nobody takes care.
    private final class Pair {
      var ranks: [Spawned] = []
      /// Closed, it ends them.
      var lifeline: Int32
      let channel: Int32

      init() throws {
        var life: [Int32] = [-1, -1]
        var sockets: [Int32] = [-1, -1]
        let memory = SharedCollective.memory(
          ranks: 2, floatsPerExchange: 4_096, stepBytes: 4_096)
        try #require(memory >= 0 && portico_pipe(&life) == 0 && portico_socketpair(&sockets) == 0)
        lifeline = life[1]
        channel = sockets[0]
        let settings = RankGroupSettings(ranks: 2, floatsPerExchange: 4_096) { _ in [] }
        for rank in 0..<2 {
          let text = RankInvitation(settings, rank: rank).text
          ranks.append(
            try Spawned(
              ["rank", "pair"], environment: ["\(RankInvitation.variable)=\(text)"],
              passes: [
                (life[0], RankInvitation.life), (memory, RankInvitation.memory),
                (sockets[1], RankInvitation.channel),
              ]))
        }
        for descriptor in [life[0], sockets[1], memory] { close(descriptor) }
        var byte: UInt8 = 0
        eventually("ready") { portico_receive(channel, &byte, 1) == 1 }
      }

      deinit {
        if lifeline >= 0 { close(lifeline) }
        close(channel)
      }

      func submit() {
        var bytes: [UInt8] = []
        EngineOrder.submit(GenerationRequest(id: 1, prompt: [1], maxTokens: 1_000_000_000))
          .append(to: &bytes)
        #expect(portico_send(channel, bytes, bytes.count) == bytes.count)
      }
    }

    /// Where no supervisor kills the rest, they notice by themselves: the one that waits for steps, for
    /// however long.
    @Test func rank0Dies() throws {
      let pair = try Pair()
      pair.ranks[0].signal(SIGKILL)
      #expect(pair.ranks[1].ending() == 1)
      #expect(pair.ranks[1].output == "rank 1: rank 0 has died\n")
    }

    /// And the one that waits for a part of a sum.
    @Test func anotherRankDies() throws {
      let pair = try Pair()
      pair.ranks[1].signal(SIGKILL)
      #expect(pair.ranks[1].ending() == 256 + SIGKILL)
      pair.submit()
      #expect(pair.ranks[0].ending() == 1)
      #expect(pair.ranks[0].output == "rank 0: rank 1 has died\n")
    }

    /// A rank that ends by itself is as dead as one that was killed.
    @Test func anotherRankLeaves() throws {
      let pair = try Pair()
      pair.ranks[1].signal(SIGTERM)
      pair.submit()
      #expect(pair.ranks[0].ending() == 1)
      #expect(pair.ranks[0].output == "rank 0: rank 1 has died\n")
    }

    /// The pipe alone ends them, idle and at work, without a word.
    @Test(arguments: [true, false]) func thePipeEnds(isIdle: Bool) throws {
      let pair = try Pair()
      if !isIdle { pair.submit() }
      close(pair.lifeline)
      pair.lifeline = -1
      // EX_UNAVAILABLE; rank 0 may have seen that rank 1 was gone a moment earlier.
      let endings = pair.ranks.map { $0.ending() }
      #expect(endings.contains(69))
      #expect(endings.allSatisfy { $0 == 69 || $0 == 1 })
    }

    /// `kill -9` of the supervisor, ready and at start: no rank outlives it.
    @Test(arguments: [true, false]) func theSupervisorIsKilled(isReady: Bool) throws {
      let mark = "orphan-\(getpid())-\(isReady)"
      let supervisor = try Spawned(["supervise", mark, "3"])
      if isReady {
        eventually("ready") { supervisor.output == "ready\n" }
      } else {
        eventually("ranks") { !GroupControl.processes(["rank", mark]).isEmpty }
      }
      supervisor.signal(SIGKILL)
      #expect(supervisor.ending() == 256 + SIGKILL)
      eventually("no orphans") { GroupControl.processes(["rank", mark]).isEmpty }
    }

    /// Started by hand, a rank says what it is missing.
    @Test func notARank() throws {
      let lone = try Spawned(["rank", "lone"])
      #expect(lone.ending() == 1)
      #expect(
        lone.output
          == "PORTICO_RANK is not set: ranks are started by their server, not by hand\n")
      let confused = try Spawned(["rank", "lone"], environment: ["PORTICO_RANK=shared"])
      #expect(confused.ending() == 1)
      #expect(confused.output == "PORTICO_RANK makes no sense: 'shared'\n")
    }
  }
}
