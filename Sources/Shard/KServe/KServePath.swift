import WorkerAPI

/// What a path of KServe's protocol names.
package enum KServePath: Equatable {
  package enum Action: String, Sendable {
    case metadata = ""
    case ready
    case infer
    /// Of Triton: texts without tensors.
    case generate
    case generateStream = "generate_stream"
  }

  case server
  case live
  case ready
  case model(name: String, version: String, Action)
  /// Below `/v2`, but none of the protocol's.
  case unknown

  /// nil for paths that are not of this protocol.
  package init?(_ path: String) {
    guard path == "/v2" || path.hasPrefix("/v2/") else { return nil }
    // Percent-encoded slashes belong to names, so names are decoded once their borders are known.
    var parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst(2)
    if parts.last == "" { parts.removeLast() }
    switch Array(parts) {
    case []: self = .server
    case ["health", "live"]: self = .live
    case ["health", "ready"]: self = .ready
    default: self = Self.model(parts) ?? .unknown
    }
  }

  /// `models/{name}[/versions/{version}][/{action}]`; slashes within the name may stand as they are.
  private static func model(_ parts: ArraySlice<Substring>) -> KServePath? {
    var parts = parts
    guard parts.popFirst() == "models", !parts.isEmpty else { return nil }
    var action = Action.metadata
    if parts.count > 1, let last = parts.last, let known = Action(rawValue: String(last)) {
      action = known
      parts.removeLast()
    }
    var version = ""
    if parts.count > 2, parts[parts.endIndex - 2] == "versions" {
      version = String(parts[parts.endIndex - 1]).removingPercent
      parts.removeLast(2)
    }
    let name = parts.joined(separator: "/").removingPercent
    return name.isEmpty ? nil : .model(name: name, version: version, action)
  }
}
