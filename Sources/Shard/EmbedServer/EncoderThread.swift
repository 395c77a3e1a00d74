import Dispatch
import Glibc
import Synchronization

/// Turns texts into vectors. Made and used on one thread.
package protocol TextEncoder: AnyObject {
  var weightBytes: Int { get }
  /// The vectors of some texts behind each other; each has at least one token, and all together have
  /// at most as many as a batch may have.
  func embed(_ tokens: [Int32], lengths: [Int]) -> [Float]
}

/// What the encoder's thread tells the server.
package enum EncoderEvent: Sendable {
  case ready(weightBytes: Int)
  /// The model cannot be loaded, and why. The last event.
  case failed(String)
  /// The batch that was submitted last.
  case done(vectors: [Float])
}

/// A thread for the encoder alone, so that the server's loop never computes. It is given one batch at
/// a time.
package final class EncoderThread: Sendable {
  struct Batch: Sendable {
    var tokens: [Int32] = []
    var lengths: [Int] = []
  }

  private let make: @Sendable () throws -> any TextEncoder
  private let tell: @Sendable (EncoderEvent) -> Void
  private let next = Mutex<Batch?>(nil)
  private let arrived = DispatchSemaphore(value: 0)

  /// Both closures are called on the thread.
  package init(
    make: @escaping @Sendable () throws -> any TextEncoder,
    tell: @escaping @Sendable (EncoderEvent) -> Void
  ) {
    self.make = make
    self.tell = tell
  }

  /// Makes the encoder on the new thread. False when there is none to be had.
  package func start() -> Bool {
    var thread = pthread_t()
    let held = Unmanaged.passRetained(self)
    let failed = pthread_create(
      &thread, nil,
      { context in
        Unmanaged<EncoderThread>.fromOpaque(context!).takeRetainedValue().run()
        return nil
      }, held.toOpaque())
    if failed != 0 { held.release() } else { pthread_detach(thread) }
    return failed == 0
  }

  func submit(_ batch: Batch) {
    next.withLock { $0 = batch }
    arrived.signal()
  }

  /// Ends the thread after the batch that it is at.
  package func stop() {
    next.withLock { $0 = nil }
    arrived.signal()
  }

  private func run() {
    let encoder: any TextEncoder
    do {
      encoder = try make()
    } catch {
      return tell(.failed("\(error)"))
    }
    tell(.ready(weightBytes: encoder.weightBytes))
    while true {
      arrived.wait()
      guard let batch = next.withLock({ $0.take() }) else { return }
      tell(.done(vectors: encoder.embed(batch.tokens, lengths: batch.lengths)))
    }
  }
}
