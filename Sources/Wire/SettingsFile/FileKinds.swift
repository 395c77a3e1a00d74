/// Files that a configuration names.
extension Kind where Value == String {
  /// The path of a file, relative to the file that names it. Whether it is there and what it holds is
  /// looked at by whoever reads it.
  package static func file(_ sample: String) -> Kind {
    let wanted = "the path of a file such as \(sample)"
    return Kind(
      wanted: wanted, json: .object(scalarJSON([("type", .text("string"))])),
      read: { node, reader in
        guard let text = reader.scalar(node, wanted: wanted) else { return nil }
        guard !text.isEmpty, !text.hasSuffix("/"), !text.utf8.contains(0), text.utf8.count <= 4_095
        else {
          reader.complain(
            node.place, "'\(reader.key)' must be \(wanted), not '\(shown(text))'")
          return nil
        }
        if text.hasPrefix("-----BEGIN") {
          reader.complain(
            node.place, "'\(reader.key)' must be \(wanted), not its contents; write them to a file")
          return nil
        }
        if text.hasPrefix("/") { return text }
        guard let slash = node.place.file.utf8.lastIndex(of: 0x2f) else { return text }
        return String(node.place.file[...slash]) + text
      },
      show: { .text($0) })
  }

  /// What a server is called in its certificate: a host name or an IP address, without a port.
  package static var serverName: Kind {
    let host = hostPattern
    return .scalar(
      "a host name such as engines.internal",
      json: scalarJSON([("type", .text("string")), ("pattern", .text("^[^*/\\s]+$"))]),
      show: host.show,
      parse: { text in
        if text.contains("*") { return .problem("must be one host, not '\(shown(text))'") }
        if text.contains("/") {
          return .problem("must be a host without scheme and path, not '\(shown(text))'")
        }
        let isName = text.utf8.allSatisfy { byte in
          switch byte {
          case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x3a: true
          default: false
          }
        }
        guard isName, (1...253).contains(text.utf8.count) else { return .unlike }
        let colons = text.utf8.filter { $0 == 0x3a }.count
        if colons == 1 {
          return .problem("must not have a port; write \(text.prefix { $0 != ":" })")
        }
        return .value(text.lowercased())
      })
  }
}
