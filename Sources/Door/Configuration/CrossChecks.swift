import Primitives
import SettingsFile

/// What must hold between the parts of a configuration: names, addresses, routes.
///
/// Looks only at what was read well, so that one slip is one complaint.
struct CrossChecks {
  /// Each route is compared with all before it: at this number, for about a second.
  static let comparedRoutes = 4096

  let settings: Settings

  func run(_ reader: inout Reader) {
    listeners(&reader)
    pools(&reader)
    routes(&reader)
    tls(&reader)
    guards(&reader)
  }

  // MARK: Listeners and admin

  private func listeners(_ reader: inout Reader) {
    var names: [String: Place] = [:]
    var addresses: [SocketAddress: Place] = [:]
    for (index, listener) in settings.listeners.enumerated() {
      guard let place = reader.places["listeners[\(index)].address"] else { continue }
      if let first = addresses[listener.address] {
        reader.complain(
          place,
          "the address \(listener.address) is already used by the listener "
            + "\(first.named(from: place)); give each its own")
        continue
      }
      addresses[listener.address] = place
      let namePlace = reader.places["listeners[\(index)].name"] ?? place
      complainOfTwo("listener", listener.name, namePlace, &names, &reader)
    }
    guard let admin = settings.admin else { return }
    let place = reader.places["admin.address"] ?? reader.places["admin"]
    guard let place else { return }
    if let first = addresses[admin.address] {
      reader.complain(
        place,
        "the address \(admin.address) is already used by the listener "
          + "\(first.named(from: place)); give admin its own, such as 127.0.0.1:9900")
    }
    if admin.token == nil, !isLocal(admin.address) {
      reader.warn(
        place,
        "admin answers everybody who reaches \(admin.address); set 'token', or write "
          + "127.0.0.1:\(admin.address.port ?? 9900)")
    }
  }

  private func isLocal(_ address: SocketAddress) -> Bool {
    switch address {
    case .ipv4(let v4, _): v4 >> 24 == 127
    case .ipv6(let high, let low, _): high == 0 && low == 1
    case .unix: true
    }
  }

  func complainOfTwo(
    _ noun: String, _ name: String, _ place: Place, _ names: inout [String: Place],
    _ reader: inout Reader
  ) {
    if let first = names[name] {
      reader.complain(
        place,
        "duplicate \(noun) name '\(shown(name))'; it is already used "
          + "\(first.named(from: place))")
    } else {
      names[name] = place
    }
  }

  // MARK: Pools

  private func pools(_ reader: inout Reader) {
    var names: [String: Place] = [:]
    for (index, pool) in settings.pools.enumerated() {
      if let place = reader.places["pools[\(index)].name"] {
        complainOfTwo("pool", pool.name, place, &names, &reader)
      }
      backends(of: pool, at: "pools[\(index)]", &reader)
    }
  }

  private func backends(of pool: PoolSettings, at path: String, _ reader: inout Reader) {
    var names: [String: Place] = [:]
    var addresses: [SocketAddress: Place] = [:]
    for (index, backend) in pool.backends.enumerated() {
      let item = "\(path).backends[\(index)]"
      guard let place = reader.places["\(item).address"] else { continue }
      if let first = addresses[backend.address] {
        reader.complain(
          place,
          "the address \(backend.address) is already a backend of this pool "
            + "\(first.named(from: place)); use 'weight' for a larger share")
        continue
      }
      addresses[backend.address] = place
      let namePlace = reader.places["\(item).name"] ?? place
      complainOfTwo("backend", backend.name, namePlace, &names, &reader)
    }
  }

  // MARK: Routes

  private func routes(_ reader: inout Reader) {
    let poolNames = settings.pools.map(\.name)
    let known = Set(poolNames)
    /// A pool whose name could not be read may be the one that is meant.
    let allNamed = !poolNames.isEmpty && !known.contains("")
    var used: Set<String> = []
    var names: [String: Place] = [:]
    for (index, route) in settings.routes.enumerated() {
      if let place = reader.places["routes[\(index)].name"] {
        complainOfTwo("route", route.name, place, &names, &reader)
      }
      guard case .pool(let name) = route.target, !name.isEmpty else { continue }
      used.insert(name)
      guard allNamed, !known.contains(name), let place = reader.places["routes[\(index)].pool"]
      else { continue }
      let near = reader.complaints.isFull ? nil : nearest(to: name, among: poolNames)
      let list = enumerated(poolNames.prefix(10).map { "'\(shown($0))'" })
      reader.complain(
        place,
        "unknown pool '\(shown(name))'; "
          + (near.map { "did you mean '\(shown($0))'?" } ?? "there is \(list)"))
    }
    unreachable(&reader)
    for (index, name) in poolNames.enumerated() where !name.isEmpty && !used.contains(name) {
      guard let place = reader.places["pools[\(index)].name"] else { continue }
      reader.warn(place, "no route leads to the pool '\(shown(name))'")
    }
  }

  /// A route behind one that takes all its requests. An error, as it is never what was meant, and
  /// a wrong order is the most common slip in a list of routes.
  private func unreachable(_ reader: inout Reader) {
    let routes = settings.routes
    guard routes.count <= Self.comparedRoutes else {
      if let place = reader.places["routes"] {
        reader.warn(
          place, "with more than \(Self.comparedRoutes) routes, none is checked for being reached")
      }
      return
    }
    for (index, route) in routes.enumerated() {
      guard let place = reader.places["routes[\(index)]"],
        let earlier = routes[..<index].firstIndex(where: { Self.covers($0, route) }),
        let first = reader.places["routes[\(earlier)]"]
      else { continue }
      reader.complain(
        place,
        "the route '\(shown(route.name))' is never reached: '\(shown(routes[earlier].name))' "
          + "\(first.named(from: place)) takes all its requests; put it before that one, or "
          + "remove it")
    }
  }

  /// Whether each request that `b` matches is matched by `a` too, as `RouteTable` matches.
  static func covers(_ a: RouteSettings, _ b: RouteSettings) -> Bool {
    coversHost(a.host, b.host) && coversPath(a.path, b.path)
      && (a.methods.isEmpty || (!b.methods.isEmpty && Set(a.methods).isSuperset(of: b.methods)))
  }

  private static func coversHost(_ a: String?, _ b: String?) -> Bool {
    guard let a else { return true }
    guard let b else { return false }
    if a == b { return true }
    guard a.hasPrefix("*.") else { return false }
    let tail = a.dropFirst()
    return b.hasPrefix("*.")
      ? b.dropFirst().hasSuffix(tail) : b.hasSuffix(tail) && b.utf8.count > tail.utf8.count
  }

  private static func coversPath(_ a: RouteSettings.PathMatch, _ b: RouteSettings.PathMatch) -> Bool
  {
    switch (a, b) {
    case (.any, _), (.prefix("/"), _): true
    case (.exact(let x), .exact(let y)): x == y
    case (.prefix(let x), .exact(let y)), (.prefix(let x), .prefix(let y)):
      y == x || (y.hasPrefix(x) && (x.hasSuffix("/") || y.dropFirst(x.count).hasPrefix("/")))
    case (.exact, .prefix), (.exact, .any), (.prefix, .any): false
    }
  }
}
