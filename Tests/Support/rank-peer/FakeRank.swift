import CLinux
import Generation
import Glibc
import Primitives
import RankGroup

/// A rank whose engine computes nothing of use, but the same way as a real one: rank 0 reads orders
/// and leads steps, all execute them with exchanges, and rank 0 checks every bit of every sum.
///
/// Words that change how it goes:
/// - `crash`: rank 1 (or the only one) writes two lines and exits with 3 before it is ready.
/// - `hang`: never becomes ready.
/// - `garbage`: rank 0 answers the first order with nonsense.
/// - `mute`: rank 0 neither reports nor answers once it is ready.
/// - `stubborn`: ignores SIGTERM and the order to end.
/// - `bench`: measures exchanges before it is ready, and writes the result to stderr.
struct FakeRank {
  /// Floats of one exchange: an odd number, so that vectors have an end.
  static let width = 577
  /// Exchanges of one step.
  static let layers = 8

  let how: Set<String>

  func run() -> Never {
    let context: RankContext
    do throws(GroupBroken) {
      context = try RankContext.join()
    } catch {
      die(error.reason)
    }
    if how.contains("stubborn") { signal(SIGTERM, SIG_IGN) }
    if how.contains("crash"), context.rank == context.count - 1 {
      say("loading weights")
      say("no such tensor: lm_head.weight")
      exit(3)
    }
    if how.contains("hang") { while true { sleep(1) } }
    do throws(GroupBroken) {
      let least = try context.collective.meet(100 + context.rank, within: context.startLimit)
      guard least == 100 else { die("the least of all ranks is \(least)") }
      if how.contains("bench") { try bench(context) }
      if let channel = context.channel {
        try leadSteps(context, channel)
      } else {
        try followSteps(context)
      }
    } catch {
      context.collective.abandon()
      die(error.reason)
    }
  }

  // MARK: Rank 0

  private func leadSteps(_ context: RankContext, _ channel: EngineChannel) throws(GroupBroken)
    -> Never
  {
    let executor = Executor(context)
    var orders: [EngineOrder] = []
    var running: [(request: GenerationRequest, made: Int)] = []
    var batch = StepBatch()
    var bytes: [UInt8] = []
    var report = EngineReport()
    var lastReport = Instant.zero
    channel.send(
      .ready(
        EngineFacts(
          ranks: context.count, contextLimit: 1_000, blockTokens: 16, blocks: 100, weightBytes: 0,
          kvBytes: 0, startNanoseconds: 1)))
    while true {
      orders.removeAll()
      let wait = running.isEmpty ? TimeAmount.milliseconds(100) : .zero
      if try !channel.poll(into: &orders, timeout: wait) {
        if how.contains("stubborn") { while true { sleep(1) } }
        try channel.drain()
        try context.collective.lead([])
        context.collective.leave()
        exit(0)
      }
      if how.contains("mute") { continue }
      for order in orders {
        if how.contains("garbage") {
          let nonsense: [UInt8] = [255, 255, 255, 255]
          _ = portico_send(5, nonsense, nonsense.count)
        }
        switch order {
        case .submit(let request): running.append((request, 0))
        case .abort(let id): running.removeAll { $0.request.id == id }
        }
      }
      if !running.isEmpty {
        batch.removeAll()
        batch.step += 1
        for (place, entry) in running.enumerated() {
          batch.tokens.append(entry.request.prompt.first ?? 0)
          batch.segments.append(
            StepBatch.Segment(
              start: place, count: 1, position: entry.made, blockStart: 0, blockCount: 0,
              isSampled: true))
        }
        batch.encode(into: &bytes)
        try context.collective.lead(bytes)
        try executor.execute(batch)
        report.steps += 1
        for place in running.indices.reversed() {
          running[place].made += 1
          let (request, made) = running[place]
          channel.send(.token(GeneratedToken(id: request.id, token: Int32(made))))
          if made == request.maxTokens {
            channel.send(.finished(id: request.id, .length))
            running.remove(at: place)
          }
        }
      }
      let now = Instant(nanoseconds: portico_monotonic_ns())
      if now - lastReport >= .milliseconds(100) {
        lastReport = now
        report.running = running.count
        channel.send(.report(report))
      }
      try channel.flush()
    }
  }

  // MARK: The others

  private func followSteps(_ context: RankContext) throws(GroupBroken) -> Never {
    let executor = Executor(context)
    var batch = StepBatch()
    var bytes: [UInt8] = []
    var step: UInt64 = 0
    while true {
      try context.collective.follow(into: &bytes)
      if bytes.isEmpty {
        if how.contains("stubborn") { while true { sleep(1) } }
        context.collective.leave()
        exit(0)
      }
      do throws(MalformedMessage) {
        try batch.decode(bytes)
      } catch {
        throw GroupBroken("rank \(context.rank): \(error)")
      }
      step += 1
      guard batch.step == step else { throw GroupBroken("step \(batch.step) after \(step - 1)") }
      try executor.execute(batch)
    }
  }

  // MARK: Measuring

  private func bench(_ context: RankContext) throws(GroupBroken) {
    let group = context.collective
    let y = UnsafeMutablePointer<Float>.allocate(capacity: 576)
    y.initialize(repeating: 0, count: 576)
    let rounds = 20_000
    var times: [Int64] = []
    times.reserveCapacity(rounds)
    for _ in 0..<rounds {
      let start = portico_monotonic_ns()
      let part = group.nextPartial(count: 576)
      for i in stride(from: 0, to: 576, by: 64) { part[i] = 1 }
      try group.exchange(count: 576)
      group.addSum(of: 0..<576, to: y)
      times.append(portico_monotonic_ns() - start)
    }
    times.sort()
    func micro(_ n: Int) -> Double { Double(times[n]) / 1_000 }
    if context.rank == 0 {
      say(
        "exchange of 576 floats among \(context.count): median \(micro(rounds / 2)) us, "
          + "p99 \(micro(rounds * 99 / 100)) us, longest \(micro(rounds - 1)) us, mean "
          + "\(Double(times.reduce(0, +)) / 1_000 / Double(rounds)) us")
    }
    _ = try group.meet(0, within: context.startLimit)
  }
}

func say(_ line: String) {
  let bytes = Array((line + "\n").utf8)
  _ = portico_write(2, bytes, bytes.count)
}

func die(_ why: String) -> Never {
  say(why)
  exit(1)
}
