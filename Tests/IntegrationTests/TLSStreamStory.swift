import Glibc
import Primitives
import TestClient
import Testing

/// TLS over time. What could break: bytes that are kept without bound or out of order, an event that
/// waits for the next, a certificate that cannot be replaced without a failed handshake.
extension Stories.TLS {
  private static let large = 20 << 20

  @Test func aSlowReaderOfALargeAnswerCostsLittle() throws {
    let large = try Backend { call in
      call.connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(Self.large)\r\n\r\n")
      let piece = [UInt8](repeating: 0x78, count: 1 << 16)
      for _ in 0..<(Self.large >> 16) { call.connection.send(piece) }
    }
    defer { large.stop() }
    let door = try Portico(configuration([large.address], listener: try front()))
    #expect(try curl(door, "-o", "/dev/null").ending == .exited(0))
    let before = door.process.residentBytes
    let output = folder["slow"]
    let client = try ChildProcess(
      [
        "python3", "\(Programs.package)/Tests/IntegrationTests/tls_client.py", "slow",
        "\(door.door.number)", authority.certificate, "\(Self.large)",
      ], output: output)
    try eventually("the answer waits", note: client.output) { client.output.contains("waiting") }
    let grown = door.process.residentBytes - before
    #expect(grown < 8 << 20, "\(grown >> 10) KiB are kept for a client that does not read")
    #expect(try client.waitForEnd(within: 60) == .exited(0), "\(client.output)")
    #expect(client.output == "waiting\ngood\n")
  }

  @Test func aLargePromptArrivesWhole() throws {
    let counting = try Backend { call in
      var isClean = true
      let count = call.readBody { piece in isClean = isClean && piece.allSatisfy { $0 == 0x78 } }
      call.answer(isClean ? "\(count)\n" : "other bytes\n")
    }
    defer { counting.stop() }
    let door = try Portico(configuration([counting.address], listener: try front()))
    #expect(try python("upload", door, "\(Self.large)") == "good\n")
  }

  @Test func eventsPassOneByOne() throws {
    let seen = (0..<5).map { _ in Gate() }
    let streaming = try Backend { call in
      if call.head.contains("/seen/") {
        for number in 0..<5 where call.head.contains("/seen/\(number) ") { seen[number].open() }
        call.answer("ok\n")
        return
      }
      call.start()
      for number in 0..<5 {
        call.piece("data: \(number)\n\n")
        seen[number].pass()
      }
      call.finish()
    }
    defer { streaming.stop() }
    let door = try Portico(configuration([streaming.address], listener: try front()))
    #expect(try python("events", door) == "good\n")
  }

  @Test func theOpenAIClientWorksOverTLS() throws {
    let python = "\(Programs.package)/.build/python/bin/python"
    guard access(python, X_OK) == 0 else {
      Issue.record("there is no openai client; run Docker/bootstrap.sh first")
      return
    }
    let mock = try Mock()
    let door = try Portico(configuration([mock.address], listener: try front()))
    let (ending, output) = try Authority.run(
      [
        python, "\(Programs.package)/Tests/IntegrationTests/openai_client.py",
        "https://localhost:\(door.door.number)/v1",
      ], in: folder, environment: ["SSL_CERT_FILE": authority.certificate], within: 120)
    #expect(ending == .exited(0), "\(output)")
    #expect(output.hasSuffix("refused\n"))
  }

  // MARK: Files that change

  @Test func certificatesAreReplacedUnderLoadWithoutAFailure() throws {
    defer { backend.stop() }
    let door = try Portico(
      configuration([backend.address], listener: try front(), top: "loops: 2"))
    let client = try ChildProcess(
      [
        "python3", "\(Programs.package)/Tests/IntegrationTests/tls_client.py", "storm",
        "\(door.door.number)", authority.certificate, "200", "5",
      ], output: folder["storm"])
    var count = 0
    while client.isRunning {
      usleep(400_000)
      // As ACME clients do it: made beside the old pair, then moved over it, one after the other.
      let next = try authority.issue("next", "DNS:front.example,DNS:localhost")
      rename(next.certificate, folder["front.pem"])
      usleep(20_000)
      rename(next.key, folder["front.key"])
      count += 1
    }
    #expect(try client.waitForEnd(within: 60) == .exited(0), "\(client.output)")
    #expect(client.output.contains("failures 0 []"), "\(client.output)")
    #expect(count > 3)
    let serials = client.output.split(separator: "\n").first { $0.hasPrefix("serials ") }
    #expect((serials.flatMap { Int($0.dropFirst(8)) } ?? 0) > 2, "\(client.output)")
  }

  @Test func aPairThatDoesNotMatchIsKeptOut() throws {
    defer { backend.stop() }
    let door = try Portico(configuration([backend.address], listener: try front()))
    let other = try authority.issue("other", "DNS:front.example,DNS:localhost")
    rename(other.key, folder["front.key"])
    try eventually("the pair is refused", note: door.log) {
      door.logged("configuration refused; the one before it stays in use") > 0
    }
    #expect(door.logged("does not belong to the first certificate of") == 1, "\(door.log)")
    #expect(door.logged("portico.yaml:6:") == 1, "\(door.log)")
    #expect(try curl(door).output == "ok\n")
    #expect(try door.metrics().sum("portico_config_last_reload_success") == 0)
    // The other half comes.
    rename(other.certificate, folder["front.pem"])
    try eventually("the pair is taken", note: door.log) {
      try door.metrics().sum("portico_config_last_reload_success") == 1
    }
    #expect(door.logged("tls: the files have new contents") == 1)
    #expect(try openssl(door, "-brief").contains("Peer certificate: CN = other"))
  }

  @Test func checkReadsWhatTheFileNames() throws {
    defer { backend.stop() }
    let pair = try authority.issue("front", "DNS:front.example", days: 3)
    let other = try authority.issue("other", "DNS:front.example")
    func check(_ certificate: String, _ key: String) throws -> String {
      folder.write(
        "check.yaml",
        """
        listeners:
          - address: 127.0.0.1:8443
            tls:
              hosts:
                - certificates:
                  - certificate: \(certificate)
                    key: \(key)
        pools: [{name: chat, backends: [127.0.0.1:9001]}]
        routes: [{pool: chat}]

        """)
      return try portico("check", folder["check.yaml"]).output
        .replacing(folder.path + "/", with: "")
    }
    #expect(
      try check("missing.pem", "front.key") == """
        check.yaml:6:26: certificate chain 'missing.pem' cannot be read: No such file or directory; \
        check the path

        """)
    #expect(
      try check("front.pem", "other.key") == """
        check.yaml:7:18: key 'other.key' does not belong to the first certificate of 'front.pem' \
        ('front'); give the pair that was issued together, the server's own certificate first

        """)
    let soon = try check("front.pem", "front.key")
    #expect(soon.contains("check.yaml:6:26: 'front.pem': 'front' expires in less than 14 days"))
    #expect(soon.hasSuffix("good: 1 listener, 1 pool with 1 backend, 1 route\n"))
    _ = (pair, other)
  }
}
