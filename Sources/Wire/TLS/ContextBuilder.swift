import COpenSSL

/// Builds OpenSSL contexts: what both sides set alike.
enum ContextBuilder {
  /// A peer's certificates. Bytes: OpenSSL's own default is 100 KB; a chain of four with RSA-4096
  /// keys has 8.
  private static let certificateLimitBytes = 32_768
  /// 112 bits: RSA from 2,048 bits on, no SHA-1. OpenSSL's level 2, as Debian sets it.
  private static let securityLevel: Int32 = 2

  /// What a context is to speak.
  struct Parameters {
    let minimumVersion: TLSVersion
    let maximumVersion: TLSVersion
    let ciphers: [String]
    let cipherSuites: [String]
    let groups: [String]
  }

  /// The caller owns it.
  static func context(
    _ method: OpaquePointer?, _ parameters: Parameters
  ) throws(TLSComplaint) -> OpaquePointer {
    ERR_clear_error()
    guard let context = SSL_CTX_new(method) else {
      throw TLSComplaint("TLS: OpenSSL makes no context: \(OpenSSLError.take())")
    }
    do throws(TLSComplaint) {
      try set(parameters, in: context)
    } catch {
      SSL_CTX_free(context)
      throw error
    }
    return context
  }

  private static func set(
    _ parameters: Parameters, in context: OpaquePointer
  ) throws(TLSComplaint) {
    portico_ssl_ctx_set_safe_options(context)
    // An idle connection keeps neither of its buffers of 16 KB.
    portico_ssl_ctx_set_mode(context, Int(SSL_MODE_RELEASE_BUFFERS))
    portico_ssl_ctx_set_session_cache_mode(context, Int(SSL_SESS_CACHE_OFF))
    portico_ssl_ctx_set_max_cert_list(context, certificateLimitBytes)
    SSL_CTX_set_security_level(context, securityLevel)
    // Reading ahead stays off: records are taken one by one from memory that is at hand, which costs
    // no system call, and our meter sees each of them.
    guard
      portico_ssl_ctx_set_versions(
        context, Int32(parameters.minimumVersion.rawValue),
        Int32(parameters.maximumVersion.rawValue)) == 1
    else { throw TLSComplaint("TLS: OpenSSL refuses the versions: \(OpenSSLError.take())") }
    if !parameters.ciphers.isEmpty {
      _ = SSL_CTX_set_cipher_list(context, parameters.ciphers.joined(separator: ":"))
    }
    if !parameters.cipherSuites.isEmpty {
      _ = SSL_CTX_set_ciphersuites(context, parameters.cipherSuites.joined(separator: ":"))
    }
    _ = portico_ssl_ctx_set_groups(context, parameters.groups.joined(separator: ":"))
    ERR_clear_error()
  }

  // MARK: Looking at parameters

  /// Whether OpenSSL knows every name, and nothing is lacking. Done when settings are loaded, not for
  /// each context: it takes as long as building one.
  static func check(_ method: OpaquePointer?, _ parameters: Parameters) throws(TLSComplaint) {
    guard parameters.minimumVersion <= parameters.maximumVersion else {
      throw TLSComplaint(
        "TLS: the minimum version \(parameters.minimumVersion) is above the maximum version "
          + "\(parameters.maximumVersion)")
    }
    let context = try context(method, parameters)
    defer { SSL_CTX_free(context) }
    try checkCiphers(parameters, in: context)
    for group in parameters.groups where portico_ssl_ctx_set_groups(context, group) != 1 {
      ERR_clear_error()
      throw TLSComplaint(
        "TLS: OpenSSL knows no group '\(group)'; good ones are "
          + TLSServerSettings.safeGroups.joined(separator: ", "))
    }
    if parameters.groups.isEmpty {
      throw TLSComplaint("TLS: there is no group; leave the setting out for the safe ones")
    }
  }

  /// Each name has to be that of one cipher: `ALL` or a misspelt name among good ones would pass
  /// OpenSSL unseen.
  private static func checkCiphers(
    _ parameters: Parameters, in context: OpaquePointer
  ) throws(TLSComplaint) {
    for name in parameters.ciphers
    where SSL_CTX_set_cipher_list(context, name) != 1 || !offers(name, context) {
      ERR_clear_error()
      throw TLSComplaint(
        "TLS: OpenSSL has no TLS 1.2 cipher '\(name)' that is safe to use; "
          + "'openssl ciphers -s -tls1_2' lists them")
    }
    for name in parameters.cipherSuites where SSL_CTX_set_ciphersuites(context, name) != 1 {
      ERR_clear_error()
      throw TLSComplaint(
        "TLS: OpenSSL has no TLS 1.3 cipher suite '\(name)'; good ones are "
          + TLSServerSettings.safeCipherSuites.joined(separator: ", "))
    }
    if parameters.minimumVersion == .tls12, parameters.ciphers.isEmpty {
      throw TLSComplaint(
        "TLS: there is no cipher for TLS 1.2; leave the setting out for the safe ones, or set the "
          + "minimum version to TLSv1.3")
    }
    if parameters.maximumVersion == .tls13, parameters.cipherSuites.isEmpty {
      throw TLSComplaint(
        "TLS: there is no cipher suite for TLS 1.3; leave the setting out for the safe ones")
    }
  }

  private static func offers(_ name: String, _ context: OpaquePointer) -> Bool {
    portico_ssl_ctx_offers(context, name) == 1
  }

  // MARK: Certificates

  /// Adds a certificate with its chain and key.
  ///
  /// - Returns: the certificate, by which OpenSSL tells which of several it has chosen.
  static func add(
    _ material: CertificateMaterial, to context: OpaquePointer
  ) throws(TLSComplaint) -> PEM.Certificate {
    let files = material.files
    let chain = try PEM.certificates(material.chain, path: files.chain, "certificate chain")
    let key = try PEM.key(material.key, path: files.key)
    ERR_clear_error()
    guard SSL_CTX_use_certificate(context, chain[0].pointer) == 1 else {
      throw TLSComplaint(
        file: files.chain,
        "certificate chain '\(files.chain)' cannot be used: \(OpenSSLError.take()); have one issued "
          + "for a P-256 key or an RSA key of 2048 bits or more")
    }
    guard SSL_CTX_use_PrivateKey(context, key.pointer) == 1 else {
      throw TLSComplaint(
        file: files.key, "key '\(files.key)' cannot be used: \(OpenSSLError.take())")
    }
    for certificate in chain.dropFirst()
    where portico_ssl_ctx_add_chain(context, certificate.pointer) != 1 {
      throw TLSComplaint(
        file: files.chain,
        "certificate chain '\(files.chain)' cannot be used: \(OpenSSLError.take()); have its "
          + "intermediates issued anew")
    }
    return chain[0]
  }

  /// Trusts the authorities of a PEM text.
  static func trust(
    _ authorities: [UInt8], path: String, in context: OpaquePointer
  ) throws(TLSComplaint) -> [PEM.Certificate] {
    let all = try PEM.certificates(authorities, path: path, "authorities")
    let store = SSL_CTX_get_cert_store(context)
    for certificate in all where X509_STORE_add_cert(store, certificate.pointer) != 1 {
      throw TLSComplaint(
        file: path, "authorities '\(path)' cannot be used: \(OpenSSLError.take())")
    }
    return all
  }

  /// ALPN's wire form: each name behind its length.
  static func list(_ protocols: [ApplicationProtocol]) -> [UInt8] {
    protocols.flatMap { [UInt8($0.rawValue.utf8.count)] + Array($0.rawValue.utf8) }
  }
}

extension TLSServerSettings {
  var parameters: ContextBuilder.Parameters {
    .init(
      minimumVersion: minimumVersion, maximumVersion: maximumVersion, ciphers: ciphers,
      cipherSuites: cipherSuites, groups: groups)
  }
}

extension TLSClientSettings {
  var parameters: ContextBuilder.Parameters {
    .init(
      minimumVersion: minimumVersion, maximumVersion: maximumVersion, ciphers: ciphers,
      cipherSuites: cipherSuites, groups: groups)
  }
}
