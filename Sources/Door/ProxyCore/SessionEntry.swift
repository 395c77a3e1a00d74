import HTTP
import HTTP1
import HTTP2
import Primitives
import Telemetry
import Transcode

/// One HTTP/2 connection, to a client or to a backend, as the core keeps it.
struct SessionEntry {
  let transport: Handle
  let role: HTTP2Role
  let engine: HTTP2Session
  let began: Instant

  // To a backend.
  var pool = 0
  var slot = 0
  /// Of the slot when the connection was made.
  var tenancy: UInt32 = 0
  /// Streams that wait for the connection.
  var waiting: [Handle] = []

  /// The connection stands, and frames may be sent.
  var isConnected: Bool
  /// Its transport takes no more bytes at present.
  var isBlocked = false
  var blockedAt = Instant.never
  /// It stands in the list of those that may have something to send.
  var isDirty = false
  /// Frames that are held until the turn ends.
  var outbox = Block()
  /// The peer has said that it knows our settings.
  var isAcknowledged = false
  /// Streams that the core serves on it. Count.
  var streams = 0
  /// Since when there are none.
  var idleAt: Instant
  /// Why it ends, if it ended now.
  var end = SessionEnd.closed
  var farewell = Farewell.none
  var farewellAt = Instant.never

  /// How far its end has come.
  enum Farewell: UInt8 {
    case none
    /// No more streams are welcome; whoever is on its way is still served.
    case announced
    /// Which stream was the last has been said, by us or by the peer.
    case said
  }

  init(
    _ role: HTTP2Role, transport: Handle, _ settings: HTTP2Settings, inbox: HTTP2Inbox,
    at now: Instant
  ) {
    self.transport = transport
    self.role = role
    engine = HTTP2Session(role, settings, inbox: inbox, at: now)
    began = now
    idleAt = now
    isConnected = role == .server
  }

  /// Another stream may be opened on it.
  var hasRoom: Bool {
    farewell == .none && streams < min(engine.peerStreamLimit, Self.streamLimit)
      && engine.takesRequests
  }

  /// Streams that we open on one connection to a backend. Count. Above it another one is made: frames
  /// of a thousand streams behind one lost packet wait for each other.
  static var streamLimit: Int { 256 }
  /// Output that is held at most. Bytes. Above it another write costs less than the copy.
  static var outboxLimit: Int { 32 * 1024 }
  /// Streams that wait for one connection to be made. Count. As many as a peer takes that says nothing.
  static var waitingLimit: Int { 100 }
  /// For the peer to acknowledge our settings. HAProxy and nghttpx wait as long.
  static var settingsTimeout: TimeAmount { .seconds(10) }
  /// For streams that were on their way when the end was announced.
  static var farewellGrace: TimeAmount { .seconds(1) }
}

/// What stands between one stream and the text that the core reads and writes for it.
struct StreamEntry {
  /// How the body goes on that the core writes.
  enum Body {
    /// The head has not been written.
    case head
    case length(UInt64)
    case chunked(ChunkReader)
    /// It is whole.
    case ended
  }

  let session: Handle
  let isServer: Bool
  /// In the session; nil before the request has been handed over, and when the session is done with it.
  var place: Int?
  /// Of the request: an answer to HEAD has no body.
  var method = Method.other
  var body = Body.head
  /// Lines of trailers that the core has written so far.
  var trailers = Block()
  /// Bytes of the peer's body that the core was given while it did not want any. Count.
  var withheld = 0
  /// The core has been told that the peer takes no more.
  var isBlocked = false

  init(session: Handle, isServer: Bool, place: Int?) {
    self.session = session
    self.isServer = isServer
    self.place = place
  }
}

/// Streams by the handle of their connection. Keeps them a little longer than the core does: what it
/// decided last is still to be done, perhaps when their place has a new tenant already.
struct StreamTable: ~Copyable {
  private struct Place {
    var generation: UInt32 = 0
    var entry: UnsafeMutablePointer<StreamEntry>?
  }

  private var places: [Place] = []
  /// Those whose place has been taken by another stream meanwhile.
  private var leaving: [(handle: Handle, entry: UnsafeMutablePointer<StreamEntry>)] = []
  private var spare: [UnsafeMutablePointer<StreamEntry>] = []
  private(set) var count = 0

  /// Entries kept for later streams. Count.
  private static var spareLimit: Int { 256 }

  init() {}

  deinit {
    for place in places { place.entry?.deallocate() }
    for (_, entry) in leaving { entry.deallocate() }
    for entry in spare { entry.deallocate() }
  }

  /// Good until `remove`.
  subscript(handle: Handle) -> UnsafeMutablePointer<StreamEntry>? {
    let index = Int(handle.index)
    guard index < places.count else { return nil }
    if places[index].generation == handle.generation { return places[index].entry }
    return leaving.first { $0.handle == handle }?.entry
  }

  mutating func insert(_ entry: StreamEntry, for handle: Handle) {
    let index = Int(handle.index)
    while places.count <= index { places.append(Place()) }
    if let old = places[index].entry {
      leaving.append((Handle(index: handle.index, generation: places[index].generation), old))
    }
    let memory = spare.popLast() ?? .allocate(capacity: 1)
    memory.initialize(to: entry)
    places[index] = Place(generation: handle.generation, entry: memory)
    count += 1
  }

  mutating func remove(_ handle: Handle) {
    guard let entry = self[handle] else { return }
    let index = Int(handle.index)
    if places[index].generation == handle.generation {
      places[index] = Place()
    } else {
      leaving.removeAll { $0.handle == handle }
    }
    count -= 1
    if spare.count < Self.spareLimit { spare.append(entry) } else { entry.deallocate() }
  }
}
