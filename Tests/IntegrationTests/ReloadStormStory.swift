import CLinux
import Primitives
import TestClient
import Testing

extension Stories {
  /// What could break: a stream that ends on another configuration than it began with, a member that
  /// is taken away under its streams, a request that meets a snapshot half swapped.
  @Suite struct ReloadStorm {
    private static let streams = 200
    /// Each stream takes four seconds at least: twenty reloads.
    private static let tokens = 80
    private static let gap = "50ms"

    @Test func nothingIsDroppedAndNothingIsCut() throws {
      let mocks = try (0..<3).map { _ in
        try Mock("--tokens \(Self.tokens) --gap \(Self.gap) --head early")
      }
      let door = try Portico(text(mocks, version: 0))
      let expected = try wholeText(of: mocks[0])
      #expect(expected.split(separator: " ").count == Self.tokens)

      let swarm = try Swarm()
      for _ in 0..<Self.streams { try swarm.add(door.address, chat(streamed: true)) }
      var version = 0
      var asked = 0
      var next = seconds()
      try swarm.run(within: 100) {
        guard seconds() >= next else { return }
        next = seconds() + 0.2
        version += 1
        door.edit(text(mocks, version: version))
        // And somebody who comes in the middle of it.
        asked += 1
        let models = try ask(door.address, "GET", "/v1/models")
        #expect(models.status == 200)
      }
      for (place, client) in swarm.clients.enumerated() {
        #expect(client.isComplete, "stream \(place) was cut: \(client.received.count) bytes")
        #expect(Answer.status(client.received) == 200)
        #expect(Answer.content(client.received) == expected, "stream \(place)")
      }
      // One edit may come while the one before it is read; then they are taken over together.
      let metrics = try door.metrics()
      let applied = metrics.sum("portico_config_reloads_total", "result=\"applied\"")
      #expect(asked >= 15)
      #expect(applied >= Double(version) / 2, "\(applied) of \(version)")
      #expect(metrics.sum("portico_config_reloads_total", "result=\"rejected\"") == 0)
      let completed = metrics.sum("portico_terminations_total", "reason=\"completed\"")
      #expect(completed == Double(Self.streams + asked))
      #expect(metrics.sum("portico_terminations_total") == completed)
      try eventually("nothing is in flight any more") {
        try door.metrics().sum("portico_open_streams") == 0
          && door.metrics().sum("portico_backend_in_flight") == 0
      }
    }

    /// What a mock says to the same request when it is asked directly, and not to stream.
    private func wholeText(of mock: Mock) throws -> String {
      let client = try TestClient(mock.address)
      client.send(chat())
      return Answer.content(Array(client.readResponse().body.utf8))
    }

    /// Members come and go, weights and the policy change, and a pool of its own appears.
    private func text(_ mocks: [Mock], version: Int) -> String {
      let policies = ["weighted_score", "round_robin", "least_request", "peak_ewma"]
      // Each version leaves out another member; every fourth has all.
      let members = mocks.enumerated().filter { $0.offset != version % 4 }.map { index, mock in
        "{name: m\(index), address: \"\(mock.text)\", weight: \(1 + (version + index) % 5)}"
      }
      let extra =
        version % 2 == 0
        ? "" : "  - {name: extra, backends: [\"\(mocks[version % 3].text)\"]}\n"
      return """
        listeners: [{address: DOOR}]
        admin: {address: ADMIN}
        pools:
          - name: chat
            balance: \(policies[version / 2 % 4])
            backends: [\(members.joined(separator: ", "))]
        \(extra)
        routes:
        \(version % 2 == 0 ? "" : "  - {path: /v1/models, pool: extra}\n")
          - pool: chat

        """
    }
  }
}
