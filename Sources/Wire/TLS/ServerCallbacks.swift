import COpenSSL

/// What OpenSSL asks during a server's handshake. Each answer is made from the context, the host or
/// the session alone; nothing here calls back into the connection.
enum ServerCallbacks {
  static func install(
    in pointer: OpaquePointer, context: TLSServerContext, host: TLSServerContext.Host
  ) {
    let contextAddress = Unmanaged.passUnretained(context).toOpaque()
    let hostAddress = Unmanaged.passUnretained(host).toOpaque()
    OwnSlot.put(context, in: pointer)
    SSL_CTX_set_client_hello_cb(
      pointer, { ServerCallbacks.clientHello($0, $1, $2) }, contextAddress)
    if !context.protocols.isEmpty {
      SSL_CTX_set_alpn_select_cb(
        pointer,
        { _, chosen, chosenCount, list, count, argument in
          ServerCallbacks.selectProtocol(chosen, chosenCount, list, count, argument)
        }, contextAddress)
    }
    SSL_CTX_set_tlsext_ticket_key_evp_cb(pointer) {
      ServerCallbacks.ticketKey($0, $1, $2, $3, $4, $5)
    }
    SSL_CTX_set_session_ticket_cb(
      pointer, nil,
      { ssl, ticket, _, _, status, _ in ServerCallbacks.openedTicket(ssl, ticket, status) },
      nil)
    if !host.responses.isEmpty {
      portico_ssl_ctx_set_status_callback(pointer, { ServerCallbacks.staple($0, $1) }, hostAddress)
    }
    if host.mode != .none {
      SSL_CTX_set_cert_verify_callback(pointer, { ServerCallbacks.verify($0, $1) }, hostAddress)
    }
  }

  // MARK: Server name

  /// Chooses the host before anything else is looked at, tickets included: the callback for server
  /// names that OpenSSL has beside this one comes after a session has been resumed.
  private static func clientHello(
    _ ssl: OpaquePointer?, _ alert: UnsafeMutablePointer<Int32>?,
    _ argument: UnsafeMutableRawPointer?
  ) -> Int32 {
    guard let argument, let session = OwnSlot.session(ssl) else { return SSL_CLIENT_HELLO_ERROR }
    let context = Unmanaged<TLSServerContext>.fromOpaque(argument).takeUnretainedValue()
    var bytes: UnsafePointer<UInt8>?
    var count = 0
    var name: String?
    if SSL_client_hello_get0_ext(ssl, UInt32(TLSEXT_TYPE_server_name), &bytes, &count) == 1 {
      name = serverName(UnsafeBufferPointer(start: bytes, count: count))
      if name == nil {
        alert?.pointee = SSL_AD_DECODE_ERROR
        return SSL_CLIENT_HELLO_ERROR
      }
    }
    guard let index = context.material.table.host(for: name) else {
      session.isNameUnknown = true
      alert?.pointee = SSL_AD_UNRECOGNIZED_NAME
      return SSL_CLIENT_HELLO_ERROR
    }
    let host = context.hosts[index]
    session.serverName = name
    session.hostIndex = index
    if SSL_get_SSL_CTX(ssl) != host.pointer {
      // Brings the certificates, authorities and session id context of the host, but not its
      // demand for a certificate.
      guard SSL_set_SSL_CTX(ssl, host.pointer) != nil else { return SSL_CLIENT_HELLO_ERROR }
      SSL_set_verify(ssl, host.verification, nil)
    }
    return SSL_CLIENT_HELLO_SUCCESS
  }

  /// The host name of the extension (RFC 6066, section 3), in lower case; nil where it is malformed.
  static func serverName(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
    guard bytes.count > 5, Int(bytes[0]) << 8 | Int(bytes[1]) == bytes.count - 2, bytes[2] == 0,
      Int(bytes[3]) << 8 | Int(bytes[4]) == bytes.count - 5
    else { return nil }
    let name = UnsafeBufferPointer(rebasing: bytes[5...])
    guard name.count <= 253, name.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
    return String(decoding: name, as: UTF8.self).lowercased()
  }

  // MARK: ALPN

  private static func selectProtocol(
    _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ chosenCount: UnsafeMutablePointer<UInt8>?, _ list: UnsafePointer<UInt8>?, _ count: UInt32,
    _ argument: UnsafeMutableRawPointer?
  ) -> Int32 {
    guard let argument, let list else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    let context = Unmanaged<TLSServerContext>.fromOpaque(argument).takeUnretainedValue()
    let offered = UnsafeBufferPointer(start: list, count: Int(count))
    return context.protocols.withUnsafeBufferPointer { ours in
      var place = 0
      while place < ours.count {
        let wanted = UnsafeBufferPointer(rebasing: ours[place...(place + Int(ours[place]))])
        if let found = find(wanted, in: offered) {
          // Points into the client's own list, which outlives the choice.
          chosen?.pointee = offered.baseAddress! + found + 1
          chosenCount?.pointee = wanted[0]
          return SSL_TLSEXT_ERR_OK
        }
        place += wanted.count
      }
      return SSL_TLSEXT_ERR_ALERT_FATAL
    }
  }

  /// Where a name, length first, stands in a list of such.
  private static func find(
    _ wanted: UnsafeBufferPointer<UInt8>, in list: UnsafeBufferPointer<UInt8>
  ) -> Int? {
    var place = 0
    while place < list.count {
      let end = place + 1 + Int(list[place])
      guard end <= list.count else { return nil }
      if list[place..<end].elementsEqual(wanted) { return place }
      place = end
    }
    return nil
  }

  // MARK: Tickets

  /// Sealing (`isSealing` 1) names the key and makes an initial vector; opening finds the key by its
  /// name. 0: unknown, make a full handshake. 2: known, but send a new ticket.
  private static func ticketKey(
    _ ssl: OpaquePointer?, _ name: UnsafeMutablePointer<UInt8>?,
    _ vector: UnsafeMutablePointer<UInt8>?, _ cipher: OpaquePointer?, _ mac: OpaquePointer?,
    _ isSealing: Int32
  ) -> Int32 {
    guard let context = OwnSlot.context(SSL_get_SSL_CTX(ssl)), let name, let vector else {
      return -1
    }
    let keys = context.ticketKeys
    if isSealing == 1 {
      guard RAND_bytes(vector, 16) == 1 else { return -1 }
      for (place, byte) in keys.current.name.enumerated() { name[place] = byte }
      return set(keys.current, cipher, mac, vector, isSealing) ? 1 : -1
    }
    let wanted = UnsafeBufferPointer(start: name, count: 16)
    if keys.current.name.elementsEqual(wanted) {
      return set(keys.current, cipher, mac, vector, isSealing) ? 1 : -1
    }
    for key in keys.previous where key.name.elementsEqual(wanted) {
      return set(key, cipher, mac, vector, isSealing) ? 2 : -1
    }
    return 0
  }

  private static func set(
    _ key: TicketKey, _ cipher: OpaquePointer?, _ mac: OpaquePointer?,
    _ vector: UnsafePointer<UInt8>, _ isSealing: Int32
  ) -> Bool {
    key.bytes.withUnsafeBufferPointer { bytes in
      EVP_CipherInit_ex(
        cipher, EVP_aes_256_cbc(), nil, bytes.baseAddress! + 16, vector, isSealing) == 1
        && portico_ticket_mac(mac, bytes.baseAddress! + 48, 32) == 1
    }
  }

  /// A ticket of a client whose certificate has expired since leads to a full handshake, which
  /// refuses it.
  private static func openedTicket(
    _ ssl: OpaquePointer?, _ ticket: OpaquePointer?, _ status: Int32
  ) -> Int32 {
    switch status {
    case SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW:
      if let peer = SSL_SESSION_get0_peer(ticket),
        X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0
      {
        return SSL_TICKET_RETURN_IGNORE_RENEW
      }
      // In TLS 1.3 a client uses each ticket once (RFC 8446, appendix C.4): it needs the next.
      let isSpent = SSL_version(ssl) == Int32(TLSVersion.tls13.rawValue)
      return status == SSL_TICKET_SUCCESS && !isSpent
        ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW
    case SSL_TICKET_EMPTY, SSL_TICKET_NO_DECRYPT: return SSL_TICKET_RETURN_IGNORE_RENEW
    default: return SSL_TICKET_RETURN_ABORT
    }
  }

  // MARK: Certificates

  /// Staples the response that belongs to the certificate that was chosen.
  private static func staple(
    _ ssl: OpaquePointer?, _ argument: UnsafeMutableRawPointer?
  ) -> Int32 {
    guard let ssl, let argument else { return SSL_TLSEXT_ERR_NOACK }
    let host = Unmanaged<TLSServerContext.Host>.fromOpaque(argument).takeUnretainedValue()
    let certificate = SSL_get_certificate(ssl)
    guard let response = host.responses.first(where: { $0.certificate.pointer == certificate }),
      let copy = portico_copy(response.bytes, response.bytes.count)
    else { return SSL_TLSEXT_ERR_NOACK }
    portico_ssl_set_status_response(
      ssl, copy.assumingMemoryBound(to: UInt8.self), response.bytes.count)
    return SSL_TLSEXT_ERR_OK
  }

  /// OpenSSL's own verification, and then ours: one of the names has to be allowed.
  private static func verify(
    _ store: OpaquePointer?, _ argument: UnsafeMutableRawPointer?
  ) -> Int32 {
    guard let store, let argument, X509_verify_cert(store) == 1 else { return 0 }
    let host = Unmanaged<TLSServerContext.Host>.fromOpaque(argument).takeUnretainedValue()
    guard !host.allowedNames.isEmpty else { return 1 }
    guard let leaf = X509_STORE_CTX_get0_cert(store),
      CertificateNames.clientName(of: leaf, allowed: host.allowedNames) != nil
    else {
      X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION)
      return 0
    }
    return 1
  }
}
