import Glibc
import JSON
import Primitives
import TestClient
import Testing

extension Stories {
  /// What could break: a request that is lost though somebody could have served it, or served twice
  /// though it must not; a backend that is never tried again, or always.
  @Suite struct Backends {
    private func breaker(_ door: Portico, _ name: String) throws -> String {
      try door.member(name)["breaker"]?.text ?? "none"
    }

    // MARK: Down and up

    @Test func allDownAtTheStartThenUp() throws {
      let ports = [try Port(), try Port()]
      let door = try Portico(
        configuration(
          ports.map(\.address), pool: "breaker: {failures: 2, cooldown: 100ms}"))
      let refused = try ask(door.address, "GET", "/v1/models")
      #expect(refused.status == 502)
      #expect(refused.body.contains(#""code":"connect_refused""#), "\(refused.body)")
      for _ in 0..<10 { _ = try ask(door.address, "GET", "/v1/models") }
      #expect(try door.admin("GET", "/readyz").status == 200)

      let mocks = try ports.map { try Mock(port: $0) }
      try eventually("both serve", note: door.log) {
        #expect(mocks.count == 2)
        let status = try ask(door.address, "GET", "/v1/models").status
        return try status == 200 && breaker(door, "b0") == "closed"
          && breaker(door, "b1") == "closed"
      }
    }

    @Test func killedInMidStreamThenBack() throws {
      let mocks = [try Mock("--gap 20ms --tokens 1000"), try Mock("--name other")]
      let door = try Portico(
        configuration(
          mocks.map(\.address),
          pool: "balance: round_robin\nbreaker: {failures: 3, cooldown: 200ms}", top: "loops: 1"))
      // Two streams go one to each; the long one is on the first mock.
      let streams = [try TestClient(door.address), try TestClient(door.address)]
      for stream in streams { stream.send(chat(streamed: true)) }
      for stream in streams {
        #expect(stream.read(through: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
      }
      #expect(try mocks[0].metric("vllm:num_requests_running") == 1)
      mocks[0].cut()
      let endings = streams.map { $0.read(through: "\r\n0\r\n\r\n") }
      // One is whole. The other breaks off so that its client can tell.
      #expect(endings.count { $0.hasSuffix("0\r\n\r\n") } == 1)
      let broken = try door.metrics()
      #expect(broken.sum("portico_terminations_total", "reason=\"upstream_truncated\"") == 1)
      #expect(broken.sum("portico_terminations_total", "reason=\"completed\"") == 1)

      // Nothing was sent to who refused, so even a POST is served by the other, until the breaker
      // spares it the detour.
      try eventually("the breaker opens", note: door.log) {
        let client = try TestClient(door.address)
        client.send(chat())
        #expect(client.readResponse().status == 200)
        return try breaker(door, "b0") == "open"
      }
      let opened = try door.metrics()
      #expect(opened.sum("portico_breaker_transitions_total", "backend=\"b0\"", "to=\"open\"") >= 1)
      #expect(opened.sum("portico_breaker_transitions_total", "backend=\"b1\"", "to=\"open\"") == 0)
      #expect(
        opened.sum("portico_retries_total", "reason=\"connect_refused\"") >= 2,
        "\(opened.sum("portico_retries_total"))")
      let error = try door.member("b0")["last_error"]?.text
      #expect(error == "request: connect_refused")

      try mocks[0].comeBack()
      try eventually("the breaker closes", note: door.log) {
        #expect(try ask(door.address, "GET", "/v1/models").status == 200)
        return try breaker(door, "b0") == "closed"
      }
      let closed = try door.metrics()
      #expect(
        closed.sum("portico_breaker_transitions_total", "backend=\"b0\"", "to=\"closed\"") >= 1)
      #expect(closed.sum("portico_breaker_state", "backend=\"b0\"", "state=\"closed\"") == 1)
      // And it is used again.
      let before = try mocks[0].metric("vllm:request_success_total")
      try eventually("it serves again") {
        let client = try TestClient(door.address)
        client.send(chat(tokens: 1))
        #expect(client.readResponse().status == 200)
        return try mocks[0].metric("vllm:request_success_total") > before
      }
    }

    // MARK: Busy and silent

    @Test func whoAsksForAPauseGetsIt() throws {
      let busy = Counter()
      let first = try Backend { call in
        busy.add()
        call.answer("busy\n", status: 503, fields: "Retry-After: 600")
      }
      let second = try Backend { $0.answer("fine\n") }
      defer {
        first.stop()
        second.stop()
      }
      let door = try Portico(
        configuration([first.address, second.address], pool: "balance: round_robin"))
      var statuses: [Int] = []
      for _ in 0..<10 { statuses.append(try ask(door.address, "POST", "/").status) }
      // Said once, to one client; a POST is not tried elsewhere by itself.
      #expect(statuses.count { $0 == 503 } == 1, "\(statuses)")
      #expect(statuses.count { $0 == 200 } == 9, "\(statuses)")
      #expect(busy.value == 1)
      let member = try door.member("b0")
      #expect(member["breaker"]?.text == "closed")
      #expect(try #require(member["cooling_ms"]?.number) > 250_000)
      #expect(member["state"]?.text == "cooling", "\(member)")
    }

    @Test func whenAllAskForAPauseTheClientIsToldHowLong() throws {
      let backend = try Backend { $0.answer("", status: 429, fields: "Retry-After: 100") }
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address]))
      let first = try ask(door.address, "POST", "/")
      #expect(first.status == 429)
      #expect(first["Retry-After"] == "100")
      let second = try ask(door.address, "POST", "/")
      #expect(second.status == 503)
      #expect(second.body.contains(#""code":"no_member_limit""#), "\(second.body)")
      let seconds = try #require(second["Retry-After"].flatMap { Int($0) })
      #expect((60...100).contains(seconds))
      #expect(backend.requests.count == 1)
    }

    @Test func whoIsSilentIsGivenUp() throws {
      let mock = try Mock("--tokens 8")
      let door = try Portico(
        configuration(
          [mock.address],
          pool: """
            timeouts: {first_byte: 300ms, between_chunks: 300ms}
            breaker: {enabled: false}
            """))
      let client = try TestClient(door.address)
      client.send(chat(mock: "stall=head"))
      let late = client.readResponse()
      #expect(late.status == 504)
      #expect(late.body.contains(#""code":"first_byte_timeout""#), "\(late.body)")
      client.send(chat(streamed: true, mock: "stall=3"))
      let cut = client.readToEnd()
      #expect(cut.hasPrefix("HTTP/1.1 200 "))
      #expect(!cut.hasSuffix("0\r\n\r\n"))
      let metrics = try door.metrics()
      #expect(metrics.sum("portico_terminations_total", "reason=\"between_chunks_timeout\"") == 1)
      // The backend was told both times.
      try eventually("the mock has nothing left to do") {
        try mock.metric("vllm:num_requests_running") == 0
          && mock.metric("vllm:request_success_total", "finished_reason=\"abort\"") == 2
      }
    }

    @Test func whatIsNoHTTPIsNotPassedOn() throws {
      let mock = try Mock()
      let door = try Portico(configuration([mock.address]))
      let client = try TestClient(door.address)
      client.send(chat(mock: "garbage"))
      let answer = client.readResponse()
      #expect(answer.status == 502)
      #expect(answer.body.contains(#""code":"upstream_malformed""#), "\(answer.body)")
      client.send(chat(mock: "truncate=3"))
      let truncated = client.readResponse()
      #expect(truncated.status == 200 || truncated.status == 502)
    }

    // MARK: Again, or not

    @Test func anotherMemberIsTriedWhereThatIsHarmless() throws {
      let calls = Counter()
      let broken = try Backend { call in
        calls.add()
        call.readBody()
        call.reset()
      }
      let good = try Backend { $0.answer("fine\n") }
      defer {
        broken.stop()
        good.stop()
      }
      let door = try Portico(
        configuration(
          [broken.address, good.address],
          pool: "balance: round_robin\nbreaker: {enabled: false}"))
      // A GET is idempotent, and so is a POST with a key: the client notices nothing.
      for fields in ["", "Idempotency-Key: 7"] {
        let before = calls.value
        for _ in 0..<8 {
          let method = fields.isEmpty ? "GET" : "POST"
          let answer = try ask(door.address, method, "/", fields: fields)
          #expect(answer.status == 200)
          #expect(answer.body == "fine\n")
        }
        #expect(calls.value > before, "the broken one was never asked")
      }
      // A POST that may have been taken is not sent again.
      let before = (broken: calls.value, good: good.requests.count)
      var statuses: [Int] = []
      for _ in 0..<8 {
        let answer = try ask(door.address, "POST", "/", body: "hello")
        statuses.append(answer.status)
        if answer.status == 502 {
          #expect(answer.body.contains(#""code":"upstream_reset""#), "\(answer.body)")
        }
      }
      let failed = statuses.count { $0 == 502 }
      #expect(failed > 0 && failed < 8, "\(statuses)")
      #expect(calls.value - before.broken == failed)
      #expect(good.requests.count - before.good == 8 - failed)
    }

    // MARK: Probes

    @Test func probesTakeAMemberOutAndBack() throws {
      let mocks = [try Mock(), try Mock()]
      let door = try Portico(
        configuration(
          mocks.map(\.address),
          pool: """
            balance: round_robin
            health: {path: /health, interval: 100ms, timeout: 20s, rise: 2, fall: 2}
            """))
      func health(_ name: String) throws -> String {
        try door.member(name)["health"]?.text ?? "none"
      }
      try eventually("both are healthy", note: door.log) {
        try health("b0") == "healthy" && health("b1") == "healthy"
      }
      try mocks[0].change("health=503")
      try eventually("one is unhealthy", note: door.log) { try health("b0") == "unhealthy" }
      #expect(
        try door.admin("GET", "/readyz").body
          == "ready\npool chat: 1 of 2 backends usable (1 unhealthy)\n")
      #expect(try door.member("b0")["last_error"]?.text?.hasPrefix("probe: ") == true)
      func served() throws -> Double {
        try door.metrics().sum("portico_requests_total", "backend=\"b0\"")
      }
      let before = try served()
      for _ in 0..<10 { #expect(try ask(door.address, "GET", "/v1/models").status == 200) }
      #expect(try served() == before)
      #expect(try door.metrics().sum("portico_health_probes_total", "result=\"failed\"") >= 2)

      // Both: not ready any more, and said so.
      mocks[1].cut()
      try eventually("none is healthy", note: door.log) {
        try door.admin("GET", "/readyz").status == 503
      }
      #expect(
        try door.admin("GET", "/readyz").body
          == "not ready\npool chat: none of 2 backends usable (2 unhealthy)\n")
      try mocks[0].change("health=200")
      try mocks[1].comeBack()
      try eventually("both are healthy again", note: door.log) {
        try health("b0") == "healthy" && health("b1") == "healthy"
      }
      try eventually("it serves again") {
        _ = try ask(door.address, "GET", "/v1/models")
        return try served() > before
      }
    }
  }
}
