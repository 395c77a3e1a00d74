import Primitives

/// What a group of ranks is made of, and how patient its supervisor is.
package struct RankGroupSettings: Sendable {
  package enum Transport: String, Sendable, CaseIterable {
    /// Processes of this machine that share memory.
    case shared
    /// Processes that mpirun starts, on this machine or on several.
    case mpi
  }

  package var ranks: Int
  package var transport = Transport.shared
  /// What each rank runs: by default the program that runs now, even where its file was replaced.
  package var program = "/proc/self/exe"
  /// The rank's command line, from argv[0] on. With MPI it is asked once, for rank 0.
  package var arguments: @Sendable (_ rank: Int) -> [String]
  /// Added to the environment, over what is there.
  package var environment: [String: String] = [:]
  /// The most that a rank brings to one exchange: tokens of a step times the width of the model, or
  /// the logits that are gathered.
  package var floatsPerExchange: Int
  /// The most that one step takes as bytes. Memory is used as it is written to.
  package var stepBytes = 16 << 20
  package var patience = SharedCollective.Patience()
  /// From the start of the processes to `ready`: reading hundreds of gigabytes takes minutes.
  package var startLimit = TimeAmount.seconds(600)
  /// Rank 0 reports once a second and more often while it works; after so long without a report it
  /// hangs. Above the longest step.
  package var heartbeatLimit = TimeAmount.seconds(60)
  /// For each of the two stages of `stop`: after the order to end comes SIGTERM, and then SIGKILL.
  package var stopLimit = TimeAmount.seconds(5)
  /// Starts in a row that may fail before the group gives up: a fault that comes five times will come
  /// again, and the operator should hear of it.
  package var failureLimit = 5
  /// Before the first start anew; doubles each time.
  package var firstPause = TimeAmount.milliseconds(100)
  package var longestPause = TimeAmount.seconds(10)
  /// After so long in `ready` the next pause is the first again.
  package var healthyAfter = TimeAmount.seconds(60)
  /// Looked up in PATH.
  package var mpirun = "mpirun"
  /// Before the program: `--hostfile`, `--host`, `--bind-to`.
  package var mpirunArguments: [String] = []

  package init(
    ranks: Int, floatsPerExchange: Int, arguments: @escaping @Sendable (_ rank: Int) -> [String]
  ) {
    self.ranks = ranks
    self.floatsPerExchange = floatsPerExchange
    self.arguments = arguments
  }
}
