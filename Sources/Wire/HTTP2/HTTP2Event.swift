import HTTP
import Primitives

/// The fields of a message, as text in the inbox: what HTTP/1.1 would say, line by line.
package struct HTTP2Head: Sendable {
  /// Pseudo-fields; empty where there was none.
  package var method = ByteRange.empty
  package var scheme = ByteRange.empty
  package var authority = ByteRange.empty
  package var path = ByteRange.empty
  package var status = ByteRange.empty
  /// All other fields as `name: value` and a line end each, names in lower case.
  package var lines = ByteRange.empty
  /// Some fields that whoever rewrites the head must know of.
  package var hasContentLength = false
  package var hasHost = false
  package var cookies: UInt16 = 0
  /// The content is gRPC's: its framing is left to the two ends.
  package var isGRPC = false
  /// The list went over its limit; what is over it was not kept.
  package var isTooLarge = false
}

/// What a session has made of the bytes. Streams are named by their place in the session.
package enum HTTP2Event {
  /// A request (server), or an answer, interim or final (client).
  case head(stream: Int, HTTP2Head)
  /// Bytes of a body. They stand in the input, and are good while it is.
  case data(stream: Int, UnsafeRawBufferPointer)
  case trailers(stream: Int, lines: ByteRange)
  /// The peer sends nothing more on this stream.
  case ended(stream: Int)
  /// The stream is gone: `release` its place. With no error when both sides had ended.
  case closed(stream: Int, code: UInt32)
  /// The peer opens or takes no more streams; those above the last one were not looked at.
  case goAway(lastStream: Int32, code: UInt32)
  /// The peer has said how it wants to be spoken to, perhaps anew.
  case settingsChanged
  /// The peer knows our settings.
  case settingsAcknowledged
  /// An answer to a ping of ours.
  case pong
}

/// Where sessions put what they have understood: one for all sessions of a loop, for only one is
/// looked at at a time. Belongs to one loop, which ends it with `free`.
package struct HTTP2Inbox {
  struct Storage {
    var items: [Item] = []
    var text = TextBuffer()
    /// Grows with each `clear`: places in streams from before mean nothing.
    var round: UInt32 = 0
  }

  /// An event, and the place of the next one of its stream.
  struct Item {
    var event: HTTP2Event?
    var next: Int32 = -1
  }

  let storage: UnsafeMutablePointer<Storage>

  package init() {
    storage = .allocate(capacity: 1)
    storage.initialize(to: Storage())
    storage.pointee.items.reserveCapacity(64)
  }

  package func free() {
    storage.pointee.text.free()
    storage.deinitialize(count: 1)
    storage.deallocate()
  }

  package var count: Int { storage.pointee.items.count }

  /// nil when it has been taken already.
  package subscript(index: Int) -> HTTP2Event? { storage.pointee.items[index].event }

  /// The next event of the same stream; nil when there is none.
  package func next(after index: Int) -> Int? {
    let next = storage.pointee.items[index].next
    return next < 0 ? nil : Int(next)
  }

  /// It has been dealt with together with one before it.
  package func take(_ index: Int) { storage.pointee.items[index].event = nil }

  /// What ranges of events point into. Good until `clear`, or until a session receives again.
  package var text: UnsafeRawBufferPointer { storage.pointee.text.bytes }

  package func clear() {
    storage.pointee.items.removeAll(keepingCapacity: true)
    storage.pointee.text.clear()
    storage.pointee.round &+= 1
  }
}

/// Text that grows; its memory is used again.
struct TextBuffer {
  /// What is kept after use. Bytes. A head of the default limit fits.
  private static let keptBytes = 64 * 1024

  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private(set) var count = 0

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  mutating func append(_ from: UnsafeRawPointer?, _ bytes: Int) {
    guard let from, bytes > 0 else { return }
    if capacity - count < bytes {
      let enough = max(count + bytes, 2 * capacity, 1_024)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: enough, alignment: 16)
      if let base { larger.copyMemory(from: base, byteCount: count) }
      base?.deallocate()
      base = larger
      capacity = enough
    }
    (base! + count).copyMemory(from: from, byteCount: bytes)
    count += bytes
  }

  mutating func append(_ text: StaticString) {
    append(text.utf8Start, text.utf8CodeUnitCount)
  }

  mutating func cut(to: Int) { count = to }

  mutating func clear() {
    count = 0
    if capacity > Self.keptBytes { free() }
  }

  mutating func free() {
    base?.deallocate()
    base = nil
    capacity = 0
    count = 0
  }
}
