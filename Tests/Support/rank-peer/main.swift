import CLinux
import Dispatch
import EventLoop
import Generation
import Glibc
import Primitives
import RankGroup

// Acts as a rank, or as the supervisor of some, for the tests of RankGroup.
//
//   rank-peer rank MARK [how]...       one rank; see `FakeRank`
//   rank-peer supervise MARK RANKS [how]...
//                                      a supervisor that lives until it is killed; says when ready
//
// `supervise x 2 bench` measures exchanges; `mpi` and `spin=MICROSECONDS` change how.

let words = Array(CommandLine.arguments.dropFirst())
switch words.first {
case "rank":
  FakeRank(how: Set(words.dropFirst(2))).run()
case "supervise":
  let mark = words[1]
  let loop = try EventLoop(index: 0, label: "server")
  let how = Array(words.dropFirst(3))
  var settings = RankGroupSettings(ranks: Int(words[2])!, floatsPerExchange: 4_096) { _ in
    ["rank-peer", "rank", mark] + how
  }
  if how.contains("mpi") {
    settings.transport = .mpi
    settings.mpirunArguments = ["--oversubscribe"]
  }
  for word in how where word.hasPrefix("spin=") {
    settings.patience.spin = .microseconds(Int64(word.dropFirst(5)) ?? 0)
  }
  let supervisor = try RankSupervisor(settings, loop: loop)
  supervisor.onState = { state in
    if case .ready = state {
      print("ready")
      fflush(nil)
    }
  }
  final class Nothing: LoopDelegate {
    func ready(_ events: UnsafeBufferPointer<epoll_event>) {}
    func deadlinePassed(at now: Instant) {}
    var nextDeadline: Instant { .never }
  }
  loop.start(Nothing())
  loop.post { supervisor.start() }
  dispatchMain()
default:
  print("usage: rank-peer rank MARK [how]... | supervise MARK RANKS [how]...")
  exit(2)
}
