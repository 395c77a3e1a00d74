import Glibc
import Primitives
import TestClient
import Testing

extension Stories {
  /// What could break: an innocent edit that puts a heap allocation into the path of every request.
  ///
  /// The heap is counted by a library that is loaded before the C library; it sees Swift's and C's
  /// allocations alike.
  @Suite struct Allocations {
    /// Allocations per keep-alive request in steady state. Without the optimiser there are some, for
    /// closures and iterators that it removes: as many as were counted when this was written, so
    /// that one more is seen in either build.
    private static let budget = Programs.porticoIsOptimized ? 0.0 : 16.0
    private static let warmUp = 1_000
    /// The best of so many rounds counts: in the others the process may have had something else to
    /// do, or its loop may have been woken more often than once for each event.
    private static let rounds = 40
    private static let requestsPerRound = 50

    @Test func aRequestInSteadyStateKeepsItsBudget() throws {
      let folder = Folder()
      let library = folder["count_mallocs.so"]
      let compiler = try ChildProcess(
        [
          "cc", "-O2", "-shared", "-fPIC", "-o", library,
          "\(Programs.package)/Tests/IntegrationTests/count_mallocs.c",
        ], output: folder["cc"])
      #expect(try compiler.waitForEnd() == .exited(0), "\(compiler.output)")

      let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
      let backend = try Backend { call in
        call.readBody()
        call.connection.send(answer)
      }
      defer { backend.stop() }
      let count = folder["count"]
      let door = try Portico(
        configuration([backend.address], top: "loops: 1"),
        environment: ["LD_PRELOAD": library, "COUNT_MALLOCS": count])
      let client = try TestClient(door.address)
      let text = chat()
      func ask(_ times: Int) {
        for _ in 0..<times {
          client.send(text)
          let status = client.readResponse().status
          if status != 200 { Issue.record("a request was answered with \(status)") }
        }
      }
      ask(Self.warmUp)
      #expect(try mallocs(count) > 0, "nothing was counted at all")
      var each: [Double] = []
      for _ in 0..<Self.rounds {
        let before = try mallocs(count)
        ask(Self.requestsPerRound)
        each.append(Double(try mallocs(count) - before) / Double(Self.requestsPerRound))
      }
      #expect(each.min()! <= Self.budget, "allocations per request: \(each)")
      #expect(backend.connections == 1)
    }

    private func mallocs(_ path: String) throws -> UInt64 {
      let file = try #require(fopen(path, "r"))
      defer { fclose(file) }
      var count: UInt64 = 0
      #expect(fread(&count, 8, 1, file) == 1)
      return count
    }
  }
}
