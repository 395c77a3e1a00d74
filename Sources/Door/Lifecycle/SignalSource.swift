import CLinux
import Dispatch
import EventLoop
import Glibc

/// The signals that mean something to us.
package enum Signal: Int32, Sendable, CaseIterable {
  /// Drain, and end; a second one ends at once.
  case terminate = 15
  /// The same, from a terminal.
  case interrupt = 2
  /// Load the configuration anew.
  case hangUp = 1
  /// Reopen the log files.
  case user1 = 10
}

/// Signals as messages on a loop. The handler only notes the number down in a pipe, so nothing of
/// ours runs at an unsafe moment, and it does not matter which thread a signal comes to.
///
/// One source at a time: they would share the pipe. The class is `@unchecked Sendable` because all
/// it holds is a constant, which Dispatch lets any thread cancel.
package final class SignalSource: @unchecked Sendable {
  private let source: any DispatchSourceRead

  /// Blocks what signals do by themselves: from here on they wait for a source. To be called first
  /// thing in `main`, so that a SIGHUP during the start ends nothing. Ignores SIGPIPE too: a peer
  /// that left is an error of the write, not of ours.
  package static func blockSignals() {
    _ = try? open()
    signal(SIGPIPE, SIG_IGN)
  }

  /// Calls the closure on the loop at each signal, until the source is dropped; from then on
  /// signals do again what they do by themselves.
  package init(
    loop: EventLoop, onSignal: @escaping @Sendable (Signal) -> Void
  ) throws(SystemError) {
    let descriptor = try Self.open()
    source = DispatchSource.makeReadSource(
      fileDescriptor: descriptor, queue: DispatchQueue(label: "portico.signals"))
    source.setEventHandler {
      while true {
        let number = portico_signal_read(descriptor)
        guard number > 0 else { return }
        guard let signal = Signal(rawValue: number) else { continue }
        loop.post { onSignal(signal) }
      }
    }
    source.activate()
  }

  deinit {
    for number in Signal.allCases { signal(number.rawValue, SIG_DFL) }
    source.cancel()
  }

  private static func open() throws(SystemError) -> Int32 {
    let signals = Signal.allCases.map(\.rawValue)
    return try SystemError.check(
      portico_signal_descriptor(signals, Int32(signals.count)), "listen for signals")
  }
}
