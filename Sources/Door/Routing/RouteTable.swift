import HTTP
import Primitives

/// The routes of a snapshot, compiled to what a lookup compares: bytes.
///
/// Decides on exactly the bytes that are forwarded. Paths that another server could read
/// differently (dot segments, backslashes) never come here: the parser refuses them.
package struct RouteTable: Sendable {
  package enum Target: Sendable, Equatable {
    /// Identity of the pool, the same in every snapshot.
    case pool(Int)
    case refuse(status: Int)
  }

  package enum Path: Sendable, Equatable {
    case any
    case exact([UInt8])
    /// Matches whole segments: `/v1` matches `/v1` and `/v1/x`, not `/v1x`; `/v1/` what lies below.
    /// A segment ends also where servers behind us may see its end: at `;` and at `%2f`.
    case prefix([UInt8])
  }

  package enum Host: Sendable, Equatable {
    case any
    /// Lower case, without port.
    case exact([UInt8])
    /// What follows the `*` of `*.example.org`, dot included.
    case suffix([UInt8])
  }

  package struct Route: Sendable, Equatable {
    /// Identity for telemetry, the same in every snapshot.
    package var id: Int
    package var host: Host
    package var path: Path
    /// Empty: every method.
    package var methods: [[UInt8]]
    package var target: Target

    package init(id: Int, host: Host, path: Path, methods: [[UInt8]], target: Target) {
      self.id = id
      self.host = host
      self.path = path
      self.methods = methods
      self.target = target
    }
  }

  private let routes: [Route]
  /// True when the first route takes every request: no bytes need to be looked at.
  private let firstTakesAll: Bool

  package init(routes: [Route]) {
    self.routes = routes
    firstTakesAll = routes.first.map(Self.takesAll) ?? false
  }

  private static func takesAll(_ route: Route) -> Bool {
    route.host == .any && route.methods.isEmpty
      && (route.path == .any || route.path == .prefix([0x2f]))
  }

  /// The first route in file order that matches, as id and target; nil when none does.
  ///
  /// - Parameters:
  ///   - authority: host and port as received, any case; may be empty.
  ///   - path: without query, as it is forwarded. Empty stands for `/`.
  package func find(
    method: UnsafeRawBufferPointer, authority: UnsafeRawBufferPointer,
    path: UnsafeRawBufferPointer
  ) -> (id: Int, target: Target)? {
    if firstTakesAll { return (routes[0].id, routes[0].target) }
    let host = Self.hostPart(authority)
    for route in routes {
      guard matches(route.host, host), matches(route.path, path),
        route.methods.isEmpty || route.methods.contains(where: { Self.equal($0, method) })
      else { continue }
      return (route.id, route.target)
    }
    return nil
  }

  private func matches(_ rule: Host, _ host: UnsafeRawBufferPointer) -> Bool {
    switch rule {
    case .any: true
    case .exact(let name): Self.equalIgnoringCase(name, host)
    case .suffix(let tail):
      host.count > tail.count
        && Self.equalIgnoringCase(
          tail, UnsafeRawBufferPointer(rebasing: host[(host.count - tail.count)...]))
    }
  }

  private func matches(_ rule: Path, _ path: UnsafeRawBufferPointer) -> Bool {
    switch rule {
    case .any: return true
    case .exact(let text): return Self.equal(text, path) || (path.isEmpty && text == [0x2f])
    case .prefix(let text):
      if path.isEmpty { return text == [0x2f] }
      guard path.count >= text.count,
        Self.equal(text, UnsafeRawBufferPointer(rebasing: path[..<text.count]))
      else { return false }
      return path.count == text.count || text.last == 0x2f || Self.endsSegment(path, text.count)
    }
  }

  /// Whether a path segment ends at this place, for us or for any server that reads more freely: a
  /// rule that refuses `/admin` must not be passed by `/admin;x` or `/admin%2fx`.
  private static func endsSegment(_ path: UnsafeRawBufferPointer, _ place: Int) -> Bool {
    switch path[place] {
    case 0x2f, 0x3b: true
    case 0x25:
      place + 2 < path.count && path[place + 1] == 0x32 && path[place + 2] | 0x20 == 0x66
    default: false
    }
  }

  /// The host without its port; an IPv6 literal keeps its brackets.
  private static func hostPart(_ authority: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    var end = authority.count
    while end > 0, (0x30...0x39).contains(authority[end - 1]) { end -= 1 }
    guard end > 0, authority[end - 1] == 0x3a else { return authority }
    return UnsafeRawBufferPointer(rebasing: authority[..<(end - 1)])
  }

  private static func equal(_ text: [UInt8], _ bytes: UnsafeRawBufferPointer) -> Bool {
    text.count == bytes.count && text.elementsEqual(bytes)
  }

  /// `text` is in lower case already.
  private static func equalIgnoringCase(_ text: [UInt8], _ bytes: UnsafeRawBufferPointer) -> Bool {
    guard text.count == bytes.count else { return false }
    for index in text.indices {
      let byte = bytes[index]
      let lower = (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
      if lower != text[index] { return false }
    }
    return true
  }
}
