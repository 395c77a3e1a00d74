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
