import Glibc
import JSON
import TestClient
import Testing

extension Stories {
  /// What could break: ranks that compute another model than one process does, clients that hang or
  /// take half a text for a whole one when a process dies, processes that nobody ends.
  @Suite struct Workers {
    // The whole way: tokenizer, scheduler, ranks over shared memory, sampling, detokenizer.
    @Test func oneTwoAndFourRanksSayTheSame() throws {
      var texts: [String] = []
      for ranks in [1, 2, 4] {
        let worker = try Worker("--tp \(ranks)")
        #expect(worker.ranks.count == ranks)
        texts.append(try worker.text("The quick brown fox jumps over", tokens: 24))
        // Drawn by a seed, and beside others.
        texts.append(
          try worker.text("Once", tokens: 16, more: #","temperature":1,"seed":7"#))
      }
      #expect(!texts[0].isEmpty)
      for ranks in 1..<3 { #expect(texts[ranks * 2..<ranks * 2 + 2] == texts[..<2]) }
    }

    @Test func neighboursStreamsAndThePrefixCacheChangeNoText() throws {
      let worker = try Worker("--max-batch-tokens 32")
      let more = #","temperature":0.9,"seed":11"#
      let alone = try worker.text("A front door for fleets", tokens: 40, more: more)
      // Beside eight others, of which some share its prompt.
      let others = try (0..<8).map { index in
        let client = try TestClient(worker.port.address)
        client.send(
          request(
            "POST", "/v1/completions",
            body: Worker.body(
              index % 2 == 0 ? "A front door for fleets" : "Others speak too, at length",
              tokens: 60, more: #","temperature":1,"seed":\#(index)"#)))
        return client
      }
      #expect(try worker.text("A front door for fleets", tokens: 40, more: more) == alone)
      for client in others { #expect(client.readResponse().status == 200) }
      // Streamed: the pieces are the whole, and the end is the end.
      let client = try TestClient(worker.port.address)
      client.send(
        request(
          "POST", "/v1/completions",
          body: Worker.body(
            "A front door for fleets", tokens: 40, more: more + #","stream":true"#)))
      let events = client.readResponse().body.split(separator: "\n\n")
      #expect(events.last == "data: [DONE]")
      let pieces = try events.dropLast().map {
        try JSONValue(String($0.dropFirst(6)))["choices"]?.elements?[0]["text"]?.text ?? ""
      }
      #expect(pieces.joined() == alone)
      // The engine reports ten times a second.
      try eventually("prefixes were found") {
        try worker.metrics().sum("portico_worker_cached_prompt_tokens_total") > 0
      }
    }

    // Eight texts in a pool that holds three of them: some give their blocks up and are computed
    // again, and no word changes.
    @Test func preemptionChangesNoText() throws {
      func texts(_ options: String) throws -> (texts: [String], preemptions: Double) {
        let worker = try Worker(options)
        let clients = try (0..<8).map { index in
          let client = try TestClient(worker.port.address)
          client.send(
            request(
              "POST", "/v1/completions",
              body: Worker.body(
                "Text number \(index) begins", tokens: 90,
                more: #","temperature":1,"seed":\#(index)"#)))
          return client
        }
        let texts = try clients.map { client in
          let response = client.readResponse()
          #expect(response.status == 200, "\(response.body)")
          return try JSONValue(response.body)["choices"]?.elements?[0]["text"]?.text ?? ""
        }
        try eventually("the engine has reported") {
          try worker.metrics().sum("portico_worker_running") == 0
        }
        return (texts, try worker.metrics().sum("portico_worker_preemptions_total"))
      }
      let roomy = try texts("")
      // 2 KiB a block of 16 tokens: 24 blocks, of which each text needs 8.
      let tight = try texts("--kv-memory 64KiB --block-tokens 16 --context 128")
      #expect(roomy.texts == tight.texts)
      #expect(roomy.preemptions == 0)
      #expect(tight.preemptions > 0)
    }

    // A client that leaves costs nothing more: its blocks come back.
    @Test func aClientThatLeavesIsForgotten() throws {
      let worker = try Worker("--pace 5ms")
      var client: TestClient? = try TestClient(worker.port.address)
      client?.send(
        request(
          "POST", "/v1/completions",
          body: Worker.body("Tell me everything", tokens: 120, more: #","stream":true"#)))
      _ = client?.read(through: "data: ")
      #expect(try worker.metrics().sum("portico_worker_in_flight") == 1)
      client = nil
      try eventually("its blocks are free") {
        let metrics = try worker.metrics()
        return metrics.sum("portico_worker_in_flight") == 0
          && metrics.sum("portico_worker_running") == 0
          && metrics.sum("portico_worker_kv_blocks_used") == 0
      }
      #expect(try worker.metrics().sum("portico_worker_texts_total", #"outcome="left""#) == 1)
    }

    // Whichever rank dies, in the middle of a stream: an error, not a short text; and the group
    // comes back without anybody's help.
    @Test(arguments: [0, 1]) func aRankThatIsKilledIsMissedAtOnce(victim: Int) throws {
      let worker = try Worker("--tp 2 --pace 5ms")
      let ranks = worker.ranks.sorted()
      let streaming = try TestClient(worker.port.address)
      streaming.send(
        request(
          "POST", "/v1/completions",
          body: Worker.body("Tell me everything", tokens: 120, more: #","stream":true"#)))
      _ = streaming.read(through: "data: ")
      kill(ranks[victim], SIGKILL)
      let rest = streaming.readToEnd()
      #expect(rest.contains(#""code":"engine_lost""#))
      #expect(!rest.contains("[DONE]"))
      #expect(rest.contains("It is safe to try again."))
      try worker.waitUntilReady()
      #expect(try !worker.text("Again", tokens: 4).isEmpty)
      let now = worker.ranks
      #expect(now.count == 2)
      #expect(Set(now).isDisjoint(with: ranks))
      for rank in ranks { #expect(kill(rank, 0) != 0) }
      #expect(try worker.metrics().sum("portico_worker_restarts_total") == 1)
    }

    // Nothing is left of a worker that is killed, or told to end.
    @Test func ranksNeverOutliveTheirServer() throws {
      let worker = try Worker("--tp 2")
      let ranks = worker.ranks
      #expect(ranks.count == 2)
      worker.process.cut()
      try eventually("its ranks are gone") { ranks.allSatisfy { kill($0, 0) != 0 } }
    }

    @Test func aStreamEndsBeforeTheWorkerDoes() throws {
      let worker = try Worker("--pace 5ms")
      let ranks = worker.ranks
      let client = try TestClient(worker.port.address)
      client.send(
        request(
          "POST", "/v1/completions",
          body: Worker.body("Tell me", tokens: 60, more: #","stream":true"#)))
      _ = client.read(through: "data: ")
      worker.process.signal(SIGTERM)
      #expect(client.readToEnd().hasSuffix("data: [DONE]\n\n\r\n0\r\n\r\n"))
      #expect(try worker.process.waitForEnd() == .exited(0))
      try eventually("its ranks are gone") { ranks.allSatisfy { kill($0, 0) != 0 } }
    }

    // Behind the front door: one worker dies, and clients are served by the other; a worker that is
    // back is used again.
    @Test func theFrontDoorGoesRoundADeadWorker() throws {
      let first = try Worker()
      var second: Worker? = try Worker()
      let port = try #require(second?.port)
      let door = try Portico(
        configuration(
          [first.port.address, port.address],
          pool: "balance: round_robin\nhealth: {path: /ready, interval: 100ms}"))
      func count(_ requests: Int) throws -> Int {
        try (0..<requests).count { _ in
          let response = try ask(
            door.address, "POST", "/v1/completions",
            body: Worker.body("Hello", tokens: 4, more: #","temperature":0"#))
          return response.status == 200
        }
      }
      #expect(try count(8) == 8)
      second?.process.cut()
      second = nil
      try eventually("the door has noticed") {
        try door.member("b1")["healthy"] != .bool(true) || count(1) == 1
      }
      try eventually("all are served by the other") { try count(6) == 6 }
      let again = try Worker(port: port)
      try eventually("the one that is back is used") {
        _ = try count(4)
        return try again.metrics().sum("portico_worker_texts_total") > 0
      }
    }

    // The openai client's own calls, through the front door.
    @Test func theOpenAIClientChats() throws {
      let worker = try Worker()
      let door = try Portico(configuration([worker.port.address]))
      let folder = Folder()
      let python = try ChildProcess(
        [
          "\(Programs.package)/.build/python/bin/python",
          "\(Programs.package)/Tests/IntegrationTests/worker_client.py",
          "http://\(door.address)/v1",
        ], output: folder["python"])
      #expect(try python.waitForEnd(within: 60) == .exited(0), "\(python.output)")
      #expect(
        python.output.split(separator: "\n") == [
          "models", "chat", "streamed", "choices", "left early", "completions", "refused",
        ])
    }
  }

  /// What could break: a worker that starts with nonsense, or says no more than that it cannot.
  @Suite struct WorkerCommandLine {
    private func worker(_ words: String...) throws -> (ending: ChildProcess.Ending, output: String)
    {
      let folder = Folder()
      let process = try ChildProcess([Worker.program] + words, output: folder["words"])
      return (try process.waitForEnd(), process.output)
    }

    @Test func wrongStartsAreRefusedWithASentence() throws {
      let three = try worker("serve", "--model", Worker.model, "--tp", "3")
      #expect(three.ending == .exited(1))
      #expect(
        three.output
          == "portico-worker: 3 ranks cannot share this model: 8 heads are not a multiple of it; "
          + "legal are 1, 2, 4, 8\n")
      let missing = try worker("serve", "--model", "/nowhere/model")
      #expect(missing.ending == .exited(1))
      #expect(missing.output.hasPrefix("portico-worker: /nowhere/model: "))
      let type = try worker("serve", "--model", Worker.model, "--dtype", "fp9")
      #expect(type.ending == .exited(1))
      #expect(type.output == "--dtype: 'dtype' cannot be 'fp9'; did you mean 'fp8'?\n")
      let none = try worker("serve")
      #expect(none.ending == .exited(2))
      #expect(none.output.hasPrefix("portico-worker: say --model, as --model models/"))
      let unknown = try worker("serv")
      #expect(unknown.ending == .exited(2))
      #expect(
        unknown.output
          == "portico-worker: unknown command 'serv'; did you mean 'serve'?\n"
          + "portico-worker --help lists them\n")
    }

    @Test func aFileOfSettingsIsReadLikeTheFrontDoors() throws {
      let folder = Folder()
      folder.write("worker.yaml", "model: x\nthread: 2\nkv_memory: lots\n")
      let refused = try worker("serve", "-c", folder["worker.yaml"])
      #expect(refused.ending == .exited(1))
      let lines = refused.output.split(separator: "\n")
      #expect(lines.count == 2)
      #expect(
        lines.first?.hasSuffix("worker.yaml:2:1: unknown key 'thread'; did you mean 'threads'?")
          == true)
      #expect(lines.last?.contains("worker.yaml:3:12: 'kv_memory' must be a size") == true)
    }
  }
}
