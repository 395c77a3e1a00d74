import Balancing
import Configuration
import HTTP2
import Primitives
import ProxyCore
import Telemetry

/// A core without a world: the test says what happened and reads what was decided, as text.
///
/// Connections are named in the order in which they appear: `c1`, `c2` for clients, `u1`, `u2` for
/// upstreams. An effect reads `write u1 "GET / ..."`, `connect u1 b0`, `close c1`.
final class Story {
  private(set) var core: ProxyCore
  private(set) var now = Instant(nanoseconds: 1_000_000_000)
  private var effects = Effects()
  private var names: [Handle: String] = [:]
  private var handles: [String: Handle] = [:]
  private var clients = 0
  var clientCount: Int { clients }
  private var upstreams = 0
  /// What the kernel knows to be dead, and the core has not been told.
  private let dead = DeadList()
  private var builder: SnapshotBuilder
  private var settings: Settings

  final class DeadList {
    var handles: Set<Handle> = []
  }

  /// One listener, one pool of so many backends, every request goes there.
  init(backends: Int = 2, _ change: (inout Settings) -> Void = { _ in }) {
    var settings = Settings()
    var listener = ListenerSettings()
    listener.name = "main"
    settings.listeners = [listener]
    var pool = PoolSettings()
    pool.name = "pool"
    pool.balance.policy = .roundRobin
    pool.balance.slowStart = .zero
    for index in 0..<backends {
      var backend = BackendSettings()
      backend.name = "b\(index)"
      backend.address = .ipv4(0x7f00_0001, port: UInt16(9000 + index))
      backend.authority = "127.0.0.1:\(9000 + index)"
      pool.backends.append(backend)
    }
    settings.pools = [pool]
    var route = RouteSettings()
    route.name = "all"
    route.target = .pool("pool")
    settings.routes = [route]
    change(&settings)
    var builder = SnapshotBuilder()
    let snapshot = builder.build(settings)
    self.builder = builder
    self.settings = settings
    let dead = dead
    core = ProxyCore(
      loop: 0, snapshot: snapshot, seed: 7, at: now, isAlive: { !dead.handles.contains($0) })
  }

  // MARK: What happens

  func accept() -> [String] {
    let handle = core.reserveClient(
      listener: 0, peer: PeerAddress(.ipv4(0x0a00_0001, port: 1)), at: now)
    clients += 1
    name(handle, "c\(clients)")
    return feed(.accepted(handle))
  }

  func receive(_ name: String, _ text: String) -> [String] {
    let handle = handles[name]!
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBytes { feed(.received(handle, $0)) }
  }

  func receive(_ name: String, bytes: [UInt8]) -> [String] {
    bytes.withUnsafeBytes { feed(.received(handles[name]!, $0)) }
  }

  // MARK: HTTP/2

  /// Whoever speaks HTTP/2 at the other end of a connection: what is written to it is told as what it
  /// understands.
  private var peers: [String: SessionPeer] = [:]

  /// A client that speaks HTTP/2, and has said so.
  func acceptHTTP2() -> SessionPeer {
    _ = accept()
    let peer = attach("c\(clients)", .client)
    _ = deliver("c\(clients)")
    return peer
  }

  func attach(_ name: String, _ role: HTTP2Role) -> SessionPeer {
    let peer = SessionPeer(role, at: now)
    peers[name] = peer
    return peer
  }

  /// The peer's frames arrive.
  func deliver(_ name: String) -> [String] {
    let bytes = peers[name]!.output()
    return bytes.isEmpty ? [] : receive(name, bytes: bytes)
  }

  /// Frames go to and fro until none is left.
  func settle(_ name: String) -> [String] {
    var happened: [String] = []
    while true {
      let bytes = peers[name]!.output()
      if bytes.isEmpty || handles[name] == nil { return happened }
      happened += receive(name, bytes: bytes)
    }
  }

  func drain() -> [String] {
    core.beginDrain(at: now, into: &effects)
    return perform()
  }

  func cut() -> [String] {
    core.cutAll(at: now, into: &effects)
    return perform()
  }

  var openExchanges: Int { core.openExchanges }
  var openSessions: Int { core.openSessions }
  var largestInput: Int { core.largestInput }
  var hasHeldOutput: Bool { core.hasHeldOutput }

  func holdOutput() { core.holdsOutput = true }

  func endTurn() -> [String] {
    core.sendHeldOutput(at: now, into: &effects)
    return perform()
  }

  func connected(_ name: String) -> [String] { feed(.connected(handles[name]!)) }
  func refused(_ name: String, code: Int32 = 111) -> [String] {
    feed(.connectFailed(handles[name]!, code: code))
  }
  func secured(_ name: String, _ security: Security, client: String = "") -> [String] {
    let bytes = Array(client.utf8)
    return bytes.withUnsafeBytes { feed(.secured(handles[name]!, security, clientName: $0)) }
  }
  func securingFailed(
    _ name: String, _ failure: HandshakeFailure, _ detail: String = ""
  ) -> [String] {
    let bytes = Array(detail.utf8)
    return bytes.withUnsafeBytes { feed(.securingFailed(handles[name]!, failure, detail: $0)) }
  }
  /// The identity of what a host asks of its clients.
  func boundary(_ auth: ClientAuthSettings?) -> Int32 { builder.boundary(auth) }
  func ended(_ name: String) -> [String] { feed(.ended(handles[name]!)) }
  func broken(_ name: String) -> [String] { feed(.broken(handles[name]!, code: 104)) }
  func blocked(_ name: String) -> [String] { feed(.blocked(handles[name]!)) }
  func drained(_ name: String) -> [String] { feed(.drained(handles[name]!)) }

  /// Another configuration is swapped in.
  func reload(_ change: (inout Settings) -> Void) {
    change(&settings)
    core.apply(builder.build(settings), at: now)
  }

  /// The backend has closed, and only the kernel knows.
  func diesSilently(_ name: String) { dead.handles.insert(handles[name]!) }

  /// Time passes; deadlines pass with it, one after the other.
  func wait(_ amount: TimeAmount) -> [String] {
    let end = now + amount
    var happened: [String] = []
    while core.nextDeadline <= end {
      now = max(now, core.nextDeadline)
      happened += feed(.deadlinePassed)
    }
    now = end
    return happened
  }

  // MARK: What was decided

  private func feed(_ event: Event) -> [String] {
    core.handle(event, at: now, into: &effects)
    return perform()
  }

  private func perform() -> [String] {
    var lines: [String] = []
    for index in effects.list.indices {
      switch effects.list[index] {
      case .write(let handle, let segments):
        let name = named(handle)
        if let peer = peers[name] {
          lines += peer.take(bytes(segments), at: now).map { "\(name): \($0)" }
        } else {
          lines.append("write \(name) \(text(segments))")
        }
      case .finish(let handle): lines.append("finish \(named(handle))")
      case .close(let handle): lines.append("close \(named(handle))")
      case .drop(let handle): lines.append("drop \(named(handle))")
      case .reset(let handle): lines.append("reset \(named(handle))")
      case .connect(let handle, _, let slot):
        upstreams += 1
        name(handle, "u\(upstreams)")
        lines.append("connect u\(upstreams) b\(slot)")
      case .pause(let handle): lines.append("pause \(named(handle))")
      case .resume(let handle): lines.append("resume \(named(handle))")
      case .announce(_, let member, let change): lines.append("announce b\(member) \(change)")
      }
    }
    effects.reset()
    return lines
  }

  private func bytes(_ segments: Range<Int>) -> [UInt8] {
    var bytes: [UInt8] = []
    for index in segments {
      let segment = effects.gather.segments[index]
      bytes += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
    }
    return bytes
  }

  private func text(_ segments: Range<Int>) -> String {
    String(decoding: bytes(segments), as: UTF8.self)
  }

  private func name(_ handle: Handle, _ name: String) {
    names[handle] = name
    handles[name] = handle
  }

  private func named(_ handle: Handle) -> String { names[handle] ?? "?" }
}

/// An answer of a backend with this body.
func answer(_ body: String, status: String = "200 OK", fields: String = "") -> String {
  "HTTP/1.1 \(status)\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
}

/// A request with this body, or none.
func request(_ method: String, _ body: String? = nil, fields: String = "") -> String {
  let length = body.map { "Content-Length: \($0.utf8.count)\r\n" } ?? ""
  return "\(method) /x HTTP/1.1\r\nHost: a\r\n\(fields)\(length)\r\n\(body ?? "")"
}
