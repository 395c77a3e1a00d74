import Primitives

/// An address with the text that it was written as, which names a listener or backend by default.
package struct WrittenAddress {
  package let address: SocketAddress
  package let text: String

  package init(address: SocketAddress, text: String) {
    self.address = address
    self.text = text
  }
}

extension Kind where Value == WrittenAddress {
  /// Where to listen: an address of this machine.
  package static var listenAddress: Kind {
    let wanted = "an address such as 127.0.0.1:8080, *:8080 or unix:/run/portico.sock"
    return .scalar(
      wanted, json: scalarJSON([("type", .text("string")), ("pattern", .text("^.*:.+$"))]),
      show: { .text($0.address.description) },
      parse: { text in
        let parts = HostAndPort(text)
        if let parts, parts.host == "localhost", let port = parts.port {
          return .value(WrittenAddress(address: .ipv4(0x7f00_0001, port: port), text: text))
        }
        if let address = SocketAddress(text), address.port != 0 {
          return .value(WrittenAddress(address: address, text: text))
        }
        if let problem = addressSlip(text, wanted: wanted, port: 8080) { return .problem(problem) }
        if let parts, parts.port != nil, parts.isName {
          return .problem(
            "must be an address of this machine, not the name '\(shown(parts.host))'; write "
              + "*:\(parts.portText) for all of them")
        }
        return .unlike
      })
  }

  /// Where a backend listens; names are resolved when the configuration is loaded.
  package static var backendAddress: Kind {
    let wanted = "an address such as 10.0.0.1:8000, gpu1:8000 or unix:/run/engine.sock"
    return Kind(
      wanted: wanted,
      json: .object(scalarJSON([("type", .text("string")), ("pattern", .text("^.*:.+$"))])),
      read: { node, reader in
        guard let text = reader.scalar(node, wanted: wanted) else { return nil }
        let parts = HostAndPort(text)
        if parts?.host == "*" || parts?.host == "" {
          reader.complain(
            node.place, "'\(reader.key)' must name one host to connect to, not '\(shown(text))'")
          return nil
        }
        if let address = SocketAddress(text), address.port != 0 {
          return WrittenAddress(address: address, text: text)
        }
        if let parts, let port = parts.port, parts.isName {
          switch reader.resolver.resolve(parts.host, port: port) {
          case .address(let address, let count):
            if count > 1 {
              reader.warn(
                node.place,
                "'\(parts.host)' has \(count) addresses; \(address.host) is used, write the others "
                  + "as backends of their own")
            }
            return WrittenAddress(address: address, text: text)
          case .failure(let reason):
            reader.complain(
              node.place,
              "'\(reader.key)' names the host '\(parts.host)', which cannot be resolved (\(reason)); "
                + "correct it, or write an IP address")
            return nil
          }
        }
        let slip = addressSlip(text, wanted: wanted, port: 8000)
        reader.complain(
          node.place,
          "'\(reader.key)' " + (slip ?? "must be \(wanted), not '\(shown(text))'"))
        return nil
      },
      show: { .text($0.text) })
  }
}

/// `host:port` taken apart, whatever the host looks like.
private struct HostAndPort {
  package let host: String
  package let portText: String

  package init?(_ text: String) {
    guard !text.hasPrefix("unix:"), let colon = text.utf8.lastIndex(of: 0x3a) else { return nil }
    host = String(text[..<colon])
    portText = String(text[text.utf8.index(after: colon)...])
  }

  /// 1...65535.
  package var port: UInt16? {
    guard portText.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(portText),
      port > 0
    else { return nil }
    return port
  }

  /// A host name as RFC 1123 writes it, underscores allowed as container networks use them. Not
  /// one whose last label is a number, which is a slip in an address (RFC 3696, 2).
  package var isName: Bool {
    let labels = host.utf8.split(separator: 0x2e, omittingEmptySubsequences: false)
    guard (1...253).contains(host.utf8.count),
      let last = labels.last, !last.allSatisfy({ (0x30...0x39).contains($0) })
    else { return false }
    return labels.allSatisfy { label in
      (1...63).contains(label.count) && label.first != 0x2d && label.last != 0x2d
        && label.allSatisfy { byte in
          switch byte {
          case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x5f: true
          default: false
          }
        }
    }
  }
}

/// The usual slips in an address: what is wrong and what to write, or nil for an unusual one.
private func addressSlip(_ text: String, wanted: String, port: Int) -> String? {
  if text.hasPrefix("http://") || text.hasPrefix("https://") {
    let rest = text.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" }
    let isSecure = text.hasPrefix("https")
    let whole = rest.contains(":") ? "\(rest)" : "\(rest):\(isSecure ? 443 : 80)"
    return "must be \(wanted), not a URL; write \(whole)"
      + (isSecure ? ", and 'tls: {}' beside 'backends'" : "")
  }
  if text.hasPrefix("unix:") {
    let path = text.dropFirst(5)
    if path.utf8.count > SocketAddress.unixPathLimit {
      return "is longer than the \(SocketAddress.unixPathLimit) bytes of a Unix socket's path"
    }
    return "must give the whole path of a Unix socket, such as unix:/run/portico.sock"
  }
  if text.hasPrefix("/") {
    return "must begin with 'unix:' for a Unix socket; write unix:\(shown(text))"
  }
  if text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), !text.isEmpty {
    return "has no host; write 127.0.0.1:\(shown(text))"
  }
  let isBare = text.utf8.filter { $0 == 0x3a }.count > 1 && !text.hasPrefix("[")
  if isBare {
    // `::1:8080` is an address without a port too, but a port is what people mean by it.
    if let parts = HostAndPort(text), parts.portText.utf8.count > 1,
      SocketAddress("[\(parts.host)]:\(parts.portText)") != nil
    {
      return "needs brackets for IPv6; write '[\(parts.host)]:\(parts.portText)' in quotes"
    }
    if SocketAddress("[\(text)]:80") != nil {
      return "needs brackets and a port for IPv6; write '[\(text)]:\(port)' in quotes"
    }
  }
  guard let parts = HostAndPort(text), !text.hasSuffix("]") else {
    if text.isEmpty { return nil }
    return text.hasSuffix("]")
      ? "has no port; write '\(shown(text)):\(port)' in quotes"
      : "has no port; write \(shown(text)):\(port)"
  }
  if parts.port == nil {
    return "has the port '\(shown(parts.portText))', which is not from 1 to 65535"
  }
  return nil
}

extension Kind where Value == AddressBlock {
  package static var block: Kind {
    .scalar(
      "an address or a block such as 10.0.0.0/8",
      json: scalarJSON([("type", .text("string"))]),
      show: { .text($0.description) },
      parse: { text in
        if let block = AddressBlock(text) { return .value(block) }
        if let block = AddressBlock.lenient(text) {
          return .problem(
            "has bits beyond its prefix in '\(shown(text))'; write \(block.masked), or "
              + "\(text.prefix { $0 != "/" }) for that one address")
        }
        return .unlike
      })
  }
}
