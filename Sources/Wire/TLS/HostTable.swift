/// Which host serves which name. Names are compared in lower case; a wildcard stands for one label.
struct HostTable: Sendable, Hashable {
  private var exact: [String: Int] = [:]
  /// By what stands behind `*`, as `.example.org`.
  private var wildcards: [String: Int] = [:]
  let defaultHost: Int?

  init(_ settings: TLSServerSettings) throws(TLSComplaint) {
    guard !settings.hosts.isEmpty else {
      throw TLSComplaint("TLS: there is no host; give at least one certificate and its key")
    }
    defaultHost = settings.defaultHost
    if let index = defaultHost, !settings.hosts.indices.contains(index) {
      throw TLSComplaint(
        "TLS: the default host is number \(index), but there are \(settings.hosts.count) hosts")
    }
    for (index, host) in settings.hosts.enumerated() {
      if host.names.isEmpty, index != defaultHost {
        throw TLSComplaint(
          "TLS: host number \(index) has no name and is not the default host, so nobody can reach "
            + "it; give it names")
      }
      for name in host.names { try add(name.lowercased(), index) }
    }
  }

  private mutating func add(_ name: String, _ index: Int) throws(TLSComplaint) {
    let isWildcard = name.hasPrefix("*.")
    let rest = isWildcard ? String(name.dropFirst()) : name
    guard Self.isName(isWildcard ? rest.dropFirst() : rest[...]) else {
      throw TLSComplaint(
        "TLS: '\(name)' is not a host name; write one as 'api.example.org' or '*.example.org'")
    }
    let earlier = isWildcard ? wildcards[rest] : exact[rest]
    if let earlier, earlier != index {
      throw TLSComplaint(
        "TLS: '\(name)' belongs to two hosts, number \(earlier) and number \(index); "
          + "give it to one of them")
    }
    if isWildcard { wildcards[rest] = index } else { exact[rest] = index }
  }

  /// Nil where nobody serves it. `name` in lower case; nil: the client has named none.
  func host(for name: String?) -> Int? {
    guard let name else { return defaultHost }
    if let index = exact[name] { return index }
    if !wildcards.isEmpty, let dot = name.firstIndex(of: "."), dot != name.startIndex,
      let index = wildcards[String(name[dot...])]
    {
      return index
    }
    return defaultHost
  }

  /// Letters, digits, hyphens and underscores in labels of at most 63 (RFC 1035, section 2.3.4).
  static func isName(_ text: Substring) -> Bool {
    guard !text.isEmpty, text.utf8.count <= 253 else { return false }
    return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      !label.isEmpty && label.utf8.count <= 63
        && label.utf8.allSatisfy {
          $0 >= 0x61 && $0 <= 0x7a || $0 >= 0x41 && $0 <= 0x5a || $0 >= 0x30 && $0 <= 0x39
            || $0 == 0x2d || $0 == 0x5f
        }
    }
  }
}
