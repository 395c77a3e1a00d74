import SettingsFile

/// What must hold within a listener's TLS hosts, and among those of all listeners.
extension CrossChecks {
  /// Fields that say something else already: a client's name under one of them would be read as that.
  private static let takenFields: Set<String> = [
    "authorization", "connection", "content-length", "content-type", "cookie", "expect",
    "forwarded",
    "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "via", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id",
  ]

  func tls(_ reader: inout Reader) {
    for (index, listener) in settings.listeners.enumerated() {
      guard let tls = listener.tls else { continue }
      let path = "listeners[\(index)].tls"
      hosts(of: tls, at: path, &reader)
      header(tls.clientAuth, at: "\(path).client_auth", &reader)
      for (place, host) in tls.hosts.enumerated() {
        header(host.clientAuth, at: "\(path).hosts[\(place)].client_auth", &reader)
      }
    }
    for (index, pool) in settings.pools.enumerated() where pool.tls?.verify == false {
      guard let place = reader.places["pools[\(index)].tls.verify"] else { continue }
      reader.warn(
        place, "the pool '\(shown(pool.name))' believes whoever answers for a backend; set 'ca'")
    }
  }

  private func hosts(of tls: ListenerTLSSettings, at path: String, _ reader: inout Reader) {
    var names: [String: Place] = [:]
    var titles: [String: Place] = [:]
    for (index, host) in tls.hosts.enumerated() {
      let item = "\(path).hosts[\(index)]"
      if let place = reader.places["\(item).names"] {
        for name in host.names {
          if let first = names[name] {
            reader.complain(
              place,
              "the name '\(shown(name))' belongs to another host \(first.named(from: place)); "
                + "keep one of them")
          } else {
            names[name] = place
          }
        }
      }
      if let place = reader.places["\(item).name"] {
        if let first = titles[host.name] {
          reader.complain(
            place,
            "duplicate host name '\(shown(host.name))'; it is already used "
              + "\(first.named(from: place))")
        } else {
          titles[host.name] = place
        }
      }
    }
    if let wanted = tls.defaultHost, let place = reader.places["\(path).default_host"],
      !tls.hosts.contains(where: { $0.name == wanted || $0.names.contains(wanted) })
    {
      let known = tls.hosts.map(\.name)
      let near = nearest(to: wanted, among: known)
      let list = enumerated(known.prefix(10).map { "'\(shown($0))'" })
      reader.complain(
        place,
        "unknown host '\(shown(wanted))'; "
          + (near.map { "did you mean '\(shown($0))'?" } ?? "there is \(list)"))
    }
  }

  private func header(_ auth: ClientAuthSettings?, at path: String, _ reader: inout Reader) {
    guard let auth, Self.takenFields.contains(auth.header.lowercased()),
      let place = reader.places["\(path).header"]
    else { return }
    reader.complain(
      place,
      "'header' cannot be '\(shown(auth.header))', which says something else; write "
        + ClientAuthSettings.defaultHeader)
  }
}
