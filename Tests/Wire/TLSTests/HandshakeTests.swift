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
}
