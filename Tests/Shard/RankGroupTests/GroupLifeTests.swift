import Generation
import Primitives
import Testing

@testable import RankGroup

/// What breaks here: a group that is not killed, not restarted, restarted for ever, or about which the
/// server is told the wrong thing.
@Suite struct GroupLifeTests {
  private let facts = EngineFacts(
    ranks: 2, contextLimit: 1, blockTokens: 1, blocks: 1, weightBytes: 1, kvBytes: 1,
    startNanoseconds: 1)

  private func settings() -> RankGroupSettings {
    var settings = RankGroupSettings(ranks: 2, floatsPerExchange: 1) { _ in [] }
    settings.startLimit = .seconds(1)
    settings.heartbeatLimit = .milliseconds(500)
    settings.stopLimit = .milliseconds(500)
    settings.failureLimit = 3
    settings.healthyAfter = .milliseconds(750)
    return settings
  }

  private func failed(_ why: String, _ words: [String] = []) -> GroupLife.Event {
    .failed(why: why, words: words)
  }

  /// A rank dies while all is well: the server hears of it at once, and the group comes back.
  @Test func aRankDies() {
    var life = GroupLife(settings())
    #expect(life.handle(.start) == [.tell(.starting(why: "")), .spawn])
    #expect(life.handle(.ready(facts)) == [.tell(.ready(facts))])
    #expect(
      life.handle(failed("rank 1 was killed by signal 9", ["a", "b"])) == [
        .tell(.starting(why: "rank 1 was killed by signal 9; its last words: a | b")), .kill,
      ])
    // The others die of that, which is no news.
    #expect(life.handle(failed("rank 0 was killed by signal 9")) == [])
    #expect(life.handle(.allGone) == [.pause(.milliseconds(100))])
    #expect(life.handle(.allGone) == [])
    #expect(life.handle(.pauseOver) == [.spawn])
    #expect(life.handle(.ready(facts)) == [.tell(.ready(facts))])
  }

  /// Pauses double up to their limit, and are short again after health.
  @Test func pauses() {
    var settings = settings()
    settings.longestPause = .milliseconds(300)
    var life = GroupLife(settings)
    _ = life.handle(.start)
    var pauses: [GroupLife.Action] = []
    func failOnce() {
      _ = life.handle(.ready(facts))
      _ = life.handle(failed("x"))
      pauses += life.handle(.allGone)
      _ = life.handle(.pauseOver)
    }
    for _ in 0..<4 { failOnce() }
    _ = life.handle(.ready(facts))
    for _ in 0..<3 {
      _ = life.handle(.heard)
      _ = life.handle(.tick)
    }
    failOnce()
    #expect(pauses == [100, 200, 300, 300, 100].map { .pause(.milliseconds($0)) })
  }

  /// A fault that comes at each start is not tried for ever; one success in between counts anew.
  @Test func startsThatFail() {
    var life = GroupLife(settings())
    _ = life.handle(.start)
    func failOnce() -> [GroupLife.Action] {
      let actions = life.handle(failed("rank 1 ended with exit code 3", ["no weights"]))
      _ = life.handle(.allGone)
      _ = life.handle(.pauseOver)
      return actions
    }
    let again: [GroupLife.Action] = [
      .tell(.starting(why: "rank 1 ended with exit code 3; its last words: no weights")), .kill,
    ]
    #expect(failOnce() == again)
    #expect(failOnce() == again)
    _ = life.handle(.ready(facts))
    #expect(failOnce() == again)
    #expect(failOnce() == again)
    #expect(failOnce() == again)
    let why =
      "rank 1 ended with exit code 3 before the group was ready, 3 times in a row; "
      + "its last words: no weights"
    #expect(
      life.handle(failed("rank 1 ended with exit code 3", ["no weights"])) == [
        .tell(.ended(why: why)), .kill,
      ])
    #expect(life.handle(.allGone) == [.end])
    #expect(life.handle(.start) == [])
    #expect(!life.isActive)
  }

  /// A start that does not end, and a rank 0 that falls silent.
  @Test func limits() {
    var life = GroupLife(settings())
    _ = life.handle(.start)
    for _ in 0..<3 { #expect(life.handle(.tick) == []) }
    #expect(
      life.handle(.tick) == [
        .tell(.starting(why: "the group did not become ready within 1s")), .kill,
      ])
    _ = life.handle(.allGone)
    _ = life.handle(.pauseOver)
    _ = life.handle(.ready(facts))
    for _ in 0..<10 {
      #expect(life.handle(.tick) == [])
      #expect(life.handle(.heard) == [])
    }
    #expect(life.handle(.tick) == [])
    #expect(
      life.handle(.tick) == [.tell(.starting(why: "rank 0 has not reported for 500ms")), .kill])
    // What cannot be killed at once is killed again.
    #expect((0..<8).flatMap { _ in life.handle(.tick) } == [.kill])
  }

  /// The order, SIGTERM, SIGKILL: as much as is needed.
  @Test func stopping() {
    var life = GroupLife(settings())
    _ = life.handle(.start)
    _ = life.handle(.ready(facts))
    #expect(life.handle(.stop) == [.tell(.ended(why: "stopped")), .endOrders])
    #expect(life.handle(.stop) == [])
    #expect(life.handle(failed("rank 0 ended with exit code 0")) == [])
    #expect(life.handle(.tick) == [])
    #expect(life.handle(.tick) == [.terminate])
    #expect(life.handle(.tick) == [])
    #expect(life.handle(.tick) == [.kill])
    #expect(life.handle(.allGone) == [.end])
  }

  /// Stopping while there is nobody to tell, and while there is nobody at all.
  @Test func stoppingAtOtherTimes() {
    var life = GroupLife(settings())
    #expect(life.handle(.stop) == [.tell(.ended(why: "stopped")), .end])
    life = GroupLife(settings())
    _ = life.handle(.start)
    #expect(life.handle(.stop) == [.tell(.ended(why: "stopped")), .terminate])
    #expect(life.handle(.ready(facts)) == [])
    #expect(life.handle(.tick) == [])
    #expect(life.handle(.tick) == [.kill])
    life = GroupLife(settings())
    _ = life.handle(.start)
    _ = life.handle(failed("x"))
    _ = life.handle(.allGone)
    #expect(life.handle(.stop) == [.tell(.ended(why: "stopped")), .end])
    #expect(life.handle(.pauseOver) == [])
  }

  /// mpirun must live to end its ranks.
  @Test func mpirunIsAskedFirst() {
    var settings = settings()
    settings.transport = .mpi
    var life = GroupLife(settings)
    _ = life.handle(.start)
    _ = life.handle(.ready(facts))
    #expect(life.handle(failed("x")) == [.tell(.starting(why: "x")), .terminate])
    #expect((0..<8).flatMap { _ in life.handle(.tick) } == [.kill])
  }
}

/// What breaks here: lines that grow without bound, or that reach a terminal as commands.
@Suite struct LastWordsTests {
  private func receive(_ text: String, _ words: inout LastWords) -> [String] {
    Array(text.utf8).withUnsafeBytes { words.receive($0) }
  }

  @Test func linesInPieces() {
    var words = LastWords()
    #expect(receive("one\ntw", &words) == ["one"])
    #expect(receive("o\n\nthree", &words) == ["two"])
    #expect(words.end() == ["three"])
    #expect(words.end() == [])
    #expect(words.kept == ["one", "two", "three"])
    #expect(receive("a\u{1B}[2Jb\tc\n", &words) == ["a?[2Jb\tc"])
    for i in 0..<10 { _ = receive("\(i)\n", &words) }
    #expect(words.kept == ["5", "6", "7", "8", "9"])
  }

  @Test func aLineWithoutEnd() {
    var words = LastWords()
    let lines = receive(String(repeating: "x", count: 10_000), &words)
    #expect(lines.map(\.count) == [3_900, 3_900])
    #expect(words.kept.map(\.count) == [500, 500])
  }
}
