import Admin
import Glibc
import JSON
import Primitives
import TestClient
import Testing

extension Stories {
  /// What could break: who may change something, and what a change does to traffic.
  @Suite struct AdminSide {
    @Test func theTokenGuardsAllButHealth() throws {
      let backend = try Backend()
      defer { backend.stop() }
      func text(_ token: String) -> String {
        """
        listeners: [{address: DOOR}]
        admin: {address: ADMIN, token: \(token)}
        pools: [{name: chat, backends: ["\(backend.address)"]}]
        routes: [{pool: chat}]
        """
      }
      let door = try Portico(text("first-secret"))
      let right = "Authorization: Bearer first-secret"
      for path in ["/fleet", "/metrics", "/config"] {
        #expect(try door.admin("GET", path).status == 401)
        #expect(
          try door.admin("GET", path, fields: "Authorization: Bearer wrong-secret").status == 401)
        #expect(try door.admin("GET", path, fields: right).status == 200)
      }
      #expect(try door.admin("POST", "/reload").status == 401)
      // The page asks its reader for the token.
      #expect(try door.admin("GET", "/").status == 200)
      #expect(try door.admin("GET", "/healthz").status == 200)
      #expect(try door.admin("GET", "/readyz").status == 200)
      #expect(!(try door.admin("GET", "/config", fields: right).body.contains("first-secret")))
      let table = try portico("status", "--admin", door.adminPort.text)
      #expect(table.ending == .exited(1))
      #expect(table.output.contains("401"))
      #expect(
        try portico("status", "--admin", door.adminPort.text, "--token", "first-secret").ending
          == .exited(0))
      // Changed by an edit, at once.
      door.edit(text("second-secret"))
      try eventually("the new token is wanted") {
        try door.admin("GET", "/fleet", fields: right).status == 401
      }
      #expect(
        try door.admin("GET", "/fleet", fields: "Authorization: Bearer second-secret").status == 200
      )
    }

    @Test func changesAreMadeByPostOnly() throws {
      let backend = try Backend()
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address]))
      for path in ["/reload", "/drain", "/pools/chat/backends/b0/drain"] {
        let refused = try door.admin("GET", path)
        #expect(refused.status == 405)
        #expect(refused["Allow"] == "POST")
        // A page of another site may not do it for its reader.
        let foreign = try door.admin("POST", path, fields: "Origin: http://evil.example")
        #expect(foreign.status == 403)
      }
      for path in ["/healthz", "/readyz", "/metrics", "/fleet", "/config", "/"] {
        let refused = try door.admin("POST", path)
        #expect(refused.status == 405)
        #expect(refused["Allow"] == "GET, HEAD")
        #expect(try door.admin("HEAD", path).status == 200)
      }
      #expect(try door.admin("GET", "/nothing").status == 404)
      #expect(try ask(door.address, "GET", "/").status == 200)
    }

    @Test func aBackendIsDrainedAndComesBack() throws {
      let gate = Gate()
      let first = try Backend { call in
        guard call.head.contains("/stream ") else { return call.answer("first\n") }
        call.start()
        call.piece("begun")
        gate.pass()
        call.finish()
      }
      let second = try Backend { $0.answer("second\n") }
      defer {
        first.stop()
        second.stop()
      }
      let door = try Portico(
        configuration([first.address, second.address], pool: "balance: round_robin"))
      func asked() throws -> Set<String> {
        var bodies: Set<String> = []
        for _ in 0..<12 { bodies.insert(try ask(door.address, "GET", "/").body) }
        return bodies
      }
      #expect(try asked() == ["first\n", "second\n"])
      // An answer under way on the one that is to go; whichever it went to, it must be whole.
      let streams = try (0..<4).map { _ in try TestClient(door.address) }
      for stream in streams { stream.send(request("GET", "/stream")) }

      let drained = try door.admin("POST", "/pools/chat/backends/b0/drain")
      #expect(drained.status == 200)
      #expect(drained.body == "pool 'chat': backend 'b0' now drains\n")
      #expect(try asked() == ["second\n"])
      #expect(try door.member("b0")["state"]?.text == "draining")
      #expect(
        try door.admin("GET", "/readyz").body
          == "ready\npool chat: 1 of 2 backends usable (1 draining)\n")
      gate.open()
      for stream in streams {
        let answer = stream.readResponse()
        #expect(answer.status == 200)
        #expect(answer.body == "begun" || answer.body == "second\n")
      }
      // An edit that has nothing to do with it does not bring it back.
      door.edit(
        configuration([first.address, second.address], pool: "balance: least_request"))
      try eventually("the edit is taken over") { door.logged("configuration applied") == 1 }
      #expect(try asked() == ["second\n"])

      let back = try door.admin("POST", "/pools/chat/backends/b0/undrain")
      #expect(back.body == "pool 'chat': backend 'b0' now takes requests\n")
      try eventually("both serve") { try asked() == ["first\n", "second\n"] }
      let typo = try door.admin("POST", "/pools/chat/backends/b2/drain")
      #expect(typo.status == 404)
      #expect(
        typo.body == "there is no backend 'b2' in pool 'chat'; did you mean 'b0'?\n")
    }

    @Test func theDashboardIsServed() throws {
      let backend = try Backend()
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address]))
      let page = try door.admin("GET", "/")
      #expect(page.status == 200)
      #expect(page["Content-Type"]?.hasPrefix("text/html") == true)
      #expect(page["Content-Security-Policy"]?.contains("default-src 'none'") == true)
      #expect(page.body.hasPrefix("<!doctype html>") || page.body.hasPrefix("<!DOCTYPE html>"))
      let fleet = try JSONValue(try door.admin("GET", "/fleet").body)
      let view = try FleetView(fleet)
      #expect(view.pools.map(\.name) == ["chat"])
      #expect(view.isReady && !view.isDraining)
    }

    /// What is shown as in use is itself a configuration that can be used.
    @Test func theShownConfigurationCanBeUsed() throws {
      let backend = try Backend()
      defer { backend.stop() }
      let door = try Portico(configuration([backend.address], pool: "balance: hot_cold"))
      let shown = try door.admin("GET", "/config").body
      let folder = Folder()
      folder.write("shown.yaml", shown)
      let checked = try portico("check", folder["shown.yaml"])
      #expect(checked.ending == .exited(0), "\(checked.output)")
      #expect(
        checked.output
          == "\(folder["shown.yaml"]): good: 1 listener, 1 pool with 1 backend, 1 route\n")
    }
  }
}
