import Balancing
import CLinux
import Configuration
import EventLoop
import Primitives
import ProxyCore
import Synchronization
import Telemetry

/// The front door as the control side sees it: all loops at once. Every call may come from any
/// thread; it becomes a message to each loop.
package final class ProxyServer: Sendable {
  /// What one loop tells of itself.
  package struct Report: Sendable {
    package let loop: Int
    package let metrics: MetricsSnapshot
    /// By pool identity: the members of the pool with their telemetry identities.
    package let members: [[MemberReport]]
    package let openExchanges: Int
    package let openConnections: Int
  }

  /// Connections that may wait to be accepted. The kernel caps it at net.core.somaxconn.
  private static let backlog: Int32 = 4_096

  private let loops: [EventLoop]
  private let servers: [LoopBound]

  /// - Parameters:
  ///   - complain: gets sentences for the operator, on any loop.
  package init(
    loops count: Int, snapshot: CoreSnapshot, seed: UInt64,
    complain: @escaping @Sendable (String) -> Void
  ) throws(SystemError) {
    let board = LoadBoard(loops: count)
    var loops: [EventLoop] = []
    var servers: [LoopBound] = []
    for index in 0..<count {
      let loop = try EventLoop(index: index, label: "loop-\(index)")
      let server = LoopServer(
        loop: loop, snapshot: snapshot, board: board, seed: seed &+ UInt64(index))
      server.onComplaint = complain
      loops.append(loop)
      servers.append(LoopBound(server, loop))
    }
    self.loops = loops
    self.servers = servers
    let addresses = servers.map { bound in
      LoopServer.Address { descriptor, listener, peer in
        bound.post { $0.adopt(descriptor, listener, peer) }
      }
    }
    for (index, bound) in servers.enumerated() {
      let others = servers.enumerated().filter { $0.offset != index }.map(\.element)
      bound.beforeStart { server in
        server.peers = addresses
        server.onAnnouncement = { pool, member, change in
          for other in others { other.post { $0.peerReported(pool: pool, member: member, change) } }
        }
      }
    }
    for bound in servers { bound.start() }
  }

  // MARK: Listeners

  /// The listening sockets of one listener, one per loop, not yet in use.
  package struct Bound: Sendable {
    fileprivate let descriptors: [Int32]
    /// Where it really listens: port 0 has become a port.
    package let address: SocketAddress
  }

  /// Opens a listener's sockets, so that a port in use is known before anything is changed.
  package func bind(_ address: SocketAddress) throws(SystemError) -> Bound {
    var descriptors: [Int32] = []
    var actual = address
    // A Unix socket cannot be shared by name: one loop listens and hands over.
    var isUnix = false
    if case .unix = address { isUnix = true }
    for index in loops.indices where index == 0 || !isUnix {
      do throws(SystemError) {
        let descriptor = try Sockets.listen(
          actual, backlog: Self.backlog, reusePort: !isUnix)
        descriptors.append(descriptor)
        actual = Sockets.localAddress(of: descriptor) ?? actual
      } catch {
        for descriptor in descriptors { _ = portico_close(descriptor) }
        throw error
      }
    }
    return Bound(descriptors: descriptors, address: actual)
  }

  package func discard(_ sockets: Bound) {
    for descriptor in sockets.descriptors { _ = portico_close(descriptor) }
  }

  /// Begins to accept. The snapshot that names the listener must have been applied before.
  package func open(_ sockets: Bound, id: Int, settings: ListenerSettings) {
    for (index, descriptor) in sockets.descriptors.enumerated() {
      servers[index].post { $0.open(descriptor, id: id, settings: settings) }
    }
  }

  package func closeListener(id: Int) {
    for server in servers { server.post { $0.closeListener(id: id) } }
  }

  // MARK: Configuration and life

  package func apply(_ snapshot: CoreSnapshot) {
    for server in servers {
      server.post { server in
        server.apply(snapshot)
        for listener in snapshot.listeners {
          server.updateListener(id: listener.id, settings: listener.settings)
        }
      }
    }
  }

  package func beginDrain() {
    for server in servers { server.post { $0.beginDrain() } }
  }

  package func cutAll() {
    for server in servers { server.post { $0.cutAll() } }
  }

  package func stop() {
    for loop in loops { loop.stop() }
  }

  /// Asks every loop how it is. `body` is called once, on the last loop to answer.
  package func report(_ body: @escaping @Sendable ([Report]) -> Void) {
    let collected = Collected(expected: servers.count)
    for server in servers {
      server.post { server in
        if let all = collected.add(server.report()) { body(all) }
      }
    }
  }

  private final class Collected: Sendable {
    private let reports = Mutex<[Report]>([])
    private let expected: Int

    init(expected: Int) { self.expected = expected }

    /// All reports, once the last has come.
    func add(_ report: Report) -> [Report]? {
      reports.withLock { reports in
        reports.append(report)
        return reports.count == expected ? reports.sorted { $0.loop < $1.loop } : nil
      }
    }
  }
}

/// A loop's server in the hands of other threads: they may only send it messages.
///
/// Unchecked, because the object is touched on its loop alone: every access is inside a message, or
/// before the loop has started.
final class LoopBound: @unchecked Sendable {
  private let value: LoopServer
  private let loop: EventLoop

  init(_ value: LoopServer, _ loop: EventLoop) {
    self.value = value
    self.loop = loop
  }

  func beforeStart(_ body: (LoopServer) -> Void) { body(value) }
  func start() { loop.start(value) }
  func post(_ body: @escaping @Sendable (LoopServer) -> Void) {
    loop.post { [self] in body(value) }
  }
}
