import Balancing
import CLinux
import Configuration
import EventLoop
import Glibc
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
    package let openClients: Int
  }

  /// Connections that may wait to be accepted. The kernel caps it at net.core.somaxconn.
  private static let backlog: Int32 = 4_096

  private let loops: [EventLoop]
  private let servers: [LoopBound<LoopServer>]

  /// - Parameters:
  ///   - descriptorLimit: how many the process may have open. Count.
  ///   - complain: gets sentences for the operator, on any loop.
  package init(
    loops count: Int, snapshot: CoreSnapshot, seed: UInt64, descriptorLimit: Int,
    complain: @escaping @Sendable (String) -> Void
  ) throws(SystemError) {
    let board = LoadBoard(loops: count, descriptorLimit: descriptorLimit)
    var loops: [EventLoop] = []
    var servers: [LoopBound<LoopServer>] = []
    var owned: [LoopServer] = []
    for index in 0..<count {
      let loop = try EventLoop(index: index, label: "loop-\(index)")
      let server = LoopServer(
        loop: loop, of: count, snapshot: snapshot, board: board, seed: seed &+ UInt64(index))
      server.onComplaint = complain
      loops.append(loop)
      owned.append(server)
      servers.append(LoopBound(server, on: loop))
    }
    self.loops = loops
    self.servers = servers
    let addresses = servers.map { bound in
      LoopServer.Address { descriptor, listener, peer in
        bound.post { $0.takeOver(descriptor, listener, peer) }
      }
    }
    // The loops have not started: nobody else touches their servers yet.
    for (index, server) in owned.enumerated() {
      let others = servers.enumerated().filter { $0.offset != index }.map(\.element)
      server.peers = addresses
      server.onAnnouncement = { pool, member, change in
        for other in others {
          other.post { $0.peerReported(pool: pool, member: member, change) }
        }
      }
    }
    for (loop, server) in zip(loops, owned) { loop.start(server) }
  }

  package var loopCount: Int { loops.count }

  // MARK: Listeners

  /// The listening sockets of one listener, one per loop, not yet in use.
  package struct Bound: Sendable {
    fileprivate let descriptors: [Int32]
    /// Where it really listens: port 0 has become a port.
    package let address: SocketAddress
  }

  /// Opens a listener's sockets, so that a port in use is known before anything is changed.
  ///
  /// Loops share a port by SO_REUSEPORT, and so would a second Portico, silently: a first try
  /// without it finds out whether anybody else listens there.
  ///
  /// - Parameter isOurs: we listen there already, under another name.
  package func bind(_ address: SocketAddress, isOurs: Bool = false) throws(SystemError) -> Bound {
    var descriptors: [Int32] = []
    var actual = address
    // A Unix socket cannot be shared by name: one loop listens and hands over.
    var isUnix = false
    if case .unix = address { isUnix = true }
    if !isUnix, !isOurs {
      _ = portico_close(try Sockets.listen(address, backlog: Self.backlog, reusePort: false))
    }
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
    if case .unix(let path) = sockets.address { unlink(path) }
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

  package func apply(_ snapshot: CoreSnapshot, _ security: SecurityPlan) {
    for server in servers {
      server.post { server in
        server.apply(security)
        server.apply(snapshot)
        for listener in snapshot.listeners {
          server.updateListener(id: listener.id, settings: listener.settings)
        }
      }
    }
  }

  /// What TLS needs, before anything is opened, and when ticket keys have rotated.
  package func apply(_ security: SecurityPlan) {
    for server in servers { server.post { $0.apply(security) } }
  }

  /// A ring for each loop; nil switches the log off.
  package func setAccessLog(_ rings: [AccessLogRing]?) {
    for (index, server) in servers.enumerated() {
      let ring = rings?[index]
      server.post { $0.setAccessLog(ring) }
    }
  }

  package func beginSettling() {
    for server in servers { server.post { $0.beginSettling() } }
  }

  package func beginDrain() {
    for server in servers { server.post { $0.beginDrain() } }
  }

  package func cutAll(_ reason: TerminationReason) {
    for server in servers { server.post { $0.cutAll(reason) } }
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
