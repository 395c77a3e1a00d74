/// Texts with a form: names, paths, hosts, methods, statuses.
extension Kind where Value == String {
  /// A name that goes into logs, metrics and admin paths. Printable ASCII without quotes, so that
  /// it needs no escape in any of them.
  package static func name(_ sample: String) -> Kind {
    .scalar(
      "a name such as \(sample)",
      json: [
        ("type", .text("string")), ("minLength", .integer(1)), ("maxLength", .integer(128)),
      ],
      show: { .text($0) },
      parse: { text in
        let isPrintable = text.utf8.allSatisfy {
          (0x20...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c
        }
        guard isPrintable, (1...128).contains(text.utf8.count), text.first != " ", text.last != " "
        else {
          return .problem(
            "must be 1 to 128 printable ASCII characters without quotes or backslashes, not "
              + "'\(shown(text))'")
        }
        return .value(text)
      })
  }

  /// The path of a request, decided on exactly as it is forwarded.
  package static var requestPath: Kind {
    .scalar(
      "a path such as /v1",
      json: scalarJSON([("type", .text("string")), ("pattern", .text("^/[^?#\\s]*$"))]),
      show: { .text($0) },
      parse: { text in
        guard text.utf8.first == 0x2f else {
          return text.isEmpty
            ? .unlike : .problem("must begin with '/'; write /\(shown(text))")
        }
        if let odd = text.unicodeScalars.first(where: { $0.value <= 0x20 || $0.value >= 0x7f }) {
          return .problem(
            "contains \(odd == " " ? "a space" : "'\(shown(String(odd)))'"), which requests write "
              + "as %XX; write it so")
        }
        if text.contains(where: { $0 == "?" || $0 == "#" }) {
          return .problem("must be a path without query or fragment, not '\(shown(text))'")
        }
        if text.contains("*") {
          return .problem(
            "is compared as written, without wildcards; use 'path_prefix' and remove the '*'")
        }
        let segments = text.split(separator: "/", omittingEmptySubsequences: false)
        if segments.contains(".") || segments.contains("..") || text.contains("\\") {
          return .problem("contains '.', '..' or '\\' segments, which requests may not have")
        }
        return .value(text)
      })
  }

  /// A host as routes compare it: lower case, no port, perhaps with `*.` before it.
  package static var hostPattern: Kind {
    .scalar(
      "a host such as api.example.org or *.example.org",
      json: scalarJSON([("type", .text("string")), ("pattern", .text("^[^:/\\s]+$|^\\["))]),
      show: { .text($0) },
      parse: { text in
        let host = text.lowercased()
        if host == "*" { return .problem("must not be '*'; remove the line to match every host") }
        if host.contains("/") {
          return .problem("must be a host without scheme and path, not '\(shown(text))'")
        }
        if let colon = host.lastIndex(of: ":"), !host.hasPrefix("[") || !host.hasSuffix("]") {
          return .problem("must not have a port; write \(shown(String(host[..<colon])))")
        }
        let name = host.hasPrefix("*.") ? String(host.dropFirst(2)) : host
        if name.contains("*") {
          return .problem("may have '*' only as its first label, such as *.example.org")
        }
        let isHost = name.utf8.allSatisfy { byte in
          switch byte {
          case 0x30...0x39, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x3a, 0x5b, 0x5d: true
          default: false
          }
        }
        guard isHost, !name.isEmpty, name.utf8.count <= 253 else { return .unlike }
        return .value(host)
      })
  }

  /// A token of RFC 9110: the name of a header field or of a cookie.
  package static func token(_ noun: String, _ sample: String) -> Kind {
    .scalar(
      "the name of a \(noun) such as \(sample)",
      json: scalarJSON([
        ("type", .text("string")), ("pattern", .text("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")),
      ]),
      show: { .text($0) },
      parse: { text in isToken(text) && text.utf8.count <= 128 ? .value(text) : .unlike })
  }

  package static var method: Kind {
    .scalar(
      "a method such as POST",
      json: scalarJSON([("type", .text("string")), ("pattern", .text("^[^a-z\\s]+$"))]),
      show: { .text($0) },
      parse: { text in
        guard isToken(text), text.utf8.count <= 32 else { return .unlike }
        let upper = text.uppercased()
        return text == upper
          ? .value(text) : .problem("has methods in capitals; write \(upper), not '\(shown(text))'")
      })
  }

  /// A bearer token. Never repeated in a complaint.
  package static var secret: Kind {
    Kind(
      wanted: "a token of 8 to 256 characters", json: .object([("type", .text("string"))]),
      read: { node, reader in
        let wanted = "a token of 8 to 256 characters"
        guard let text = reader.scalar(node, wanted: wanted) else { return nil }
        // What RFC 6750 lets a client send behind "Bearer", and a little more.
        guard text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
          (8...256).contains(text.utf8.count)
        else {
          reader.complain(
            node.place,
            "'\(reader.key)' must be 8 to 256 printable ASCII characters without spaces")
          return nil
        }
        return text
      },
      show: { .secret($0) })
  }
}

/// RFC 9110, 5.6.2.
private func isToken(_ text: String) -> Bool {
  !text.isEmpty
    && text.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
      default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
      }
    }
}
