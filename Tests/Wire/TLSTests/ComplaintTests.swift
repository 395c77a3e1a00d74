import COpenSSL
import Testing

@testable import TLS

/// What the operator is told. The texts are the product: each names the file, what is wrong, and
/// what to do.
@Suite struct ComplaintTests {
  private let folder = Folder()
  private let good = Forged.make("a.example", alternatives: "DNS:a.example", by: village.root)

  private func files(
    chain: [UInt8]? = nil, key: String? = nil, ocsp: [UInt8]? = nil
  ) -> TLSCertificateFiles {
    TLSCertificateFiles(
      chain: folder.file("c.pem", chain ?? Array(good.pem.utf8)),
      key: folder.file("c.key", key ?? good.keyPEM),
      ocspResponse: ocsp.map { folder.file("c.ocsp", $0) })
  }

  private func settings(_ files: TLSCertificateFiles) -> TLSServerSettings {
    TLSServerSettings(hosts: [TLSHostSettings(names: ["a.example"], certificates: [files])])
  }

  /// The complaint with the folder's path taken out.
  private func complaint(_ settings: TLSServerSettings) -> String? {
    do {
      _ = try TLSServerMaterial.load(settings, now: wallClock())
      return nil
    } catch {
      return bare(error.text)
    }
  }

  private func warnings(_ settings: TLSServerSettings) throws -> [String] {
    try TLSServerMaterial.load(settings, now: wallClock()).warnings.map(bare)
  }

  private func bare(_ text: String) -> String {
    text.split(separator: folder.path + "/", omittingEmptySubsequences: false).joined()
  }

  @Test func goodFilesBringNoWarning() throws {
    #expect(try warnings(settings(files())) == [])
    #expect(complaint(village.serverSettings) == nil)
  }

  @Test func missingFilesAreNamed() {
    var wrong = files()
    wrong.chain = folder.path + "/none.pem"
    #expect(
      complaint(settings(wrong))
        == "certificate chain 'none.pem' cannot be read: No such file or directory; check the path")
    wrong = files()
    wrong.key = folder.path
    #expect(
      complaint(settings(wrong))?.hasSuffix("cannot be read: Is a directory") == true)
  }

  @Test func whatIsNoCertificateIsSaid() {
    #expect(
      complaint(settings(files(chain: Array("hello\n".utf8))))
        == "certificate chain 'c.pem' holds no certificate: it has no line "
        + "'-----BEGIN CERTIFICATE-----'")
    #expect(
      complaint(settings(files(chain: [])))
        == "certificate chain 'c.pem' holds no certificate: it has no line "
        + "'-----BEGIN CERTIFICATE-----'")
    #expect(
      complaint(settings(files(chain: good.der)))
        == "certificate chain 'c.pem' is DER, not PEM; convert it with "
        + "'openssl x509 -inform DER -in c.pem -out c.pem.pem'")
    let cut = good.pem + String(good.pem.prefix(200))
    #expect(
      complaint(settings(files(chain: Array(cut.utf8))))
        == "certificate chain 'c.pem': certificate number 2 cannot be read: bad end line; copy it "
        + "again, whole")
    let noise = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    #expect(
      complaint(settings(files(chain: Array(noise.utf8))))?.hasPrefix(
        "certificate chain 'c.pem': certificate number 1 cannot be read: ") == true)
  }

  @Test func whatIsNoKeyIsSaid() {
    #expect(
      complaint(settings(files(key: good.pem)))
        == "key 'c.key' holds no private key: it has no line '-----BEGIN PRIVATE KEY-----'")
    #expect(
      complaint(settings(files(key: good.encryptedKeyPEM)))
        == "key 'c.key' is encrypted, and nobody is there to type its password; decrypt it with "
        + "'openssl pkey -in c.key -out plain.pem'")
    #expect(
      complaint(settings(files(key: String(good.keyPEM.prefix(80)))))
        == "key 'c.key' cannot be read: unsupported; copy it again, whole")
  }

  /// The commonest mistake of a renewal: one file is new, the other old.
  @Test func aMismatchedPairIsSaid() {
    #expect(
      complaint(settings(files(key: Forged.make("other").keyPEM)))
        == "key 'c.key' does not belong to the first certificate of 'c.pem' ('a.example'); give "
        + "the pair that was issued together, the server's own certificate first")
    #expect(
      complaint(settings(files(chain: Array((village.root.pem + good.pem).utf8))))
        == "key 'c.key' does not belong to the first certificate of 'c.pem' ('Village Root'); give "
        + "the pair that was issued together, the server's own certificate first")
  }

  @Test func weakKeysAreRefused() {
    let weak = Forged.make("a.example", .rsa1024, alternatives: "DNS:a.example", by: village.root)
    #expect(
      complaint(settings(files(chain: Array(weak.pem.utf8), key: weak.keyPEM)))
        == "certificate chain 'c.pem' cannot be used: ee key too small; have one issued for a P-256 "
        + "key or an RSA key of 2048 bits or more")
  }

  @Test func oddCertificatesAreWarnedOf() throws {
    let old = Forged.make("a.example", alternatives: "DNS:a.example", validity: .expired)
    let oldWarning = try warnings(settings(files(chain: Array(old.pem.utf8), key: old.keyPEM)))
    #expect(oldWarning.count == 1)
    #expect(
      oldWarning.first?.hasPrefix("'c.pem': 'a.example' has expired at 20") == true
        && oldWarning.first?.hasSuffix(" UTC; renew it") == true)
    let soon = Forged.make(
      "a.example", alternatives: "DNS:a.example", validity: .init(from: -60, to: 86_400))
    #expect(
      try warnings(settings(files(chain: Array(soon.pem.utf8), key: soon.keyPEM))).first?
        .hasPrefix("'c.pem': 'a.example' expires in less than 14 days, at ") == true)
    let early = Forged.make("a.example", alternatives: "DNS:a.example", validity: .future)
    let earlyWarning = try warnings(
      settings(files(chain: Array(early.pem.utf8), key: early.keyPEM)))
    #expect(earlyWarning.count == 2)
    #expect(
      earlyWarning.first?.hasPrefix("'c.pem': 'a.example' is not valid yet, only from ") == true)
    let other = Forged.make("b.example", alternatives: "DNS:b.example")
    #expect(
      try warnings(settings(files(chain: Array(other.pem.utf8), key: other.keyPEM)))
        == [
          "'c.pem': 'b.example' does not carry the name 'a.example' that it is to be shown for"
        ])
  }

  @Test func brokenChainsAreWarnedOf() throws {
    #expect(
      try warnings(settings(files(chain: Array((good.pem + village.otherRoot.pem).utf8))))
        == [
          "'c.pem': 'Other Root' stands behind 'a.example' and has not issued it; put each "
            + "certificate behind the one it has issued"
        ])
    let signed = Forged.make(
      "a.example", alternatives: "DNS:a.example", by: village.root, knowsIssuer: true)
    #expect(
      try warnings(settings(files(chain: Array(signed.pem.utf8), key: signed.keyPEM)))
        == [
          "'c.pem' holds 'a.example' alone; append the certificate of its issuer 'Village Root', "
            + "or clients cannot follow it to a root"
        ])
  }

  @Test func ocspResponsesAreLookedAt() throws {
    let chain = Array((good.pem + village.root.pem).utf8)
    func warnings(_ response: [UInt8]) throws -> [String] {
      try self.warnings(settings(files(chain: chain, ocsp: response)))
    }
    #expect(try warnings(good.ocspResponse(by: village.root)) == [])
    #expect(
      try warnings(Forged.make("x", by: village.root).ocspResponse(by: village.root)) == [
        "OCSP response 'c.ocsp' is about another certificate than that of 'c.pem' and is not "
          + "stapled; fetch the right one"
      ])
    #expect(
      try warnings(good.ocspResponse(by: village.root, revoked: true)) == [
        "OCSP response 'c.ocsp' says that the certificate of 'c.pem' is revoked; replace it"
      ])
    let old = try warnings(good.ocspResponse(by: village.root, lasting: -30))
    #expect(
      old.count == 1 && old[0].hasPrefix("OCSP response 'c.ocsp' was good until 20")
        && old[0].hasSuffix(" UTC and is not stapled; fetch it again"))
    #expect(
      complaint(settings(files(ocsp: [1, 2, 3])))
        == "OCSP response 'c.ocsp' is not one; fetch it in DER with 'openssl ocsp -respout c.ocsp'")
    var missing = files()
    missing.ocspResponse = folder.path + "/later.ocsp"
    #expect(
      try self.warnings(settings(missing)) == [
        "OCSP response 'later.ocsp' is not there, so none is stapled; fetch it, and it is taken up "
          + "with the next reload"
      ])
  }

  @Test func settingsThatCannotBeAreSaid() {
    let pair = files()
    let host = TLSHostSettings(names: ["a.example"], certificates: [pair])
    var wrong = TLSServerSettings(hosts: [])
    #expect(
      complaint(wrong) == "TLS: there is no host; give at least one certificate and its key")
    wrong = TLSServerSettings(hosts: [host], defaultHost: 1)
    #expect(complaint(wrong) == "TLS: the default host is number 1, but there are 1 hosts")
    wrong = TLSServerSettings(hosts: [host, TLSHostSettings(names: [], certificates: [pair])])
    #expect(
      complaint(wrong)
        == "TLS: host number 1 has no name and is not the default host, so nobody can reach it; "
        + "give it names")
    wrong = TLSServerSettings(hosts: [host, host])
    #expect(
      complaint(wrong)
        == "TLS: 'a.example' belongs to two hosts, number 0 and number 1; give it to one of them")
    for name in ["a b", "*", "*.*.example", "a..b", "", "https://a"] {
      wrong = TLSServerSettings(hosts: [TLSHostSettings(names: [name], certificates: [pair])])
      #expect(
        complaint(wrong)
          == "TLS: '\(name)' is not a host name; write one as 'api.example.org' or "
          + "'*.example.org'")
    }
    wrong = TLSServerSettings(hosts: [TLSHostSettings(names: ["a.example"], certificates: [])])
    #expect(
      complaint(wrong) == "TLS: host 'a.example' has no certificate; give a chain and its key")
    wrong = settings(pair)
    wrong.hosts[0].certificates.append(pair)
    #expect(
      complaint(wrong)
        == "TLS: host 'a.example' has two certificates with the same kind of key, 'c.pem' and "
        + "'c.pem'; keep one of them")
    wrong = settings(pair)
    wrong.minimumVersion = .tls13
    wrong.maximumVersion = .tls12
    #expect(
      complaint(wrong) == "TLS: the minimum version TLSv1.3 is above the maximum version TLSv1.2")
    wrong = settings(pair)
    wrong.clientAuthentication = TLSClientAuthentication(mode: .require, authorities: "")
    #expect(
      complaint(wrong)
        == "TLS: client certificates are asked for, but there is no file of the authorities that "
        + "issue them")
  }

  @Test(arguments: [
    "ALL", "HIGH", "ECDHE", "NONE-SUCH", "NULL-SHA", "RC4-SHA", "DES-CBC3-SHA", "AECDH-AES128-SHA",
    "PSK-AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256",
  ])
  func unknownAndUnsafeCiphersAreRefused(name: String) {
    var wrong = settings(files())
    wrong.ciphers.append(name)
    #expect(
      complaint(wrong)
        == "TLS: OpenSSL has no TLS 1.2 cipher '\(name)' that is safe to use; "
        + "'openssl ciphers -s -tls1_2' lists them")
  }

  @Test func weakCiphersAndUnknownGroupsAreSaid() throws {
    var odd = settings(files())
    odd.ciphers.append("AES128-SHA")
    #expect(
      try warnings(odd) == [
        "TLS: AES128-SHA: not forward secret or not an AEAD cipher; HTTP/2 forbids them, and "
          + "clients that insist fail"
      ])
    odd = settings(files())
    odd.groups = ["X25519", "P-257"]
    #expect(
      complaint(odd) == "TLS: OpenSSL knows no group 'P-257'; good ones are X25519, P-256, P-384")
    odd = settings(files())
    odd.cipherSuites = ["TLS_AES_512"]
    #expect(
      complaint(odd)
        == "TLS: OpenSSL has no TLS 1.3 cipher suite 'TLS_AES_512'; good ones are "
        + "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256")
  }

  @Test func clientSettingsAreLookedAtToo() throws {
    func complaint(_ change: (inout TLSClientSettings) -> Void) -> String? {
      var settings = village.clientSettings
      change(&settings)
      do {
        _ = try TLSClientMaterial.load(settings, now: wallClock())
        return nil
      } catch {
        return bare(error.text)
      }
    }
    #expect(complaint { _ in } == nil)
    #expect(
      complaint { $0.authorities = folder.path + "/ca.pem" }
        == "authorities 'ca.pem' cannot be read: No such file or directory; check the path")
    #expect(
      complaint { $0.serverName = "not a name" }
        == "TLS: 'not a name' is neither a host name nor an address; a backend's certificate cannot "
        + "carry it")
    #expect(
      complaint { $0.certificate = files(key: Forged.make("x").keyPEM) }?.hasPrefix(
        "key 'c.key' does not belong to the first certificate of 'c.pem'") == true)
    var open = village.clientSettings
    open.verifies = false
    #expect(
      try TLSClientMaterial.load(open, now: wallClock()).warnings == [
        "TLS: certificates of backends are not verified: whoever stands between can read and change "
          + "everything"
      ])
  }

  /// A reload sees by comparing whether anything has changed, and a value once loaded does not
  /// change with its files.
  @Test func materialIsAValue() throws {
    let pair = files()
    let settings = settings(pair)
    let first = try TLSServerMaterial.load(settings, now: wallClock())
    #expect(try TLSServerMaterial.load(settings, now: wallClock()) == first)
    let renewed = Forged.make("a.example", alternatives: "DNS:a.example", by: village.root)
    _ = folder.file("c.pem", renewed.pem)
    #expect(throws: TLSComplaint.self) {
      try TLSServerMaterial.load(settings, now: wallClock())
    }
    _ = try TLSServerContext(first, ticketKeys: .random())
    _ = folder.file("c.key", renewed.keyPEM)
    #expect(try TLSServerMaterial.load(settings, now: wallClock()) != first)
  }

  @Test func ticketKeysAreEightyBytes() {
    #expect(TicketKey([1, 2, 3]) == nil)
    #expect(TicketKey([UInt8](repeating: 7, count: 80)) != nil)
    let keys = TicketKeys.random()
    #expect(keys != .random())
    let rotated = keys.rotated(to: .random()).rotated(to: .random()).rotated(to: .random())
    #expect(rotated.previous.count == TicketKeys.previousLimit)
    #expect(!rotated.previous.contains(keys.current))
  }
}
