import CLinux
import EventLoop
import Glibc
import Primitives
import Synchronization
import TestClient
import Testing

extension Stories {
  /// What could break: work that goes on for nobody, memory that grows with what a client does or
  /// does not do, and one client's doings that are felt by another.
  @Suite struct Clients {
    /// How far the front door may grow while a client misbehaves. Bytes.
    private static let growthLimit = 32 << 20

    // MARK: Leaving

    @Test(arguments: [false, true])
    func whoLeavesHasTheWorkStopped(streaming: Bool) throws {
      let arrived = Counter()
      let left = Mutex<[Int64]>([])
      let backend = try Backend { call in
        call.readBody()
        if streaming {
          call.start()
          call.piece("first")
        }
        arrived.add()
        call.waitUntilLeft()
        left.withLock { $0.append(portico_monotonic_ns()) }
      }
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address]))
      var delays: [Double] = []
      for round in 1...10 {
        let parting: Int64
        do {
          let client = try TestClient(door.address)
          client.send(request("POST", "/", body: "hello"))
          if streaming { _ = client.read(through: "first\r\n") }
          try eventually("the request is there") { arrived.value == round }
          parting = portico_monotonic_ns()
          // By FIN and by RST in turns.
          if round % 2 == 0 { client.resetAtClose() }
        }
        try eventually("the backend is told") { left.withLock { $0.count } == round }
        delays.append(Double(left.withLock { $0.last! } - parting) / 1e6)
      }
      // The promise is 100 ms. The quickest of ten tells whether it is a matter of waking up or of
      // some timer, on however busy a machine.
      #expect(delays.min()! < 100, "\(delays)")
      let metrics = try door.metrics()
      #expect(
        metrics.sum("portico_terminations_total", "reason=\"client_closed\"") == 10)
      #expect(metrics.sum("portico_backend_in_flight") == 0)
      // The backend is not to blame.
      #expect(metrics.sum("portico_breaker_transitions_total", "to=\"open\"") == 0)
      #expect(try door.member("b0")["last_error"]?.text == nil)
    }

    // MARK: Large and slow

    @Test func aSlowReaderCostsBoundedMemory() throws {
      let pieces = 3_200
      let piece = String(repeating: "0123456789abcdef", count: 4_096)
      let sent = Counter()
      let backend = try Backend { call in
        call.start()
        for _ in 0..<pieces {
          call.piece(piece)
          sent.add()
        }
        call.finish()
      }
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address]))
      _ = try door.admin("GET", "/readyz")
      let before = door.process.residentBytes
      let client = try TestClient(door.address)
      client.send(request("GET", "/", fields: "Connection: close"))
      var bytes = 0
      var most = 0
      // First a little at a time, while everything between the two is full.
      for _ in 0..<60 {
        bytes += client.readSome().count
        usleep(5_000)
        most = max(most, door.process.residentBytes)
      }
      #expect(sent.value < pieces, "the answer was swallowed whole")
      while true {
        let some = client.readSome()
        if some.isEmpty { break }
        bytes += some.count
        most = max(most, door.process.residentBytes)
      }
      #expect(bytes > pieces * piece.utf8.count)
      #expect(most - before < Self.growthLimit, "grew by \((most - before) >> 10) KiB")
    }

    @Test func aLargeUploadCostsBoundedMemory() throws {
      let size = 20 << 20
      let sum = Mutex<UInt64>(0)
      let backend = try Backend { call in
        var seen: UInt64 = 0
        var reads = 0
        let count = call.readBody { piece in
          for byte in piece where byte != 0 { seen &+= UInt64(byte) }
          reads += 1
          if reads < 50 { usleep(5_000) }
        }
        sum.withLock { $0 = seen }
        call.answer("\(count)\n")
      }
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address]))
      _ = try door.admin("GET", "/readyz")
      let before = door.process.residentBytes
      var body = [UInt8](repeating: 0, count: size)
      var expected: UInt64 = 0
      for place in stride(from: 0, to: size, by: 4_093) {
        body[place] = UInt8(truncatingIfNeeded: place >> 4)
        expected &+= UInt64(body[place])
      }
      let client = try TestClient(door.address)
      client.send("POST / HTTP/1.1\r\nHost: story\r\nContent-Length: \(size)\r\n\r\n")
      client.send(body)
      let during = door.process.residentBytes
      let answer = client.readResponse()
      #expect(answer.status == 200)
      #expect(answer.body == "\(size)\n")
      #expect(sum.withLock { $0 } == expected)
      #expect(during - before < Self.growthLimit, "grew by \((during - before) >> 10) KiB")
    }

    /// Who stops to read is given up after a while, and so is the work for them.
    @Test func whoStopsReadingIsGivenUp() throws {
      let left = Gate()
      let backend = try Backend { call in
        call.start()
        let piece = String(repeating: "x", count: 1 << 20)
        for _ in 0..<64 { call.piece(piece) }
        call.waitUntilLeft()
        left.open()
      }
      defer { backend.stop() }
      let door = try Portico(
        configuration([backend.address], listener: "timeouts: {send: 300ms}"))
      let client = try TestClient(door.address)
      client.send(request("GET", "/"))
      _ = client.read(through: "\r\n\r\n")
      #expect(left.pass(), "the backend was not told")
      try eventually("it is counted") {
        try door.metrics().sum(
          "portico_terminations_total", "reason=\"client_read_timeout\"") == 1
      }
      #expect(try door.metrics().sum("portico_open_connections") == 0)
    }

    /// What is no HTTP any more passes as it is, through reloads, and ends with the drain.
    @Test func aTunnelOutlivesAReload() throws {
      let mock = try Mock()
      let text = configuration([mock.address], top: "drain: {settle: 0s, deadline: 300ms}")
      let door = try Portico(text)
      let client = try TestClient(door.address)
      let upgrade = """
        Connection: Upgrade
        Upgrade: websocket
        Sec-WebSocket-Version: 13
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
        """
      client.send(request("GET", "/v1/realtime", fields: upgrade))
      let head = client.read(through: "\r\n\r\n")
      #expect(head.hasPrefix("HTTP/1.1 101 "))
      #expect(head.lowercased().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="))
      client.send("first")
      #expect(client.read(5) == "first")
      door.edit(text + "\nx-note: another\n")
      try eventually("the edit is taken over") { door.logged("configuration applied") == 1 }
      client.send("second")
      #expect(client.read(6) == "second")
      door.process.signal(SIGTERM)
      #expect(client.waitForEnd() != .none)
      #expect(try door.process.waitForEnd() == .exited(0))
    }

    // MARK: Many

    @Test func aLimitOfConnectionsIsSaidAloud() throws {
      let backend = try Backend()
      defer { backend.stop() }
      let door = try Portico(
        configuration([backend.address], listener: "limits: {connections: 5}", top: "loops: 1"))
      var clients: [TestClient] = []
      for _ in 0..<5 {
        let client = try TestClient(door.address)
        client.send(request("GET", "/"))
        #expect(client.readResponse().status == 200)
        clients.append(client)
      }
      let refused = try TestClient(door.address)
      let answer = refused.readResponse()
      #expect(answer.status == 503)
      #expect(answer["Retry-After"] == "1")
      #expect(
        try door.metrics().sum("portico_limit_reached_total", "limit=\"connections\"") == 1)
      clients.removeLast()
      try eventually("there is room again") {
        try ask(door.address, "GET", "/").status == 200
      }
    }

    @Test func elevenHundredStreamsAtOnce() throws {
      // The first takes the only slot for as long as the story wants; the others wait behind it.
      let mock = try Mock("--slots 1 --tokens 8 --head late")
      let door = try Portico(configuration([mock.address]))
      let holder = try TestClient(mock.address)
      holder.send(chat(streamed: true, mock: "stall=head"))
      try eventually("the slot is taken") { try mock.metric("vllm:num_requests_running") == 1 }

      let count = 1_100
      let swarm = try Swarm()
      for _ in 0..<count { try swarm.add(door.address, chat(streamed: true)) }
      try eventually("all are open at once") {
        swarm.turn()
        return try door.metrics().sum("portico_open_streams") == Double(count)
      }
      try eventually("all wait for the slot") {
        swarm.turn()
        return try mock.metric("vllm:num_requests_waiting") == Double(count)
      }
      #expect(try door.member("b0")["in_flight"]?.number == Double(count))
      try mock.change("slots=0")
      try swarm.run()
      let expected = "[m] You said: hello The model behind this"
      for client in swarm.clients {
        #expect(client.isComplete)
        #expect(Answer.content(client.received) == expected)
      }
      try eventually("nothing is in flight") {
        try door.metrics().sum("portico_backend_in_flight") == 0
      }
    }

    @Test func aFloodThatSaysNothing() throws {
      let mock = try Mock()
      let door = try Portico(
        configuration([mock.address], listener: "timeouts: {request_head: 2s, idle: 2s}"))
      let polite = try TestClient(door.address)
      polite.send(request("GET", "/v1/models"))
      #expect(polite.readResponse().status == 200)
      let before = door.process.residentBytes

      let swarm = try Swarm()
      for _ in 0..<2_000 { try swarm.add(door.address, "") }
      var open = 0.0
      try eventually("most are in") {
        open = try door.metrics().sum("portico_open_connections")
        return open >= 1_000
      }
      polite.send(request("GET", "/v1/models"))
      #expect(polite.readResponse().status == 200)
      #expect(try answers(door))
      let growth = door.process.residentBytes - before
      #expect(growth < Self.growthLimit, "grew by \(growth >> 10) KiB")
      // Who says nothing is let go without an answer.
      try swarm.run()
      #expect(swarm.clients.allSatisfy { $0.received.isEmpty })
      try eventually("their memory of them ends") {
        try door.metrics().sum("portico_open_connections") <= 1
      }
    }

    /// Many requests at once where descriptors are short: each of them can be served, if only those
    /// are let in for whom there is a connection to a backend too.
    @Test func everybodyIsServedInTurnWhenDescriptorsAreShort() throws {
      let mock = try Mock("--tokens 8 --gap 5ms")
      let door = try Portico(
        configuration([mock.address]), wrapper: ["prlimit", "--nofile=100:100"])
      let swarm = try Swarm()
      for _ in 0..<300 { try swarm.add(door.address, chat(streamed: true)) }
      try swarm.run()
      let expected = "[m] You said: hello The model behind this"
      let served = swarm.clients.count { Answer.content($0.received) == expected }
      #expect(served == swarm.clients.count)
      let others = Set(swarm.clients.filter { Answer.status($0.received) != 200 }.map(\.text))
      #expect(others.isEmpty, "\(others)")
    }

    private func answers(_ door: Portico) throws -> Bool {
      let client = try TestClient(door.address)
      client.send(request("GET", "/v1/models"))
      return client.readResponse().status == 200
    }

    /// Descriptors run out: who is in is served to the end, who waits is served when there is room,
    /// and nobody is told anything untrue.
    @Test func descriptorsRunOut() throws {
      let gate = Gate()
      let backend = try Backend { call in
        guard call.head.contains("/stream ") else { return call.answer("ok\n") }
        call.start()
        call.piece("first")
        gate.pass()
        call.piece("second")
        call.finish()
      }
      defer { backend.stop() }
      let door = try Portico(
        configuration([backend.address]), wrapper: ["prlimit", "--nofile=100:100"])
      let stream = try TestClient(door.address)
      stream.send(request("GET", "/stream"))
      _ = stream.read(through: "first\r\n")

      let flood = try Swarm()
      for _ in 0..<150 { try flood.add(door.address, "") }
      try eventually("accepting pauses", note: door.log) {
        flood.turn()
        return door.logged("accepting pauses") > 0
      }
      // The operator still gets in, and so does a new configuration.
      let metrics = try door.metrics()
      #expect(metrics.sum("portico_accept_paused_total") > 0)
      #expect(metrics.sum("process_max_fds") == 100)
      #expect(metrics.sum("process_open_fds") < 100)
      #expect(try door.admin("POST", "/reload").status == 200)
      // Who comes now waits.
      let waiting = try TestClient(door.address)
      waiting.send(request("GET", "/"))
      gate.open()
      #expect(stream.read(through: "0\r\n\r\n") == "6\r\nsecond\r\n0\r\n\r\n")
      flood.leave()
      let answer = waiting.readResponse()
      #expect(answer.status == 200)
      #expect(answer.body == "ok\n")
      for _ in 0..<20 { #expect(try answers(door)) }
    }
  }
}
