import Primitives

/// What a session keeps for one stream: whose it is, and what waits to be sent on it.
struct OutgoingStream {
  /// Of the protocol. Odd for requests of clients.
  var id: Int32 = 0
  var isUsed = false
  /// What the owner knows it by.
  var owner = Handle.none
  /// The protocol is done with it; its place waits for `release`.
  var isClosed = false
  /// The peer has ended its side.
  var peerEnded = false
  /// Refused when it came; nothing of it is reported.
  var isRefused = false
  /// A head of ours has been handed over, final or of a request.
  var hasHead = false
  /// A data source has been handed over with it.
  var hasSource = false
  /// The source said that it had nothing, and has to be woken.
  var isDeferred = false
  /// Our side ends behind what waits.
  var ends = false
  var hasTrailers = false
  /// Lines that follow the body.
  var trailers = WaitingBytes()
  /// Bytes that the peer does not take yet.
  var pending = WaitingBytes()
  /// First and last of the spans of this turn that belong to it; -1 for none.
  var firstSpan: Int32 = -1
  var lastSpan: Int32 = -1
  var spanBytes = 0

  /// Our end of it has been packed into a frame.
  var hasSentEnd = false
  /// Its peer need not go on once we have sent our end.
  var isSettling = false
  /// It stands among those whose backpressure has changed.
  var isListed = false
  /// Its last event in the inbox, and in which round of it.
  var lastEvent: Int32 = -1
  var eventRound: UInt32 = 0

  var waitingBytes: Int { pending.count + spanBytes }
}

/// Bytes of this turn that stand in somebody else's memory.
struct Span {
  var bytes: UnsafeRawBufferPointer
  var next: Int32 = -1
}

/// A queue of bytes that owns memory only while there are any.
struct WaitingBytes {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private var start = 0
  private var end = 0

  var count: Int { end - start }
  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base.map { $0 + start }, count: end - start)
  }

  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let from = bytes.baseAddress, bytes.count > 0 else { return }
    if capacity - end < bytes.count {
      let count = end - start
      let enough = max(count + bytes.count, count > capacity / 2 ? 2 * capacity : capacity, 1_024)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: enough, alignment: 16)
      if let base { larger.copyMemory(from: base + start, byteCount: count) }
      base?.deallocate()
      base = larger
      capacity = enough
      start = 0
      end = count
    }
    (base! + end).copyMemory(from: from, byteCount: bytes.count)
    end += bytes.count
  }

  mutating func consume(_ count: Int) {
    start += count
    if start == end { free() }
  }

  mutating func free() {
    base?.deallocate()
    self = WaitingBytes()
  }
}
