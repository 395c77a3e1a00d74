import Dispatch
import Glibc
import Testing

@testable import Lifecycle

@Suite(.timeLimit(.minutes(1))) struct SignalSourceTests {
  // A signal that is lost is a drain or a reload that never comes, and one that is not caught ends
  // the process in the middle of its streams. In a process of its own, whose main thread waits as
  // ours does; those that come before there is a source must not be lost either.
  @Test func arrive() async {
    await #expect(processExitsWith: .exitCode(7)) {
      SignalSource.blockSignals()
      kill(getpid(), SIGHUP)
      kill(getpid(), SIGPIPE)
      let control = try Control()
      let (signals, pen) = AsyncStream<Signal>.makeStream()
      let source = try SignalSource(loop: control.loop) { [control] signal in
        control.loop.preconditionCurrent()
        pen.yield(signal)
      }
      var arrived = signals.makeAsyncIterator()
      if await arrived.next() != .hangUp { exit(1) }
      for signal in Signal.allCases + Signal.allCases {
        kill(getpid(), signal.rawValue)
        if await arrived.next() != signal { exit(1) }
      }
      withExtendedLifetime(source) {}
      exit(7)
    }
  }

  // The way in which whoever started us blocks signals must not make us deaf.
  @Test func inheritedMask() async {
    await #expect(processExitsWith: .exitCode(7)) {
      var all = sigset_t()
      sigfillset(&all)
      pthread_sigmask(SIG_SETMASK, &all, nil)
      let control = try Control()
      let (signals, pen) = AsyncStream<Signal>.makeStream()
      let source = try SignalSource(loop: control.loop) { pen.yield($0) }
      pthread_kill(pthread_self(), SIGTERM)
      var arrived = signals.makeAsyncIterator()
      if await arrived.next() != .terminate { exit(1) }
      withExtendedLifetime(source) {}
      exit(7)
    }
  }

  // Without a source a signal ends the process, as a test that hangs must be ended.
  @Test func dropped() async {
    await #expect(processExitsWith: .signal(SIGTERM)) {
      let control = try Control()
      _ = try SignalSource(loop: control.loop) { _ in }
      kill(getpid(), SIGTERM)
      sleep(10)
    }
  }

  @Test func numbers() {
    #expect(Signal.terminate.rawValue == SIGTERM && Signal.interrupt.rawValue == SIGINT)
    #expect(Signal.hangUp.rawValue == SIGHUP && Signal.user1.rawValue == SIGUSR1)
  }
}
