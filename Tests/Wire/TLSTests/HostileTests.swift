import COpenSSL
import Primitives
import Testing

@testable import TLS

/// What a stranger may send. Everything is bounded, answered or dropped; nothing is a crash.
@Suite struct HostileTests {
  private func server() throws -> End { End(TLSSession(accepting: try serverContext())) }

  private func hello(_ change: (inout TLSClientSettings) -> Void = { _ in }) throws -> [UInt8] {
    var settings = village.clientSettings
    change(&settings)
    let pair = Pair(try clientContext(settings), try serverContext())
    return pair.client.takeOutput()
  }

  /// Feeds bytes whole, or one at a time, and says how it ended.
  private func outcome(_ bytes: [UInt8], oneByOne: Bool) throws -> (End, TLSFailure.Reason?) {
    let server = try server()
    if oneByOne {
      for index in bytes.indices { server.receive(bytes[index...index]) }
    } else {
      server.receive(bytes[...])
    }
    return (server, server.session.failure?.reason)
  }

  /// HTTP on a TLS port is told from noise, however it is cut, so that a person gets an answer.
  @Test(
    arguments: [
      ("GET / HTTP/1.1\r\n\r\n", TLSFailure.Reason.plaintextHTTP), ("POST /v1/", .plaintextHTTP),
      ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .plaintextHTTP), ("CONNECT a:443", .plaintextHTTP),
      ("GETTING / HTTP/1.1", .plaintextHTTP), ("get / HTTP/1.1", .notTLS), ("GE / ", .notTLS),
      ("SSH-2.0-OpenSSH_9.2\r\n", .notTLS), ("\u{0}", .notTLS), ("\r\n\r\n", .notTLS),
      ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ", .notTLS), ("PROXY TCP4 1.2.3.4", .plaintextHTTP),
    ], [false, true])
  func plaintextIsRecognised(
    sample: (String, TLSFailure.Reason), oneByOne: Bool
  ) throws {
    let (server, reason) = try outcome(Array(sample.0.utf8), oneByOne: oneByOne)
    #expect(reason == sample.1)
    #expect(server.takeOutput() == [])
    #expect(!server.send("no"))
  }

  @Test func aFewLettersAreWaitedFor() throws {
    let server = try server()
    server.receive(Array("GE".utf8)[...])
    #expect(server.session.state == .handshaking)
    server.receive(Array("T".utf8)[...])
    #expect(server.session.state == .handshaking)
    server.receive(Array(" ".utf8)[...])
    #expect(server.session.state == .failed(TLSFailure(.plaintextHTTP)))
  }

  /// SSL 2, and records of versions nobody has ever spoken.
  @Test func otherVersionsAreRefused() throws {
    #expect(try outcome([0x80, 0x2e, 1, 0, 2, 0, 0x15], oneByOne: false).1 == .notTLS)
    var strange = try hello()
    strange[1] = 9
    let (server, reason) = try outcome(strange, oneByOne: false)
    #expect(reason == .protocolError)
    #expect(server.session.failure?.description == "wrong version number")
    // SSL 3.0 as the highest version: refused with an alert.
    var old = try hello { $0.maximumVersion = .tls12 }
    old[9] = 3
    old[10] = 0
    let (refusing, oldReason) = try outcome(old, oneByOne: false)
    #expect(oldReason == .noCommonParameters)
    #expect(refusing.takeOutput().first == 21)
  }

  /// Nine bytes that announce a ClientHello of 100 KB would make OpenSSL allocate as much. They are
  /// refused before it sees them, also in records of one byte each.
  @Test(arguments: [false, true]) func aHugeHelloIsRefusedAtItsAnnouncement(oneByOne: Bool) throws {
    let announcement: [UInt8] = [1, 0x01, 0x86, 0xa0]
    #expect(
      try outcome([22, 3, 1, 0x40, 0] + announcement, oneByOne: oneByOne).1 == .handshakeTooLarge)
    let pieces = announcement.flatMap { [22, 3, 1, 0, 1, $0] as [UInt8] }
    #expect(try outcome(pieces, oneByOne: oneByOne).1 == .handshakeTooLarge)
    // The largest that is allowed is waited for.
    let (server, reason) = try outcome([22, 3, 1, 0x40, 0, 1, 0, 0x40, 0], oneByOne: oneByOne)
    #expect(reason == nil && server.session.state == .handshaking)
  }

  /// A hello in many small records is legal: it has to be put together.
  @Test(arguments: [1, 3, 4, 5, 100]) func aHelloInPiecesIsGood(size: Int) throws {
    let hello = try hello()
    let body = hello[5...]
    var pieces: [UInt8] = []
    var place = body.startIndex
    while place < body.endIndex {
      let end = min(place + size, body.endIndex)
      pieces += [22, 3, 1, 0, UInt8(end - place)] + body[place..<end]
      place = end
    }
    let (server, reason) = try outcome(pieces, oneByOne: false)
    #expect(reason == nil)
    #expect(server.takeOutput().first == 22)
  }

  /// A handshake that never ends is cut: here by empty records, and by a client that goes on and on.
  @Test func anEndlessHandshakeIsCut() throws {
    let server = try server()
    let empty = [UInt8]([22, 3, 1, 0, 0])
    var sent = 0
    while server.session.failure == nil, sent < 1_000 {
      server.receive(empty[...])
      sent += 1
    }
    #expect(
      server.session.failure?.reason == .misuse || server.session.failure?.reason == .protocolError)
    #expect(sent <= 64)
    let slow = try self.server()
    slow.receive([22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc][...])
    let more = [UInt8](repeating: 0, count: 1_000)
    var bytes = 0
    while slow.session.failure == nil, bytes < 1 << 20 {
      slow.receive(more[...])
      bytes += more.count
    }
    #expect(bytes <= TLSSession.handshakeLimitBytes + 2 * more.count)
  }

  /// Any hello, damaged anywhere: a refusal or patience, and never more output than an alert or a
  /// whole flight.
  @Test(arguments: UInt64(0)..<60) func damagedHellosAreSurvived(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var bytes = try hello { $0.maximumVersion = seed % 2 == 0 ? .tls12 : .tls13 }
    for _ in 0...random.below(4) {
      switch random.below(4) {
      case 0: bytes[random.below(bytes.count)] ^= UInt8(1 + random.below(255))
      case 1: bytes.removeLast(random.below(bytes.count / 2))
      case 2: bytes.insert(UInt8(random.below(256)), at: random.below(bytes.count))
      default: bytes += (0..<random.below(200)).map { _ in UInt8(random.below(256)) }
      }
    }
    let (server, _) = try outcome(bytes, oneByOne: seed % 3 == 0)
    #expect(server.session.state != .established)
    #expect(server.takeOutput().count < 16_384)
    // Whatever comes after a failure is not looked at.
    let state = server.session.state
    if server.session.failure != nil {
      server.receive(bytes[...])
      #expect(server.session.state == state && server.takeOutput() == [])
    }
  }

  /// An established session with one record damaged: bad_record_mac, and nothing of it comes
  /// through; what came before does.
  @Test(arguments: [TLSVersion.tls12, .tls13], UInt64(0)..<10)
  func damagedRecordsAreRefused(version: TLSVersion, seed: UInt64) throws {
    let pair = try established(version)
    pair.client.send("good")
    pair.carry()
    pair.client.send("bad and more")
    var random = SeededRandom(seed: seed)
    var bytes = pair.client.takeOutput()
    bytes[5 + random.below(bytes.count - 5)] ^= 0x10
    pair.server.receive(bytes[...])
    #expect(pair.server.session.failure?.reason == .protocolError)
    #expect(pair.server.text == "good")
    pair.carry()
    // bad_record_mac, 20.
    #expect(pair.client.session.failure == TLSFailure(.peerAlert, code: 20))
  }

  private func established(_ version: TLSVersion) throws -> Pair {
    var settings = village.clientSettings
    settings.maximumVersion = version
    let pair = Pair(try clientContext(settings), try serverContext())
    pair.carry()
    #expect(pair.server.session.state == .established)
    return pair
  }

  // MARK: Floods

  /// A key update costs the sender nothing and us two key derivations. A few are fine.
  @Test func keyUpdatesAreBounded() throws {
    let pair = try established(.tls13)
    func update() -> Int32 {
      let done = pair.client.session.withSSL { ssl -> Int32 in
        SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED)
      }
      pair.client.send("x")
      return done ?? 0
    }
    for _ in 0..<TLSSession.keyUpdateLimit {
      #expect(update() == 1)
      pair.carry()
    }
    #expect(pair.server.session.state == .established)
    #expect(pair.server.received.count == Int(TLSSession.keyUpdateLimit))
    pair.server.send("still here")
    pair.carry()
    #expect(pair.client.text == "still here")
    for _ in 0..<2 {
      _ = update()
      pair.carry()
    }
    #expect(pair.server.session.failure?.reason == .misuse)
    #expect(
      pair.server.session.failure?.description
        == "records without data, key updates or renegotiations beyond their limit")
  }

  /// A session that moves much data may change its keys as often as it has reason to.
  @Test func keyUpdatesAreEarnedByData() throws {
    let pair = try established(.tls13)
    let quarter = [UInt8](repeating: 1, count: 1 << 18)
    for _ in 0..<Int(TLSSession.keyUpdateLimit) + 4 {
      _ = pair.client.session.withSSL { SSL_key_update($0, SSL_KEY_UPDATE_NOT_REQUESTED) }
      pair.client.send(quarter)
      pair.carry()
      pair.server.received.removeAll(keepingCapacity: true)
    }
    #expect(pair.server.session.state == .established)
  }

  /// Records that hold nothing, or only a warning, or a hello that comes too late: in one input and
  /// in many. Sealed by hand with the client's own key, since no library sends them.
  @Test(arguments: Sealed.allCases, [false, true])
  func recordsWithoutDataAreBounded(kind: Sealed, atOnce: Bool) throws {
    let context = try clientContext()
    let session = TLSSession(connecting: context, to: "a.example")
    let hand = try SealingHand(context)
    let pair = Pair(session, TLSSession(accepting: try serverContext()))
    pair.carry()
    #expect(pair.server.session.state == .established)
    pair.server.receive(try hand.seal(Array("hello".utf8), type: 23)[...])
    #expect(pair.server.text == "hello")
    var flood: [UInt8] = []
    for _ in 0..<200 { flood += try hand.seal(kind.content, type: kind.type) }
    if atOnce {
      pair.server.receive(flood[...])
    } else {
      for start in stride(from: 0, to: flood.count, by: 7) {
        pair.server.receive(flood[start..<min(start + 7, flood.count)])
      }
    }
    #expect(pair.server.session.failure?.reason == kind.reason)
    #expect(pair.server.takeOutput().count < 4_096)
  }

  /// TLS 1.2's renegotiation doubles a handshake's cost at the client's whim: it is refused, and
  /// asking again and again ends the session.
  @Test func renegotiationIsRefused() throws {
    let pair = try established(.tls12)
    let began = pair.client.session.withSSL { ssl -> Int32 in
      portico_ssl_allow_renegotiation(ssl)
      return SSL_renegotiate(ssl)
    }
    #expect(began == 1)
    _ = pair.client.session.withSSL { SSL_do_handshake($0) }
    pair.client.send("hello again")
    pair.carry()
    // The refusal is a warning; this client takes it for the end.
    #expect(pair.server.session.state != .handshaking)
    #expect(pair.server.justEstablished == 1)
  }

  /// Alerts that are mere warnings come in any number; five in a row are enough.
  @Test func warningAlertsAreBounded() throws {
    let server = try server()
    for _ in 0..<10 { server.receive([21, 3, 1, 0, 2, 1, 100][...]) }
    #expect(server.session.failure != nil)
  }

  /// Random bytes in an established session, cut at random.
  @Test(arguments: UInt64(0)..<20) func noiseIsRefused(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let pair = try established(seed % 2 == 0 ? .tls12 : .tls13)
    for _ in 0..<50 {
      let count = 1 + random.below(3_000)
      pair.server.receive((0..<count).map { _ in UInt8(random.below(256)) }[...])
    }
    #expect(pair.server.received == [])
    #expect(pair.server.session.failure != nil || pair.server.session.state == .established)
  }
}
