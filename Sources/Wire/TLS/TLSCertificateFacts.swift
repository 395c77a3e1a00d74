import COpenSSL
import Glibc

/// What is to be known of a certificate besides that it is good: for defaults and for metrics.
package struct TLSCertificateFacts: Sendable, Hashable {
  /// Names of hosts, exact or `*.example.org`, in lower case; the common name where there are no
  /// alternative names. What else stands there no client asks for by SNI.
  package let names: [String]
  /// The end of its validity. Seconds since 1970.
  package let notAfter: Int64

  /// Reads the first certificate of a file, which is the server's own.
  package static func read(_ path: String) throws(TLSComplaint) -> TLSCertificateFacts {
    let role = "certificate chain"
    let bytes = try PEM.bytes(of: path, role)
    let certificate = try PEM.certificates(bytes, path: path, role)[0]
    return withExtendedLifetime(certificate) { TLSCertificateFacts(certificate.pointer) }
  }

  private init(_ certificate: OpaquePointer) {
    names = CertificateNames.hostNames(of: certificate)
    var end = tm()
    let isRead = ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1
    notAfter = isRead ? Int64(timegm(&end)) : 0
  }
}

extension CertificateNames {
  /// Names that a client may ask for.
  static func hostNames(of certificate: OpaquePointer) -> [String] {
    names(of: certificate).filter { !$0.isURI }.map { $0.text.lowercased() }.filter(isHost)
  }

  private static func isHost(_ name: String) -> Bool {
    let labels = (name.hasPrefix("*.") ? name.dropFirst(2) : name[...]).utf8
    return (1...253).contains(labels.count)
      && labels.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
        default: false
        }
      }
  }
}
