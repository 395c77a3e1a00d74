import COpenSSL
import Primitives

/// Where a session is.
package enum TLSState: Sendable, Hashable {
  case handshaking
  /// Data flows both ways.
  case established
  /// The peer has said close_notify: it sends no more, but may still read.
  case closedByPeer
  /// Over. What stands in the output (an alert) is still to be sent.
  case failed(TLSFailure)
}

/// What an input has brought.
package struct TLSReceived: Sendable, Hashable {
  /// Bytes put into the plaintext buffer. A failure may still come with some: they were good.
  package var plaintextBytes: Int
  package var state: TLSState
  /// The handshake has ended well in this very call: `facts` can be read, and writing may begin.
  package var isJustEstablished: Bool
}

/// One TLS connection as an engine: ciphertext in, plaintext and facts out. No socket, no clock.
///
/// ```
/// handshaking -> established -> closedByPeer
///      |              |
///      +--------------+--> failed
/// ```
/// Whatever a call leaves in the output has to be sent, after a failure too (it is an alert then).
/// Lives and dies on its context's loop; not Sendable on purpose.
package final class TLSSession {
  /// By how much a plaintext buffer must be larger than the input: the part of a record that came
  /// earlier. Bytes: the largest record of RFC 8446 (2^14 + 256) and its header.
  package static let plaintextSlackBytes = 16_384 + 256 + 5
  /// Of a peer's whole side of a handshake, and what it sends right behind. Bytes: four times the
  /// largest ClientHello, or a chain of certificates at its limit of 32 KB twice.
  package static let handshakeLimitBytes = 65_536
  /// Records in a row that hold no data, once the handshake is over. Count: OpenSSL bears 32 empty
  /// ones; a server may send a few tickets. Beyond this lie floods of empty records, of alerts and
  /// of attempts to renegotiate, which are refused each with an alert.
  package static let barrenRecordLimit: UInt32 = 64
  /// Key updates of the peer beyond one for each `bytesPerKeyUpdate` it has sent. Count: each costs
  /// us two key derivations and, if it asks, an answer. RFC 8446 wants one in 2^24 records.
  package static let keyUpdateLimit: UInt32 = 32
  private static let bytesPerKeyUpdate = 1 << 20

  private enum Side {
    case server(TLSServerContext)
    case client(TLSClientContext, host: String)
  }

  package private(set) var state = TLSState.handshaking
  private let side: Side
  /// Nil until the first bytes: a connection that says nothing costs nothing.
  private var ssl: OpaquePointer?
  private let wire: UnsafeMutablePointer<portico_wire>
  private var scan: HandshakeScan
  private var handshakeBytes = 0
  private var receivedBytes = 0
  private var hasClosed = false
  /// Told by the callbacks of the handshake.
  var serverName: String?
  var hostIndex = 0
  var isNameUnknown = false

  /// The server's side. Costs next to nothing until the first bytes come.
  package init(accepting context: TLSServerContext) {
    side = .server(context)
    scan = HandshakeScan()
    wire = .allocate(capacity: 1)
    wire.initialize(to: portico_wire())
  }

  /// The client's side.
  ///
  /// - Parameter host: the backend's host name or address, for SNI and the check of its certificate
  ///   unless the settings name another.
  package init(connecting context: TLSClientContext, to host: String) {
    side = .client(context, host: context.material.settings.serverName ?? host)
    scan = HandshakeScan()
    wire = .allocate(capacity: 1)
    wire.initialize(to: portico_wire())
  }

  deinit {
    if let ssl {
      // A connection that was cut is no reason to distrust its keys: without this, OpenSSL would
      // forbid resuming the session (RFC 5246, section 7.2.1 dropped that rule).
      if failure == nil { SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN) }
      SSL_free(ssl)
    }
    wire.deallocate()
  }

  /// Begins a client's handshake. To be called once, when the connection is made.
  package func start(output: inout CipherBuffer) {
    guard case .client = side, state == .handshaking else { return }
    if ssl == nil { open() }
    guard let ssl else { return }
    lend(&output)
    _ = proceed(ssl)
    takeBack(&output)
  }

  /// Takes the whole input, and puts what was in it into `plaintext`.
  ///
  /// - Parameter plaintext: at least `ciphertext.count + plaintextSlackBytes` long.
  package func receive(
    _ ciphertext: UnsafeRawBufferPointer, into plaintext: UnsafeMutableRawBufferPointer,
    output: inout CipherBuffer
  ) -> TLSReceived {
    precondition(
      plaintext.count >= ciphertext.count + Self.plaintextSlackBytes,
      "the plaintext buffer is too small for what the input may hold")
    var received = TLSReceived(plaintextBytes: 0, state: state, isJustEstablished: false)
    let isHandshaking = state == .handshaking
    guard !ciphertext.isEmpty, isHandshaking || state == .established,
      !isHandshaking || looksGood(ciphertext)
    else {
      received.state = state
      return received
    }
    if ssl == nil { open() }
    guard let ssl else {
      received.state = state
      return received
    }
    wire.pointee.input = ciphertext.baseAddress?.assumingMemoryBound(to: UInt8.self)
    wire.pointee.input_count = ciphertext.count
    lend(&output)
    if isHandshaking, proceed(ssl) { received.isJustEstablished = true }
    if state == .established {
      received.plaintextBytes = unseal(ssl, plaintext, ciphertext.count)
    }
    takeBack(&output)
    received.state = state
    return received
  }

  /// Seals one turn's plaintext: small pieces together in one record, large ones in records of
  /// 16 KiB.
  ///
  /// - Returns: false where nothing can be sent: before the handshake has ended and after a failure
  ///   or `close`.
  package func send(
    _ segments: ArraySlice<Gather.Segment>, output: inout CipherBuffer
  ) -> Bool {
    guard let ssl, canSend else { return false }
    lend(&output)
    let scratch = scratch
    for segment in segments {
      seal(UnsafeRawBufferPointer(start: segment.base, count: segment.count), scratch, ssl)
    }
    sealRest(scratch, ssl)
    takeBack(&output)
    return canSend
  }

  /// The same for one stretch of bytes.
  package func send(_ bytes: UnsafeRawBufferPointer, output: inout CipherBuffer) -> Bool {
    guard let ssl, canSend else { return false }
    lend(&output)
    write(bytes, ssl)
    takeBack(&output)
    return canSend
  }

  /// Says close_notify, once. Receiving goes on. Before the handshake has ended there is nothing to
  /// be said.
  package func close(output: inout CipherBuffer) {
    guard let ssl, canSend else { return }
    hasClosed = true
    lend(&output)
    ERR_clear_error()
    _ = SSL_shutdown(ssl)
    ERR_clear_error()
    takeBack(&output)
  }

  /// The peer has said close_notify. When the connection ends without, it was cut: what came by then
  /// may be a part only.
  package var hasPeerClosed: Bool { state == .closedByPeer }

  /// Why it is over; nil while it is not.
  package var failure: TLSFailure? {
    if case .failed(let failure) = state { return failure }
    return nil
  }

  private var canSend: Bool { !hasClosed && (state == .established || state == .closedByPeer) }

  private var scratch: SealScratch {
    switch side {
    case .server(let context): context.scratch
    case .client(let context, _): context.scratch
    }
  }

  // MARK: The handshake

  /// What can be said of a handshake's bytes without OpenSSL.
  private func looksGood(_ ciphertext: UnsafeRawBufferPointer) -> Bool {
    if handshakeBytes > Self.handshakeLimitBytes {
      state = .failed(TLSFailure(.handshakeTooLarge))
      return false
    }
    handshakeBytes += ciphertext.count
    guard case .server = side, !scan.isOver else { return true }
    switch scan.scan(ciphertext) {
    case .passes: return true
    case .waits: return false
    case .plaintextHTTP: state = .failed(TLSFailure(.plaintextHTTP))
    case .notTLS: state = .failed(TLSFailure(.notTLS))
    case .tooLarge: state = .failed(TLSFailure(.handshakeTooLarge))
    }
    return false
  }

  /// Makes the OpenSSL object. Fails the session for want of memory.
  private func open() {
    ERR_clear_error()
    let made =
      switch side {
      case .server(let context): SSL_new(context.firstHost.pointer)
      case .client(let context, _): SSL_new(context.pointer)
      }
    guard let made, let method = Self.method, portico_wire_attach(made, method, wire) == 1 else {
      if let made { SSL_free(made) }
      state = .failed(TLSFailure(.internalError, code: ERR_peek_error()))
      return
    }
    ssl = made
    OwnSlot.put(self, in: made)
    switch side {
    case .server: SSL_set_accept_state(made)
    case .client(let context, let host):
      SSL_set_connect_state(made)
      context.resume(host, in: made)
      expect(host, context.material.settings, made)
    }
  }

  /// Never changed once it is made, so it may be shared.
  private nonisolated(unsafe) static let method = portico_wire_method()

  /// Who has to be at the other end.
  private func expect(_ host: String, _ settings: TLSClientSettings, _ ssl: OpaquePointer) {
    var isSet: Int32 = 1
    switch ServerName(host) {
    case .name(let name):
      if settings.sendsServerName {
        serverName = name
        isSet = portico_ssl_set_server_name(ssl, name)
      }
      if settings.verifies {
        SSL_set_hostflags(ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        isSet &= SSL_set1_host(ssl, name)
      }
    case .address(let address):
      if settings.verifies { isSet = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address) }
    case nil:
      // Neither: no certificate can carry it.
      if settings.verifies {
        state = .failed(
          TLSFailure(.certificateInvalid, code: UInt(X509_V_ERR_HOSTNAME_MISMATCH)))
      }
    }
    if isSet != 1 { state = .failed(TLSFailure(.internalError, code: ERR_peek_error())) }
  }

  /// Goes on with the handshake; true when it has ended well.
  private func proceed(_ ssl: OpaquePointer) -> Bool {
    guard state == .handshaking else { return false }
    ERR_clear_error()
    let result = SSL_do_handshake(ssl)
    guard result == 1 else {
      if SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ { fail(ssl) }
      return false
    }
    state = .established
    rememberRenewal(ssl)
    wire.pointee.barren_records = 0
    wire.pointee.barren_limit = Self.barrenRecordLimit
    wire.pointee.key_updates = 0
    wire.pointee.key_update_limit = Self.keyUpdateLimit
    return true
  }

  /// OpenSSL has a session that can be resumed; true when it was taken over.
  func remember(_ ticket: OpaquePointer) -> Bool {
    guard case .client(let context, let host) = side else { return false }
    return context.remember(ticket, of: host)
  }

  /// In TLS 1.2 OpenSSL does not tell a client of a ticket that was renewed by a resumption.
  private func rememberRenewal(_ ssl: OpaquePointer) {
    guard case .client = side, SSL_session_reused(ssl) == 1,
      SSL_version(ssl) == Int32(TLSVersion.tls12.rawValue), let session = SSL_get1_session(ssl)
    else { return }
    if !remember(session) { SSL_SESSION_free(session) }
  }

  private func fail(_ ssl: OpaquePointer) {
    if case .client(let context, let host) = side, state == .handshaking { context.forget(host) }
    if wire.pointee.is_stopped != 0 {
      ERR_clear_error()
      state = .failed(TLSFailure(.misuse))
    } else if isNameUnknown {
      ERR_clear_error()
      state = .failed(TLSFailure(.unknownServerName))
    } else {
      state = .failed(TLSFailure(of: ssl))
    }
  }

  // MARK: Data

  /// - Returns: bytes of plaintext.
  private func unseal(
    _ ssl: OpaquePointer, _ plaintext: UnsafeMutableRawBufferPointer, _ inputBytes: Int
  ) -> Int {
    var total = 0
    receivedBytes &+= inputBytes
    // Both bounded: what has been earned in 2^32 updates is 4 PB.
    wire.pointee.key_update_limit = UInt32(
      clamping: Int(Self.keyUpdateLimit) &+ receivedBytes / Self.bytesPerKeyUpdate)
    // Each call takes one record, whole, since the buffer has room for it.
    while wire.pointee.input_count > 0 {
      ERR_clear_error()
      let room = Int32(clamping: plaintext.count - total)
      let count = SSL_read(ssl, plaintext.baseAddress! + total, room)
      if count > 0 {
        total += Int(count)
        wire.pointee.barren_records = 0
        continue
      }
      switch SSL_get_error(ssl, count) {
      case SSL_ERROR_WANT_READ: return total
      case SSL_ERROR_ZERO_RETURN:
        state = .closedByPeer
        return total
      default:
        fail(ssl)
        return total
      }
    }
    return total
  }

  private func seal(_ bytes: UnsafeRawBufferPointer, _ scratch: SealScratch, _ ssl: OpaquePointer) {
    guard var from = bytes.baseAddress else { return }
    var left = bytes.count
    while left > 0 {
      if scratch.count == 0, left >= SealScratch.recordBytes {
        let whole = left - left % SealScratch.recordBytes
        write(UnsafeRawBufferPointer(start: from, count: whole), ssl)
        from += whole
        left -= whole
        continue
      }
      let step = min(left, SealScratch.recordBytes - scratch.count)
      (scratch.base + scratch.count).copyMemory(from: from, byteCount: step)
      scratch.count += step
      from += step
      left -= step
      if scratch.count == SealScratch.recordBytes { sealRest(scratch, ssl) }
    }
  }

  private func sealRest(_ scratch: SealScratch, _ ssl: OpaquePointer) {
    write(UnsafeRawBufferPointer(start: scratch.base, count: scratch.count), ssl)
    scratch.count = 0
  }

  /// OpenSSL cuts it into records. The output takes everything, so it never has to be called again.
  private func write(_ bytes: UnsafeRawBufferPointer, _ ssl: OpaquePointer) {
    guard !bytes.isEmpty, canSend else { return }
    ERR_clear_error()
    var written = 0
    if SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &written) != 1 { fail(ssl) }
  }

  // MARK: The output

  private func lend(_ output: inout CipherBuffer) {
    wire.pointee.output = output.base
    wire.pointee.output_count = output.count
    wire.pointee.output_capacity = output.capacity
  }

  private func takeBack(_ output: inout CipherBuffer) {
    output.base = wire.pointee.output
    output.count = wire.pointee.output_count
    output.capacity = wire.pointee.output_capacity
    wire.pointee.output = nil
    wire.pointee.output_count = 0
    wire.pointee.output_capacity = 0
    wire.pointee.input = nil
    wire.pointee.input_count = 0
  }

  // MARK: For tests

  /// Lets a test set what no setting offers, before the first bytes.
  func prepare(_ body: (OpaquePointer) -> Void) {
    if ssl == nil { open() }
    if let ssl { body(ssl) }
  }

  func withSSL<Result>(_ body: (OpaquePointer) -> Result?) -> Result? { ssl.flatMap(body) }

  // MARK: Facts

  /// Nil before the handshake has ended, and after a failure.
  package var facts: TLSFacts? {
    guard let ssl, state == .established || state == .closedByPeer else { return nil }
    var facts = TLSFacts(of: ssl)
    facts.serverName = serverName
    facts.hostIndex = hostIndex
    if case .server(let context) = side {
      facts.clientName = TLSFacts.clientName(ssl, context.hosts[hostIndex])
    }
    return facts
  }
}
