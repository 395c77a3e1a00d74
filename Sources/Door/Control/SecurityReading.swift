import Configuration
import Glibc
import Primitives
import ProxyServer
import SettingsFile
import TLS
import Telemetry

/// Reads the files that a configuration's TLS names, and says what is wrong with them where they are
/// named.
struct SecurityReading {
  /// With the names that certificates brought.
  private(set) var settings: Settings
  private(set) var complaints = ComplaintList()
  private(set) var warnings = ComplaintList()
  private let places: [String: Place]
  private let files: [String]
  /// Seconds since 1970.
  private let now: Int64

  init(_ loaded: ConfigurationLoader.Loaded) {
    settings = loaded.settings
    places = loaded.places
    files = loaded.files
    now = Int64(time(nil))
  }

  mutating func read() -> SecurityFiles {
    var result = SecurityFiles()
    for index in settings.listeners.indices {
      guard let tls = settings.listeners[index].tls else { continue }
      readListener(index, tls, into: &result)
    }
    for index in settings.pools.indices {
      guard let tls = settings.pools[index].tls else { continue }
      readPool(index, tls, into: &result)
    }
    return result
  }

  // MARK: Listeners

  private mutating func readListener(
    _ index: Int, _ before: ListenerTLSSettings, into result: inout SecurityFiles
  ) {
    let path = "listeners[\(index)].tls"
    let listener = settings.listeners[index]
    var tls = before
    do throws(TLSComplaint) {
      for place in tls.hosts.indices {
        for certificate in tls.hosts[place].certificates {
          let facts = try TLSCertificateFacts.read(certificate.certificate)
          if before.hosts[place].names.isEmpty {
            let known = Set(tls.hosts[place].names)
            tls.hosts[place].names += facts.names.filter { !known.contains($0) }
          }
          result.certificates.append(
            CertificateReading(
              listener: listener.name, host: tls.hosts[place].name,
              certificate: certificate.certificate, notAfterSeconds: Double(facts.notAfter)))
        }
      }
      settings.listeners[index].tls = tls
      let material = try TLSServerMaterial.load(
        Self.serverSettings(tls, listener.protocols), now: now)
      for warning in material.warnings { warn(warning, at: path, Self.mentions(in: tls)) }
      result.listeners[listener.name] = material
      if let file = tls.tickets.keys { result.ticketKeys[listener.name] = try ticketKeys(file) }
    } catch {
      complain(error, at: path, Self.mentions(in: tls))
    }
  }

  private static func serverSettings(
    _ tls: ListenerTLSSettings, _ protocols: [WireProtocol]
  ) -> TLSServerSettings {
    var settings = TLSServerSettings(
      hosts: tls.hosts.map { host in
        TLSHostSettings(
          names: host.names,
          certificates: host.certificates.map {
            TLSCertificateFiles(
              chain: $0.certificate, key: $0.keyFile, ocspResponse: $0.ocsp)
          }, clientAuthentication: host.clientAuth.map(authentication))
      }, defaultHost: tls.defaultIndex)
    if let auth = tls.clientAuth { settings.clientAuthentication = authentication(auth) }
    settings.minimumVersion = version(tls.minimumVersion)
    if !tls.ciphers.isEmpty { settings.ciphers = list(tls.ciphers) }
    if !tls.ciphersuites.isEmpty { settings.cipherSuites = list(tls.ciphersuites) }
    if !tls.groups.isEmpty { settings.groups = list(tls.groups) }
    settings.protocols = applicationProtocols(protocols)
    settings.ticketLifetime = tls.tickets.lifetime
    if !tls.tickets.enabled { settings.ticketCount = 0 }
    return settings
  }

  private static func authentication(_ auth: ClientAuthSettings) -> TLSClientAuthentication {
    switch auth.mode {
    case .off: .none
    case .optional:
      TLSClientAuthentication(
        mode: .request, authorities: auth.ca, allowedNames: auth.allowedNames)
    case .require:
      TLSClientAuthentication(
        mode: .require, authorities: auth.ca, allowedNames: auth.allowedNames)
    }
  }

  /// HTTP/2 first, as everybody who speaks it prefers it.
  private static func applicationProtocols(_ wanted: [WireProtocol]) -> [ApplicationProtocol] {
    var protocols: [ApplicationProtocol] = []
    if wanted.contains(.h2) { protocols.append(.http2) }
    if wanted.contains(.h1) { protocols.append(.http1) }
    return protocols
  }

  private static func version(_ version: MinimumTLSVersion) -> TLSVersion {
    switch version {
    case .tls12: .tls12
    case .tls13: .tls13
    }
  }

  private static func list(_ text: String) -> [String] {
    text.split(separator: ":").map(String.init)
  }

  private func ticketKeys(_ path: String) throws(TLSComplaint) -> TicketKeys {
    let bytes: [UInt8]
    switch SourceText.contents(path) {
    case .bytes(let contents): bytes = contents
    case .failure(let reason): throw TLSComplaint(file: path, "ticket keys '\(path)': \(reason)")
    }
    let size = TicketKey.byteCount
    guard !bytes.isEmpty, bytes.count.isMultiple(of: size) else {
      throw TLSComplaint(
        file: path,
        "ticket keys '\(path)' has \(bytes.count) bytes and not \(size) for each key; make one with "
          + "'openssl rand -out \(path) \(size)'")
    }
    let keys = stride(from: 0, to: bytes.count, by: size).compactMap {
      TicketKey(Array(bytes[$0..<($0 + size)]))
    }
    return TicketKeys(current: keys[0], previous: Array(keys.dropFirst()))
  }

  // MARK: Pools

  private mutating func readPool(
    _ index: Int, _ tls: PoolTLSSettings, into result: inout SecurityFiles
  ) {
    let path = "pools[\(index)].tls"
    let pool = settings.pools[index]
    var mentions: [(key: String, file: String)] = []
    if let ca = tls.ca { mentions.append(("ca", ca)) }
    if let certificate = tls.certificate { mentions.append(("certificate", certificate)) }
    if let key = tls.key { mentions.append(("key", key)) }
    var client = TLSClientSettings(authorities: tls.ca)
    client.verifies = tls.verify
    client.serverName = tls.serverName
    client.minimumVersion = Self.version(tls.minimumVersion)
    if let certificate = tls.certificate, let key = tls.keyFile {
      client.certificate = TLSCertificateFiles(chain: certificate, key: key)
    }
    client.protocols = Self.applicationProtocols(
      pool.wireProtocol == .auto ? [.h1, .h2] : pool.wireProtocol == .h2 ? [.h2] : [.h1])
    do throws(TLSComplaint) {
      let material = try TLSClientMaterial.load(client, now: now)
      // That nobody is verified the settings' own check says, with the line.
      for warning in material.warnings where tls.verify { warn(warning, at: path, mentions) }
      result.pools[pool.name] = material
    } catch {
      complain(error, at: path, mentions)
    }
  }

  // MARK: Where files are named

  /// Every key that names a file, by its path below the listener's `tls`.
  private static func mentions(in tls: ListenerTLSSettings) -> [(key: String, file: String)] {
    var mentions: [(key: String, file: String)] = []
    for (place, host) in tls.hosts.enumerated() {
      for (number, certificate) in host.certificates.enumerated() {
        let item = "hosts[\(place)].certificates[\(number)]"
        // A key that is wrong for its certificate is named where the key is.
        if let key = certificate.key { mentions.append(("\(item).key", key)) }
        mentions.append(("\(item).certificate", certificate.certificate))
        if let ocsp = certificate.ocsp { mentions.append(("\(item).ocsp", ocsp)) }
      }
      if let auth = host.clientAuth { mentions.append(("hosts[\(place)].client_auth.ca", auth.ca)) }
    }
    if let auth = tls.clientAuth { mentions.append(("client_auth.ca", auth.ca)) }
    if let keys = tls.tickets.keys { mentions.append(("tickets.keys", keys)) }
    return mentions
  }

  private mutating func complain(
    _ complaint: TLSComplaint, at path: String, _ mentions: [(key: String, file: String)]
  ) {
    let mention = mentions.first { $0.file == complaint.file }
    let place =
      mention.flatMap { places["\(path).\($0.key)"] } ?? places[path]
      ?? .whole(files.first ?? "")
    complaints.add(Complaint(place, complaint.text))
  }

  /// Warnings name the file that they are about in quotes.
  private mutating func warn(
    _ text: String, at path: String, _ mentions: [(key: String, file: String)]
  ) {
    let mention = mentions.first { text.contains("'\($0.file)'") }
    let place =
      mention.flatMap { places["\(path).\($0.key)"] } ?? places[path]
      ?? .whole(files.first ?? "")
    warnings.add(Complaint(place, text))
  }
}
