import Balancing
import Primitives
import Telemetry

/// What happened, in the past tense. Bytes are good only while the event is handled and its effects
/// are performed.
package enum Event {
  /// A client connected; its handle was made by `reserveClient`.
  case accepted(Handle)
  /// Bytes came. Never empty.
  case received(Handle, UnsafeRawBufferPointer)
  /// The peer has half-closed: everything that it sent has been received.
  case ended(Handle)
  /// The peer has half-closed, and bytes that were not yet asked for may still wait.
  case hungUp(Handle)
  /// The connection broke. errno, positive, or 0.
  case broken(Handle, code: Int32)
  /// TLS stands: of a client before its first bytes, of a backend before `connected`. The verified
  /// name of a client, or nothing.
  case secured(Handle, Security, clientName: UnsafeRawBufferPointer)
  /// TLS does not come about. `detail` is for a person; no quotes or backslashes are in it.
  case securingFailed(Handle, HandshakeFailure, detail: UnsafeRawBufferPointer)
  case connected(Handle)
  case connectFailed(Handle, code: Int32)
  /// The last write was refused whole: the peer cannot have seen any of it.
  case refused(Handle)
  /// Not everything written could be sent; the performer keeps the rest.
  case blocked(Handle)
  /// The rest has been sent.
  case drained(Handle)
  /// `nextDeadline` has passed.
  case deadlinePassed
}

/// What must be done, in the imperative, in the order decided. All trivial: a list of them costs no
/// reference counts.
package enum Effect {
  /// Send segments of the gather now. The performer keeps what the socket does not take.
  case write(Handle, segments: Range<Int>)
  /// Half-close after everything written before has been sent.
  case finish(Handle)
  /// Close after everything written before has been sent. The handle is dead already.
  case close(Handle)
  /// Close at once; what has not been sent is dropped. The handle is dead already.
  case drop(Handle)
  /// As `drop`, and by RST, so that the peer can tell it from a clean end.
  case reset(Handle)
  /// Connect to the member in this slot of this pool.
  case connect(Handle, pool: Int, slot: Int)
  /// Stop asking for bytes.
  case pause(Handle)
  /// Ask for bytes again.
  case resume(Handle)
  /// A breaker changed here: tell the other loops.
  case announce(pool: Int, member: Int, BreakerChange)
}

/// The effects of one event, in a buffer that the performer owns and uses again.
package struct Effects: ~Copyable {
  package var list: [Effect] = []
  package var gather = Gather()

  package init() { list.reserveCapacity(64) }

  /// To be called when everything has been performed, before the next event.
  package mutating func reset() {
    list.removeAll(keepingCapacity: true)
    gather.reset()
  }

  /// Ends the write that was gathered, and asks for it to be sent, unless it is empty.
  mutating func write(to handle: Handle) {
    let segments = gather.cut()
    if !segments.isEmpty { list.append(.write(handle, segments: segments)) }
  }
}
