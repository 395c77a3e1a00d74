import COpenSSL
import Primitives
import Testing

@testable import TLS

@Suite struct HandshakeTests {
  /// The whole road: a handshake, a request, an answer, close_notify both ways. Shows whether an
  /// input may be cut anywhere: a session that lost bytes or looked for too many would hang or fail.
  @Test(arguments: [TLSVersion.tls12, .tls13], UInt64(0)..<8)
  func requestAndAnswer(version: TLSVersion, seed: UInt64) throws {
    var settings = village.clientSettings
    settings.maximumVersion = version
    let pair = Pair(try clientContext(settings), try serverContext())
    var random = SeededRandom(seed: seed)
    let cut: (Int) -> Int = { seed == 0 ? $0 : seed == 1 ? 1 : random.below($0) + 1 }
    pair.carry(cut)
    #expect(pair.client.session.state == .established)
    #expect(pair.server.session.state == .established)
    #expect(pair.client.justEstablished == 1 && pair.server.justEstablished == 1)
    pair.client.send("GET / HTTP/1.1\r\n\r\n")
    pair.carry(cut)
    #expect(pair.server.text == "GET / HTTP/1.1\r\n\r\n")
    pair.server.send("HTTP/1.1 200 OK\r\n\r\n")
    pair.server.session.close(output: &pair.server.output)
    pair.carry(cut)
    #expect(pair.client.text == "HTTP/1.1 200 OK\r\n\r\n")
    #expect(pair.client.session.state == .closedByPeer && pair.client.session.hasPeerClosed)
    // The other direction is still open.
    pair.client.send("more")
    pair.client.session.close(output: &pair.client.output)
    pair.carry(cut)
    #expect(pair.server.text.hasSuffix("more") && pair.server.session.hasPeerClosed)
    #expect(!pair.client.send("too late"))
    let facts = try #require(pair.server.session.facts)
    #expect(facts.version == version && facts.serverName == "a.example" && !facts.isResumed)
    #expect(facts.applicationProtocol == .http1)
    #expect(
      facts.cipher
        == (version == .tls12
          ? "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" : "TLS_AES_128_GCM_SHA256"))
  }

  /// Nothing can be sent before there are keys: it would go out in clear, or be lost.
  @Test func nothingIsSentBeforeTheHandshakeHasEnded() throws {
    let pair = Pair(try clientContext(), try serverContext())
    #expect(!pair.client.send("early"))
    #expect(!pair.server.send("early"))
    pair.server.session.close(output: &pair.server.output)
    #expect(pair.server.takeOutput() == [])
    #expect(pair.server.session.facts == nil)
  }

  /// A connection that ends without close_notify was cut: the caller has to be able to tell.
  @Test func truncationIsNotAnEnd() throws {
    let pair = Pair(try clientContext(), try serverContext())
    pair.carry()
    pair.server.send("half an ans")
    pair.carry()
    #expect(pair.client.text == "half an ans")
    #expect(!pair.client.session.hasPeerClosed && pair.client.session.state == .established)
  }

  /// Each range of versions meets the other or is refused, never lowered.
  @Test func versionsOutsideTheRangeAreRefused() throws {
    var server = village.serverSettings
    server.minimumVersion = .tls13
    var client = village.clientSettings
    client.maximumVersion = .tls12
    let pair = Pair(try clientContext(client), try serverContext(server))
    pair.carry()
    guard case .failed(let failure) = pair.server.session.state else {
      Issue.record("TLS 1.2 was taken")
      return
    }
    #expect(failure.reason == .noCommonParameters)
    #expect(failure.description == "nothing in common to speak: unsupported protocol")
    // The alert has come over: protocol_version, 70.
    #expect(pair.client.session.state == .failed(TLSFailure(.peerAlert, code: 70)))
    #expect(
      TLSFailure(.peerAlert, code: 70).description
        == "the peer has refused: alert 70, protocol version")
  }

  // MARK: Hosts

  /// SNI decides which certificate is shown; a wildcard stands for one label; the default host
  /// serves what nobody serves.
  @Test(arguments: [
    ("a.example", 0, "a.example"), ("b.example", 1, "b.example"), ("B.Example", 1, "b.example"),
    ("x.w.example", 2, "*.w.example"), ("x.y.w.example", 0, "a.example"),
    ("w.example", 0, "a.example"), ("nobody.example", 0, "a.example"),
    ("127.0.0.1", 0, "a.example"),
  ])
  func theNameChoosesTheHost(name: String, host: Int, certificate: String) throws {
    var settings = village.clientSettings
    settings.verifies = false
    let client = TLSSession(connecting: try clientContext(settings), to: name)
    let server = try serverContext()
    let pair = Pair(client, TLSSession(accepting: server))
    pair.carry()
    let facts = try #require(pair.server.session.facts)
    #expect(facts.hostIndex == host)
    #expect(facts.serverName == (name == "127.0.0.1" ? nil : name.lowercased()))
    #expect(server.hostIndex(serverName: facts.serverName) == host)
    #expect(pair.client.peerName == certificate)
  }

  /// Without a default host, a client that names nobody or a stranger is refused, with the alert
  /// that says so.
  @Test(arguments: ["nobody.example", "127.0.0.1"])
  func unknownNamesAreRefusedWithoutADefault(name: String) throws {
    var settings = village.serverSettings
    settings.defaultHost = nil
    let pair = Pair(try clientContext(), try serverContext(settings), to: name)
    pair.carry()
    #expect(pair.server.session.state == .failed(TLSFailure(.unknownServerName)))
    // unrecognized_name, 112.
    #expect(pair.client.session.state == .failed(TLSFailure(.peerAlert, code: 112)))
  }

  /// Both kinds of certificate stand side by side: a client that cannot do one gets the other.
  @Test(arguments: [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
  ])
  func bothKindsOfCertificateAreServed(offered: String, agreed: String) throws {
    var settings = village.clientSettings
    settings.maximumVersion = .tls12
    settings.ciphers = [offered]
    let pair = Pair(try clientContext(settings), try serverContext())
    pair.carry()
    #expect(pair.client.session.facts?.cipher == agreed)
  }

  // MARK: ALPN

  /// Our order decides, not the client's.
  @Test(arguments: [
    (
      [ApplicationProtocol.http1, .http2], [ApplicationProtocol.http2, .http1],
      ApplicationProtocol?.some(.http2)
    ),
    ([.http2], [.http2, .http1], .some(.http2)),
    ([.http1], [.http2, .http1], .some(.http1)),
    ([.http2, .http1], [.http1], .some(.http1)),
    ([], [.http2, .http1], nil),
    ([.http2], [], nil),
  ])
  func protocolsAreAgreed(
    client: [ApplicationProtocol], server: [ApplicationProtocol], agreed: ApplicationProtocol?
  ) throws {
    var clientSettings = village.clientSettings
    clientSettings.protocols = client
    var serverSettings = village.serverSettings
    serverSettings.protocols = server
    let pair = Pair(try clientContext(clientSettings), try serverContext(serverSettings))
    pair.carry()
    #expect(pair.server.session.facts?.applicationProtocol == agreed)
    #expect(pair.client.session.facts?.applicationProtocol == agreed)
    #expect(pair.client.session.state == .established)
  }

  /// RFC 7301, section 3.2: offering and having nothing in common ends the handshake, so that no
  /// client takes HTTP/1.1 for its own protocol.
  @Test func nothingInCommonIsRefused() throws {
    var client = village.clientSettings
    client.protocols = [.http2]
    var server = village.serverSettings
    server.protocols = [.http1]
    let pair = Pair(try clientContext(client), try serverContext(server))
    pair.carry()
    #expect(pair.server.session.failure?.reason == .noCommonProtocol)
    // no_application_protocol, 120.
    #expect(pair.client.session.state == .failed(TLSFailure(.peerAlert, code: 120)))
  }

  // MARK: Stapling

  /// The response that belongs to the certificate chosen is stapled when the client asks.
  @Test(arguments: [TLSVersion.tls12, .tls13], [true, false])
  func ocspResponsesAreStapled(version: TLSVersion, asks: Bool) throws {
    let folder = Folder()
    let leaf = Forged.make("a.example", alternatives: "DNS:a.example", by: village.root)
    let response = leaf.ocspResponse(by: village.root)
    let files = TLSCertificateFiles(
      chain: folder.file("c.pem", leaf.pem + village.root.pem),
      key: folder.file("c.key", leaf.keyPEM), ocspResponse: folder.file("c.ocsp", response))
    let settings = TLSServerSettings(hosts: [
      TLSHostSettings(names: ["a.example"], certificates: [village.aRSA, files])
    ])
    var client = village.clientSettings
    client.maximumVersion = version
    let session = TLSSession(connecting: try clientContext(client), to: "a.example")
    session.prepare { if asks { portico_ssl_ask_status($0) } }
    let pair = Pair(session, TLSSession(accepting: try serverContext(settings)))
    pair.carry()
    #expect(pair.client.session.state == .established)
    #expect(pair.client.stapled == (asks ? response : nil))
  }
}
