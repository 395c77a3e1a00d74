import Glibc
import Testing

extension Stories {
  /// What could break: the file that a newcomer writes first, and the clients that they have.
  @Suite struct SmallestFile {
    /// As it stands in the README, but for the ports.
    private let text = """
      listeners:
        - address: DOOR
      admin:
        address: ADMIN
      pools:
        - name: chat
          backends:
            - address: FIRST
            - address: SECOND
      routes:
        - pool: chat
      """

    private let mocks: [Mock]
    private let portico: Portico
    private let folder = Folder()

    init() throws {
      mocks = [try Mock(), try Mock()]
      portico = try Portico(
        text.split(separator: "FIRST").joined(separator: mocks[0].text)
          .split(separator: "SECOND").joined(separator: mocks[1].text))
    }

    private func curl(_ arguments: String...) throws -> String {
      let process = try ChildProcess(
        [
          "curl", "--silent", "--show-error", "--max-time", "60", "--header",
          "Content-Type: application/json",
        ] + arguments,
        output: folder["curl"])
      let ending = try process.waitForEnd(within: 90)
      #expect(ending == .exited(0), "\(process.output)")
      defer { unlink(folder["curl"]) }
      return process.output
    }

    @Test func curlGetsPlainAndStreamedAnswers() throws {
      let url = "http://\(portico.door.text)/v1/chat/completions"
      let body = #"{"model":"mock","messages":[{"role":"user","content":"hello"}]}"#
      let plain = try curl(url, "--data", body)
      #expect(plain.contains(#""content":"[m] You said: hello The model behind this""#), "\(plain)")

      let streaming = #"{"stream":true,"messages":[{"role":"user","content":"hello"}]}"#
      let streamed = try curl("--no-buffer", url, "--data", streaming)
      #expect(Answer.content(Array(streamed.utf8)) == Answer.content(Array(plain.utf8)))
      #expect(streamed.hasSuffix("data: [DONE]\n\n"), "\(streamed)")

      // Where a client is told to wait before it sends.
      let waited = try curl(url, "--data", body, "--header", "Expect: 100-continue")
      #expect(Answer.content(Array(waited.utf8)) == Answer.content(Array(plain.utf8)))
    }

    @Test func bothBackendsServe() throws {
      for _ in 0..<40 {
        #expect(try ask(portico.address, "GET", "/v1/models").status == 200)
      }
      let metrics = try portico.metrics()
      for mock in mocks {
        let served = metrics.sum("portico_requests_total", "backend=\"\(mock.text)\"")
        #expect(served > 0, "\(mock.text) got nothing")
      }
      #expect(metrics.sum("portico_requests_total", "code_class=\"2xx\"") == 40)
    }

    @Test func theOpenAIClientWorks() throws {
      let python = "\(Programs.package)/.build/python/bin/python"
      guard access(python, X_OK) == 0 else {
        Issue.record("there is no openai client; run Docker/bootstrap.sh first")
        return
      }
      let client = try ChildProcess(
        [
          python, "\(Programs.package)/Tests/IntegrationTests/openai_client.py",
          "http://\(portico.door.text)/v1",
        ], output: folder["openai"])
      let ending = try client.waitForEnd(within: 120)
      #expect(ending == .exited(0), "\(client.output)")
      #expect(
        client.output.split(separator: "\n").map(String.init) == [
          "models", "plain", "streamed", "left early", "embeddings", "completions", "refused",
        ])
    }
  }
}
