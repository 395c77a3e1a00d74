import Primitives
import SettingsFile

/// Values about access and limits.

extension Kind where Value == RateSetting {
  private static var periods: [(unit: String, period: TimeAmount)] {
    [("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3_600))]
  }

  static var rate: Kind {
    .scalar(
      "a rate such as 10/s, 600/m or 1000/h",
      json: scalarJSON([
        ("type", .text("string")), ("pattern", .text("^[0-9]+/(s|m|h)$")),
      ]),
      show: { rate in
        let unit = periods.first { $0.period == rate.period }?.unit ?? "s"
        return .word("\(rate.count)/\(unit)")
      },
      parse: { text in
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let count = parts.first, !count.isEmpty,
          count.utf8.allSatisfy({ (0x30...0x39).contains($0) })
        else { return .unlike }
        guard parts.count == 2 else {
          return .problem("is \(shown(text)) without a period; write \(shown(text))/m, or /s, /h")
        }
        guard let period = periods.first(where: { $0.unit == parts[1] })?.period else {
          let near = ["s", "m", "h"].first { parts[1].lowercased().hasPrefix($0) }
          return .problem(
            "has the unknown period '\(shown(String(parts[1])))'; "
              + (near.map { "write \(count)/\($0)" } ?? "use s, m or h"))
        }
        guard let number = Int(count), (1...1_000_000_000).contains(number) else {
          return .problem("must be from 1 to 1000000000 in a period, not \(shown(text))")
        }
        return .value(RateSetting(count: number, period: period))
      })
  }
}

extension Kind where Value == String {
  /// Never repeated in a complaint: what stands there may be the key itself.
  static var keyHash: Kind {
    let wanted = "the SHA-256 of a key in 64 hexadecimal digits, as 'portico hash-key' prints it"
    return Kind(
      wanted: wanted,
      json: .object(
        scalarJSON([("type", .text("string")), ("pattern", .text("^[0-9A-Fa-f]{64}$"))])),
      read: { node, reader in
        guard let text = reader.scalar(node, wanted: wanted) else { return nil }
        let isHexadecimal = text.utf8.allSatisfy { byte in
          switch byte {
          case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
          default: false
          }
        }
        guard isHexadecimal, text.utf8.count == 64 else {
          reader.complain(node.place, "'\(reader.key)' must be \(wanted); never the key itself")
          return nil
        }
        return text.lowercased()
      },
      show: { .text($0) })
  }

  /// Relative to the file that names it: `Loader` puts the folder before it.
  static func filePath(_ sample: String) -> Kind {
    .scalar(
      "the path of a file such as \(sample)", json: scalarJSON([("type", .text("string"))]),
      show: { .text($0) },
      parse: { text in
        text.isEmpty || text.utf8.contains(0) || text.hasSuffix("/") ? .unlike : .value(text)
      })
  }

  static var modelPattern: Kind {
    .scalar(
      "a model such as llama-3.1-8b or meta-llama/*", json: scalarJSON([("type", .text("string"))]),
      show: { .text($0) },
      parse: { text in
        (1...256).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
          ? .value(text) : .unlike
      })
  }

  static var claimText: Kind {
    .scalar(
      "a text of 1 to 256 characters", json: scalarJSON([("type", .text("string"))]),
      show: { .text($0) },
      parse: { text in
        (1...256).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
          ? .value(text) : .unlike
      })
  }

  static var origin: Kind {
    .scalar(
      "an origin such as https://app.example.org",
      json: scalarJSON([
        ("type", .text("string")), ("pattern", .text("^\\*$|^https?://[^/\\s]+$")),
      ]),
      show: { .text($0) },
      parse: { text in
        if text == "*" { return .value(text) }
        let lower = text.lowercased()
        guard let scheme = ["https://", "http://"].first(where: lower.hasPrefix) else {
          return .problem("must begin with https:// or http://, not '\(shown(text))'")
        }
        let host = lower.dropFirst(scheme.utf8.count)
        if host.hasSuffix("/"), !host.dropLast().contains("/") {
          return .problem("has no path; write \(shown(String(lower.dropLast())))")
        }
        let name = host.hasPrefix("*.") ? host.dropFirst(2) : host
        let isHost = name.utf8.allSatisfy { byte in
          switch byte {
          case 0x30...0x39, 0x61...0x7a, 0x2d, 0x2e, 0x3a, 0x5b, 0x5d: true
          default: false
          }
        }
        guard isHost, !name.isEmpty else {
          return name.contains("*")
            ? .problem("may have '*' only as its first label, such as https://*.example.org")
            : .unlike
        }
        return .value(lower)
      })
  }

  /// The name of a field that may be edited.
  static var headerName: Kind {
    .scalar(
      "the name of a header field such as X-Team", json: scalarJSON([("type", .text("string"))]),
      show: { .text($0) },
      parse: { text in
        switch HeaderNames.check(text) {
        case nil: .value(text)
        case .some(let problem): .problem(problem)
        }
      })
  }
}

/// Which fields may be edited.
enum HeaderNames {
  /// Fields that say where a body ends or concern one connection only: an edit would be a hole. And
  /// those that Portico writes itself: an edit would lie about where a request came from.
  private static let own: Set<String> = [
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
    "te", "trailer", "upgrade", "expect", "http2-settings", "proxy-authenticate",
    "proxy-authorization", "proxy", "forwarded", "x-real-ip", "x-request-id",
  ]

  /// What is wrong with a name, behind the quoted key; nil when nothing is.
  static func check(_ name: String) -> String? {
    let isPlain = name.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x5f: true
      default: false
      }
    }
    guard isPlain, (1...128).contains(name.utf8.count) else {
      return "has the field name '\(shown(name))'; use letters, digits, '-' and '_'"
    }
    let lower = name.lowercased()
    if own.contains(lower) || lower.hasPrefix("x-forwarded-") {
      return "may not name '\(shown(name))', which Portico writes itself or which frames a message"
    }
    return nil
  }
}

extension Kind where Value == [HeaderLine] {
  static func headerLines(isSecret: Bool) -> Kind {
    Kind(
      wanted: "a mapping such as {X-Team: a}",
      json: .object([
        ("type", .text("object")),
        ("additionalProperties", .object([("type", .text("string"))])),
      ]),
      read: { node, reader in
        guard case .map(let entries) = node.content else {
          reader.complain(
            node.place,
            "'\(reader.key)' must be a mapping such as {X-Team: a}, not \(node.noun)")
          return nil
        }
        return entries.compactMap { entry in
          if let problem = HeaderNames.check(entry.key) {
            reader.complain(entry.keyPlace, "'\(reader.key)' \(problem)")
            return nil
          }
          let wanted = "the value of a field"
          guard
            let value = reader.inside(
              entry.key, { $0.scalar(entry.value, wanted: wanted) })
          else { return nil }
          let isPrintable = value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
          guard isPrintable, value.utf8.count <= 4_096, value.first != " ", value.last != " "
          else {
            reader.complain(
              entry.value.place,
              "'\(shown(entry.key))' must be at most 4096 bytes without line ends, control bytes "
                + "or spaces at its ends")
            return nil
          }
          return HeaderLine(entry.key, value)
        }
      },
      show: { lines in
        // A mapping without keys would read back as nothing at all.
        if lines.isEmpty { return .word("{}") }
        return .map(
          lines.map { line in
            Tree.Entry(
              line.name, isSecret ? .secret(line.value) : .text(line.value),
              Tree.Note(doc: "", sample: nil, isDefault: false))
          })
      })
  }
}

extension Kind where Value == AdminPathSettings {
  static var adminPaths: Kind {
    let path = Kind<String>.requestPath
    let wanted = "block, allow, or a list of paths to let through"
    return Kind(
      wanted: wanted,
      json: .object([
        (
          "anyOf",
          .list([
            .object([("enum", .list([.text("block"), .text("allow")]))]),
            .object([("type", .text("array")), ("items", path.json)]),
          ])
        )
      ]),
      read: { node, reader in
        if case .list(let items) = node.content {
          return .block(except: items.compactMap { path.read($0, &reader) })
        }
        guard let text = reader.scalar(node, wanted: wanted) else { return nil }
        switch text {
        case "block": return .block(except: [])
        case "allow": return .allow
        default:
          reader.complain(
            node.place, "'\(reader.key)' must be \(wanted), not '\(shown(text))'")
          return nil
        }
      },
      show: { setting in
        switch setting {
        case .allow: .word("allow")
        case .block(let paths) where paths.isEmpty: .word("block")
        case .block(let paths): .list(paths.map { .text($0) }, noun: nil)
        }
      })
  }
}
