import JSON
import Primitives
import TestClient
import Testing

extension Stories {
  /// What could break: what one loop knows and the other one does not.
  @Suite struct Loops {
    @Test func connectionsAreSpreadAndRequestsCounted() throws {
      let gate = Gate()
      let arrived = Counter()
      let backend = try Backend { call in
        arrived.add()
        gate.pass()
        call.answer("ok\n")
      }
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address], top: "loops: 2"))
      let clients = try (0..<40).map { _ in try TestClient(door.address) }
      for client in clients { client.send(request("GET", "/")) }
      try eventually("all are in flight") { arrived.value == clients.count }
      // In flight over both loops, to the one member.
      #expect(try door.member("b0")["in_flight"]?.number == Double(clients.count))
      gate.open()
      for client in clients { #expect(client.readResponse().status == 200) }
      #expect(try door.member("b0")["in_flight"]?.number == 0)
      // One after the other, so that each request is a turn of its loop's own.
      for client in clients + clients + clients {
        client.send(request("GET", "/"))
        #expect(client.readResponse().status == 200)
      }
      // The kernel spreads connections by chance: it is not that likely that one of the loops gets
      // fewer than an eighth of them in a lifetime of running this.
      let metrics = try door.metrics()
      let turns = ["0", "1"].map {
        metrics.sum("portico_loop_turn_seconds_count", "loop=\"\($0)\"")
      }
      #expect(turns.allSatisfy { $0 >= 15 }, "\(turns)")
      #expect(metrics.sum("portico_requests_total") == Double(4 * clients.count))
      #expect(metrics.sum("portico_connections_total") == Double(clients.count))
    }

    @Test func theLimitOfAMemberHoldsOverBothLoops() throws {
      let gate = Gate()
      let arrived = Counter()
      let backend = try Backend { call in
        arrived.add()
        gate.pass()
        call.answer("ok\n")
      }
      defer { backend.stop() }
      let door = try Portico(
        configuration([backend.address], pool: "limits: {in_flight: 10}", top: "loops: 2"))
      let clients = try (0..<10).map { _ in try TestClient(door.address) }
      for client in clients { client.send(request("GET", "/")) }
      try eventually("all are in flight") { arrived.value == 10 }
      for _ in 0..<10 {
        let refused = try ask(door.address, "GET", "/")
        #expect(refused.status == 503)
        #expect(refused.body.contains(#""code":"no_member_limit""#))
        #expect(refused["Retry-After"] == "1")
      }
      gate.open()
      for client in clients { #expect(client.readResponse().status == 200) }
      #expect(try ask(door.address, "GET", "/").status == 200)
      #expect(arrived.value == 11)
    }

    /// A breaker that one loop opens is open on the other at once: the failures were its member's,
    /// not the loop's.
    @Test func aBreakerIsKnownToBothLoops() throws {
      let asked = Counter()
      let backend = try Backend { call in
        asked.add()
        call.answer("broken\n", status: 500)
      }
      let good = try Backend { $0.answer("fine\n") }
      defer {
        backend.stop()
        good.stop()
      }
      let door = try Portico(
        configuration(
          [backend.address, good.address],
          pool: "balance: round_robin\nbreaker: {failures: 3, cooldown: 10m}", top: "loops: 2"))
      // One connection is one loop: the failures all happen there.
      let client = try TestClient(door.address)
      for _ in 0..<6 {
        client.send(request("POST", "/"))
        _ = client.readResponse()
      }
      #expect(asked.value == 3)
      try eventually("both loops know") {
        try door.member("b0")["breaker_loops"]?.number == 2
      }
      #expect(try door.member("b0")["breaker"]?.text == "open")
      // Many connections are both loops, and none of them asks it.
      for _ in 0..<40 { #expect(try ask(door.address, "POST", "/").body == "fine\n") }
      #expect(asked.value == 3)
    }
  }
}
