import Glibc
import Primitives
import TestClient
import Testing

extension Stories {
  /// TLS towards clients. What could break: a client that cannot come in, one that should not, and
  /// what it says being believed.
  @Suite struct TLS {
    let folder = Folder()
    let authority: Authority
    let backend: Backend

    init() throws {
      authority = try Authority(folder)
      backend = try Backend { $0.answer("ok\n") }
    }

    /// A listener with one host, `front.example`, P-256.
    func front(_ more: String = "", host: String = "") throws -> String {
      let pair = try authority.issue("front", "DNS:front.example,DNS:localhost")
      return """
        tls:
          hosts:
            - certificates: [{certificate: \(pair.certificate), key: \(pair.key)}]
        \(host)
        \(more)
        """
    }

    func curl(_ door: Portico, _ words: String..., host: String = "front.example") throws -> (
      ending: ChildProcess.Ending, output: String
    ) {
      try Authority.run(
        [
          "curl", "-sS", "--max-time", "20", "--cacert", authority.certificate, "--resolve",
          "\(host):\(door.door.number):127.0.0.1", "https://\(host):\(door.door.number)/",
        ] + words, in: folder)
    }

    func openssl(_ door: Portico, _ words: String..., host: String = "front.example") throws
      -> String
    {
      try Authority.run(
        [
          "openssl", "s_client", "-connect", door.door.text, "-servername", host, "-CAfile",
          authority.certificate,
        ] + words, in: folder
      ).output
    }

    func python(
      _ story: String, _ door: Portico, _ words: String..., within: Double = 60
    ) throws -> String {
      try Authority.run(
        [
          "python3", "\(Programs.package)/Tests/IntegrationTests/tls_client.py", story,
          "\(door.door.number)", authority.certificate,
        ] + words, in: folder, within: within
      ).output
    }

    // MARK: Handshakes

    @Test func curlSpeaksBothVersions() throws {
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address], listener: try front()))
      for words in [["--tls-max", "1.2"], ["--tlsv1.3"]] {
        let (ending, output) = try Authority.run(
          [
            "curl", "-sS", "--cacert", authority.certificate, "--resolve",
            "front.example:\(door.door.number):127.0.0.1",
            "https://front.example:\(door.door.number)/",
          ] + words, in: folder)
        #expect(ending == .exited(0), "\(output)")
        #expect(output == "ok\n")
      }
      #expect(backend.requests.allSatisfy { $0.contains("X-Forwarded-Proto: https\r\n") })
      let metrics = try door.metrics()
      #expect(metrics.sum("portico_tls_handshakes_total", "version=\"1.2\"") == 1)
      #expect(metrics.sum("portico_tls_handshakes_total", "version=\"1.3\"") == 1)
      let old = try curl(door, "--tls-max", "1.1")
      #expect(old.ending != .exited(0))
    }

    @Test func anOldVersionMayBeRefusedAltogether() throws {
      defer { backend.stop() }
      let door = try Portico(
        configuration([backend.address], listener: try front("  min_version: 1.3")))
      #expect(try curl(door, "--tls-max", "1.2").ending != .exited(0))
      #expect(try curl(door).output == "ok\n")
      #expect(
        try door.metrics().sum(
          "portico_tls_handshake_failures_total", "reason=\"no_common_parameters\"") == 1)
    }

    @Test func hostsHaveCertificatesOfTheirOwnAndRSABesideP256() throws {
      defer { backend.stop() }
      let other = try authority.issue("other", "DNS:other.example,DNS:*.wild.example")
      let rsa = try authority.issue("rsa", "DNS:other.example", kind: .rsa)
      let door = try Portico(
        configuration(
          [backend.address],
          listener: try front(
            host: """
                  - name: other
                    certificates:
                      - {certificate: \(other.certificate), key: \(other.key)}
                      - {certificate: \(rsa.certificate), key: \(rsa.key)}
              """)))
      #expect(try openssl(door, "-brief").contains("Peer certificate: CN = front"))
      #expect(
        try openssl(door, "-brief", host: "other.example").contains("Peer certificate: CN = other"))
      #expect(
        try openssl(door, "-brief", host: "a.wild.example").contains("Peer certificate: CN = other")
      )
      #expect(
        try openssl(door, "-brief", host: "unknown").contains("Peer certificate: CN = front"))
      #expect(
        try openssl(
          door, "-brief", "-sigalgs", "rsa_pss_rsae_sha256", host: "other.example"
        ).contains("Peer certificate: CN = rsa"))
    }

    @Test func aStapledResponseAndALPNReachTheClient() throws {
      defer { backend.stop() }
      let pair = try authority.issue("front", "DNS:front.example")
      let response = try authority.vouch(for: pair, in: "ocsp.der")
      let door = try Portico(
        configuration(
          [backend.address],
          listener: """
            protocols: [h1]
            tls:
              hosts:
                - certificates:
                    - {certificate: \(pair.certificate), key: \(pair.key), ocsp: \(response)}
            """))
      let seen = try openssl(door, "-status", "-alpn", "h2,http/1.1")
      #expect(seen.contains("OCSP Response Status: successful"), "\(seen)")
      #expect(seen.contains("Cert Status: good"))
      #expect(seen.contains("ALPN protocol: http/1.1"))
    }

    // Each connection of a client is another port, so it meets any of the loops: their tickets must
    // open on all.
    @Test(arguments: ["-tls1_2", "-tls1_3"]) func sessionsAreResumedOnAnyLoop(version: String)
      throws
    {
      defer { backend.stop() }
      let door = try Portico(
        configuration([backend.address], listener: try front(), top: "loops: 4"))
      put("GET / HTTP/1.1\r\nHost: front.example\r\nConnection: close\r\n\r\n", to: folder["ask"])
      func connect(_ words: String) throws -> String {
        try Authority.run(
          [
            "sh", "-c",
            "openssl s_client -connect \(door.door.text) -servername front.example \(version) "
              + "-ign_eof \(words) < \(folder["ask"])",
          ], in: folder
        ).output
      }
      let first = try connect("-sess_out \(folder["session"])")
      #expect(first.contains("New, TLSv1"), "\(first)")
      for _ in 0..<8 {
        #expect(try connect("-sess_in \(folder["session"])").contains("Reused, TLSv1"))
      }
      #expect(try door.metrics().sum("portico_tls_handshakes_total", "resumed=\"true\"") == 8)
    }

    // Machines under one name: a client that comes back to another one must not pay again.
    @Test func ticketKeysMayBeShared() throws {
      defer { backend.stop() }
      try authority.run("openssl", "rand", "-out", folder["tickets"], "80")
      let text = configuration(
        [backend.address], listener: try front("  tickets: {keys: \(folder["tickets"])}"))
      let doors = [try Portico(text), try Portico(text)]
      put("GET / HTTP/1.1\r\nHost: front.example\r\nConnection: close\r\n\r\n", to: folder["ask"])
      func connect(_ door: Portico, _ words: String) throws -> String {
        try Authority.run(
          [
            "sh", "-c",
            "openssl s_client -connect \(door.door.text) -servername front.example -ign_eof "
              + "\(words) < \(folder["ask"])",
          ], in: folder
        ).output
      }
      #expect(try connect(doors[0], "-sess_out \(folder["session"])").contains("New, TLSv1"))
      #expect(try connect(doors[1], "-sess_in \(folder["session"])").contains("Reused, TLSv1"))
      // A new key is taken over while the old one still opens.
      let old = try authority.run("sh", "-c", "cp \(folder["tickets"]) \(folder["old"])")
      #expect(old.isEmpty)
      try authority.run(
        "sh", "-c",
        "(openssl rand 80; cat \(folder["old"])) > \(folder["new"]) && mv \(folder["new"]) "
          + folder["tickets"])
      try eventually("the keys are taken over", note: doors[1].log) {
        doors[1].logged("configuration applied") == 1
      }
      #expect(try connect(doors[1], "-sess_in \(folder["session"])").contains("Reused, TLSv1"))
      folder.write("tickets", "short")
      try eventually("a short file is refused", note: doors[1].log) {
        doors[1].logged("has 5 bytes and not 80 for each key") == 1
      }
    }

    @Test func recordsMayComeInAnyPieces() throws {
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address], listener: try front()))
      #expect(try python("byte_by_byte", door) == "good\n")
      #expect(try python("half_records", door) == "good\n")
    }

    @Test func aProxyHeaderComesBeforeTLS() throws {
      defer { backend.stop() }
      let door = try Portico(
        configuration(
          [backend.address], listener: "proxy_protocol: true\n" + (try front())))
      #expect(try python("proxied", door) == "good\n")
      #expect(backend.requests.count == 2)
      #expect(backend.requests.allSatisfy { $0.contains("X-Forwarded-For: 9.8.7.6\r\n") })
    }

    // MARK: Who does not get in

    @Test func plainHTTPIsToldSoInClear() throws {
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address], listener: try front()))
      let client = try TestClient(door.address)
      client.send(request("GET", "/"))
      let response = client.readResponse()
      #expect(response.status == 400)
      #expect(
        response.body == """
          {"error":{"message":"This port speaks TLS and the request came without; use https:// \
          instead of http://.","type":"invalid_request_error","code":"plain_http"}}

          """)
      #expect(client.waitForEnd() == .fin)
      let noise = try TestClient(door.address)
      noise.send("\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}")
      _ = noise.waitForEnd()
      let metrics = try door.metrics()
      let name = "portico_tls_handshake_failures_total"
      #expect(metrics.sum(name, "reason=\"plaintext_http\"") == 1)
      #expect(metrics.sum(name, "reason=\"not_tls\"") == 1)
      #expect(backend.requests.isEmpty)
    }

    @Test func aHandshakeThatDoesNotEndIsEnded() throws {
      defer { backend.stop() }
      let door = try Portico(
        configuration(
          [backend.address], listener: try front("  handshake_timeout: 300ms")))
      let silent = try TestClient(door.address)
      let begun = try TestClient(door.address)
      begun.send([0x16, 0x03, 0x01, 0x02, 0x00])
      let start = seconds()
      #expect(silent.waitForEnd() != .none)
      #expect(begun.waitForEnd() != .none)
      #expect(seconds() - start < 10)
      #expect(
        try door.metrics().sum("portico_tls_handshake_failures_total", "reason=\"timeout\"") == 2)
    }

    // MARK: Mutual TLS

    private func mutual(_ names: String = "") throws -> String {
      let pair = try authority.issue("mutual", "DNS:mutual.example")
      return try front(
        host: """
              - certificates: [{certificate: \(pair.certificate), key: \(pair.key)}]
                client_auth: {ca: \(authority.certificate)\(names)}
          """)
    }

    @Test func aVerifiedNameReachesTheBackendAndAClaimedOneDoesNot() throws {
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address], listener: try mutual()))
      let client = try authority.issue("client", "DNS:billing.internal")
      let answer = try curl(
        door, "--cert", client.certificate, "--key", client.key, "-H", "X-SSL-Client-CN: root",
        "-H", "x_ssl_client_cn: root", host: "mutual.example")
      #expect(answer.output == "ok\n")
      let head = try #require(backend.requests.last)
      #expect(head.contains("X-SSL-Client-CN: billing.internal\r\n"))
      #expect(!head.contains("root"))
      // Nobody was asked for a certificate here, and a name is not taken from anybody.
      #expect(try curl(door, "-H", "X-SSL-Client-CN: root").output == "ok\n")
      #expect(backend.requests.last?.contains("root") == false)
    }

    @Test func whoHasNoGoodCertificateStaysOutside() throws {
      defer { backend.stop() }
      let door = try Portico(
        configuration(
          [backend.address], listener: try mutual(", allowed_names: [billing.internal]")))
      let stranger = try Authority(folder, name: "stranger").issue("s", "DNS:billing.internal")
      let other = try authority.issue("other", "DNS:other.internal")
      let old = try authority.issue("old", "DNS:billing.internal", days: -1)
      #expect(try curl(door, host: "mutual.example").ending != .exited(0))
      for pair in [stranger, other, old] {
        let answer = try curl(
          door, "--cert", pair.certificate, "--key", pair.key, host: "mutual.example")
        #expect(answer.ending != .exited(0), "\(answer.output)")
      }
      let metrics = try door.metrics()
      let name = "portico_tls_handshake_failures_total"
      #expect(metrics.sum(name, "reason=\"certificate_missing\"") == 1)
      #expect(metrics.sum(name, "reason=\"certificate_invalid\"") == 2)
      #expect(metrics.sum(name, "reason=\"name_not_allowed\"") == 1)
      #expect(backend.requests.isEmpty)
    }

    // The host in the request is chosen after the handshake: it must not lead past the certificate.
    @Test func aRequestMayNotSlipToAHostThatAsksMore() throws {
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address], listener: try mutual()))
      let slipped = try curl(door, "-H", "Host: mutual.example", "-w", "%{http_code}")
      #expect(slipped.output.hasSuffix("421"))
      #expect(slipped.output.contains("\"code\":\"misdirected\""))
      #expect(backend.requests.isEmpty)
    }
  }
}
