/// What a request brought to show who it comes from.
package enum Credentials {
  case none
  /// An API key or, where tokens are taken too, a JSON web token.
  case presented(UnsafeRawBufferPointer)
  /// More than one `Authorization`, or the like: nobody can say which counts.
  case ambiguous

  /// From `Authorization: Bearer`, or else `X-Api-Key` (Anthropic), or else `api-key` (Azure).
  package init(
    authorization: UnsafeRawBufferPointer?, xAPIKey: UnsafeRawBufferPointer?,
    apiKey: UnsafeRawBufferPointer?
  ) {
    if let authorization, let token = Self.bearer(authorization) {
      self = .presented(token)
    } else if let key = xAPIKey ?? apiKey, !key.isEmpty {
      self = .presented(key)
    } else {
      self = .none
    }
  }

  /// What follows `Bearer`, in any case; nil for another scheme.
  static func bearer(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    let scheme: StaticString = "bearer"
    guard value.count > 7, value[6] == 0x20 else { return nil }
    for index in 0..<6 where value[index] | 0x20 != scheme.utf8Start[index] { return nil }
    var start = 7
    while start < value.count, value[start] == 0x20 { start += 1 }
    return start == value.count ? nil : UnsafeRawBufferPointer(rebasing: value[start...])
  }

  /// Three parts with dots between, of the alphabet of base64url: a JSON web token. API keys have no
  /// dots, or else are found by their hash before anybody asks.
  static func looksLikeToken(_ text: UnsafeRawBufferPointer) -> Bool {
    var dots = 0
    for byte in text {
      switch byte {
      case 0x2e: dots += 1
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x5f: continue
      default: return false
      }
    }
    return dots == 2
  }
}
