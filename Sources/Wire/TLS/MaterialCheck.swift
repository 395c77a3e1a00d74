import COpenSSL
import Glibc

/// Reads the files of settings and looks at what stands in them. Collects what is odd.
struct MaterialCheck {
  /// Days before the end of a certificate from which on it is said. ACME clients renew at 30.
  private static let soonDays: Int64 = 14
  private static let secondsPerDay: Int64 = 86_400

  let now: Int64
  var warnings: [String] = []

  init(now: Int64) { self.now = now }

  /// - Parameter names: those the certificate is going to be shown for.
  mutating func load(
    _ files: TLSCertificateFiles, names: [String]
  ) throws(TLSComplaint) -> (CertificateMaterial, [PEM.Certificate]) {
    let chainBytes = try PEM.bytes(of: files.chain, "certificate chain")
    let chain = try PEM.certificates(chainBytes, path: files.chain, "certificate chain")
    let keyBytes = try PEM.bytes(of: files.key, "key")
    let key = try PEM.key(keyBytes, path: files.key)
    guard X509_check_private_key(chain[0].pointer, key.pointer) == 1 else {
      ERR_clear_error()
      throw TLSComplaint(
        file: files.key,
        "key '\(files.key)' does not belong to the first certificate of '\(files.chain)' "
          + "(\(title(chain[0]))); give the pair that was issued together, the server's own "
          + "certificate first")
    }
    lookAtDates(chain, files.chain)
    lookAtOrder(chain, files.chain)
    lookAtNames(chain[0], names, files.chain)
    var response: [UInt8] = []
    if let path = files.ocspResponse { response = try ocspResponse(path, chain, files.chain) }
    let material = CertificateMaterial(
      files: files, chain: chainBytes, key: keyBytes, ocspResponse: response)
    return (material, chain)
  }

  mutating func authorities(_ path: String) throws(TLSComplaint) -> [UInt8] {
    guard !path.isEmpty else {
      throw TLSComplaint(
        "TLS: client certificates are asked for, but there is no file of the authorities that "
          + "issue them")
    }
    let bytes = try PEM.bytes(of: path, "authorities")
    let all = try PEM.certificates(bytes, path: path, "authorities")
    lookAtDates(all, path)
    for certificate in all where X509_check_ca(certificate.pointer) == 0 {
      warnings.append(
        "authorities '\(path)': \(title(certificate)) is not an authority's certificate; it can "
          + "vouch for nobody")
    }
    return bytes
  }

  /// What the settings allow and a careful operator would not.
  mutating func look(at settings: TLSServerSettings) {
    let weak = settings.ciphers.filter { !$0.hasPrefix("ECDHE-") || !Self.isAEAD($0) }
    guard !weak.isEmpty, settings.minimumVersion == .tls12 else { return }
    warnings.append(
      "TLS: \(weak.joined(separator: ", ")): not forward secret or not an AEAD cipher; "
        + "HTTP/2 forbids them, and clients that insist fail")
  }

  private static func isAEAD(_ cipher: String) -> Bool {
    cipher.contains("GCM") || cipher.contains("CHACHA20") || cipher.contains("CCM")
  }

  // MARK: What stands in a certificate

  private mutating func lookAtDates(_ chain: [PEM.Certificate], _ path: String) {
    for certificate in chain {
      let end = X509_get0_notAfter(certificate.pointer)
      var moment = time_t(now)
      if X509_cmp_time(X509_get0_notBefore(certificate.pointer), &moment) > 0 {
        warnings.append(
          "'\(path)': \(title(certificate)) is not valid yet, only from "
            + "\(Self.text(X509_get0_notBefore(certificate.pointer))); is the clock right?")
      }
      if X509_cmp_time(end, &moment) < 0 {
        warnings.append(
          "'\(path)': \(title(certificate)) has expired at \(Self.text(end)); renew it")
        continue
      }
      moment = time_t(now &+ Self.soonDays * Self.secondsPerDay)
      if X509_cmp_time(end, &moment) < 0 {
        warnings.append(
          "'\(path)': \(title(certificate)) expires in less than \(Self.soonDays) days, at "
            + "\(Self.text(end)); renew it")
      }
    }
  }

  private mutating func lookAtOrder(_ chain: [PEM.Certificate], _ path: String) {
    for (below, above) in zip(chain, chain.dropFirst())
    where X509_check_issued(above.pointer, below.pointer) != X509_V_OK {
      warnings.append(
        "'\(path)': \(title(above)) stands behind \(title(below)) and has not issued it; put each "
          + "certificate behind the one it has issued")
    }
    let last = chain[chain.count - 1]
    // Public authorities say where their intermediate is to be had; a private root seldom does.
    if X509_check_issued(last.pointer, last.pointer) != X509_V_OK, chain.count == 1,
      X509_get_ext_by_NID(last.pointer, NID_info_access, -1) >= 0
    {
      warnings.append(
        "'\(path)' holds \(title(last)) alone; append the certificate of its issuer "
          + "\(Self.name(X509_get_issuer_name(last.pointer))), or clients cannot follow it to a "
          + "root")
    }
  }

  private mutating func lookAtNames(
    _ certificate: PEM.Certificate, _ names: [String], _ path: String
  ) {
    for name in names {
      let sample = name.hasPrefix("*.") ? "any" + name.dropFirst() : name
      if X509_check_host(certificate.pointer, sample, sample.utf8.count, 0, nil) != 1 {
        warnings.append(
          "'\(path)': \(title(certificate)) does not carry the name '\(name)' that it is to be "
            + "shown for")
      }
    }
    ERR_clear_error()
  }

  // MARK: OCSP

  /// Empty where there is none to be served.
  private mutating func ocspResponse(
    _ path: String, _ chain: [PEM.Certificate], _ chainPath: String
  ) throws(TLSComplaint) -> [UInt8] {
    guard access(path, F_OK) == 0 else {
      warnings.append(
        "OCSP response '\(path)' is not there, so none is stapled; fetch it, and it is taken up "
          + "with the next reload")
      return []
    }
    let bytes = try PEM.bytes(of: path, "OCSP response")
    let response = bytes.withUnsafeBufferPointer { buffer in
      var place = buffer.baseAddress
      return d2i_OCSP_RESPONSE(nil, &place, buffer.count)
    }
    guard let response else {
      ERR_clear_error()
      throw TLSComplaint(
        file: path,
        "OCSP response '\(path)' is not one; fetch it in DER with 'openssl ocsp -respout \(path)'")
    }
    defer { OCSP_RESPONSE_free(response) }
    guard OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL,
      let basic = OCSP_response_get1_basic(response)
    else {
      ERR_clear_error()
      warnings.append(
        "OCSP response '\(path)' is a responder's refusal and is not stapled; fetch it again")
      return []
    }
    defer { OCSP_BASICRESP_free(basic) }
    guard chain.count > 1, let id = OCSP_cert_to_id(nil, chain[0].pointer, chain[1].pointer) else {
      return bytes
    }
    defer { OCSP_CERTID_free(id) }
    var status: Int32 = 0
    var reason: Int32 = 0
    var next: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
    guard OCSP_resp_find_status(basic, id, &status, &reason, nil, nil, &next) == 1 else {
      warnings.append(
        "OCSP response '\(path)' is about another certificate than that of '\(chainPath)' and is "
          + "not stapled; fetch the right one")
      return []
    }
    if status != V_OCSP_CERTSTATUS_GOOD {
      warnings.append(
        "OCSP response '\(path)' says that the certificate of '\(chainPath)' is "
          + (status == V_OCSP_CERTSTATUS_REVOKED ? "revoked" : "unknown") + "; replace it")
    }
    var moment = time_t(now)
    if let next, X509_cmp_time(next, &moment) < 0 {
      warnings.append(
        "OCSP response '\(path)' was good until \(Self.text(next)) and is not stapled; "
          + "fetch it again")
      return []
    }
    return bytes
  }

  // MARK: Words

  private func title(_ certificate: PEM.Certificate) -> String {
    Self.name(X509_get_subject_name(certificate.pointer))
  }

  private static func name(_ subject: OpaquePointer?) -> String {
    if let name = CertificateNames.commonName(subject) { return "'\(name)'" }
    guard let text = X509_NAME_oneline(subject, nil, 0) else { return "a certificate" }
    defer { portico_free_chars(text) }
    return "'\(String(cString: text))'"
  }

  /// As `2026-11-25 09:45:00 UTC`.
  private static func text(_ time: UnsafePointer<ASN1_TIME>?) -> String {
    var parts = tm()
    guard ASN1_TIME_to_tm(time, &parts) == 1 else { return "an unreadable time" }
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(parts.tm_year + 1_900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) "
      + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) UTC"
  }
}
