import SettingsFile

/// What must hold between keys, tokens, listeners and routes.
extension CrossChecks {
  func guards(_ reader: inout Reader) {
    keys(&reader)
    for (index, listener) in settings.listeners.enumerated() {
      authentication(listener.access, at: "listeners[\(index)].access", &reader)
    }
    for (index, route) in settings.routes.enumerated() {
      authentication(route.access, at: "routes[\(index)].access", &reader)
      openEngineKey(route, index, &reader)
    }
  }

  private func keys(_ reader: inout Reader) {
    var names: [String: Place] = [:]
    var hashes: [String: Place] = [:]
    let routeNames = settings.routes.map(\.name)
    let known = Set(routeNames)
    let lists = [("api_keys", settings.apiKeys), ("api_keys_file", settings.fileKeys)]
    for (list, keys) in lists {
      for (index, key) in keys.enumerated() {
        let path = "\(list)[\(index)]"
        if let place = reader.places["\(path).name"] {
          complainOfTwo("API key", key.name, place, &names, &reader)
        }
        if let place = reader.places["\(path).sha256"] {
          if let first = hashes[key.sha256] {
            reader.complain(
              place, "the same key stands already \(first.named(from: place)); remove one of them")
          }
          hashes[key.sha256] = place
        }
        guard let place = reader.places["\(path).routes"] else { continue }
        for name in key.routes where !known.contains(name) {
          let near = nearest(to: name, among: routeNames)
          reader.complain(
            place,
            "unknown route '\(shown(name))'"
              + (near.map { "; did you mean '\(shown($0))'?" } ?? "; name one of 'routes'"))
        }
      }
    }
  }

  private func authentication(
    _ access: AccessSettings, at path: String, _ reader: inout Reader
  ) {
    guard let place = reader.places[path] else { return }
    let hasKeys =
      !settings.apiKeys.isEmpty || !settings.fileKeys.isEmpty || settings.apiKeysFile != nil
    switch access.authenticate {
    case .jwt where settings.jwt == nil, .either where settings.jwt == nil:
      reader.complain(place, "tokens are asked for, and there is no 'jwt' that says which")
    case .apiKey where !hasKeys, .either where !hasKeys:
      reader.complain(
        place, "API keys are asked for, and there are none; add 'api_keys' or 'api_keys_file'")
    default: break
    }
  }

  /// The engines' own key is sent for whoever comes: then somebody else must ask who that is.
  private func openEngineKey(_ route: RouteSettings, _ index: Int, _ reader: inout Reader) {
    guard case .pool(let name) = route.target,
      settings.pools.contains(where: { $0.name == name && $0.apiKey != nil }),
      let place = reader.places["routes[\(index)]"],
      settings.listeners.contains(where: { listener in
        (route.access.authenticate ?? listener.access.authenticate ?? AuthenticationSetting.none)
          == AuthenticationSetting.none
          && route.access.allow.isEmpty && listener.access.allow.isEmpty
      })
    else { return }
    reader.warn(
      place,
      "everybody may use the pool '\(shown(name))' with its api_key; add 'access: api_key' to the "
        + "route, or an 'allow' list")
  }
}
