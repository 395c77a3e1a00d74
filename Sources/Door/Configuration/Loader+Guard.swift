import JWT
import SettingsFile

/// The files beside the configuration that guards need: further API keys, and public keys.
struct GuardFiles {
  /// A path as it is written, from the folder of the file that names it.
  static func path(_ written: String, at place: Place) -> String {
    if written.hasPrefix("/") { return written }
    guard let slash = place.file.utf8.lastIndex(of: 0x2f) else { return written }
    return String(place.file[...slash]) + written
  }

  /// Reads a JWKS file, and complains of what cannot be used.
  static func readKeySet(
    _ path: String, at place: Place, into jwt: inout JWTSettings, _ reader: inout Reader
  ) {
    switch SourceText.contents(path) {
    case .failure(let reason):
      reader.complain(place, "'\(shown(path, limit: 200))': \(reason)")
    case .bytes(let bytes):
      var complaints: [KeyComplaint] = []
      let keys = bytes.withUnsafeBytes { KeySet(jwks: $0, complaints: &complaints) }
      for complaint in complaints {
        if keys == nil {
          reader.complain(.whole(path), "\(complaint)")
        } else {
          reader.warn(.whole(path), "\(complaint)")
        }
      }
      if keys == nil, complaints.isEmpty {
        reader.complain(.whole(path), "jwks: no key can be used; export the issuer's public keys")
      }
      jwt.keys = bytes
    }
  }
}
