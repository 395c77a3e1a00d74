import Glibc
import JSON
import TestClient
import Testing

extension Stories {
  /// What could break: chats that depend on the number of ranks or on how they are delivered, more
  /// ranks dying than one, and streams of one worker that end with another's.
  @Suite struct WorkerLives {
    private static let messages =
      #""messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"héllo 🙂"}]"#

    private static func streamed(tokens: Int) -> String {
      request(
        "POST", "/v1/completions",
        body: Worker.body("Tell me everything", tokens: tokens, more: #","stream":true"#))
    }

    /// The text of a streamed answer's choices, and whether its end is there.
    private static func pieces(_ body: String) throws -> (text: String, isWhole: Bool) {
      let events = body.split(separator: "\n\n")
      let text = try events.filter { $0.hasPrefix("data: {") }.map {
        let choice = try JSONValue(String($0.dropFirst(6)))["choices"]?.elements?.first
        return choice?["delta"]?["content"]?.text ?? choice?["text"]?.text ?? ""
      }
      return (text.joined(), events.last == "data: [DONE]")
    }

    // The template, tokens of several bytes and the detokenizer, cut over ranks and cut into events.
    @Test func aChatIsTheSameWhoeverComputesItAndHoweverItComes() throws {
      var texts: [String] = []
      for ranks in [1, 4] {
        let worker = try Worker("--tp \(ranks)")
        for more in [#""temperature":0"#, #""temperature":1,"seed":5"#] {
          let members = "\(Self.messages),\(more),\"max_tokens\":24,\"ignore_eos\":true"
          let whole = try ask(
            worker.port.address, "POST", "/v1/chat/completions", body: "{\(members)}")
          #expect(whole.status == 200, "\(whole.body)")
          let text = try JSONValue(whole.body)["choices"]?.elements?[0]["message"]?["content"]?
            .text
          texts.append(try #require(text))
          let stream = try ask(
            worker.port.address, "POST", "/v1/chat/completions",
            body: "{\(members),\"stream\":true}")
          let (joined, isWhole) = try Self.pieces(stream.body)
          #expect(joined == text && isWhole)
        }
      }
      #expect(!texts[0].isEmpty && texts[0] == texts[2] && texts[1] == texts[3])
    }

    // All texts of a request that nobody waits for give their blocks back.
    @Test func aWholeAnswerThatNobodyWaitsForIsGivenUp() throws {
      let worker = try Worker("--pace 100ms --tp 2")
      var client: TestClient? = try TestClient(worker.port.address)
      client?.send(
        request(
          "POST", "/v1/completions",
          body: Worker.body("Tell me everything", tokens: 100, more: #","n":4"#)))
      try eventually("all four are under way") {
        try worker.metrics().sum("portico_worker_in_flight") == 4
      }
      client = nil
      try eventually("its blocks are free") {
        let metrics = try worker.metrics()
        return metrics.sum("portico_worker_in_flight") == 0
          && metrics.sum("portico_worker_running") == 0
          && metrics.sum("portico_worker_kv_blocks_used") == 0
      }
      #expect(try worker.metrics().sum("portico_worker_texts_total", #"outcome="left""#) == 4)
    }

    // Two at once, and one while nobody asks for anything: the group comes back each time.
    @Test func ranksThatDieTogetherOrIdleAreReplaced() throws {
      let worker = try Worker("--tp 4")
      let before = try worker.text("Again", tokens: 8)
      for (round, victims) in [[3], [1, 2]].enumerated() {
        let ranks = worker.ranks.sorted()
        #expect(ranks.count == 4)
        for victim in victims { kill(ranks[victim], SIGKILL) }
        try eventually("the loss is seen") {
          try worker.metrics().sum("portico_worker_restarts_total") == Double(round + 1)
        }
        try worker.waitUntilReady()
        #expect(try worker.text("Again", tokens: 8) == before)
        #expect(worker.ranks.count == 4 && Set(worker.ranks).isDisjoint(with: ranks))
        for rank in ranks { #expect(kill(rank, 0) != 0) }
      }
    }

    // The server dies in the middle of a stream: no client takes it for an end, and no rank lives on.
    @Test func aServerThatIsKilledInMidStreamTakesItsRanksAlong() throws {
      let worker = try Worker("--tp 4 --pace 100ms")
      let ranks = worker.ranks
      #expect(ranks.count == 4)
      let client = try TestClient(worker.port.address)
      client.send(Self.streamed(tokens: 100))
      _ = client.read(through: "data: ")
      worker.process.cut()
      #expect(!client.readToEnd().contains("[DONE]"))
      try eventually("its ranks are gone") { ranks.allSatisfy { kill($0, 0) != 0 } }
    }

    // Behind the front door each of two workers is killed in turn, in the middle of streams: those of
    // the other come to their end, those of the dead one do not look as if they had.
    @Test func streamsOfTheOtherWorkerGoOn() throws {
      var workers = [try Worker("--pace 20ms"), try Worker("--pace 20ms")]
      let door = try Portico(
        configuration(
          workers.map(\.port.address),
          pool: "balance: round_robin\nhealth: {path: /ready, interval: 100ms}"))
      for victim in 0..<2 {
        let started = try workers.map { try $0.metrics().sum("portico_worker_prompt_tokens_total") }
        let clients = try (0..<6).map { _ in
          let client = try TestClient(door.address)
          client.send(Self.streamed(tokens: 100))
          return client
        }
        for client in clients { #expect(client.read(through: "data: ").hasSuffix("data: ")) }
        let asked = try zip(workers, started).map {
          try $0.metrics().sum("portico_worker_prompt_tokens_total") - $1
        }
        // The prompts are alike, so tokens are shares.
        let survivors = Int(6 * asked[1 - victim] / (asked[0] + asked[1]))
        let port = workers[victim].port
        workers[victim].process.cut()
        let whole = clients.count { $0.readToDone() }
        // More only if some were over before the signal.
        #expect(whole >= survivors, "\(whole) of \(survivors)")
        try eventually("others are served") {
          try ask(door.address, "POST", "/v1/completions", body: Worker.body("x", tokens: 2))
            .status == 200
        }
        workers[victim] = try Worker("--pace 20ms", port: port)
        try eventually("the one that is back is used") {
          _ = try ask(door.address, "POST", "/v1/completions", body: Worker.body("x", tokens: 2))
          return try workers[victim].metrics().sum("portico_worker_texts_total") > 0
        }
      }
    }

    @Test func severalRanksEndAStreamBeforeTheyEnd() throws {
      let worker = try Worker("--tp 2 --pace 5ms")
      let ranks = worker.ranks
      let client = try TestClient(worker.port.address)
      client.send(Self.streamed(tokens: 60))
      _ = client.read(through: "data: ")
      worker.process.signal(SIGTERM)
      #expect(client.readToEnd().hasSuffix("data: [DONE]\n\n\r\n0\r\n\r\n"))
      #expect(try worker.process.waitForEnd() == .exited(0))
      try eventually("its ranks are gone") { ranks.allSatisfy { kill($0, 0) != 0 } }
    }
  }

  /// What could break: sentences that name the wrong file, line or way out.
  @Suite struct WorkerSentences {
    private func expect(
      _ words: [String], _ output: String, code: Int32 = 1,
      _ place: SourceLocation = #_sourceLocation
    ) throws {
      let folder = Folder()
      let process = try ChildProcess([Worker.program] + words, output: folder["words"])
      #expect(try process.waitForEnd() == .exited(code), sourceLocation: place)
      #expect(process.output == output, sourceLocation: place)
    }

    @Test func modelsThatAreNone() throws {
      let folder = Folder()
      let advice = "give a model folder or a .gguf file\n"
      for command in [["serve", "--model"], ["check"]] {
        try expect(
          command + ["/nowhere/model"],
          "portico-worker: /nowhere/model: cannot be opened: No such file or directory; \(advice)")
        try expect(
          command + [folder.path],
          "portico-worker: \(folder.path): has no config.json and no .gguf file; \(advice)")
      }
    }

    @Test func countsOfRanks() throws {
      func serve(_ ranks: String) -> [String] { ["serve", "--model", Worker.model, "--tp", ranks] }
      try expect(
        serve("16"),
        "portico-worker: 16 ranks cannot share this model: 8 heads are not a multiple of it; "
          + "legal are 1, 2, 4, 8\n")
      try expect(serve("65"), "--tp: 'tp' must be a whole number from 1 to 64, not '65'\n")
      try expect(
        ["serve", "--model", Worker.model, "--port", "99999"],
        "portico-worker: --port needs a number from 0 to 65535\n--help tells the options\n", code: 2
      )
    }

    @Test func filesThatAreNone() throws {
      let folder = Folder()
      let path = folder["worker.yaml"]
      try expect(["serve", "-c", path], "\(path): cannot open: No such file or directory\n")
      for (text, complaint) in [
        ("model: [x\n", "2:1: expected ',' or ']' in the list that begins on line 1"),
        ("model: x\n\ttp: 2\n", "2:1: a tab where YAML wants spaces; replace it by spaces"),
        ("- model\n", "1:1: the file must be a mapping with keys, not a list"),
      ] {
        folder.write("worker.yaml", text)
        try expect(["serve", "-c", path], "\(path):\(complaint)\n")
      }
    }

    @Test func checkTellsEverythingThereIsToDecide() throws {
      try expect(
        ["check", Worker.model],
        """
        llama: llama, 2 layers of 32, 8 heads over 2 of keys and values, 8 wide, vocabulary 320, \
        context 128, stored as bf16 (86 KiB in 1 file)
        ranks (--tp): 1, 2, 4, 8
        weights of a rank as fp32: 1: 169 KiB; 2: 89 KiB; 4: 49 KiB; 8: 33 KiB
        weights of a rank as bf16: 1: 85 KiB; 2: 45 KiB; 4: 25 KiB; 8: 17 KiB
        weights of a rank as fp8: 1: 64 KiB; 2: 34 KiB; 4: 19 KiB; 8: 12 KiB
        keys and values in bf16: 128 bytes a token; by default 512 KiB for a context of 128

        """, code: 0)
    }
  }
}

extension TestClient {
  /// Reads to the end of a stream, or of the connection; whether the stream's own end came.
  fileprivate func readToDone() -> Bool {
    read(through: "data: [DONE]\n\n").hasSuffix("[DONE]\n\n")
  }
}
