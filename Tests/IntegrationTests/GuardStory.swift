import Dispatch
import Glibc
import JSON
import TestClient
import Testing

extension Stories {
  /// Guards on real sockets. What could break: what only the processes can, such as loops that count
  /// apart, a file of keys that is not noticed, or a client that does not understand a refusal.
  @Suite struct GuardStory {
    private static let secret = "sk-a-secret-of-team-a"

    private func hash(_ key: String) throws -> String {
      let folder = Folder()
      folder.write("key", key + "\n")
      let process = try ChildProcess(
        ["sh", "-c", "'\(Programs.portico)' hash-key < '\(folder["key"])'"],
        output: folder["hash"])
      #expect(try process.waitForEnd() == .exited(0), "\(process.output)")
      return String(process.output.dropLast())
    }

    /// A front door before a mock, with what the story adds to its one route.
    private func portico(
      _ mock: Mock, route: String = "", listener: String = "", top: String = "", loops: Int = 2,
      files: [(String, String)] = []
    ) throws -> Portico {
      let text = """
        loops: \(loops)
        \(top)
        listeners:
          - address: DOOR
            \(listener)
        admin: {address: ADMIN}
        access_log: {path: ./LOG}
        pools: [{name: chat, backends: ["\(mock.text)"]}]
        routes: [{name: all, pool: chat\(route.isEmpty ? "" : ", \(route)")}]

        """
      return try Portico(
        text,
        lay: { folder, text in
          for (name, contents) in files { folder.write(name, contents) }
          folder.write(
            "portico.yaml",
            text.split(separator: "./LOG", omittingEmptySubsequences: false)
              .joined(separator: folder["access.log"]))
          return folder["portico.yaml"]
        })
    }

    // `hash-key` must agree with every other program, and must not take what can be guessed.
    @Test func keysAreHashed() throws {
      #expect(
        try hash("12345678901234567890")
          == "6ed645ef0e1abea1bf1e4e935ff04f9e18d39812387f63cda3415b46240f0405")
      let made = try IntegrationTests.portico("hash-key", "--new")
      let lines = made.output.split(separator: "\n").map(String.init)
      #expect(lines.count == 2)
      #expect(lines[0].hasPrefix("sk-") && lines[0].utf8.count == 46)
      #expect(try hash(lines[0]) == lines[1])
      let folder = Folder()
      let short = try ChildProcess(
        ["sh", "-c", "echo short | '\(Programs.portico)' hash-key"], output: folder["words"])
      #expect(try short.waitForEnd() == .exited(1))
      #expect(
        short.output == """
          portico: the key has 5 characters, and fewer than 20 can be guessed from their hash; \
          'portico hash-key --new' makes one

          """)
    }

    // A person with the openai client: does it see what it may do, and why not?
    @Test func theOpenAIClientUnderstands() throws {
      let python = "\(Programs.package)/.build/python/bin/python"
      guard access(python, X_OK) == 0 else { return }
      let mock = try Mock()
      let portico = try portico(
        mock, route: "access: api_key",
        top: """
          api_keys:
            - name: team-a
              sha256: \(try hash(Self.secret))
              models: [mock*]
              limits: {requests: 3/h, tokens: 100000/h}
          """)
      let folder = Folder()
      let client = try ChildProcess(
        [
          python, "\(Programs.package)/Tests/IntegrationTests/guard_client.py",
          "http://\(portico.door.text)/v1", Self.secret,
        ], output: folder["python"])
      #expect(try client.waitForEnd(within: 60) == .exited(0), "\(client.output)")
      #expect(
        client.output == "answered\nstreamed\nmodel denied\nover the rate\nunknown\n")
      let metrics = try portico.metrics()
      #expect(
        metrics.sum("portico_key_requests_total", #"key="team-a""#, #"code_class="2xx""#) == 3)
      #expect(metrics.sum("portico_key_tokens_total", #"key="team-a""#, #"kind="prompt""#) > 0)
      #expect(metrics.sum("portico_key_tokens_total", #"kind="completion""#) >= 24)
      #expect(metrics.sum("portico_terminations_total", #"reason="model_not_allowed""#) == 1)
      #expect(metrics.sum("portico_terminations_total", #"reason="key_request_rate""#) == 1)
      #expect(metrics.sum("portico_terminations_total", #"reason="credentials_invalid""#) == 1)
      try eventually("the log has its lines") {
        let log = contents(of: portico.folder["access.log"]) ?? ""
        return log.split(separator: "\n").count { $0.contains(#""key":"team-a""#) } == 5
          && !log.contains(Self.secret)
      }
    }

    // Two loops, one bucket: as many pass as the rate says, not twice as many.
    @Test func ratesHoldOverAllLoops() throws {
      let mock = try Mock()
      let portico = try portico(
        mock, route: "access: api_key",
        top: """
          api_keys:
            - {name: team-a, sha256: \(try hash(Self.secret)), limits: {requests: 50/h}}
          """)
      let swarm = try Swarm()
      for _ in 0..<150 {
        try swarm.add(
          portico.address,
          request("GET", "/v1/models", fields: "X-Api-Key: \(Self.secret)\nConnection: close"))
      }
      try swarm.run()
      let statuses = swarm.clients.map { Answer.status($0.received) }
      #expect(statuses.count { $0 == 200 } == 50)
      #expect(statuses.count { $0 == 429 } == 100)
      // An edit elsewhere forgives nothing; another rate begins anew.
      func edit(_ old: String, _ new: String, _ count: Int) throws {
        portico.edit(
          (contents(of: portico.folder["portico.yaml"]) ?? "").replacing(old, with: new))
        try eventually("the edit is taken over") {
          portico.logged("configuration applied") == count
        }
      }
      func passed() throws -> Int {
        try (0..<8).count { _ in
          try ask(
            portico.address, "GET", "/v1/models", fields: "X-Api-Key: \(Self.secret)"
          ).status == 200
        }
      }
      try edit("name: all", "name: everything", 1)
      #expect(try passed() == 0)
      try edit("50/h", "5/h", 2)
      #expect(try passed() == 5)
    }

    // A file of keys that is written over: the new one is let in, the removed one is not.
    @Test func aFileOfKeysIsTakenOverWhenItChanges() throws {
      let mock = try Mock()
      let first = try hash(Self.secret)
      let second = try hash("sk-the-key-of-team-b-0")
      let portico = try portico(
        mock, route: "access: api_key", top: "api_keys_file: keys.yaml",
        files: [("keys.yaml", "- {name: team-a, sha256: '\(first)'}\n")])
      func status(_ key: String) throws -> Int {
        try ask(portico.address, "GET", "/v1/models", fields: "Authorization: Bearer \(key)").status
      }
      #expect(try status(Self.secret) == 200)
      #expect(try status("sk-the-key-of-team-b-0") == 401)
      portico.folder.write("keys.yaml", "- {name: team-b, sha256: '\(second)'}\n")
      try eventually("the new key is known") { try status("sk-the-key-of-team-b-0") == 200 }
      #expect(try status(Self.secret) == 401)
      // A broken one changes nothing, and says so.
      portico.folder.write("keys.yaml", "- {name: team-c, sha256: my-key}\n")
      try eventually("the mistake is told") {
        portico.log.contains("'sha256' must be the SHA-256 of a key")
      }
      #expect(try status("sk-the-key-of-team-b-0") == 200)
    }

    // The paths that stop an engine, in the spellings that somebody would try.
    @Test func adminPathsAreBlocked() throws {
      let mock = try Mock()
      let portico = try portico(mock)
      for path in [
        "/sleep", "/SLEEP", "/sleep/", "/sleep;x", "/metrics", "/Metrics?x=1", "/flush_cache",
        "/v1/load_lora_adapter", "/v1%2fload_lora_adapter", "/V1/load_lora_adapter",
        "/v2/repository/models/m/load", "/slots/1?action=erase", "/server_info",
      ] {
        let response = try ask(portico.address, "POST", path)
        #expect(response.status == 403, "\(path)")
        #expect(response.body.contains("admin_path_blocked"), "\(path)")
      }
      // What another server might read as such a path does not pass the parser.
      for path in ["//sleep", "/%73leep", "/x/../sleep", "/sleep%00", "/\\sleep"] {
        #expect(try ask(portico.address, "POST", path).status == 400, "\(path)")
      }
      // In absolute form it is the same path.
      #expect(try ask(portico.address, "POST", "http://story/sleep").status == 403)
      #expect(try ask(portico.address, "GET", "/v1/models").status == 200)
    }

    // Who asks, behind a proxy that is trusted.
    @Test func addressesAreThoseOfClients() throws {
      let mock = try Mock()
      let portico = try portico(
        mock, route: "access: {allow: [192.0.2.0/24], deny: [192.0.2.66]}",
        listener: "trusted_proxies: [127.0.0.1, 10.0.0.0/8]")
      func status(_ forwardedFor: String?) throws -> Int {
        try ask(
          portico.address, "GET", "/v1/models",
          fields: forwardedFor.map { "X-Forwarded-For: \($0)" } ?? ""
        ).status
      }
      #expect(try status("192.0.2.1") == 200)
      #expect(try status("192.0.2.66") == 403)
      #expect(try status("198.51.100.1") == 403)
      #expect(try status(nil) == 403)
      // Written by the client before the trusted proxies wrote theirs.
      #expect(try status("192.0.2.1, 198.51.100.1") == 403)
      #expect(try status("198.51.100.1, 192.0.2.1, 10.1.2.3") == 200)
      #expect(try status("192.0.2.1, nonsense") == 403)
    }

    // A browser's question before its request, as curl asks it.
    @Test func pagesAskAndAreAnswered() throws {
      let mock = try Mock()
      let portico = try portico(
        mock, route: "cors: {origins: ['https://*.example.org'], headers: [Content-Type]}")
      let folder = Folder()
      let curl = try ChildProcess(
        [
          "curl", "-s", "-i", "-X", "OPTIONS", "-H", "Origin: https://app.example.org", "-H",
          "Access-Control-Request-Method: POST", "http://\(portico.door.text)/v1/chat/completions",
        ], output: folder["curl"])
      #expect(try curl.waitForEnd() == .exited(0))
      #expect(
        curl.output == """
          HTTP/1.1 204 No Content\r
          Access-Control-Allow-Origin: https://app.example.org\r
          Access-Control-Allow-Methods: GET, POST\r
          Access-Control-Allow-Headers: Content-Type\r
          Access-Control-Max-Age: 600\r
          Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r
          \r

          """)
      let read = try ask(
        portico.address, "GET", "/v1/models", fields: "Origin: https://app.example.org")
      #expect(read.head.contains("Access-Control-Allow-Origin: https://app.example.org\r\n"))
      let other = try ask(portico.address, "GET", "/v1/models", fields: "Origin: https://evil.org")
      #expect(!other.head.contains("Access-Control"))
    }

    // A prompt far larger than one read, whose model stands behind it.
    @Test func aLongPromptBeforeItsModel() throws {
      let mock = try Mock()
      let portico = try portico(mock, route: "models: [mock]")
      let prompt = String(repeating: "word ", count: 100_000)
      func ask(_ model: String) throws -> TestClient.Response {
        let client = try TestClient(portico.address)
        let body =
          #"{"messages":[{"role":"user","content":"\#(prompt)"}],"max_tokens":4,"model":"\#(model)"}"#
        client.send(
          request(
            "POST", "/v1/chat/completions", fields: "Content-Type: application/json", body: body))
        return client.readResponse()
      }
      #expect(try ask("mock").status == 200)
      let denied = try ask("other")
      #expect(denied.status == 403)
      #expect(denied.body.contains("The route 'all' does not take the model 'other'"))
    }
  }
}
