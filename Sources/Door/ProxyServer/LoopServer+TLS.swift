import CLinux
import Configuration
import EventLoop
import Glibc
import HTTP1
import Primitives
import ProxyCore
import TLS
import Telemetry

/// TLS between sockets and the core.
///
/// ```
/// socket -> ciphertext -> session -> plaintext -> core.handle(.received)
/// core's .write -> session -> ciphertext -> one send -> what is left over: Socket.output
/// ```
/// What waits in `Socket.output` is ciphertext, so that flushing is the same for all sockets.
extension LoopServer {
  /// Room for what one read may decrypt to. Bytes.
  static let plaintextBytes = ProxyCore.clientReadLimit + TLSSession.plaintextSlackBytes

  // MARK: Contexts

  /// Takes over files and ticket keys. A context whose files have not changed is kept: another one
  /// would forget nothing that matters, but it costs a millisecond.
  func apply(_ plan: SecurityPlan) {
    for (id, listener) in plan.listeners
    where listenerSecurity[id]?.adopt(listener) != true {
      do throws(TLSComplaint) {
        listenerSecurity[id] = try ListenerSecurity(listener)
      } catch {
        // It was tried out when the files were loaded; memory may be short.
        onComplaint?("TLS of a listener stays as it was: \(error)")
      }
    }
    for id in listenerSecurity.keys where plan.listeners[id] == nil { listenerSecurity[id] = nil }
    for (id, material) in plan.pools where poolSecurity[id]?.material != material {
      do throws(TLSComplaint) {
        poolSecurity[id] = try TLSClientContext(material)
      } catch {
        onComplaint?("TLS of a pool stays as it was: \(error)")
      }
    }
    for id in poolSecurity.keys where plan.pools[id] == nil { poolSecurity[id] = nil }
  }

  // MARK: Receiving

  func receive(_ bytes: UnsafeRawBufferPointer, _ handle: Handle, _ link: SecureLink) {
    var bytes = bytes
    if link.header != nil {
      guard let rest = takeProxyHeader(bytes, handle, link) else { return }
      bytes = rest
    }
    let result = link.session.receive(bytes, into: plaintext, output: &ciphertext)
    if !ciphertext.isEmpty, let socket = sockets[handle] {
      sendCiphertext(handle, socket, link)
      while let next = consequences.popLast() { feed(next) }
    }
    if result.isJustEstablished { establish(handle, link) }
    if result.plaintextBytes > 0, sockets[handle] != nil {
      feed(.received(handle, UnsafeRawBufferPointer(rebasing: plaintext[..<result.plaintextBytes])))
    }
    guard let socket = sockets[handle] else { return }
    switch result.state {
    case .handshaking, .established: break
    case .closedByPeer:
      socket.pointee.hasEnded = true
      feed(.ended(handle))
    case .failed(let failure): fail(handle, socket, link, failure)
    }
  }

  /// The PROXY protocol's header comes in clear, before TLS. The core reads it as any other.
  ///
  /// - Returns: what came behind it; nil when there is nothing yet.
  private func takeProxyHeader(
    _ bytes: UnsafeRawBufferPointer, _ handle: Handle, _ link: SecureLink
  ) -> UnsafeRawBufferPointer? {
    let before = link.header?.count ?? 0
    link.header?.append(contentsOf: bytes)
    let result = (link.header ?? []).withUnsafeBytes { ProxyProtocol.parse($0) }
    switch result {
    case .incomplete: return nil
    case .invalid:
      // The core finds the same, and closes.
      (link.header ?? []).withUnsafeBytes { feed(.received(handle, $0)) }
      return nil
    case .complete(let consumed, _):
      (link.header ?? []).withUnsafeBytes {
        feed(.received(handle, UnsafeRawBufferPointer(rebasing: $0[..<consumed])))
      }
      link.header = nil
      // The header ends within the latest bytes, or it would have been complete before.
      guard sockets[handle] != nil, consumed - before < bytes.count else { return nil }
      return UnsafeRawBufferPointer(rebasing: bytes[(consumed - before)...])
    }
  }

  private func establish(_ handle: Handle, _ link: SecureLink) {
    guard let isUpstream = sockets[handle]?.pointee.isUpstream, let facts = link.session.facts
    else { return }
    link.isEstablished = true
    let security = Security(facts, boundaries: link.boundaries)
    var name = facts.clientName ?? ""
    name.withUTF8 { feed(.secured(handle, security, clientName: UnsafeRawBufferPointer($0))) }
    if isUpstream { feed(.connected(handle)) }
  }

  /// The session is of no more use. An alert has been sent; what comes still is nobody's.
  private func fail(
    _ handle: Handle, _ socket: UnsafeMutablePointer<Socket>, _ link: SecureLink,
    _ failure: TLSFailure
  ) {
    socket.pointee.link = nil
    if link.isEstablished {
      socket.pointee.hasEnded = true
      feed(.broken(handle, code: EPROTO))
    } else {
      failHandshake(handle, link, HandshakeFailure(failure.reason), "\(failure)")
    }
  }

  private func failHandshake(
    _ handle: Handle, _ link: SecureLink, _ failure: HandshakeFailure, _ text: String
  ) {
    var detail: [UInt8] = []
    if !link.peer.isEmpty {
      detail = Array("\(link.peer): \(text)".utf8).filter {
        (0x20...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c
      }
      complainOfBackend(String(decoding: detail, as: UTF8.self))
    }
    detail.withUnsafeBytes { feed(.securingFailed(handle, failure, detail: $0)) }
  }

  private func complainOfBackend(_ text: String) {
    guard EventLoop.now() >= nextSecurityComplaint else { return }
    nextSecurityComplaint = EventLoop.now() + Self.complaintPause
    onComplaint?("a TLS handshake with a backend failed: \(text)")
  }

  /// The socket has ended. Without close_notify it was cut: what came may be a part only.
  func ended(_ handle: Handle, _ link: SecureLink) {
    if !link.isEstablished {
      failHandshake(handle, link, .closed, "the connection was closed within the TLS handshake")
    } else {
      feed(.broken(handle, code: ProxyCore.truncated))
    }
  }

  /// The socket broke.
  func broke(_ handle: Handle, _ link: SecureLink, code: Int32) {
    if !link.isEstablished {
      failHandshake(handle, link, .closed, SystemError.text(code))
    } else {
      feed(.broken(handle, code: code))
    }
  }

  // MARK: Sending

  func write(
    _ handle: Handle, _ socket: UnsafeMutablePointer<Socket>, _ link: SecureLink,
    _ segments: Range<Int>
  ) {
    _ = link.session.send(effects.gather.segments[segments], output: &ciphertext)
    sendCiphertext(handle, socket, link)
  }

  /// Sends what the session has put out; the socket keeps what the kernel does not take.
  private func sendCiphertext(
    _ handle: Handle, _ socket: UnsafeMutablePointer<Socket>, _ link: SecureLink
  ) {
    defer { ciphertext.removeAll() }
    let bytes = ciphertext.bytes
    guard !bytes.isEmpty, !socket.pointee.isWriteDead else { return }
    if !socket.pointee.output.isEmpty {
      socket.pointee.output.append(bytes)
      return
    }
    let sent = portico_send(socket.pointee.descriptor, bytes.baseAddress, bytes.count)
    core.metrics.moved(max(sent, 0), socket.pointee.isUpstream ? .toBackend : .toClient)
    if sent == bytes.count { return }
    if sent < 0, sent != -Int(EAGAIN) {
      writeFailed(handle, socket, code: Int32(-sent), isWhole: true)
      return
    }
    socket.pointee.output.append(UnsafeRawBufferPointer(rebasing: bytes[max(sent, 0)...]))
    if link.isEstablished {
      link.hasSaidBlocked = true
      consequences.append(.blocked(handle))
    }
  }

  /// Says close_notify, so that the peer knows that it has everything.
  func sayCloseNotify(
    _ handle: Handle, _ socket: UnsafeMutablePointer<Socket>, _ link: SecureLink
  ) {
    guard link.isEstablished, !socket.pointee.isWriteDead else { return }
    link.session.close(output: &ciphertext)
    defer { ciphertext.removeAll() }
    let bytes = ciphertext.bytes
    guard !bytes.isEmpty else { return }
    if socket.pointee.output.isEmpty {
      let sent = portico_send(socket.pointee.descriptor, bytes.baseAddress, bytes.count)
      if sent == -Int(EAGAIN) { socket.pointee.output.append(bytes) }
    } else {
      socket.pointee.output.append(bytes)
    }
  }

  // MARK: Connecting

  /// The socket to a backend is connected: its handshake begins.
  func startHandshake(
    _ handle: Handle, _ socket: UnsafeMutablePointer<Socket>, _ link: SecureLink
  ) {
    link.session.start(output: &ciphertext)
    sendCiphertext(handle, socket, link)
    while let next = consequences.popLast() { feed(next) }
    // A name that no certificate can carry.
    if case .failed(let failure) = link.session.state, let socket = sockets[handle] {
      fail(handle, socket, link, failure)
    }
  }
}
