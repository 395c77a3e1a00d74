import COpenSSL
import Testing

@testable import TLS

@Suite struct CertificateTests {
  private static let versions = [TLSVersion.tls12, .tls13]

  private func server(
    _ mode: TLSClientAuthentication.Mode, allowed: [String] = []
  ) throws -> TLSServerContext {
    var settings = village.serverSettings
    settings.clientAuthentication = TLSClientAuthentication(
      mode: mode, authorities: village.authorities, allowedNames: allowed)
    return try serverContext(settings)
  }

  private func connect(
    _ version: TLSVersion, _ certificate: TLSCertificateFiles?, _ server: TLSServerContext
  ) throws -> Pair {
    var settings = village.clientSettings
    settings.maximumVersion = version
    settings.certificate = certificate
    let pair = Pair(try clientContext(settings), server)
    pair.carry()
    return pair
  }

  // MARK: Clients

  @Test(arguments: versions, [TLSClientAuthentication.Mode.request, .require])
  func aGoodCertificateIsKnownByItsName(
    version: TLSVersion, mode: TLSClientAuthentication.Mode
  ) throws {
    let pair = try connect(version, village.alice, server(mode))
    #expect(pair.server.session.facts?.clientName == "alice.clients.example")
    // Without alternative names the common name counts.
    #expect(
      try connect(version, village.bob, server(mode)).server.session.facts?.clientName == "bob")
  }

  @Test(arguments: versions) func noCertificateIsRefusedWhereOneIsRequired(
    version: TLSVersion
  ) throws {
    let pair = try connect(version, nil, server(.require))
    #expect(pair.server.session.failure?.reason == .certificateMissing)
    #expect(pair.server.session.failure?.description == "the client has shown no certificate")
    #expect(pair.client.session.failure?.reason == .peerAlert)
    let polite = try connect(version, nil, server(.request))
    #expect(polite.server.session.state == .established)
    #expect(polite.server.session.facts?.clientName == nil)
    // Not asked for: not known, even if there is one.
    #expect(
      try connect(version, village.alice, server(.none)).server.session.facts?.clientName == nil)
  }

  /// A certificate of another authority is refused also where none is required: a client that
  /// believes itself known must not go on as a nobody.
  @Test(arguments: versions, [TLSClientAuthentication.Mode.request, .require])
  func aStrangersCertificateIsRefused(
    version: TLSVersion, mode: TLSClientAuthentication.Mode
  ) throws {
    let pair = try connect(version, village.stranger, server(mode))
    #expect(pair.server.session.failure?.reason == .certificateInvalid)
    #expect(
      pair.server.session.failure?.description
        == "the peer's certificate is not good: unable to get local issuer certificate; its issuer "
        + "is not among the authorities, or it sends no intermediate")
  }

  @Test(arguments: [
    (["alice.clients.example"], true), (["ALICE.clients.example"], true),
    (["*.clients.example"], true), (["bob", "*.clients.example"], true), (["*.example"], false),
    (["*.alice.clients.example"], false), (["bob"], false), (["clients.example"], false),
  ])
  func onlyAllowedNamesAreLetIn(allowed: [String], isGood: Bool) throws {
    for version in Self.versions {
      let pair = try connect(version, village.alice, server(.require, allowed: allowed))
      #expect((pair.server.session.state == .established) == isGood)
      if !isGood { #expect(pair.server.session.failure?.reason == .nameNotAllowed) }
    }
  }

  /// URI names (SPIFFE) are compared exactly; a common name counts only without alternative names;
  /// what could not stand in a header field is no name.
  @Test func namesAreTakenFromTheRightPlace() {
    let spiffe = Forged.make("cn", alternatives: "URI:spiffe://x/one,DNS:d.example")
    #expect(CertificateNames.clientName(of: spiffe.certificate, allowed: []) == "spiffe://x/one")
    let allowed = ["spiffe://x/one"]
    #expect(
      CertificateNames.clientName(of: spiffe.certificate, allowed: allowed) == "spiffe://x/one")
    #expect(CertificateNames.clientName(of: spiffe.certificate, allowed: ["cn"]) == nil)
    #expect(
      CertificateNames.clientName(of: spiffe.certificate, allowed: ["D.example"]) == "d.example")
    let odd = Forged.make("a\r\nX-Admin: 1")
    #expect(CertificateNames.clientName(of: odd.certificate, allowed: []) == nil)
    let wide = Forged.make("*.clients.example")
    let wildcard = ["*.clients.example"]
    #expect(
      CertificateNames.clientName(of: wide.certificate, allowed: wildcard) == "*.clients.example")
    let nobody = Forged.make("")
    #expect(CertificateNames.clientName(of: nobody.certificate, allowed: []) == nil)
  }

  // MARK: Backends

  private func upstream(
    _ files: TLSCertificateFiles, to host: String,
    _ change: (inout TLSClientSettings) -> Void = { _ in }
  ) throws -> Pair {
    var settings = village.clientSettings
    change(&settings)
    let server = TLSServerSettings(hosts: [TLSHostSettings(names: [], certificates: [files])])
    let pair = Pair(try clientContext(settings), try serverContext(server), to: host)
    pair.carry()
    return pair
  }

  private func files(_ folder: Folder, _ forged: Forged) -> TLSCertificateFiles {
    TLSCertificateFiles(
      chain: folder.file("x.pem", forged.pem), key: folder.file("x.key", forged.keyPEM))
  }

  /// The name or the address that is dialled has to stand in the certificate.
  @Test(arguments: [
    ("a.example", true), ("A.EXAMPLE", true), ("a.example.", true), ("127.0.0.1", true),
    ("b.example", false), ("127.0.0.2", false), ("sub.a.example", false), ("::1", false),
  ])
  func theNameIsChecked(host: String, isGood: Bool) throws {
    let pair = try upstream(village.a, to: host)
    #expect((pair.client.session.state == .established) == isGood)
    if !isGood {
      #expect(pair.client.session.failure?.reason == .certificateInvalid)
      #expect(
        pair.client.session.failure?.description.contains(
          "mismatch; it carries another name than the one expected") == true)
      // bad_certificate, 42: the backend learns why.
      #expect(pair.server.session.failure == TLSFailure(.peerAlert, code: 42))
    }
  }

  /// A backend known by address is checked, and asked for, by the pinned name.
  @Test func aPinnedNameReplacesTheHost() throws {
    let pair = try upstream(village.a, to: "10.0.0.7") { $0.serverName = "a.example" }
    #expect(pair.client.session.state == .established)
    #expect(pair.server.session.facts?.serverName == "a.example")
    let silent = try upstream(village.a, to: "a.example") { $0.sendsServerName = false }
    #expect(silent.client.session.state == .established)
    #expect(silent.server.session.facts?.serverName == nil)
  }

  @Test func unknownAuthoritiesAreRefused() throws {
    let pair = try upstream(village.a, to: "a.example") {
      $0.authorities = village.otherAuthorities
    }
    #expect(
      pair.client.session.failure?.description
        == "the peer's certificate is not good: unable to get local issuer certificate; its issuer "
        + "is not among the authorities, or it sends no intermediate")
    // The system's authorities do not know the village either.
    let system = try upstream(village.a, to: "a.example") { $0.authorities = nil }
    #expect(system.client.session.failure?.reason == .certificateInvalid)
  }

  @Test func expiredCertificatesAreRefused() throws {
    let folder = Folder()
    let old = Forged.make("a", alternatives: "DNS:a.example", by: village.root, validity: .expired)
    let pair = try upstream(files(folder, old), to: "a.example")
    #expect(
      pair.client.session.failure?.description
        == "the peer's certificate is not good: certificate has expired; renew it")
  }

  @Test func verificationCanBeSwitchedOff() throws {
    let pair = try upstream(village.a, to: "b.example") { $0.verifies = false }
    #expect(pair.client.session.state == .established)
  }

  /// Intermediates of the chain are sent: a client that knows the root alone can follow.
  @Test func chainsAreSentWhole() throws {
    let folder = Folder()
    let middle = Forged.make("Middle", by: village.root, isAuthority: true)
    let leaf = Forged.make("l", alternatives: "DNS:a.example", by: middle)
    let whole = TLSCertificateFiles(
      chain: folder.file("w.pem", leaf.pem + middle.pem), key: folder.file("w.key", leaf.keyPEM))
    #expect(try upstream(whole, to: "a.example").client.session.state == .established)
    #expect(
      try upstream(files(folder, leaf), to: "a.example").client.session.failure?.reason
        == .certificateInvalid)
  }
}
