import COpenSSL

/// A certificate with what belongs to it, as found in its files.
struct CertificateMaterial: Sendable, Hashable {
  let files: TLSCertificateFiles
  let chain: [UInt8]
  let key: [UInt8]
  /// DER; empty where there is none.
  let ocspResponse: [UInt8]
}

/// The files of a listener's settings, read and checked once.
///
/// A value, so that every loop builds its context from the same bytes: a file that changes between
/// two loops cannot mix. Two of them are equal when settings and bytes are: a reload that changes
/// nothing is seen by comparing.
package struct TLSServerMaterial: Sendable, Hashable {
  struct Host: Sendable, Hashable {
    let certificates: [CertificateMaterial]
    let clientAuthentication: TLSClientAuthentication
    /// PEM; empty where no client certificate is asked for.
    let authorities: [UInt8]
    /// What a ticket has to carry to be good here: a digest of the names, the certificates' public
    /// keys, and of who is let in. A ticket of another host, or one got before client
    /// authentication was changed, leads to a full handshake.
    let identity: [UInt8]
  }

  package let settings: TLSServerSettings
  /// What is odd and does not stand in the way: expired or soon to expire, incomplete chains, names
  /// that a certificate does not carry. Whole sentences.
  package let warnings: [String]
  let hosts: [Host]
  let table: HostTable

  /// - Parameter now: seconds since 1970, for what is expired.
  package static func load(
    _ settings: TLSServerSettings, now: Int64
  ) throws(TLSComplaint) -> TLSServerMaterial {
    let table = try HostTable(settings)
    try ContextBuilder.check(TLS_server_method(), settings.parameters)
    var check = MaterialCheck(now: now)
    var hosts: [Host] = []
    for (index, host) in settings.hosts.enumerated() {
      hosts.append(
        try load(host, settings.clientAuthentication(ofHost: index), &check))
    }
    check.look(at: settings)
    let material = TLSServerMaterial(
      settings: settings, warnings: check.warnings, hosts: hosts, table: table)
    // What only OpenSSL can judge is judged here, before any loop is asked to build.
    _ = try TLSServerContext(material, ticketKeys: .random())
    return material
  }

  private static func load(
    _ host: TLSHostSettings, _ authentication: TLSClientAuthentication,
    _ check: inout MaterialCheck
  ) throws(TLSComplaint) -> Host {
    let title = host.names.first.map { "host '\($0)'" } ?? "the default host"
    guard !host.certificates.isEmpty else {
      throw TLSComplaint("TLS: \(title) has no certificate; give a chain and its key")
    }
    var identity = Identity()
    identity.add(host.names.map { $0.lowercased() })
    var certificates: [CertificateMaterial] = []
    var kinds: [Int32: String] = [:]
    for files in host.certificates {
      let (material, chain) = try check.load(files, names: host.names)
      certificates.append(material)
      let kind = EVP_PKEY_get_base_id(X509_get0_pubkey(chain[0].pointer))
      if let other = kinds[kind] {
        throw TLSComplaint(
          file: files.chain,
          "TLS: \(title) has two certificates with the same kind of key, '\(other)' and "
            + "'\(files.chain)'; keep one of them")
      }
      kinds[kind] = files.chain
      identity.add(publicKeyOf: chain[0])
    }
    var authorities: [UInt8] = []
    if authentication.mode != .none {
      authorities = try check.authorities(authentication.authorities)
    }
    identity.add([authentication.mode.rawValue] + authentication.allowedNames)
    identity.add(authorities)
    return Host(
      certificates: certificates, clientAuthentication: authentication, authorities: authorities,
      identity: identity.digest())
  }
}

/// The files of a pool's settings, read and checked once.
package struct TLSClientMaterial: Sendable, Hashable {
  package let settings: TLSClientSettings
  /// As those of `TLSServerMaterial`.
  package let warnings: [String]
  /// PEM; empty: those of the system.
  let authorities: [UInt8]
  let certificate: CertificateMaterial?

  /// - Parameter now: seconds since 1970, for what is expired.
  package static func load(
    _ settings: TLSClientSettings, now: Int64
  ) throws(TLSComplaint) -> TLSClientMaterial {
    try ContextBuilder.check(TLS_client_method(), settings.parameters)
    var check = MaterialCheck(now: now)
    var authorities: [UInt8] = []
    if let path = settings.authorities { authorities = try check.authorities(path) }
    var certificate: CertificateMaterial?
    if let files = settings.certificate { certificate = try check.load(files, names: []).0 }
    if !settings.verifies {
      check.warnings.append(
        "TLS: certificates of backends are not verified: whoever stands between can read and "
          + "change everything")
    }
    let material = TLSClientMaterial(
      settings: settings, warnings: check.warnings, authorities: authorities,
      certificate: certificate)
    _ = try TLSClientContext(material)
    return material
  }
}

/// Collects what makes a host itself. Parts are preceded by their length, so that none can pass for
/// two others.
private struct Identity {
  private var bytes: [UInt8] = []

  mutating func add(_ part: [UInt8]) {
    withUnsafeBytes(of: UInt64(part.count).bigEndian) { bytes += $0 }
    bytes += part
  }

  mutating func add(_ texts: [String]) {
    add([UInt8(truncatingIfNeeded: texts.count)])
    for text in texts { add(Array(text.utf8)) }
  }

  mutating func add(publicKeyOf certificate: PEM.Certificate) {
    var encoded: UnsafeMutablePointer<UInt8>?
    let count = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.pointer), &encoded)
    guard count > 0, let encoded else { return }
    add(Array(UnsafeBufferPointer(start: encoded, count: Int(count))))
    portico_free_bytes(encoded)
  }

  /// SHA-256: exactly as long as OpenSSL's session id context may be.
  func digest() -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    let made = EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil)
    precondition(made == 1, "OpenSSL cannot make a SHA-256: no session can be bound to its host")
    return digest
  }
}
