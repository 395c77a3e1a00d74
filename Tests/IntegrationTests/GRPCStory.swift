import Testing

extension Stories {
  /// What could break: what grpcio's client, which a fleet has, sees of a worker: calls, streams, health,
  /// cancellation, deadlines, and processes that die.
  @Suite struct GRPCWorkers {
    private func tell(
      _ stories: [String], http: Port, grpc: Port, process: ChildProcess
    ) throws {
      let folder = Folder()
      let python = try ChildProcess(
        [
          "\(Programs.package)/.build/python/bin/python",
          "\(Programs.package)/Tests/IntegrationTests/grpc_client.py", http.text, grpc.text,
          "\(process.identifier)",
        ] + stories, output: folder["python"])
      #expect(try python.waitForEnd(within: 120) == .exited(0), "\(python.output)")
      #expect(python.output.split(separator: "\n").map(String.init) == stories)
    }

    private func worker(_ options: String, _ stories: String...) throws -> Worker {
      let grpc = try Port()
      let worker = try Worker("--grpc \(grpc.text) \(options)")
      try tell(stories, http: worker.port, grpc: grpc, process: worker.process)
      return worker
    }

    @Test func everyCallIsAnswered() throws {
      _ = try worker("", "calls", "same_texts", "streamed", "refused")
    }

    @Test func whoeverLeavesFreesTheSequence() throws {
      _ = try worker("--pace 5ms", "cancelled", "late")
    }

    @Test func whoWatchesIsTold() throws {
      let worker = try worker("--pace 5ms", "watched")
      #expect(try worker.process.waitForEnd() == .exited(0))
    }

    @Test func aWorkerThatIsKilledIsMissedAtOnce() throws {
      _ = try worker("--pace 5ms", "killed")
    }

    @Test func vectorsByEveryAPI() throws {
      let (http, grpc, folder) = (try Port(), try Port(), Folder())
      let program = String(Programs.portico[..<Programs.portico.lastIndex(of: "/")!])
      let process = try ChildProcess(
        [
          program + "/portico-embed", "serve", "--model",
          "\(Programs.package)/Tests/Shard/ShardRunnerTests/Goldens/bert", "--name", "tiny",
          "--address", http.text, "--grpc", grpc.text, "--threads", "2",
        ], output: folder["embed"])
      try eventually("it is ready", within: 60, note: process.output) {
        process.output.contains("ready after")
      }
      try tell(["embedded"], http: http, grpc: grpc, process: process)
    }
  }
}
