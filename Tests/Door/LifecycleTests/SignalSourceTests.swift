import CLinux
import Glibc
import Testing

@testable import Lifecycle

@Suite struct SignalSourceTests {
  // A signal that is lost is a drain or a reload that never comes. Sent to this thread only: others
  // of the test process do not block it, and it would end them.
  @Test(arguments: Signal.allCases) func arrives(signal: Signal) throws {
    var before = sigset_t()
    pthread_sigmask(SIG_BLOCK, nil, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    SignalSource.blockSignals()
    let descriptor = try SignalSource.open()
    defer { _ = portico_close(descriptor) }
    #expect(SignalSource.next(descriptor) == nil)
    pthread_kill(pthread_self(), signal.rawValue)
    pthread_kill(pthread_self(), signal.rawValue)
    #expect(SignalSource.next(descriptor) == signal)
    #expect(SignalSource.next(descriptor) == nil)
  }

  @Test func numbers() {
    #expect(Signal.terminate.rawValue == SIGTERM && Signal.interrupt.rawValue == SIGINT)
    #expect(Signal.hangUp.rawValue == SIGHUP && Signal.user1.rawValue == SIGUSR1)
  }
}
