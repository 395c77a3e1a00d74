import Glibc
import Primitives
import Testing

extension Stories {
  /// What could break: scripts that go by exit codes, and people who go by the text.
  @Suite struct CommandLine {
    private let folder = Folder()

    @Test func whatIsMisusedEndsWithTwoAndSaysHowItGoes() throws {
      let nothing = try portico()
      #expect(nothing.ending == .exited(2))
      #expect(nothing.output.hasPrefix("usage: portico COMMAND [options]\n"))

      let unknown = try portico("rum")
      #expect(unknown.ending == .exited(2))
      #expect(
        unknown.output
          == "portico: unknown command 'rum'; did you mean 'run'?\nportico --help lists them\n")

      let noFile = try portico("run")
      #expect(noFile.ending == .exited(2))
      #expect(
        noFile.output.hasPrefix(
          "portico: run needs a configuration file\nusage: portico run -c FILE\n"))

      let noValue = try portico("run", "-c")
      #expect(noValue.ending == .exited(2))
      #expect(noValue.output.hasPrefix("portico: -c needs a value\n"))

      let option = try portico("check", "--prnt", "a.yaml")
      #expect(option.ending == .exited(2))
      #expect(option.output.hasPrefix("portico: unknown option '--prnt'\n"))

      let mock = try portico("mock", "--tokns", "3")
      #expect(mock.ending == .exited(2))
      #expect(
        mock.output.hasPrefix("portico: unknown option '--tokns'; did you mean '--tokens'?\n"))
    }

    @Test(arguments: ["run", "check", "status", "demo", "mock", "schema"])
    func everyCommandExplainsItself(command: String) throws {
      let help = try portico(command, "--help")
      #expect(help.ending == .exited(0))
      #expect(help.output.hasPrefix("usage: portico \(command)"))
    }

    @Test func aFileThatIsNotThere() throws {
      let path = folder["none.yaml"]
      for command in ["run", "check"] {
        let missing = try portico(command, "-c", path)
        #expect(missing.ending == .exited(1))
        #expect(missing.output == "\(path): cannot open: No such file or directory\n")
      }
    }

    @Test func aFileThatIsWrong() throws {
      folder.write(
        "bad.yaml",
        """
        listeners:
          - adress: 127.0.0.1:8080
        pools:
          - name: chat
            backends: [127.0.0.1:9001]
            timeouts: {connect: 2}
        routes:
          - pool: chat

        """)
      let path = folder["bad.yaml"]
      for command in ["run", "check"] {
        let wrong = try portico(command, "-c", path)
        #expect(wrong.ending == .exited(1))
        #expect(
          wrong.output == """
            \(path):2:5: unknown key 'adress'; did you mean 'address'?
            \(path):6:25: 'connect' is 2 without a unit; write 2s, or 2ms, 2m

            """)
      }
    }

    /// Loops share a port by SO_REUSEPORT: a second Portico must not silently take half of it.
    @Test func aSecondPorticoOnTheSamePortIsRefused() throws {
      let free = try Port()
      let first = try Portico(configuration([SocketAddress("127.0.0.1:9001")!]))
      folder.write(
        "second.yaml",
        """
        listeners: [{address: "\(first.address)"}]
        admin: {address: "\(free.text)"}
        pools: [{name: chat, backends: [127.0.0.1:9001]}]
        routes: [{pool: chat}]
        """)
      let refused = try portico("run", "-c", folder["second.yaml"])
      #expect(refused.ending == .exited(1))
      #expect(
        refused.output == "portico: cannot listen on \(first.address): Address already in use\n")
    }

    @Test func aPortInUse() throws {
      let taken = try Backend()
      defer { taken.stop() }
      let free = try Port()
      folder.write(
        "listener.yaml",
        """
        listeners: [{address: "\(taken.address)"}]
        admin: {address: "\(free.text)"}
        pools: [{name: chat, backends: [127.0.0.1:9001]}]
        routes: [{pool: chat}]
        """)
      folder.write(
        "admin.yaml",
        """
        listeners: [{address: "\(free.text)"}]
        admin: {address: "\(taken.address)"}
        pools: [{name: chat, backends: [127.0.0.1:9001]}]
        routes: [{pool: chat}]
        """)
      for name in ["listener.yaml", "admin.yaml"] {
        let refused = try portico("run", "-c", folder[name])
        #expect(refused.ending == .exited(1))
        #expect(
          refused.output
            == "portico: cannot listen on \(taken.address): Address already in use\n")
      }
      let mock = try portico("mock", "--listen", "\(taken.address)")
      #expect(mock.ending == .exited(1))
      #expect(
        mock.output == "portico: cannot listen on \(taken.address): Address already in use\n")
    }

    @Test func statusOfNobody() throws {
      let free = try Port()
      let table = try portico("status", "--admin", free.text)
      #expect(table.ending == .exited(1))
      #expect(table.output.contains("\(free.text)"), "\(table.output)")
      let health = try portico("status", "--health", "--admin", free.text)
      #expect(health.ending == .exited(1))
    }

    @Test func statusDrawsTheFleet() throws {
      let mock = try Mock()
      let door = try Portico(configuration([mock.address]))
      let health = try portico("status", "--health", "--admin", door.adminPort.text)
      #expect(health.ending == .exited(0))
      #expect(health.output == "")
      let table = try portico("status", "--admin", door.adminPort.text)
      #expect(table.ending == .exited(0))
      #expect(table.output.contains("b0"), "\(table.output)")
    }

    /// The demo is everything at once, and must leave nothing behind: with fake engines, and with the
    /// real models, which the bootstrap has fetched.
    @Test(arguments: ["--mock", "--plain"])
    func theDemoServesAndLeavesNothingBehind(kind: String) throws {
      let isReal = kind != "--mock"
      let door = try Port()
      let admin = try Port()
      let demo = try ChildProcess(
        [
          Programs.portico, "demo", kind, "--port", "\(door.number)", "--admin-port",
          "\(admin.number)",
        ], output: folder["demo"],
        environment: [
          "TMPDIR": folder.path, "PORTICO_MODELS": "\(Programs.package)/.build/models",
        ])
      try eventually("the demo says what to try", within: 120, note: demo.output) {
        demo.output.contains("Ctrl-C ends the demo.")
      }
      let file = folder["portico-demo-\(demo.identifier).yaml"]
      #expect(demo.output.contains("edit me     \(file)\n"))
      let client = try ask(
        door.address, "POST", "/v1/chat/completions",
        body: #"{"messages":[{"role":"user","content":"hello"}],"max_tokens":3}"#)
      #expect(client.status == 200, "\(client.body)")
      #expect(try ask(admin.address, "GET", "/readyz").status == 200)
      #expect(demo.output.contains("SmolLM2") == isReal, "\(demo.output)")
      let workers = children(of: demo.identifier)
      #expect(workers.count == (isReal ? 4 : 0))
      if isReal {
        let answer = try ask(
          door.address, "POST", "/v1/completions",
          body: #"{"prompt":"The capital of France is","max_tokens":1,"temperature":0}"#)
        #expect(answer.body.contains(#""text":" Paris""#), "\(answer.body)")
        let vectors = try ask(door.address, "POST", "/v1/embeddings", body: #"{"input":"hello"}"#)
        #expect(vectors.status == 200 && vectors.body.contains("all-MiniLM-L6-v2"))
      }
      demo.signal(SIGINT)
      #expect(try demo.waitForEnd() == .exited(0))
      #expect(demo.output.hasSuffix("The demo has ended; nothing is left behind.\n"))
      #expect(list(folder.path) == ["demo"])
      for worker in workers { #expect(kill(worker, 0) != 0) }
    }
  }
}
