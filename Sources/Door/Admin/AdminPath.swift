/// What a request's path asks for.
enum AdminPath: Equatable {
  case dashboard
  case health
  case readiness
  case metrics
  case fleet
  case configuration
  case reload
  case drain
  case drainBackend(pool: String, backend: String, draining: Bool)
  case unknown(String)
  /// A `%` without two digits after it, or bytes that are not UTF-8.
  case malformed(String)

  /// As they are listed for who asks for something else.
  static let list = """
    GET  /          dashboard
    GET  /healthz   the process lives
    GET  /readyz    it can serve, or why not
    GET  /metrics   Prometheus text
    GET  /fleet     pools and backends as JSON
    GET  /config    the configuration in use
    POST /reload    read the configuration again
    POST /drain     finish what is under way, take nothing new
    POST /pools/{pool}/backends/{backend}/drain
    POST /pools/{pool}/backends/{backend}/undrain
    """

  /// - Parameter target: path and query; the query is ignored.
  init(target: String) {
    let raw = target.utf8.prefix { $0 != UInt8(ascii: "?") }
    // Split before decoding, so that `%2F` within a backend's name (a Unix socket) is no separator.
    var segments: [String] = []
    for part in raw.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
      guard let segment = Self.decode(part) else {
        self = .malformed(String(decoding: raw, as: UTF8.self))
        return
      }
      segments.append(segment)
    }
    switch segments.dropFirst() {
    case [""]: self = .dashboard
    case ["healthz"]: self = .health
    case ["readyz"]: self = .readiness
    case ["metrics"]: self = .metrics
    case ["fleet"]: self = .fleet
    case ["config"]: self = .configuration
    case ["reload"]: self = .reload
    case ["drain"]: self = .drain
    case let parts
    where segments.count == 6 && parts[1] == "pools" && parts[3] == "backends"
      && (parts[5] == "drain" || parts[5] == "undrain"):
      self = .drainBackend(pool: parts[2], backend: parts[4], draining: parts[5] == "drain")
    default: self = .unknown(String(decoding: raw, as: UTF8.self))
    }
  }

  /// Changes something, so only POST will do; all others are read with GET or HEAD.
  var isChange: Bool {
    switch self {
    case .reload, .drain, .drainBackend: true
    case .dashboard, .health, .readiness, .metrics, .fleet, .configuration: false
    case .unknown, .malformed: false
    }
  }

  /// Needs no token: what load balancers ask, and the page without data that asks for the token.
  var isOpen: Bool {
    switch self {
    case .dashboard, .health, .readiness: true
    case .metrics, .fleet, .configuration, .reload, .drain, .drainBackend: false
    case .unknown, .malformed: false
    }
  }

  private static func decode(_ part: Substring.UTF8View) -> String? {
    var bytes: [UInt8] = []
    var rest = part[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit)
      else { return nil }
      bytes.append(high << 4 | low)
    }
    return String(validating: bytes, as: UTF8.self)
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46, 0x61...0x66: (byte | 0x20) - 0x57
    default: nil
    }
  }
}
