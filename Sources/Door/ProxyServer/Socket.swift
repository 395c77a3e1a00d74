import CLinux
import Primitives

/// What the performer knows of one descriptor. Stands at the index of its connection's handle.
struct Socket {
  var descriptor: Int32 = -1
  /// Of the handle that owns the place; 0 while nobody does.
  var generation: UInt32 = 0
  var isUpstream = false
  /// The kernel may have bytes: it has said so, and no read since has come back short.
  var isReadable = false
  var isPaused = false
  var isConnecting = false
  /// FIN was announced; bytes may still wait before it.
  var hungUp = false
  /// A read has seen the end, or the connection broke.
  var hasEnded = false
  /// Half-close once the output is empty.
  var finishesWhenFlushed = false
  /// Writing has failed; only the end is still awaited.
  var isWriteDead = false
  /// Writing has failed because the connection was reset. The kernel says so once: reads that follow
  /// look like a clean end.
  var isReset = false
  /// It stands in the list of sockets to be read again.
  var isListed = false
  var output = WaitingBytes()
  /// nil: in clear.
  var link: SecureLink?
}
