import COpenSSL
import Glibc
import Primitives
import Testing

@testable import TLS

@Suite struct ResumptionTests {
  private static let versions = [TLSVersion.tls12, .tls13]

  /// A client of one version whose context keeps its sessions.
  private func client(
    _ version: TLSVersion, certificate: TLSCertificateFiles? = nil, serverName: String? = nil
  ) throws -> TLSClientContext {
    var settings = village.clientSettings
    settings.maximumVersion = version
    settings.verifies = serverName == nil
    settings.certificate = certificate
    settings.serverName = serverName
    return try clientContext(settings)
  }

  /// Connects, and carries until both are quiet: tickets included.
  private func connect(
    _ client: TLSClientContext, _ server: TLSServerContext, to host: String = "a.example"
  ) -> Pair {
    let pair = Pair(client, server, to: host)
    pair.carry()
    return pair
  }

  private func isResumed(_ pair: Pair) -> Bool? {
    let server = pair.server.session.facts?.isResumed
    #expect(server == pair.client.session.facts?.isResumed)
    return server
  }

  @Test(arguments: versions) func ticketsAreResumed(version: TLSVersion) throws {
    let client = try client(version)
    let server = try serverContext()
    #expect(isResumed(connect(client, server)) == false)
    let second = connect(client, server)
    #expect(isResumed(second) == true)
    second.client.send("hello")
    second.carry()
    #expect(second.server.text == "hello")
    #expect(second.server.session.facts?.applicationProtocol == .http1)
    #expect(isResumed(connect(client, server)) == true)
  }

  /// All loops, reloads and restarts share the keys: any context with them opens the ticket.
  @Test(arguments: versions) func aRestartWithTheSameKeysLosesNothing(version: TLSVersion) throws {
    let keys = TicketKeys.random()
    let client = try client(version)
    _ = connect(client, try serverContext(keys: keys))
    #expect(isResumed(connect(client, try serverContext(keys: keys))) == true)
    #expect(isResumed(connect(client, try serverContext())) == false)
  }

  /// After a rotation the previous key still opens, and a fresh ticket comes; a key that has fallen
  /// out leads to a full handshake, never to a failure.
  @Test(arguments: versions) func rotationKeepsThePreviousKeys(version: TLSVersion) throws {
    let client = try client(version)
    let server = try serverContext()
    _ = connect(client, server)
    server.ticketKeys = server.ticketKeys.rotated(to: .random())
    #expect(isResumed(connect(client, server)) == true)
    // The ticket was renewed with the new key: the first one may go.
    server.ticketKeys = server.ticketKeys.rotated(to: .random()).rotated(to: .random())
    #expect(isResumed(connect(client, server)) == true)
    for _ in 0...TicketKeys.previousLimit {
      server.ticketKeys = server.ticketKeys.rotated(to: .random())
    }
    #expect(isResumed(connect(client, server)) == false)
    #expect(isResumed(connect(client, server)) == true)
  }

  /// A ticket of host A shown to host B, at the same listener and with the same keys: B must make a
  /// full handshake, or a client could carry A's verified name, or the lack of one, into B.
  @Test(arguments: versions) func aTicketIsGoodAtItsHostOnly(version: TLSVersion) throws {
    let server = try serverContext()
    let client = try client(version, serverName: "b.example")
    // Both connections keep their session under one name, as a hostile client would arrange it.
    let first = TLSSession(connecting: client, to: "")
    first.prepare { portico_ssl_set_server_name($0, "a.example") }
    let pair = Pair(first, TLSSession(accepting: server))
    pair.carry()
    #expect(pair.server.session.facts?.hostIndex == 0)
    let second = connect(client, server)
    #expect(second.server.session.facts?.hostIndex == 1)
    #expect(isResumed(second) == false)
    #expect(isResumed(connect(client, server)) == true)
  }

  /// The same, where B demands certificates: the ticket must not stand in for one.
  @Test(arguments: versions) func aTicketIsNoClientCertificate(version: TLSVersion) throws {
    var settings = village.serverSettings
    settings.hosts[1].clientAuthentication = TLSClientAuthentication(
      mode: .require, authorities: village.authorities)
    let server = try serverContext(settings)
    let client = try client(version, serverName: "b.example")
    let first = TLSSession(connecting: client, to: "")
    first.prepare { portico_ssl_set_server_name($0, "a.example") }
    Pair(first, TLSSession(accepting: server)).carry()
    let second = connect(client, server)
    #expect(second.server.session.failure?.reason == .certificateMissing)
  }

  /// A resumed session still knows its client; a change of who is let in ends its sessions.
  @Test(arguments: versions) func clientsStayKnown(version: TLSVersion) throws {
    var settings = village.serverSettings
    settings.clientAuthentication = TLSClientAuthentication(
      mode: .require, authorities: village.authorities)
    let keys = TicketKeys.random()
    let client = try client(version, certificate: village.alice)
    _ = connect(client, try serverContext(settings, keys: keys))
    let second = connect(client, try serverContext(settings, keys: keys))
    #expect(isResumed(second) == true)
    #expect(second.server.session.facts?.clientName == "alice.clients.example")
    settings.clientAuthentication.allowedNames = ["bob"]
    let third = connect(client, try serverContext(settings, keys: keys))
    #expect(third.server.session.failure?.reason == .nameNotAllowed)
  }

  /// A client certificate that has expired since the ticket was made: no resumption.
  @Test(arguments: versions) func anExpiredCertificateEndsItsSessions(version: TLSVersion) throws {
    let folder = Folder()
    let short = Forged.make("brief", by: village.root, validity: .init(from: -60, to: 1))
    let files = TLSCertificateFiles(
      chain: folder.file("brief.pem", short.pem), key: folder.file("brief.key", short.keyPEM))
    var settings = village.serverSettings
    settings.clientAuthentication = TLSClientAuthentication(
      mode: .require, authorities: village.authorities)
    let server = try serverContext(settings)
    let client = try client(version, certificate: files)
    _ = connect(client, server)
    let end = wallClock() + 2
    while wallClock() < end { usleep(100_000) }
    #expect(connect(client, server).server.session.failure?.reason == .certificateInvalid)
  }

  /// Without tickets there is no resumption at all: nothing is kept per client instead.
  @Test(arguments: versions) func ticketsCanBeSwitchedOff(version: TLSVersion) throws {
    var settings = village.serverSettings
    settings.ticketCount = 0
    let client = try client(version)
    let server = try serverContext(settings)
    for _ in 0..<3 { #expect(isResumed(connect(client, server)) == false) }
  }

  /// A ticket that was tampered with, or is noise, leads to a full handshake;
  /// other bytes of the hello to a refusal.
  @Test(arguments: UInt64(0)..<20) func brokenTicketsAreIgnored(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var settings = village.clientSettings
    settings.maximumVersion = .tls12
    let client = try clientContext(settings)
    let server = try serverContext()
    _ = connect(client, server)
    let pair = Pair(client, server)
    // The ticket stands in clear in the hello: one of its bytes is changed on the way.
    var hello = pair.client.takeOutput()
    let place = hello.count - 120 + random.below(80)
    hello[place] ^= UInt8(1 + random.below(255))
    pair.server.receive(hello[...])
    #expect(pair.server.session.state != .established)
  }
}
