import CLinux
import Configuration
import EventLoop
import Glibc
import Primitives
import Testing

@testable import Fleet

/// A control loop with a prober on it.
private final class Control: @unchecked Sendable {
  struct Word: Sendable, Equatable {
    let id: Target.ID
    let verdict: Verdict
  }

  let loop: EventLoop
  /// Verdicts as they come.
  let words: AsyncStream<Word>
  private let pen: AsyncStream<Word>.Continuation
  private var prober: HealthProber!
  /// Backends that must not close before the test is over.
  private let held: [any AnyObject & Sendable]

  init(_ held: any AnyObject & Sendable...) throws {
    self.held = held
    loop = try EventLoop(index: 0, label: "control")
    (words, pen) = AsyncStream.makeStream()
    prober = try HealthProber(control: loop, seed: 1) { [pen] id, verdict in
      pen.yield(Word(id: id, verdict: verdict))
    }
    // Not to `self`, which the loop would keep, and with it a prober that probes for ever.
    loop.start(Idle())
  }

  deinit { loop.stop() }

  func onLoop<T: Sendable>(_ body: @escaping @Sendable (HealthProber) -> T) async -> T {
    await withCheckedContinuation { done in
      loop.post { [self] in done.resume(returning: body(prober)) }
    }
  }

  func apply(_ targets: Target...) async { await onLoop { $0.apply(targets: targets) } }

  func health(_ name: String) async -> MemberHealth? {
    await onLoop { $0.health(of: Target.ID(pool: "chat", backend: name)) }
  }

  /// The next verdict, as `a bad`.
  func nextWord() async -> String? {
    for await word in words { return "\(word.id.backend) \(word.verdict)" }
    return nil
  }
}

private func target(
  _ name: String, _ address: SocketAddress, authority: String = "",
  _ change: (inout HealthSettings) -> Void = { _ in }
) -> Target {
  var settings = HealthSettings()
  settings.interval = .milliseconds(10)
  settings.timeout = .seconds(20)
  change(&settings)
  return Target(
    id: Target.ID(pool: "chat", backend: name), address: address, authority: authority,
    settings: settings)
}

private let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

@Suite(.timeLimit(.minutes(1))) struct HealthProberTests {
  // A server answers by Host and path; a probe that differs from the configuration proves nothing.
  @Test func asksWhatIsConfigured() async throws {
    let backend = try Backend(.answer(ok))
    let control = try Control(backend)
    await control.apply(
      target("a", backend.address, authority: "gpu-1.example:9000") {
        $0.probe = .http(path: "/v2/health/../ready?x=1")
      })
    #expect(await control.nextWord() == "a good")
    #expect(
      backend.requests[0] == """
        GET /v2/health/../ready?x=1 HTTP/1.1\r
        Host: gpu-1.example:9000\r
        User-Agent: portico-health\r
        Accept: */*\r
        \r

        """)
    let health = try #require(await control.health("a"))
    #expect(health.verdict == .good)
    #expect(health.goodProbes >= 1)
    #expect(health.lastError == nil)
  }

  // What an operator reads under `last error` is how a fleet is repaired.
  @Test(arguments: [
    ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503, expected 200-299"),
    // A redirect is an answer, not a place to go to.
    (
      "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
      "status 302, expected 200-299"
    ),
    ("SSH-2.0-OpenSSH_9.2\r\n", "answer is not HTTP/1"),
    ("", "closed without an answer"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort", "closed before the answer ended"),
  ])
  func saysWhy(answer: String, error: String) async throws {
    let backend = try Backend(.answer(answer))
    let control = try Control(backend)
    await control.apply(target("a", backend.address) { $0.fall = 1 })
    #expect(await control.nextWord() == "a bad")
    #expect(await control.health("a")?.lastError == error)
  }

  // A member that takes requests and never answers must fall like one that is not there.
  @Test func timesOut() async throws {
    let backend = try Backend(.stall)
    let control = try Control(backend)
    await control.apply(
      target("a", backend.address) {
        $0.timeout = .milliseconds(200)
        $0.fall = 2
      })
    #expect(await control.nextWord() == "a bad")
    let health = try #require(await control.health("a"))
    #expect(health.lastError == "timed out after 200ms")
    #expect(health.badProbes >= 2)
  }

  @Test(arguments: [HealthSettings.Probe.tcp, .http(path: "/health")])
  func refused(probe: HealthSettings.Probe) async throws {
    let dead = try DeadAddress()
    let control = try Control(dead)
    await control.apply(
      target("a", dead.address) {
        $0.probe = probe
        $0.fall = 3
      })
    #expect(await control.nextWord() == "a bad")
    let health = try #require(await control.health("a"))
    #expect(health.lastError == "connect refused")
    #expect(health.badProbes >= 3)
  }

  // A TCP probe sends nothing: whatever would answer to HTTP does not matter.
  @Test func connects() async throws {
    let backend = try Backend(.stall)
    let control = try Control(backend)
    await control.apply(target("a", backend.address) { $0.probe = .tcp })
    #expect(await control.nextWord() == "a good")
  }

  @Test(arguments: [HealthSettings.Probe.tcp, .http(path: "/health")])
  func unixSocket(probe: HealthSettings.Probe) async throws {
    let path = "/tmp/portico-fleet-\(getpid())-\(UInt64.random(in: 0 ... .max)).sock"
    defer { unlink(path) }
    let control = try Control()
    await control.apply(
      target("a", .unix(path: path)) {
        $0.probe = probe
        $0.fall = 1
        $0.rise = 1
      })
    #expect(await control.nextWord() == "a bad")
    #expect(await control.health("a")?.lastError == "connect failed: No such file or directory")
    let backend = try Backend(.answer(ok), unixPath: path)
    #expect(await control.nextWord() == "a good")
    withExtendedLifetime(backend) {}
  }

  // A health page without end must cost neither memory nor the member its verdict.
  @Test func cutsLongBodies() async throws {
    let body = String(repeating: "x", count: Transfer.bodyLimitBytes * 4)
    let backend = try Backend(.answer("HTTP/1.1 200 OK\r\n\r\n" + body))
    let control = try Control(backend)
    await control.apply(target("a", backend.address))
    #expect(await control.nextWord() == "a good")
  }

  // Down and up again: the way of every restart of a backend.
  @Test func fallsAndRises() async throws {
    let backend = try Backend(.answer(ok))
    let control = try Control(backend)
    await control.apply(target("a", backend.address))
    #expect(await control.nextWord() == "a good")
    backend.become(.answer("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
    #expect(await control.nextWord() == "a bad")
    backend.become(.answer(ok))
    #expect(await control.nextWord() == "a good")
  }

  // A reload must not make a bad member usable again, and must not speak of one that has gone.
  @Test func reload() async throws {
    let backend = try Backend(.answer(ok))
    let dead = try DeadAddress()
    let control = try Control(backend, dead)
    await control.apply(
      target("a", dead.address) { $0.fall = 1 }, target("b", dead.address) { $0.fall = 1_000 })
    #expect(await control.nextWord() == "a bad")
    let before = try #require(await control.health("a"))

    // `a` stays, `b` goes, `c` comes; the order changes too.
    await control.apply(
      target("c", backend.address), target("a", dead.address) { $0.fall = 2 })
    #expect(await control.health("b") == nil)
    let after = try #require(await control.health("a"))
    #expect(after.verdict == .bad)
    #expect(after.badProbes >= before.badProbes)
    #expect(await control.nextWord() == "c good")

    // At another address it is another server: nothing is known of it.
    await control.apply(target("a", backend.address), target("c", backend.address))
    #expect(await control.nextWord() == "a good")
    #expect(await control.health("a")?.lastError == nil)
  }

  // New settings of a member that stays count from the next probe, however far off that was.
  @Test func newSettingsTakeEffect() async throws {
    let backend = try Backend(.answer("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"))
    let control = try Control(backend)
    await control.apply(
      target("a", backend.address) {
        $0.interval = .seconds(3_600)
        $0.fall = 1
      })
    #expect(await control.nextWord() == "a bad")
    await control.apply(
      target("a", backend.address) {
        $0.statusHigh = 404
        $0.rise = 1
      })
    #expect(await control.nextWord() == "a good")
  }

  // After a stop nobody may be told anything, and libcurl must have been put away in good order.
  @Test func stops() async throws {
    let backend = try Backend(.stall)
    let dead = try DeadAddress()
    let control = try Control(backend, dead)
    await control.apply(target("a", backend.address), target("b", dead.address))
    await control.onLoop {
      $0.stop()
      $0.stop()
      $0.apply(targets: [])
    }
    #expect(await control.health("a") == nil)
  }

  // A thousand members, first probes spread over a second: none may be lost on the way.
  @Test func largeFleet() async throws {
    let backend = try Backend(.answer(ok))
    let control = try Control(backend)
    let targets = (0..<1_000).map { index in
      target("\(index)", backend.address) { $0.interval = .seconds(3_600) }
    }
    await control.onLoop { $0.apply(targets: targets) }
    var good: Set<String> = []
    for await word in control.words {
      #expect(word.verdict == .good)
      good.insert(word.id.backend)
      if good.count == targets.count { break }
    }
  }
}
