import COpenSSL

/// The names of a certificate, as far as anybody is let in by them.
enum CertificateNames {
  /// Bytes of a name; longer ones are passed over. A SPIFFE id has at most 2,048, a DNS name 253.
  private static let nameLimit = 2_048
  /// Names of one certificate that are looked at. Count.
  private static let countLimit = 256

  struct Name {
    let text: String
    let isURI: Bool
  }

  /// The name by which a client is known.
  ///
  /// - Parameter allowed: those that are let in; empty: any.
  /// - Returns: nil when none is allowed, or none can stand in a header field.
  static func clientName(of certificate: OpaquePointer, allowed: [String]) -> String? {
    let names = names(of: certificate)
    if allowed.isEmpty { return names.first?.text }
    return names.first { name in allowed.contains { matches(name, $0) } }?.text
  }

  private static func matches(_ name: Name, _ allowed: String) -> Bool {
    if name.isURI { return name.text == allowed }
    let name = name.text.lowercased()
    let allowed = allowed.lowercased()
    if name == allowed { return true }
    guard allowed.hasPrefix("*."), let dot = name.firstIndex(of: "."), dot != name.startIndex else {
      return false
    }
    return name[dot...] == allowed.dropFirst() && !name.hasPrefix("*")
  }

  /// DNS and URI names of the alternative names; the common name where there are none, as RFC 9525
  /// leaves it for certificates that know no better.
  static func names(of certificate: OpaquePointer) -> [Name] {
    var found: [Name] = []
    if let all = X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) {
      let names = OpaquePointer(all)
      defer { GENERAL_NAMES_free(names) }
      for index in 0..<min(portico_general_name_count(names), Int32(countLimit)) {
        var count: Int32 = 0
        var isURI: Int32 = 0
        guard let name = portico_general_name(names, index),
          let bytes = portico_general_name_text(name, &count, &isURI),
          let text = printable(UnsafeBufferPointer(start: bytes, count: Int(count)))
        else { continue }
        found.append(Name(text: text, isURI: isURI != 0))
      }
      if !found.isEmpty { return found }
    }
    if let name = commonName(X509_get_subject_name(certificate)) {
      found.append(Name(text: name, isURI: false))
    }
    return found
  }

  static func commonName(_ subject: OpaquePointer?) -> String? {
    let place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
    guard place >= 0, let entry = X509_NAME_get_entry(subject, place),
      let value = X509_NAME_ENTRY_get_data(entry)
    else { return nil }
    var bytes: UnsafeMutablePointer<UInt8>?
    let count = ASN1_STRING_to_UTF8(&bytes, value)
    guard count >= 0, let bytes else { return nil }
    defer { portico_free_bytes(bytes) }
    return printable(UnsafeBufferPointer(start: bytes, count: Int(count)))
  }

  /// Nil for what could not stand in a header field: a certificate's authority may be sloppy, and
  /// the name goes upstream.
  private static func printable(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
    guard !bytes.isEmpty, bytes.count <= nameLimit, bytes.first != 0x20, bytes.last != 0x20,
      bytes.allSatisfy({ $0 >= 0x20 && $0 <= 0x7e })
    else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}
