import CLinux
import EventLoop
import Primitives

/// A loop with nothing else to do, on which things are delivered.
final class Control: LoopDelegate, @unchecked Sendable {
  let loop: EventLoop

  init() throws {
    loop = try EventLoop(index: 0, label: "control")
    loop.start(self)
  }

  deinit { loop.stop() }

  func ready(_ events: UnsafeBufferPointer<epoll_event>) {}
  func deadlinePassed(at now: Instant) {}
  var nextDeadline: Instant { .never }

  func onLoop<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
    await withCheckedContinuation { done in loop.post { done.resume(returning: body()) } }
  }
}
