import Generation
import Glibc
import Primitives
import RankGroup
import Testing

extension Processes {
  /// The same stories with ranks that mpirun starts. Skipped where there is none; `Docker/bootstrap.sh`
  /// installs it for CI.
  @Suite(.serialized, .enabled(if: access("/usr/bin/mpirun", X_OK) == 0)) struct MPITests {
    private func group(_ ranks: Int, _ change: (inout RankGroupSettings) -> Void = { _ in })
      throws -> GroupControl
    {
      try GroupControl(ranks: ranks) {
        $0.transport = .mpi
        $0.mpirunArguments = ["--oversubscribe"]
        $0.environment = ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]
        change(&$0)
      }
    }

    @Test(arguments: [2, 4]) func aGroupWorks(ranks: Int) throws {
      let group = try group(ranks)
      eventually("ready") { group.starts == 1 }
      #expect(group.ranks.count == ranks)
      group.submit(1, tokens: 10)
      eventually("a text") { group.now.finished == [1] }
      #expect(group.now.tokens[1] == 10)
      group.stop()
      #expect(group.now.lines == [])
    }

    /// mpirun notices and ends the rest; the group comes back.
    @Test func aRankIsKilled() throws {
      let group = try group(2)
      eventually("ready") { group.starts == 1 }
      group.submit(1, tokens: 1_000_000_000)
      eventually("a token") { group.now.tokens[1] != nil }
      let states = group.now.states.count
      kill(group.ranks[1], SIGKILL)
      // 25 to 50 ms when measured.
      eventually("the news", within: 5) { group.now.states.count > states }
      eventually("ready again") { group.starts == 2 }
      group.stop()
    }

    /// `kill -9` of the supervisor: neither ranks stay, nor mpirun, nor the memory that Open MPI has in
    /// /dev/shm.
    @Test func theSupervisorIsKilled() throws {
      let before = Self.sharedFiles()
      let mark = "orphan-mpi-\(getpid())"
      let supervisor = try Spawned(
        ["supervise", mark, "2", "mpi"],
        environment: ["OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"])
      eventually("ready") { supervisor.output.contains("ready") }
      #expect(GroupControl.processes(["rank", mark]).count == 2)
      supervisor.signal(SIGKILL)
      #expect(supervisor.ending() == 256 + SIGKILL)
      eventually("no orphans") {
        GroupControl.processes(["rank", mark]).isEmpty && Self.sharedFiles().isSubset(of: before)
      }
      eventually("no mpirun") { GroupControl.processes(["-n", "2"]).isEmpty }
    }

    private static func sharedFiles() -> Set<String> {
      Set(GroupControl.names(in: "/dev/shm").filter { $0.hasPrefix("vader") })
    }

    /// Without mpirun the operator hears what to install.
    @Test func noMPI() throws {
      let group = try group(2) {
        $0.mpirun = "mpirun-of-nobody"
        $0.failureLimit = 1
      }
      let why =
        "cannot start mpirun-of-nobody, which ranks over MPI need (try `apt install openmpi-bin "
        + "libopenmpi3`): No such file or directory before the group was ready"
      eventually("ended") { group.now.states.last == .ended(why: why) }
    }
  }
}
