import CLinux
import Glibc
import Primitives
import TestClient
import Testing

/// True when nobody listens at an address.
func isRefused(_ address: SocketAddress) -> Bool {
  guard let client = try? TestClient(address) else { return true }
  client.send("OPTIONS * HTTP/1.1\r\nHost: story\r\nConnection: close\r\n\r\n")
  return client.readToEnd().isEmpty
}

extension Stories {
  /// What could break: a rolling restart that cuts an answer under way, sends clients to a door that
  /// is already closed, or never ends.
  @Suite struct Drain {
    /// Streams two pieces, the second one when the gate opens.
    private let gate: Gate
    private let backend: Backend

    init() throws {
      let gate = Gate()
      self.gate = gate
      backend = try Backend { call in
        guard call.head.contains("/stream ") else { return call.answer("ok\n") }
        call.start()
        call.piece("first")
        gate.pass()
        call.piece("second")
        call.finish()
      }
    }

    private func door(settle: String, deadline: String) throws -> Portico {
      try Portico(
        configuration(
          [backend.address], listener: "health_path: /alive",
          top: "drain: {settle: \(settle), deadline: \(deadline)}\naccess_log: {path: stdout}"))
    }

    /// A client with an answer under way.
    private func stream(_ door: Portico) throws -> TestClient {
      let client = try TestClient(door.address)
      client.send(request("GET", "/stream"))
      #expect(client.read(through: "first\r\n").hasSuffix("\r\n\r\n5\r\nfirst\r\n"))
      return client
    }

    @Test func streamsFinishWhileTheDoorCloses() throws {
      defer { backend.stop() }
      let door = try door(settle: "3s", deadline: "60s")
      let streaming = try stream(door)
      let idle = try TestClient(door.address)
      idle.send(request("GET", "/"))
      #expect(idle.readResponse().status == 200)
      #expect(try ask(door.address, "GET", "/alive").status == 200)

      door.process.signal(SIGTERM)
      // Load balancers are told first; who comes all the same is served.
      try eventually("/readyz says no") { try door.admin("GET", "/readyz").status == 503 }
      #expect(try door.admin("GET", "/readyz").body.contains("draining"))
      #expect(try door.admin("GET", "/healthz").status == 200)
      #expect(try ask(door.address, "GET", "/alive").status == 503)
      #expect(try ask(door.address, "GET", "/").status == 200)
      idle.send(request("GET", "/"))
      #expect(idle.readResponse().status == 200)

      // Then the door closes, and who was idle is let go.
      #expect(idle.waitForEnd() == .fin)
      try eventually("nobody listens") { isRefused(door.address) }
      #expect(door.process.isRunning)
      gate.open()
      #expect(streaming.readToEnd() == "6\r\nsecond\r\n0\r\n\r\n")
      #expect(streaming.end == .fin)
      #expect(try door.process.waitForEnd() == .exited(0))
      #expect(door.logged(" info drained") == 1, "\(door.log)")
    }

    @Test func aSecondSignalCutsWhatIsOpen() throws {
      defer { backend.stop() }
      let door = try door(settle: "0s", deadline: "600s")
      let streaming = try stream(door)
      door.process.signal(SIGTERM)
      try eventually("nobody listens") { isRefused(door.address) }
      door.process.signal(SIGTERM)
      // The end of the stream is missing, so the client knows.
      #expect(streaming.readToEnd() == "")
      #expect(try door.process.waitForEnd() == .exited(0))
      #expect(door.logged(#""reason":"stopped""#) == 1, "\(door.log)")
      gate.open()
    }

    @Test func theDeadlineCutsWhatIsOpen() throws {
      defer { backend.stop() }
      let door = try door(settle: "0s", deadline: "200ms")
      let streaming = try stream(door)
      // Who waits for an answer is told.
      let waiting = try TestClient(door.address)
      waiting.send("POST / HTTP/1.1\r\nHost: story\r\nContent-Length: 5\r\n\r\n")
      door.process.signal(SIGTERM)
      #expect(streaming.readToEnd() == "")
      #expect(waiting.readResponse().status == 503)
      #expect(try door.process.waitForEnd() == .exited(0))
      #expect(door.logged("the drain deadline has passed cut=2") == 1, "\(door.log)")
      #expect(door.logged(#""reason":"drain_deadline""#) == 2, "\(door.log)")
      gate.open()
    }

    /// `POST /drain` is for orchestrators that want to see it empty before they send the signal.
    @Test func drainedByTheAdminItStaysUntilItIsTold() throws {
      defer { backend.stop() }
      gate.open()
      let door = try door(settle: "0s", deadline: "60s")
      #expect(try door.admin("POST", "/drain").status == 200)
      try eventually("it is drained", note: door.log) { door.logged(" info drained") == 1 }
      #expect(isRefused(door.address))
      #expect(try door.admin("GET", "/healthz").status == 200)
      #expect(try door.admin("POST", "/drain").body == "was draining already\n")
      door.process.signal(SIGTERM)
      #expect(try door.process.waitForEnd() == .exited(0))
    }

    /// What systemd is told, in order.
    @Test func systemdIsToldOfEverything() throws {
      defer { backend.stop() }
      gate.open()
      let folder = Folder()
      let ear = try NotifySocket(folder["notify"])
      let door = try Portico(
        configuration([backend.address], top: "drain: {settle: 1s, deadline: 3s}"),
        environment: ["NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": "100000"])
      try eventually("it is ready", note: "\(ear.messages)") {
        ear.messages.contains("READY=1\nSTATUS=serving 1 pools")
      }
      try eventually("the watchdog is fed", note: "\(ear.messages)") {
        ear.messages.count { $0 == "WATCHDOG=1" } >= 3
      }
      door.process.signal(SIGHUP)
      try eventually("it has reloaded", note: "\(ear.messages)") {
        ear.messages.count { $0.hasPrefix("READY=1") } == 2
      }
      door.process.signal(SIGTERM)
      // Somebody must go on listening: who feeds the watchdog waits until it is heard.
      try eventually("it ends") {
        _ = ear.messages
        return !door.process.isRunning
      }
      #expect(try door.process.waitForEnd() == .exited(0))
      let said = ear.messages.filter { $0 != "WATCHDOG=1" }
      #expect(said.count == 4, "\(said)")
      #expect(said[0] == "READY=1\nSTATUS=serving 1 pools")
      #expect(said[1].hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
      #expect(said[2] == "READY=1\nSTATUS=serving 1 pools")
      #expect(said[3] == "STOPPING=1\nEXTEND_TIMEOUT_USEC=9000000\nSTATUS=draining")
    }
  }
}
