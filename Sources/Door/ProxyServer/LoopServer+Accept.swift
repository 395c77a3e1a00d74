import CLinux
import EventLoop
import Glibc
import Primitives
import ProxyCore
import Telemetry

/// Letting clients in, here or on another loop.
extension LoopServer {
  /// - Returns: more may wait.
  @discardableResult
  func accept(_ place: Int) -> Bool {
    guard place < listeners.count, listeners[place].descriptor >= 0 else { return false }
    let listener = listeners[place]
    for _ in 0..<Self.acceptsPerTurn {
      board.setDescriptors(wantedDescriptors, loop: loop.index)
      guard board.hasRoom else {
        pauseAccept(place, code: EMFILE)
        return false
      }
      let (descriptor, peer) = Sockets.accept(listener.descriptor)
      if descriptor >= 0 {
        let result = welcome(descriptor, listener, peer)
        if result >= 0 { continue }
        pauseAccept(place, code: -result)
        return false
      }
      switch -descriptor {
      case EAGAIN: return false
      case EMFILE, ENFILE, ENOBUFS, ENOMEM:
        pauseAccept(place, code: -descriptor)
        return false
      default: continue  // ECONNABORTED and its like: that client has left, the next may wait.
      }
    }
    return true
  }

  /// One for each client, one for its connection to a backend, and those that wait for use. Count.
  var wantedDescriptors: Int {
    let upstream = core.openConnections - core.openClients
    return 2 * core.openClients + max(0, upstream - core.openExchanges)
  }

  /// Descriptors have run out: waiting clients stay in the kernel's queue until some are free.
  func pauseAccept(_ place: Int, code: Int32) {
    guard !listeners[place].isPaused else { return }
    listeners[place].isPaused = true
    let descriptor = listeners[place].descriptor
    loop.remove(descriptor)
    core.metrics.acceptPaused()
    if EventLoop.now() >= nextComplaint {
      nextComplaint = EventLoop.now() + Self.complaintPause
      onComplaint?("accepting pauses: \(SystemError.text(code))")
    }
    loop.schedule(after: Self.acceptPause) { [weak self] in
      guard let self, place < self.listeners.count,
        self.listeners[place].descriptor == descriptor
      else { return }
      self.listeners[place].isPaused = false
      self.watchListener(place)
      self.accept(place)
    }
  }

  /// Where the kernel cannot watch it now, it is tried again after a pause: a listener that nobody
  /// watches would be deaf for ever.
  func watchListener(_ place: Int) {
    let result = loop.add(
      listeners[place].descriptor, EPOLLIN.rawValue, token: Self.listenerToken(place))
    if result < 0 { pauseAccept(place, code: -result) }
  }

  /// - Returns: `-errno` when this loop cannot watch one more descriptor; the connection is closed.
  private func welcome(
    _ descriptor: Int32, _ listener: Listener, _ peer: SocketAddress?
  ) -> Int32 {
    if listener.connectionLimit > 0,
      core.openClients(of: listener.id) >= max(1, listener.connectionLimit / peers.count)
    {
      core.metrics.limitReached(.connections)
      if listener.isSecure {
        // There are no words before a handshake, and that is what is to be saved.
        _ = portico_close(descriptor)
        return 0
      }
      let refusal: StaticString =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
      _ = portico_send(descriptor, refusal.utf8Start, refusal.utf8CodeUnitCount)
      _ = portico_close(descriptor)
      return 0
    }
    if let other = board.lessLoaded(than: loop.index) {
      board.handedOver(to: other)
      peers[other].adopt(descriptor, listener.id, peer)
      return 0
    }
    return adopt(descriptor, listener.id, peer)
  }

  /// Takes a connection in that another loop has accepted.
  func takeOver(_ descriptor: Int32, _ listener: Int, _ peer: SocketAddress?) {
    board.arrived()
    _ = adopt(descriptor, listener, peer)
    publishLoad()
  }

  private func adopt(_ descriptor: Int32, _ listener: Int, _ peer: SocketAddress?) -> Int32 {
    var address = PeerAddress(peer)
    var link: SecureLink?
    if let place = listeners.firstIndex(where: { $0.id == listener }) {
      if let peer { address.isTrusted = listeners[place].trusted.contains { $0.contains(peer) } }
      if listeners[place].isSecure {
        guard let security = listenerSecurity[listener] else {
          // Never in clear what was to be TLS.
          _ = portico_close(descriptor)
          return 0
        }
        link = SecureLink(accepting: security, awaitsHeader: listeners[place].awaitsHeader)
      }
    }
    let handle = core.reserveClient(listener: listener, peer: address, at: EventLoop.now())
    let socket = sockets.place(handle, descriptor)
    let result = register(handle, descriptor)
    if result < 0 {
      feed(.broken(handle, code: -result))
      return result
    }
    socket.pointee.link = link
    feed(.accepted(handle))
    return 0
  }

  static func listenerToken(_ place: Int) -> UInt64 {
    Handle(index: UInt32(place), generation: listenerGeneration).bits
  }
}
