import Primitives

/// Who may ask: the token, and the rule that keeps web pages of strangers out.
struct AdminGuard {
  /// From `admin.token`; nil when everybody who reaches the listener may ask.
  var token: String?

  /// The request carries the token, or none is needed.
  func isAuthorized(_ request: AdminRequest) -> Bool {
    guard let token else { return true }
    guard let given = request.authorization else { return false }
    let scheme = "bearer "
    guard given.utf8.count > scheme.utf8.count,
      given.prefix(scheme.count).lowercased() == scheme
    else { return false }
    return Self.equal(Array(given.utf8.dropFirst(scheme.utf8.count)), Array(token.utf8))
  }

  /// Takes as long for a wrong first byte as for a wrong last one, so that a token cannot be found
  /// byte by byte. The time tells at most how long the given text is.
  static func equal(_ given: [UInt8], _ secret: [UInt8]) -> Bool {
    guard !secret.isEmpty else { return false }
    var difference = given.count ^ secret.count
    for index in given.indices {
      difference |= Int(given[index] ^ secret[index % secret.count])
    }
    return difference == 0
  }

  /// Why a change asked for by a web page is refused; nil when it may go on.
  ///
  /// Whoever can make a person's browser open a page can make it POST to 127.0.0.1, and no header
  /// of ours would stop it. But the browser says which site the page is from. Only pages of the
  /// admin's own address are let through; and without a token, only when that address is a number
  /// or `localhost`: a name could be the stranger's own, pointed at 127.0.0.1 after the page was
  /// loaded.
  func refusal(_ request: AdminRequest) -> String? {
    guard let origin = request.origin else { return nil }
    guard let authority = Self.authority(ofOrigin: origin), let host = request.host?.lowercased(),
      authority == host
    else {
      return "a page from '\(shown(origin))' may not change anything here; "
        + "only the dashboard of this address may"
    }
    if token == nil, !Self.isAddress(authority) {
      return "without a token, changes from a browser are accepted under an IP address or "
        + "localhost only, not under '\(shown(authority))'; set admin.token to use names"
    }
    return nil
  }

  private static func authority(ofOrigin origin: String) -> String? {
    let lower = origin.lowercased()
    for scheme in ["http://", "https://"] where lower.hasPrefix(scheme) {
      return String(lower.dropFirst(scheme.count))
    }
    return nil
  }

  private static func isAddress(_ authority: String) -> Bool {
    let colon = authority.utf8.lastIndex(of: UInt8(ascii: ":"))
    let bracket = authority.utf8.lastIndex(of: UInt8(ascii: "]"))
    // `[::1]` ends with a colon of the address itself, not with one before a port.
    let hasPort = if let colon { bracket.map { $0 < colon } ?? true } else { false }
    let host = hasPort ? String(authority[..<colon!]) : authority
    if host == "localhost" || host.hasSuffix(".localhost") { return true }
    // `*` and nothing would be read as 0.0.0.0.
    guard host.utf8.first == UInt8(ascii: "[") || host.utf8.first.map({ $0 < 0x3a }) == true else {
      return false
    }
    return host != "*" && SocketAddress("\(host):0") != nil
  }
}

/// Text from a request or a backend as it is shown back: shortened, without control characters, so
/// that it cannot move a terminal's cursor or start a line of its own.
func shown(_ text: String, limit: Int = 200) -> String {
  var result = ""
  var count = 0
  for scalar in text.unicodeScalars {
    if count == limit { return result + "..." }
    let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
    result.unicodeScalars.append(isControl ? "\u{fffd}" : scalar)
    count += 1
  }
  return result
}
