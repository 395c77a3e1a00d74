import CLinux
import Generation
import Glibc
import Primitives

/// Rank 0's end of the channel to the server. For the thread that runs the steps; not Sendable.
///
/// Events are gathered and written when the step loop comes by (`flush`, `poll`), as far as the
/// server takes them. A server that takes nothing for long ends the group: what it does not read its
/// clients do not get either.
package final class EngineChannel {
  /// Bytes of events that may wait; beyond it the step loop waits for the server. A server that is
  /// busy for a second at a thousand tokens a second is 40 KiB behind.
  package static let backlogLimitBytes = 4 << 20
  /// After so long without a byte taken, the server is given up. Longer than any turn of its loop.
  package static let stallLimit = TimeAmount.seconds(20)
  private static let readBytes = 64 << 10
  /// Together the largest order.
  private static let readsAtOnce = EngineFrame.orderLimitBytes / readBytes

  private let descriptor: Int32
  private let stallLimit: TimeAmount
  private var reader = FrameReader<EngineOrder>()
  private var backlog: [UInt8] = []
  /// How much of the backlog is written.
  private var written = 0
  private var lastProgress = Instant.zero
  private var hasEnded = false
  private let buffer: UnsafeMutableRawBufferPointer

  /// Takes the descriptor, a non-blocking stream socket.
  package init(descriptor: Int32, stallLimit: TimeAmount = EngineChannel.stallLimit) {
    self.descriptor = descriptor
    self.stallLimit = stallLimit
    buffer = .allocate(byteCount: Self.readBytes, alignment: 16)
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
  }

  deinit {
    buffer.deallocate()
    _ = portico_close(descriptor)
  }

  /// Waits for orders, and appends them.
  ///
  /// - Parameter timeout: zero while there is work: then this only looks. Returns early with orders.
  /// - Returns: False when the server wants the group to end in good order.
  package func poll(
    into orders: inout [EngineOrder], timeout: TimeAmount
  ) throws(GroupBroken) -> Bool {
    try write()
    if timeout > .zero { wait(timeout, forOrders: !hasEnded) }
    // A bound, so that a flood of orders does not keep the steps from going on.
    for _ in 0..<Self.readsAtOnce where !hasEnded {
      let count = portico_receive(descriptor, buffer.baseAddress, buffer.count)
      if count == -Int(EAGAIN) { break }
      guard count > 0 else {
        // An end within a message, or a reset, is not good order.
        guard count == 0, reader.isEmpty else { throw GroupBroken("the channel broke") }
        hasEnded = true
        break
      }
      reader.receive(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      do throws(MalformedMessage) {
        while let order = try reader.next() { orders.append(order) }
      } catch {
        throw GroupBroken("the server's orders make no sense: \(error)")
      }
      if count < buffer.count { break }
    }
    return !hasEnded
  }

  /// Puts an event behind the others; `flush` or `poll` writes it.
  package func send(_ event: EngineEvent) { event.append(to: &backlog) }

  /// Writes what the server takes now. Waits only when too much has gathered.
  package func flush() throws(GroupBroken) {
    try write()
    while backlog.count - written > Self.backlogLimitBytes {
      wait(.milliseconds(100), forOrders: false)
      try write()
    }
  }

  /// Writes everything, however long the server takes; before an end in good order.
  package func drain() throws(GroupBroken) {
    try write()
    while written < backlog.count {
      wait(.milliseconds(100), forOrders: false)
      try write()
    }
  }

  private func write() throws(GroupBroken) {
    let now = Instant(nanoseconds: portico_monotonic_ns())
    if written == backlog.count { lastProgress = now }
    while written < backlog.count {
      let count = backlog.withUnsafeBytes {
        portico_send(descriptor, $0.baseAddress! + written, $0.count - written)
      }
      if count == -Int(EAGAIN) { break }
      guard count > 0 else { throw GroupBroken("the channel broke") }
      written += count
      lastProgress = now
    }
    if written == backlog.count {
      backlog.removeAll(keepingCapacity: true)
      written = 0
    } else if written > Self.backlogLimitBytes {
      backlog.removeFirst(written)
      written = 0
    }
    if !backlog.isEmpty, now - lastProgress > stallLimit {
      throw GroupBroken("the server has not read for \(stallLimit)")
    }
  }

  /// Until there is room to write what waits, or something to read.
  private func wait(_ timeout: TimeAmount, forOrders: Bool) {
    var interest = pollfd(fd: descriptor, events: forOrders ? Int16(POLLIN) : 0, revents: 0)
    if written < backlog.count { interest.events |= Int16(POLLOUT) }
    let milliseconds = min(max(timeout.nanoseconds / 1_000_000, 1), 60_000)
    _ = Glibc.poll(&interest, 1, Int32(milliseconds))
  }
}
