import Glibc
import Primitives
import TestClient
import Testing

extension Stories {
  /// TLS towards backends: another front door stands before the story's own backend. What could break:
  /// a request that goes to somebody who has not shown who it is, a cut answer that looks whole.
  @Suite struct UpstreamTLS {
    let folder = Folder()
    let authority: Authority
    let backend: Backend

    init() throws {
      authority = try Authority(folder)
      backend = try Backend { $0.answer("ok\n") }
    }

    /// Speaks TLS and passes on to the backend in clear.
    private func engine(
      _ names: String = "DNS:engine.internal", days: Int = 30, _ more: String = "",
      behind: Backend? = nil
    ) throws -> Portico {
      let file = "engine-\(UInt32.random(in: 0...(.max)))"
      let pair = try authority.issue(file, names, days: days)
      return try Portico(
        configuration(
          [(behind ?? backend).address],
          listener: """
            tls:
              hosts:
                - certificates: [{certificate: \(pair.certificate), key: \(pair.key)}]
              \(more)
            """))
    }

    private func door(
      _ engines: [Portico], _ more: String = "", server: String = "engine.internal",
      pool: String = "retry: {attempts: 1}"
    ) throws -> Portico {
      try Portico(
        configuration(
          engines.map(\.address),
          pool: "tls: {ca: \(authority.certificate), server_name: \(server)\(more)}\n\(pool)"))
    }

    @Test func aVerifiedBackendIsAsked() throws {
      defer { backend.stop() }
      let engine = try engine()
      let door = try door([engine])
      for _ in 0..<3 { #expect(try ask(door.address, "GET", "/").body == "ok\n") }
      let metrics = try door.metrics()
      // One connection for each loop, kept.
      #expect((1...2).contains(metrics.sum("portico_upstream_tls_handshakes_total")))
      #expect(backend.requests.last?.contains("X-Forwarded-Proto: http") == true)
    }

    @Test func sessionsWithBackendsAreResumed() throws {
      defer { backend.stop() }
      let engine = try engine()
      let door = try door([engine], pool: "timeouts: {idle: 10ms}")
      for _ in 0..<3 {
        #expect(try ask(door.address, "GET", "/").body == "ok\n")
        usleep(100_000)
      }
      let metrics = try door.metrics()
      #expect(metrics.sum("portico_upstream_tls_handshakes_total") == 3)
      // The first of each loop is a whole one.
      #expect(metrics.sum("portico_upstream_tls_handshakes_total", "resumed=\"true\"") >= 1)
    }

    private func expectRefused(_ door: Portico, _ words: String) throws {
      let answer = try ask(door.address, "GET", "/")
      #expect(answer.status == 502)
      #expect(answer.body.contains("\"code\":\"upstream_certificate\""), "\(answer.body)")
      #expect(answer.body.contains(words), "\(answer.body)")
      #expect(backend.requests.isEmpty)
      let metrics = try door.metrics()
      #expect(
        metrics.sum(
          "portico_upstream_tls_handshake_failures_total", "reason=\"certificate_invalid\"") == 1)
      #expect(metrics.sum("portico_terminations_total", "reason=\"upstream_certificate\"") == 1)
      #expect(door.logged("a TLS handshake with a backend failed: ") == 1, "\(door.log)")
    }

    @Test func anotherNameIsNotBelieved() throws {
      defer { backend.stop() }
      let engine = try engine("DNS:other.internal")
      try expectRefused(try door([engine]), "engine.internal: ")
      #expect(engine.process.isRunning)
    }

    @Test func anEndedCertificateIsNotBelieved() throws {
      defer { backend.stop() }
      let engine = try engine(days: -1)
      try expectRefused(try door([engine]), "expired")
      #expect(engine.process.isRunning)
    }

    @Test func anotherAuthorityIsNotBelieved() throws {
      defer { backend.stop() }
      let engine = try engine()
      let stranger = try Authority(folder, name: "stranger")
      let door = try Portico(
        configuration(
          [engine.address],
          pool: """
            tls: {ca: \(stranger.certificate), server_name: engine.internal}
            retry: {attempts: 1}
            """))
      try expectRefused(door, "engine.internal: ")
    }

    // An address without a name must stand in the certificate itself.
    @Test func anAddressIsAName() throws {
      defer { backend.stop() }
      let engine = try engine("IP:127.0.0.1")
      let door = try Portico(
        configuration([engine.address], pool: "tls: {ca: \(authority.certificate)}"))
      #expect(try ask(door.address, "GET", "/").body == "ok\n")
    }

    @Test func aBackendMayAskWhoWeAre() throws {
      defer { backend.stop() }
      let engine = try engine(
        "DNS:engine.internal", "client_auth: {ca: \(authority.certificate), header: X-Who}")
      let pair = try authority.issue("portico", "DNS:door.internal")
      let door = try door([engine], ", certificate: \(pair.certificate), key: \(pair.key)")
      #expect(try ask(door.address, "GET", "/", fields: "X-Who: root").body == "ok\n")
      #expect(backend.requests.last?.contains("X-Who: door.internal\r\n") == true)
      #expect(backend.requests.last?.contains("root") == false)
      let nobody = try self.door([engine])
      #expect(try ask(nobody.address, "GET", "/").status == 502)
    }

    // Nothing was sent to the one that was not believed, so even a POST may go to the other.
    @Test func anotherBackendIsAskedInstead() throws {
      defer { backend.stop() }
      let bad = try engine("DNS:other.internal")
      let good = try engine()
      let door = try door([bad, good], pool: "retry: {attempts: 2}\nbalance: round_robin")
      for _ in 0..<6 { #expect(try ask(door.address, "POST", "/", body: "x").body == "ok\n") }
      #expect(backend.requests.count == 6)
    }

    @Test func probesSpeakTLSToo() throws {
      defer { backend.stop() }
      let bad = try engine("DNS:other.internal")
      let good = try engine()
      let door = try door(
        [bad, good], pool: "health: {path: /, interval: 100ms, rise: 1, fall: 1}")
      try eventually("both are judged", note: door.log) {
        door.logged("verdict=good") == 1 && door.logged("verdict=bad") == 1
      }
      let reason = try door.member("b0")["last_error"]?.text ?? ""
      #expect(reason.contains("certificate not verified"), "\(reason)")
    }

    // MARK: Ends

    @Test(arguments: ["h1", "h2"]) func aKilledBackendLeavesACutAnswer(wire: String) throws {
      let gate = Gate()
      let streaming = try Backend { call in
        call.start()
        call.piece("data: 1\n\n")
        gate.pass()
        call.close()
      }
      defer {
        gate.open()
        streaming.stop()
      }
      let engine = try engine(behind: streaming)
      let door = try door([engine], pool: "retry: {attempts: 1}\nprotocol: \(wire)")
      let client = try TestClient(door.address)
      client.send(request("GET", "/"))
      #expect(client.read(through: "data: 1\n\n").hasSuffix("data: 1\n\n"))
      engine.process.cut()
      let rest = client.readToEnd()
      #expect(!rest.contains("0\r\n\r\n"), "a cut answer must not look whole: \(rest)")
      #expect(client.end != .none)
      try eventually("it is counted") {
        try door.metrics().sum("portico_terminations_total", "source=\"upstream\"") == 1
      }
    }

    // An answer that ends with its connection is whole only if TLS has said so.
    @Test(arguments: [true, false]) func anAnswerWithoutLengthEndsAsTLSSays(isWhole: Bool) throws {
      defer { backend.stop() }
      let pair = try authority.issue("server", "DNS:engine.internal")
      // What s_server -HTTP sends is the file, head and all, and then close_notify.
      let size = isWhole ? 10_000 : 30 << 20
      folder.write(
        "answer",
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"
          + String(repeating: "x", count: size))
      let port = try Port()
      let server = try ChildProcess(
        [
          "sh", "-c",
          "cd \(folder.path) && exec openssl s_server -accept \(port.number) -HTTP -cert "
            + "\(pair.certificate) -key \(pair.key)",
        ], output: folder["server"])
      let door = try Portico(
        configuration(
          [port.address],
          pool: """
            tls: {ca: \(authority.certificate), server_name: engine.internal}
            retry: {attempts: 1}
            """))
      try eventually("the server listens", note: server.output) {
        server.output.contains("ACCEPT")
      }
      let client = try TestClient(door.address)
      client.send(request("GET", "/answer"))
      #expect(client.read(through: "\r\n\r\n").hasPrefix("HTTP/1.1 200 OK"))
      if !isWhole { server.cut() }
      let rest = isWhole ? client.read(through: "\r\n0\r\n\r\n") : client.readToEnd()
      #expect(rest.hasSuffix("\r\n0\r\n\r\n") == isWhole)
    }
  }
}
