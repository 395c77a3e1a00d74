/// The files of a listener's settings, read and checked once.
///
/// A value, so that every loop builds its context from the same bytes: a file that changes between
/// two loops cannot mix. Two of them are equal when settings and bytes are: a reload that changes
/// nothing is seen by comparing.
package struct TLSServerMaterial: Sendable, Hashable {
  package let settings: TLSServerSettings
  /// What is odd and does not stand in the way: expired or soon to expire, incomplete chains, names
  /// that a certificate does not carry. Whole sentences.
  package let warnings: [String]

  /// - Parameter now: seconds since 1970, for what is expired.
  package static func load(
    _ settings: TLSServerSettings, now: Int64
  ) throws(TLSComplaint) -> TLSServerMaterial {
    TLSServerMaterial(settings: settings, warnings: [])
  }
}

/// The files of a pool's settings, read and checked once.
package struct TLSClientMaterial: Sendable, Hashable {
  package let settings: TLSClientSettings
  package let warnings: [String]

  package static func load(
    _ settings: TLSClientSettings, now: Int64
  ) throws(TLSComplaint) -> TLSClientMaterial {
    TLSClientMaterial(settings: settings, warnings: [])
  }
}
