import Telemetry

/// What the handshake of a connection has agreed on, as far as requests care. Trivial.
///
/// A client's verified name is a text, and stands apart (`Connection.clientName`).
package struct Security: Sendable {
  /// nil: in clear.
  package var version: TLSVersionSeen?
  package var isResumed = false
  /// ALPN has given HTTP/2.
  package var isHTTP2 = false
  /// What the host that SNI named asks of its clients: `SnapshotBuilder` gives the identities. A
  /// request for a host that asks another thing does not belong on this connection.
  package var boundary = Security.openToAll

  /// The boundary of hosts that ask nothing.
  package static let openToAll: Int32 = 0

  package init() {}

  package init(
    version: TLSVersionSeen, isResumed: Bool, isHTTP2: Bool, boundary: Int32 = Security.openToAll
  ) {
    self.version = version
    self.isResumed = isResumed
    self.isHTTP2 = isHTTP2
    self.boundary = boundary
  }

  package var isSecure: Bool { version != nil }
}

/// What hosts may ask of their clients, and how backends are told who they are.
package struct ClientBoundary: Sendable {
  /// Name of the field with the verified name, as written; empty where nothing is asked.
  package let header: [UInt8]

  package init(header: String) { self.header = Array(header.utf8) }
}

/// The hosts of a TLS listener by the names in requests: the same choice that SNI makes.
package struct HostBoundaries: Sendable {
  package struct Host: Sendable {
    package let exact: [[UInt8]]
    /// `.example.org` for `*.example.org`: one label stands before it.
    package let suffixes: [[UInt8]]
    package let boundary: Int32

    package init(names: [String], boundary: Int32) {
      exact = names.filter { !$0.hasPrefix("*.") }.map { Array($0.lowercased().utf8) }
      suffixes = names.filter { $0.hasPrefix("*.") }.map {
        Array($0.dropFirst().lowercased().utf8)
      }
      self.boundary = boundary
    }
  }

  private let hosts: [Host]
  private let fallback: Int32
  /// Hosts differ in what they ask. Where they do not, no request is at the wrong one.
  package let matter: Bool

  package init(hosts: [Host], defaultIndex: Int) {
    self.hosts = hosts
    fallback = hosts.indices.contains(defaultIndex) ? hosts[defaultIndex].boundary : 0
    matter = hosts.contains { $0.boundary != hosts[0].boundary }
  }

  /// What the host of this authority asks.
  func boundary(of authority: UnsafeRawBufferPointer) -> Int32 {
    let host = Self.host(authority)
    for entry in hosts where entry.exact.contains(where: { Self.equal($0, host) }) {
      return entry.boundary
    }
    if let dot = host.firstIndex(of: 0x2e) {
      let tail = UnsafeRawBufferPointer(rebasing: host[dot...])
      for entry in hosts where entry.suffixes.contains(where: { Self.equal($0, tail) }) {
        return entry.boundary
      }
    }
    return fallback
  }

  /// Without port and without the final dot, which backends take for the same host.
  private static func host(_ authority: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    var end = authority.count
    while end > 0, (0x30...0x39).contains(authority[end - 1]) { end -= 1 }
    end = end > 0 && authority[end - 1] == 0x3a ? end - 1 : authority.count
    if end > 0, authority[end - 1] == 0x2e { end -= 1 }
    return UnsafeRawBufferPointer(rebasing: authority[..<end])
  }

  /// `text` is in lower case already.
  private static func equal(_ text: [UInt8], _ bytes: UnsafeRawBufferPointer) -> Bool {
    guard text.count == bytes.count else { return false }
    for index in text.indices {
      let byte = bytes[index]
      let lower = (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
      if lower != text[index] { return false }
    }
    return true
  }
}
