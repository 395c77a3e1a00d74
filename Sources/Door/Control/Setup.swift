import Configuration
import Glibc
import ProxyServer
import SettingsFile
import TLS
import Telemetry

/// A configuration with everything that it names: settings, and the contents of the files for TLS.
///
/// Reads files and asks the resolver, so it may block: made off the loops.
package struct Setup: Sendable {
  package enum Result: Sendable {
    case loaded(Setup)
    case refused(Refused)
  }

  package struct Refused: Sendable, Error, CustomStringConvertible {
    /// `file:line:column: ...` each.
    package let complaints: [String]
    /// As in `Setup`: an edit to one of these may put things right.
    package let watched: [String]

    package var description: String { complaints.joined(separator: "\n") }
  }

  /// Names of TLS hosts that were left to their certificates are filled in.
  package let settings: Settings
  /// What was read: files, and directories where a file may appear.
  package let watched: [String]
  package let warnings: [String]
  let security: SecurityFiles

  package static func load(path: String, environment: [String: String]) -> Result {
    switch ConfigurationLoader().load(path: path, environment: environment) {
    case .refused(let refused):
      let more = refused.omitted > 0 ? ["and \(refused.omitted) more"] : []
      return .refused(
        Refused(
          complaints: refused.complaints.map(\.description) + more,
          watched: refused.files + refused.directories))
    case .loaded(let loaded):
      let watched = loaded.files + loaded.directories + SecurityFiles.paths(in: loaded.settings)
      var reading = SecurityReading(loaded)
      let security = reading.read()
      guard reading.complaints.isEmpty else {
        return .refused(
          Refused(
            complaints: reading.complaints.sorted(files: loaded.files).map(\.description),
            watched: watched))
      }
      return .loaded(
        Setup(
          settings: reading.settings, watched: watched,
          warnings: (loaded.warnings + reading.warnings.sorted(files: loaded.files))
            .map(\.description),
          security: security))
    }
  }
}

/// What stood in the files that TLS needs, by the names of listeners and pools.
struct SecurityFiles: Sendable {
  var listeners: [String: TLSServerMaterial] = [:]
  var pools: [String: TLSClientMaterial] = [:]
  /// Only of listeners that have a file for them.
  var ticketKeys: [String: TicketKeys] = [:]
  var certificates: [CertificateReading] = []

  /// Every file that TLS reads.
  static func paths(in settings: Settings) -> [String] {
    var paths: [String] = []
    for tls in settings.listeners.compactMap(\.tls) {
      for host in tls.hosts {
        for certificate in host.certificates {
          paths += [certificate.certificate, certificate.keyFile]
          if let ocsp = certificate.ocsp { paths.append(ocsp) }
        }
        if let auth = tls.clientAuth(of: host) { paths.append(auth.ca) }
      }
      if let keys = tls.tickets.keys { paths.append(keys) }
    }
    for tls in settings.pools.compactMap(\.tls) {
      paths += [tls.ca, tls.certificate, tls.keyFile].compactMap { $0 }
    }
    var seen: Set<String> = []
    return paths.filter { !$0.isEmpty && seen.insert($0).inserted }
  }

  /// The names of listeners and pools whose files hold other things than before.
  func changes(since old: SecurityFiles) -> [String] {
    var lines: [String] = []
    for (name, material) in listeners.sorted(by: { $0.key < $1.key }) {
      guard let before = old.listeners[name], before.settings == material.settings,
        before != material
      else { continue }
      lines.append("listener '\(name)': tls: the files have new contents")
    }
    for (name, material) in pools.sorted(by: { $0.key < $1.key }) {
      guard let before = old.pools[name], before.settings == material.settings, before != material
      else { continue }
      lines.append("pool '\(name)': tls: the files have new contents")
    }
    return lines
  }
}
