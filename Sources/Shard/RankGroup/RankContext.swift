import CLinux
import CRankGroup
import Glibc
import Primitives

/// What a process finds when the supervisor has started it as a rank.
///
/// ```
/// let context = try RankContext.join()
/// let blocks = try context.collective.meet(ownBlocks, within: context.startLimit)
/// ```
package struct RankContext {
  package let rank: Int
  package let count: Int
  package let collective: any Collective
  /// Rank 0's, to the server; nil on other ranks.
  package let channel: EngineChannel?
  package let floatsPerExchange: Int
  /// How long a start may take; for `Collective.meet`.
  package let startLimit: TimeAmount

  /// Joins the group that the environment speaks of.
  ///
  /// From here on this process dies with its supervisor, however that dies: by the kernel's signal at
  /// the death of the parent thread, and by the end of a pipe that only the supervisor holds. To be
  /// called once, first thing, in a process that has nothing else to do.
  package static func join() throws(GroupBroken) -> RankContext {
    guard let text = getenv(RankInvitation.variable).map({ String(cString: $0) }) else {
      throw GroupBroken(
        "\(RankInvitation.variable) is not set: ranks are started by their server, not by hand")
    }
    guard let invitation = RankInvitation(text) else {
      throw GroupBroken("\(RankInvitation.variable) makes no sense: '\(text)'")
    }
    // Programs that this one starts are no ranks.
    unsetenv(RankInvitation.variable)
    signal(SIGPIPE, SIG_IGN)
    switch invitation.transport {
    case .shared: return try joinShared(invitation)
    case .mpi: return try joinMPI(invitation)
    }
  }

  private static func joinShared(_ invitation: RankInvitation) throws(GroupBroken) -> RankContext {
    for number in RankInvitation.descriptors { closeOnExec(number) }
    let collective: any Collective
    if invitation.count == 1 {
      try watchLife(RankInvitation.life, parent: 0)
      collective = SoloCollective(floatsPerExchange: invitation.floatsPerExchange)
    } else {
      let shared = try SharedCollective(
        memory: RankInvitation.memory, rank: invitation.rank, patience: invitation.patience)
      guard shared.count == invitation.count else {
        throw GroupBroken("the group's memory is for \(shared.count) ranks")
      }
      _ = portico_close(RankInvitation.memory)
      try shared.watchLife(RankInvitation.life)
      collective = shared
    }
    return RankContext(
      rank: invitation.rank, count: invitation.count, collective: collective,
      channel: invitation.rank == 0 ? EngineChannel(descriptor: RankInvitation.channel) : nil,
      floatsPerExchange: invitation.floatsPerExchange, startLimit: invitation.startLimit)
  }

  private static func joinMPI(_ invitation: RankInvitation) throws(GroupBroken) -> RankContext {
    // mpirun passes no descriptors on, so its own death is what to watch; rank 0 watches its channel
    // too, and ends mpirun.
    let parent = getppid()
    guard portico_die_with_parent(parent, SIGKILL) == 0 else { throw GroupBroken("mpirun is gone") }
    try watchLife(-1, parent: parent)
    let collective = try MPICollective(
      floatsPerExchange: invitation.floatsPerExchange, stepBytes: invitation.stepBytes,
      patience: invitation.patience)
    guard collective.count == invitation.count else {
      throw GroupBroken("mpirun started \(collective.count) ranks, not \(invitation.count)")
    }
    var channel: EngineChannel?
    if collective.rank == 0 {
      let descriptor = try connect(invitation.socket)
      // A copy for the thread: it may not be closed under it.
      try watchLife(fcntl(descriptor, F_DUPFD_CLOEXEC, 0), parent: parent)
      channel = EngineChannel(descriptor: descriptor)
    }
    return RankContext(
      rank: collective.rank, count: collective.count, collective: collective, channel: channel,
      floatsPerExchange: invitation.floatsPerExchange, startLimit: invitation.startLimit)
  }

  private static func watchLife(_ life: Int32, parent: Int32) throws(GroupBroken) {
    let result = rank_watch_life(life, parent, nil)
    guard result == 0 else {
      throw GroupBroken("cannot start a thread: \(String(cString: strerror(-result)))")
    }
  }

  private static func connect(_ path: String) throws(GroupBroken) -> Int32 {
    let descriptor = RankSocket.connect(path)
    guard descriptor >= 0 else {
      throw GroupBroken("cannot reach the server: \(String(cString: strerror(-descriptor)))")
    }
    return descriptor
  }

  private static func closeOnExec(_ descriptor: Int32) {
    let flags = fcntl(descriptor, F_GETFD)
    if flags >= 0 { _ = fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC) }
  }
}

/// What the supervisor tells a rank in its environment, as words.
struct RankInvitation: Equatable {
  static let variable = "PORTICO_RANK"
  /// Where a rank finds the group's memory, the pipe of the supervisor's life, and rank 0 its channel.
  static let memory: Int32 = 3
  static let life: Int32 = 4
  static let channel: Int32 = 5
  static let descriptors = [memory, life, channel]

  var transport: RankGroupSettings.Transport
  /// 0 with MPI, which knows better.
  var rank: Int
  var count: Int
  var floatsPerExchange: Int
  var stepBytes: Int
  var patience: SharedCollective.Patience
  var startLimit: TimeAmount
  /// Where rank 0 reaches the supervisor with MPI, else empty.
  var socket: String

  init(_ settings: RankGroupSettings, rank: Int, socket: String = "") {
    transport = settings.transport
    self.rank = rank
    count = settings.ranks
    floatsPerExchange = settings.floatsPerExchange
    stepBytes = settings.stepBytes
    patience = settings.patience
    startLimit = settings.startLimit
    self.socket = socket
  }

  var text: String {
    """
    \(transport.rawValue) \(rank) \(count) \(floatsPerExchange) \(stepBytes) \
    \(patience.spin.nanoseconds) \(patience.limit.nanoseconds) \(startLimit.nanoseconds) \(socket)
    """
  }

  init?(_ text: String) {
    // The last one is a path and may have spaces.
    let words = text.split(separator: " ", maxSplits: 8, omittingEmptySubsequences: false)
    guard words.count == 9, let transport = RankGroupSettings.Transport(rawValue: String(words[0]))
    else { return nil }
    let numbers = words[1..<8].compactMap { Int($0) }
    guard numbers.count == 7, numbers[1] >= 1, (0..<numbers[1]).contains(numbers[0]),
      numbers[2] >= 1, numbers[3] >= 1
    else { return nil }
    self.transport = transport
    rank = numbers[0]
    count = numbers[1]
    floatsPerExchange = numbers[2]
    stepBytes = numbers[3]
    patience = SharedCollective.Patience(
      spin: .nanoseconds(Int64(numbers[4])), limit: .nanoseconds(Int64(numbers[5])))
    startLimit = .nanoseconds(Int64(numbers[6]))
    socket = String(words[8])
  }
}
