/// Which pages of other origins may read answers (the Fetch standard, "CORS protocol").
package struct CORSRules: Sendable {
  package enum Origin: Sendable, Equatable {
    case any
    /// In lower case, without a slash at the end.
    case exact([UInt8])
    /// `https://*.example.org`: what stands before the star and behind it.
    case below(scheme: [UInt8], tail: [UInt8])
  }

  package let origins: [Origin]
  package let allowsCredentials: Bool
  /// Lines of an answer to a preflight request besides the origin's, each with its end.
  package let preflightLines: [UInt8]
  /// Lines of every other answer.
  package let answerLines: [UInt8]

  /// - Parameters:
  ///   - origins: `*`, `https://app.example.org` or `https://*.example.org`.
  ///   - methods: empty for those of the request.
  ///   - headers: empty for those of the request that is asked about.
  package init(
    origins: [String], methods: [String], headers: [String], exposed: [String],
    allowsCredentials: Bool, maxAgeSeconds: Int
  ) {
    self.origins = origins.map { text in
      if text == "*" { return .any }
      let lower = Array(text.lowercased().utf8)
      guard let star = lower.firstIndex(of: 0x2a) else { return .exact(lower) }
      return .below(scheme: Array(lower[..<star]), tail: Array(lower[(star + 1)...]))
    }
    self.allowsCredentials = allowsCredentials
    let credentials = allowsCredentials ? "Access-Control-Allow-Credentials: true\r\n" : ""
    preflightLines = Array(
      (credentials + "Access-Control-Allow-Methods: \(methods.joined(separator: ", "))\r\n"
        + (headers.isEmpty
          ? "" : "Access-Control-Allow-Headers: \(headers.joined(separator: ", "))\r\n")
        + "Access-Control-Max-Age: \(maxAgeSeconds)\r\n"
        + "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n").utf8)
    answerLines = Array(
      (credentials
        + (exposed.isEmpty
          ? "" : "Access-Control-Expose-Headers: \(exposed.joined(separator: ", "))\r\n")
        + "Vary: Origin\r\n").utf8)
    echoesHeaders = headers.isEmpty
  }

  /// A preflight answer allows the fields that it was asked about.
  package let echoesHeaders: Bool

  /// Answers say `*`, which browsers refuse together with credentials.
  package var saysAny: Bool { origins.contains(.any) && !allowsCredentials }

  package func admits(_ origin: UnsafeRawBufferPointer) -> Bool {
    origins.contains { rule in
      switch rule {
      case .any: true
      case .exact(let text): text.count == origin.count && Self.equal(text, origin, from: 0)
      case .below(let scheme, let tail):
        origin.count > scheme.count + tail.count && Self.equal(scheme, origin, from: 0)
          && Self.equal(tail, origin, from: origin.count - tail.count)
          && !Self.crosses(origin, scheme.count..<(origin.count - tail.count))
      }
    }
  }

  /// `text` is in lower case; scheme and host have no case.
  private static func equal(
    _ text: [UInt8], _ origin: UnsafeRawBufferPointer, from start: Int
  ) -> Bool {
    for index in text.indices {
      let byte = origin[start + index]
      if ((0x41...0x5a).contains(byte) ? byte | 0x20 : byte) != text[index] { return false }
    }
    return true
  }

  /// What the star stands for must be labels of a host, nothing that ends one.
  private static func crosses(_ origin: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
    for index in range {
      switch origin[index] {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: continue
      default: return true
      }
    }
    return false
  }
}
