import Glibc
import JSON
import Primitives
import TestClient
import Testing

extension Stories {
  /// What could break: the line that somebody looks for when something went wrong, and the requests
  /// themselves when the log cannot be written.
  @Suite struct AccessLog {
    private let backend: Backend

    init() throws {
      backend = try Backend { call in
        if call.head.contains(" /reset ") {
          call.readBody()
          return call.reset()
        }
        call.answer("hello\n")
      }
    }

    private func lines(_ text: String) throws -> [JSONValue] {
      try text.split(separator: "\n").map { try JSONValue(String($0)) }
    }

    @Test func aLineForEachRequest() throws {
      defer { backend.stop() }
      let folder = Folder()
      let path = folder["access.log"]
      let door = try Portico(
        configuration(
          [backend.address], listener: "name: main\nhealth_path: /alive",
          pool: "retry: {attempts: 1}", top: "loops: 1\naccess_log: {path: \(path)}"))
      let client = try TestClient(door.address)
      client.send(
        request(
          "POST", #"/v1/chat?a="b"#, fields: "User-Agent: story/1 \"q\"\nX-Request-Id: abc-1",
          body: "12345"))
      #expect(client.readResponse().status == 400)
      let again = try TestClient(door.address)
      again.send(
        request(
          "POST", "/v1/chat?a=%22b", fields: "User-Agent: story/1 \"q\"\nX-Request-Id: abc-1",
          body: "12345"))
      #expect(again.readResponse().status == 200)
      again.send(request("GET", "/reset"))
      #expect(again.readResponse().status == 502)
      again.send(request("GET", "/alive"))
      #expect(again.readResponse().status == 200)

      var log: [JSONValue] = []
      try eventually("four lines are there") {
        log = try lines(contents(of: path) ?? "")
        return log.count == 4
      }
      let bad = log[0]
      #expect(bad["status"]?.number == 400)
      #expect(bad["reason"]?.text == "rejected_syntax")
      #expect(bad["client"]?.text == "127.0.0.1")
      #expect(bad["backend"] == .null)
      #expect(bad["attempts"]?.number == 0)

      let good = log[1]
      #expect(good["request_id"]?.text == "abc-1")
      #expect(good["client"]?.text == "127.0.0.1")
      #expect(good["listener"]?.text == "main")
      #expect(good["method"]?.text == "POST")
      #expect(good["target"]?.text == "/v1/chat?a=%22b")
      #expect(good["host"]?.text == "story")
      #expect(good["pool"]?.text == "chat")
      #expect(good["backend"]?.text == "b0")
      #expect(good["status"]?.number == 200)
      #expect(good["reason"]?.text == "completed")
      #expect(good["attempts"]?.number == 1)
      #expect(good["request_bytes"]?.number == 5)
      #expect(good["response_bytes"]?.number == 6)
      #expect(good["reused"]?.flag == false)
      #expect(good["upgrade"]?.flag == false)
      #expect(good["user_agent"]?.text == "story/1 \"q\"")
      let time = try #require(good["time"]?.text)
      #expect(time.count == 24 && time.hasSuffix("Z") && time.contains("T"), "\(time)")
      let first = try #require(good["first_byte_ms"]?.number)
      let whole = try #require(good["duration_ms"]?.number)
      #expect(first > 0 && whole >= first)

      #expect(log[2]["status"]?.number == 502)
      #expect(log[2]["reason"]?.text == "upstream_reset")
      #expect(log[2]["target"]?.text == "/reset")
      // One was made up for the request that had none.
      #expect(log[2]["request_id"]?.text?.count == 32)
      #expect(log[3]["reason"]?.text == "answered_locally")
      #expect(log[3]["backend"] == .null)
      // What went upstream carries the same identity.
      #expect(backend.requests[0].lowercased().contains("\r\nx-request-id: abc-1\r\n"))
    }

    @Test func rotationLosesNothing() throws {
      defer { backend.stop() }
      let folder = Folder()
      let path = folder["access.log"]
      let door = try Portico(
        configuration([backend.address], top: "loops: 1\naccess_log: {path: \(path)}"))
      var sent = 0
      func send(_ count: Int) throws {
        for _ in 0..<count {
          sent += 1
          #expect(try ask(door.address, "GET", "/\(sent)").status == 200)
        }
      }
      try send(20)
      try eventually("they are written") { contents(of: path)?.contains("\"/20\"") == true }
      rename(path, folder["old.log"])
      // Until it is told, it goes on with the file it has.
      try send(20)
      door.process.signal(SIGUSR1)
      try eventually("it has reopened", note: door.log) {
        door.logged("access log reopened") == 1
      }
      try send(20)
      try eventually("all are written") { contents(of: path)?.contains("\"/60\"") == true }
      let old = try lines(contents(of: folder["old.log"]) ?? "")
      let new = try lines(contents(of: path) ?? "")
      let targets = (old + new).compactMap { $0["target"]?.text }
      #expect(targets == (1...60).map { "/\($0)" })
      #expect(old.count >= 20 && new.count >= 20)
    }

    @Test func aFullDiskCostsLinesAndNoRequests() throws {
      defer { backend.stop() }
      let door = try Portico(
        configuration([backend.address], top: "loops: 1\naccess_log: {path: /dev/full}"))
      // A ring holds a megabyte; lines of eight kilobytes fill it.
      let target = "/" + String(repeating: "x", count: 8_000)
      let client = try TestClient(door.address)
      for _ in 0..<300 {
        client.send(request("GET", target))
        #expect(client.readResponse().status == 200)
      }
      try eventually("the operator is told", note: door.log) {
        door.logged("access log cannot be written") == 1
      }
      let dropped = try door.metrics().sum("portico_access_log_dropped_lines_total")
      #expect(dropped > 100 && dropped < 300, "\(dropped)")
      door.process.signal(SIGTERM)
      client.send(request("GET", "/"))
      #expect(client.readResponse().status == 200)
    }

    @Test func theLogMayGoToStandardOutput() throws {
      defer { backend.stop() }
      let door = try Portico(
        configuration([backend.address], top: "access_log: {path: stdout}"))
      #expect(try ask(door.address, "GET", "/where").status == 200)
      try eventually("the line is there", note: door.log) {
        door.log.contains(#""target":"/where""#)
      }
      // Switched off by an edit, and on again.
      door.edit(configuration([backend.address]))
      try eventually("it is off") { door.logged("configuration applied") == 1 }
      #expect(try ask(door.address, "GET", "/hidden").status == 200)
      door.edit(configuration([backend.address], top: "access_log: {path: stdout}"))
      try eventually("it is on") { door.logged("configuration applied") == 2 }
      #expect(try ask(door.address, "GET", "/shown").status == 200)
      try eventually("the line is there") { door.log.contains(#""target":"/shown""#) }
      #expect(!door.log.contains("/hidden"))
    }
  }
}
