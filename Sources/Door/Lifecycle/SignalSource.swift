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

/// Signals as messages on a loop, by signalfd: no handler, so nothing runs at an unsafe moment.
///
/// A signal that comes again before it was read comes once; that is how signals are. The class is
/// `@unchecked Sendable` because all it holds is a constant, which Dispatch lets any thread cancel.
package final class SignalSource: @unchecked Sendable {
  private let source: any DispatchSourceRead

  /// To be called first thing in `main`, before there is a second thread: threads inherit what is
  /// blocked, and a single one that does not block a signal would take it the old way and end the
  /// process. Ignores SIGPIPE too: a peer that left is an error of the write, not of ours.
  ///
  /// Child processes inherit both: whoever starts some should give them an empty mask.
  package static func blockSignals() {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in Signal.allCases { sigaddset(&set, signal.rawValue) }
    pthread_sigmask(SIG_BLOCK, &set, nil)
    signal(SIGPIPE, SIG_IGN)
  }

  /// Calls the closure on the loop at each signal, until the source is dropped.
  package init(
    loop: EventLoop, onSignal: @escaping @Sendable (Signal) -> Void
  ) throws(SystemError) {
    let descriptor = try Self.open()
    let source = DispatchSource.makeReadSource(
      fileDescriptor: descriptor, queue: DispatchQueue(label: "portico.signals"))
    source.setEventHandler {
      while let signal = Self.next(descriptor) { loop.post { onSignal(signal) } }
    }
    source.setCancelHandler { _ = portico_close(descriptor) }
    source.activate()
    self.source = source
  }

  deinit { source.cancel() }

  static func open() throws(SystemError) -> Int32 {
    let signals = Signal.allCases.map(\.rawValue)
    return try SystemError.check(
      portico_signal_descriptor(signals, Int32(signals.count)), "listen for signals")
  }

  static func next(_ descriptor: Int32) -> Signal? {
    let number = portico_signal_read(descriptor)
    return number > 0 ? Signal(rawValue: number) : nil
  }
}
